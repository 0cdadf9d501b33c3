import Random
import Testing

@testable import Inference

@Suite struct PagePoolTests {
    @Test func `a page is free or held, and freed by its last holder`() {
        var pool = PagePool(pages: 3)
        let pages = pool.allocate(2, for: 0) ?? []
        #expect(pages == [0, 1] && pool.freeCount == 1 && pool.ledger.used[0] == 2)
        pool.retain(pages[0])
        #expect(!pool.release(pages[0]) && pool.release(pages[0]))
        #expect(pool.count(of: 0) == 0 && pool.owner(of: 0) == nil && pool.owner(of: 1) == 0)
        #expect(pool.allocate(3, for: 0) == nil && pool.freeCount == 2)
        #expect(pool.inconsistency() == nil)
    }

    @Test func `a model's guaranteed pages are there when it wants them`() {
        var pool = PagePool(pages: 12, guarantees: [4, 0])
        #expect(pool.ledger.available(to: 1) == 8 && pool.ledger.available(to: 0) == 12)
        _ = pool.allocate(8, for: 1)
        #expect(pool.ledger.available(to: 1) == 0 && pool.ledger.available(to: 0) == 4)
        _ = pool.allocate(3, for: 0)
        #expect(pool.ledger.available(to: 1) == 0 && pool.ledger.available(to: 0) == 1)
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>) func `a hundred thousand random operations keep the books straight`(
        seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        func draw(_ limit: Int) -> Int { Int(random.uniform() * Double(limit)) }
        let guarantees = [[0], [3, 0], [5, 5, 5], [20]][Int(seed - 1)]
        var pool = PagePool(pages: 20, guarantees: guarantees)
        // The model of the pool: what each holder holds.
        var holders: [[(page: Int32, model: Int)]] = [[]]
        for step in 0..<100_000 {
            switch draw(4) {
            case 0:
                let (model, count) = (draw(guarantees.count), draw(6))
                let available = pool.ledger.available(to: model)
                if let pages = pool.allocate(count, for: model) {
                    precondition(pages.count == count && count <= available && Set(pages).count == count)
                    for page in pages { precondition(!holders.joined().contains { $0.page == page }, "step \(step)") }
                    holders.append(pages.map { ($0, model) })
                } else {
                    precondition(count > available, "step \(step)")
                }
            case 1:
                let holder = holders[draw(holders.count)]
                for (page, _) in holder { pool.retain(page) }
                holders.append(holder)
            default:
                guard holders.count > 1 else { continue }
                let index = 1 + draw(holders.count - 1)
                for (page, _) in holders[index] { pool.release(page) }
                holders.remove(at: index)
            }
            if step % 97 == 0 || step > 99_900 {
                precondition(pool.inconsistency() == nil, "step \(step): \(pool.inconsistency() ?? "")")
                var counts: [Int32: Int] = [:]
                for (page, model) in holders.joined() {
                    counts[page, default: 0] += 1
                    precondition(pool.owner(of: page) == model)
                }
                for page in 0..<20 as Range<Int32> { precondition(pool.count(of: page) == counts[page] ?? 0, "step \(step)") }
                // What is guaranteed is there, whatever the others hold.
                for model in guarantees.indices {
                    precondition(pool.ledger.available(to: model) >= guarantees[model] - pool.ledger.used[model], "step \(step)")
                }
            }
        }
        for holder in holders { for (page, _) in holder { pool.release(page) } }
        #expect(pool.freeCount == 20)
    }
}
