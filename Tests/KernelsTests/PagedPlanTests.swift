import Random
import Testing

@testable import Kernels

/// Sequences over pages of random keys and values, some of which they share.
private struct Forest {
    let layout: PagedLayout
    let memory: PageMemory
    var sequences: [PagedSequence] = []
    private var nextPage: Int32 = 0

    init(kvHeads: Int, pages: Int, slots: Int = 8) throws {
        layout = try #require(
            PagedLayout(
                kvHeads: kvHeads, keyDim: 16, valueDim: 16, encoding: .float32, pageBytes: kvHeads * slots * 32 * 4))
        memory = try #require(PageMemory(pages: pages, pageBytes: layout.pageBytes))
        for page in 0..<pages {
            let values = random(layout.pageBytes / 4, seed: UInt64(page), in: -2...2)
            values.withUnsafeBytes { memory.write(Array($0)[...], to: Int32(page)) }
        }
    }

    mutating func take(_ count: Int) -> [Int32] {
        nextPage += Int32(count)
        return Array(nextPage - Int32(count)..<nextPage)
    }

    /// A sequence with one new token behind `prefix`, whole pages, and `own` tokens.
    mutating func add(_ prefix: [Int32], own: Int) {
        let pages = prefix + take(own / layout.tokensPerPage + 1)
        sequences.append(PagedSequence(pages: pages, held: prefix.count * layout.tokensPerPage + own, count: 1))
    }

    func kernel(group: Int, threads: Int? = nil, shares: Bool = true) -> PagedAttentionKernel {
        var kernel = PagedAttentionKernel(layout: layout, heads: layout.kvHeads * group)
        (kernel.threads, kernel.sharesPrefixes) = (threads, shares)
        return kernel
    }

    func plan(_ kernel: PagedAttentionKernel) -> PagedPlan {
        PagedPlan(kernel, PagedBatch(sequences, layout: layout))
    }

    /// Outputs and log-sum-exps of all rows, by `plans` where they fit.
    func attend(_ kernel: PagedAttentionKernel, _ plans: inout PagedPlans) -> [Float] {
        let rows = sequences.count
        let output = Storage(count: rows * kernel.heads * 16)
        let logSumExp = Storage(count: rows * kernel.heads)
        kernel.run(
            qkv: Storage(copying: random(rows * kernel.rowWidth, seed: 5, in: -1...1)), memory: memory,
            batch: PagedBatch(sequences, layout: kernel.layout), plans: &plans, into: output, logSumExp: logSumExp)
        return output.array() + logSumExp.array()
    }

    func attend(_ kernel: PagedAttentionKernel) -> [Float] {
        var plans = PagedPlans()
        return attend(kernel, &plans)
    }
}

extension PagedPlan {
    /// The token ranges that are attended to together, with the members of each, of one KV head.
    fileprivate var runs: [[Int]] {
        units.compactMap { unit in
            guard case .shared(_, let members, let tokens, 0, _) = unit.work else { return nil }
            return [tokens.lowerBound, tokens.upperBound, members.count]
        }
    }

    /// Tokens of the largest unit of single rows, and of all of them.
    fileprivate func load(_ limits: [Int]) -> (largest: Int, all: Int) {
        let tokens = units.map { unit in
            switch unit.work {
            case .row: limits[unit.row]
            case .spans(let range, _, _): range.count
            default: 0
            }
        }
        return (tokens.max() ?? 0, tokens.reduce(0, +))
    }
}

@Suite struct PagedPlanTests {
    @Test(arguments: [(2, 4), (1, 8), (4, 1)]) func `any tree of shared pages gives what each row gets alone`(
        kvHeads: Int, group: Int
    ) throws {
        var nested = 0
        let ground = try Forest(kvHeads: kvHeads, pages: 2400)
        for seed in 0..<20 {
            var generator = SeededGenerator(seed: UInt64(seed))
            func below(_ bound: Int) -> Int { Int(generator.uniform() * Double(bound)) }
            var forest = ground
            // Paths grow from any earlier one, by up to 24 pages, some by less than is shared.
            var paths: [[Int32]] = [[]]
            for _ in 0..<1 + below(6) {
                paths.append(paths[below(paths.count)] + forest.take(1 + below(24)))
            }
            for _ in 0..<2 + below(38) {
                forest.add(paths[below(paths.count)], own: below(below(4) == 0 ? 600 : 40))
            }
            let apart = forest.attend(forest.kernel(group: group, shares: false))
            let together = forest.attend(forest.kernel(group: group, threads: 1))
            // Sums of up to a thousand weights in another order.
            #expect(zip(together, apart).allSatisfy { abs($0 - $1) < 2e-5 }, "seed \(seed)")
            for threads in [2, 16] {
                #expect(forest.attend(forest.kernel(group: group, threads: threads)) == together, "seed \(seed)")
                #expect(forest.attend(forest.kernel(group: group, threads: threads, shares: false)) == apart, "seed \(seed)")
            }
            if forest.plan(forest.kernel(group: group)).runs.contains(where: { $0[0] > 0 && $0[0] % 256 != 0 }) { nested += 1 }
        }
        // A run that begins where another has ended.
        #expect(nested > 0)
    }

    @Test func `a row that shares the first page alone does not undo the others' sharing`() throws {
        var forest = try Forest(kvHeads: 1, pages: 200)
        let prefix = forest.take(16)
        for index in 0..<8 { forest.add(prefix, own: index) }
        let before = forest.plan(forest.kernel(group: 2)).runs
        #expect(before == [[0, 128, 8]])
        forest.add([prefix[0]], own: 100)
        // Nor does one that ends within them.
        forest.add(Array(prefix[..<10]), own: 3)
        #expect(forest.plan(forest.kernel(group: 2)).runs == [[0, 80, 9], [80, 128, 8]])
        #expect(forest.plan(forest.kernel(group: 2)).merges.count >= 8)
    }

    @Test func `what fewer rows share comes in parts of its own`() throws {
        var forest = try Forest(kvHeads: 1, pages: 400)
        let trunk = forest.take(8)
        let (left, right) = (trunk + forest.take(40), trunk + forest.take(8))
        for _ in 0..<5 { forest.add(left, own: 9) }
        for _ in 0..<4 { forest.add(right, own: 9) }
        forest.add(trunk, own: 200)
        // 64 tokens are shared by ten, 320 more, in two units, by five, and 64 by four.
        #expect(forest.plan(forest.kernel(group: 2)).runs == [[0, 64, 10], [64, 320, 5], [320, 384, 5], [64, 128, 4]])
        // Alone, four rows of one query head each are too few for the last.
        #expect(forest.plan(forest.kernel(group: 1)).runs == [[0, 64, 10]])
        // Short of 64 tokens the trunk is left to those who share more behind it.
        var low = try Forest(kvHeads: 1, pages: 400)
        let stump = low.take(7)
        let (one, other) = (stump + low.take(4), stump + low.take(9))
        for _ in 0..<4 { low.add(one, own: 1) }
        for _ in 0..<4 { low.add(other, own: 1) }
        #expect(low.plan(low.kernel(group: 2)).runs == [[0, 88, 4], [0, 128, 4]])
    }

    @Test(arguments: [false, true], [1, 3]) func `a long row is divided among the threads, in any batch`(
        isShared: Bool, kvHeads: Int
    ) throws {
        var forest = try Forest(kvHeads: kvHeads, pages: 1200)
        let prefix = isShared ? forest.take(16) : []
        for _ in 0..<7 { forest.add(prefix, own: 100) }
        forest.add(prefix, own: 6000)
        let limits = forest.sequences.map { $0.held + 1 }
        let load = forest.plan(forest.kernel(group: 2, threads: 2)).load(limits)
        // Half of the heads at a time.
        let twice = kvHeads > 1 ? (limits.last ?? 0) - (isShared ? 128 : 0) : 0
        #expect(load.largest <= 256 && load.all == limits.reduce(0, +) + twice - (isShared ? 8 * 128 : 0))
        #expect(forest.plan(forest.kernel(group: 2, threads: 1)).load(limits).largest > 6000)
        let one = forest.attend(forest.kernel(group: 2, threads: 1))
        for threads in [2, 3, 32] { #expect(forest.attend(forest.kernel(group: 2, threads: threads)) == one) }
    }

    @Test func `rows of like length are left whole where there are enough of them`() throws {
        var forest = try Forest(kvHeads: 1, pages: 2600)
        for index in 0..<32 { forest.add([], own: 500 + index * 3 % 64) }
        let plan = forest.plan(forest.kernel(group: 2, threads: 2))
        #expect(plan.units.count == 32 && plan.parts == 0 && plan.merges.isEmpty)
    }

    @Test func `a plan serves the layers that share as its own does, and no others`() throws {
        var layer = try Forest(kvHeads: 2, pages: 1000)
        let prefix = layer.take(20)
        for index in 0..<9 { layer.add(prefix, own: 5 + index) }
        layer.add([], own: 700)
        let kernel = layer.kernel(group: 4, threads: 2)
        let plan = layer.plan(kernel)
        #expect(plan.shares.count == 1 && !plan.merges.isEmpty)
        var plans = PagedPlans()
        _ = layer.attend(kernel, &plans)
        // Other pages, shared in the same way.
        var next = layer
        let moved = next.take(20)
        for index in 0..<9 { next.sequences[index].pages.replaceSubrange(0..<20, with: moved) }
        #expect(plan.fits(PagedBatch(next.sequences, layout: next.layout)))
        #expect(next.attend(kernel, &plans) == next.attend(kernel))
        // A copy of one of the pages in one sequence, one token more, and fewer sequences.
        var copied = layer
        copied.sequences[4].pages[19] = copied.take(1)[0]
        var longer = layer
        longer.sequences[0].held += 1
        var fewer = layer
        fewer.sequences.removeLast()
        for other in [copied, longer, fewer] {
            #expect(!plan.fits(PagedBatch(other.sequences, layout: other.layout)))
            #expect(other.attend(kernel, &plans) == other.attend(kernel))
        }
        // Another kernel has a plan of its own.
        let other = layer.kernel(group: 4, shares: false)
        #expect(layer.attend(other, &plans) == layer.attend(other))
    }
}
