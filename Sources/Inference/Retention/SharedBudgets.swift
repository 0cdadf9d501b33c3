import Kernels
import Models

/// Streams whose KV heads keep unequal numbers of slots, in pages of their own.
extension PagedKVCache {
    /// Whether the cache can free the slots of `retention`: where heads keep unequal numbers of slots, those of single heads.
    public func holds(_ retention: any Retention) -> Bool {
        retention.budgetScope == .head || shapes.allSatisfy { $0.kvHeads == 1 || $0.window != nil }
    }

    /// The streams of each budget under the `retentions` of ``layouts``.
    func budgets(_ retentions: [any Retention]) -> [[Int]] {
        var (budgets, joint) = ([[Int]](), [Int]())
        for streams in layerStreams {
            switch retentions[streams.lowerBound].budgetScope {
            case .head, .own: budgets += streams.map { [$0] }
            case .layer: budgets.append(Array(streams))
            case .model: joint += streams
            }
        }
        return joint.isEmpty ? budgets : budgets + [joint]
    }

    /// Positions of the slots, ascending, by layer with keys and values of its own and KV head; of a layer whose slot i holds
    /// token i, none.
    public func positions(of sequence: Int) -> [[[Int32]]] {
        let table = table(of: sequence)
        return layerStreams.map { streams in
            guard streams.contains(where: { !table.positions[$0].isEmpty }) else { return [] }
            return streams.flatMap { stream in
                table.positions[stream].isEmpty
                    ? [[Int32]](repeating: (0..<Int32(table.tokens)).map { $0 }, count: shapes[stream].kvHeads)
                    : table.positions[stream]
            }
        }
    }

    /// The stream of a KV head of the layer with `streams`, and the head's number in it.
    func place(of head: Int, in streams: Range<Int>) -> (stream: Int, head: Int) {
        streams.count == 1 ? (streams.lowerBound, head) : (streams.lowerBound + head, 0)
    }

    /// A division of the slots that `streams` keep together, `most` on average, which takes the most pages: the slots of each.
    ///
    /// For caches that only count slots, without keys and attention by which to divide them.
    func largestDivision(_ table: BlockTable, _ streams: [Int], most: Int) -> [Int] {
        let held = streams.map { table.slots($0) }
        var counts = held.map { min(1, $0) }
        var rest = min(most * streams.count, held.reduce(0, +)) - counts.reduce(0, +)
        // A slot more than whole pages, in as many streams as there are pages for.
        var isDivided = false
        while !isDivided {
            isDivided = true
            for (index, stream) in streams.enumerated() {
                let page = layouts[stream].tokensPerPage
                guard page <= rest, counts[index] + page <= held[index] else { continue }
                counts[index] += page
                rest -= page
                isDivided = false
            }
        }
        for index in streams.indices {
            let added = min(rest, held[index] - counts[index])
            counts[index] += added
            rest -= added
        }
        return counts
    }
}

extension KVGeometry {
    /// The geometries of a layer's streams: of the layer, or of each KV head where heads keep unequal numbers of slots under `retention`.
    ///
    /// Pages of layers with a window are freed for all heads at once.
    func streams(under retention: any Retention) -> [KVGeometry] {
        guard retention.budgetScope != .head, window == nil, source == nil else { return [self] }
        var one = self
        one.kvHeads = 1
        return [KVGeometry](repeating: one, count: kvHeads)
    }
}

extension PagedAttentionKernel {
    /// Attends from the rows of a step, `counts` of each sequence, in a layer with `streams` streams; where each KV head is a stream,
    /// by ``SeparatedHeads``.
    ///
    /// Returns the rows that the kernel read and their log-sum-exp, the attention of the layer's rows, and for each sequence of the batch
    /// whether its attention mass was added to those of `masses`.
    func attend(
        _ queries: CachedQueries, _ memory: PageMemory, _ batch: PagedBatch, streams: Int, counts: [Int], plans: inout PagedPlans,
        storing: Bool = true, masses: [SlotSums?] = []
    ) -> (rows: Storage, logSumExp: Storage, attention: CachedAttention, added: [Bool]) {
        let count = counts.reduce(0, +) * queries.heads
        let attention = CachedAttention(
            output: Storage(count: count * layout.valueDim), logSumExp: Storage(count: count))
        guard streams > 1 else {
            let added = run(
                qkv: queries.rows, memory: memory, batch: batch, plans: &plans, into: attention.output,
                logSumExp: attention.logSumExp, storing: storing, masses: masses)
            return (queries.rows, attention.logSumExp, attention, added)
        }
        let heads = SeparatedHeads(self, kvHeads: streams, counts: counts)
        let rows = heads.separated(queries.rows)
        let (outputs, sums) = (Storage(count: attention.output.count), Storage(count: count))
        let added = run(
            qkv: rows, memory: memory, batch: batch, plans: &plans, into: outputs, logSumExp: sums, storing: storing,
            masses: masses)
        heads.join(outputs, width: layout.valueDim, into: attention.output)
        heads.join(sums, width: 1, into: attention.logSumExp)
        return (rows, sums, attention, added)
    }
}
