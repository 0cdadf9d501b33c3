import Random
import Testing

@testable import Kernels

@Suite struct ArenaTests {
    private let page = Arena.alignment

    @Test func `gaps are merged and reused before the arena grows`() {
        var arena = Arena(capacity: 64 * page)!
        let blocks = (0..<4).map { _ in unsafe arena.take(4 * page)!.pointer }
        #expect(arena.top == 16 * page)
        for index in [1, 3, 2] { unsafe arena.give(blocks[index], 4 * page) }
        #expect(arena.freeBytes == 12 * page)
        let merged = unsafe arena.take(12 * page)!
        let reused = unsafe merged.pointer == blocks[1] && !merged.grown
        #expect(reused)
        #expect(arena.top == 16 * page && arena.freeBytes == 0)
    }

    @Test func `a last gap that is too small is grown, not left behind`() {
        var arena = Arena(capacity: 64 * page)!
        let first = unsafe arena.take(2 * page)!.pointer
        unsafe arena.give(first, 2 * page)
        let second = unsafe arena.take(5 * page)!
        let grownInPlace = unsafe second.pointer == first && second.grown
        #expect(grownInPlace)
        #expect(arena.top == 5 * page)
        let refused = unsafe arena.take(60 * page) == nil
        #expect(refused)
    }

    @Test func `blocks never overlap and all memory comes back`() {
        var arena = Arena(capacity: 4096 * page)!
        var generator = SeededGenerator(seed: 5)
        var live: [(start: UInt, size: Int)] = []
        for _ in 0..<20_000 {
            if live.count < 40, Bool.random(using: &generator) {
                let size = Int.random(in: 1...50, using: &generator) * page
                guard let block = unsafe arena.take(size) else { continue }
                let start = unsafe UInt(bitPattern: block.pointer)
                #expect(live.allSatisfy { $0.start + UInt($0.size) <= start || start + UInt(size) <= $0.start })
                live.append((start, size))
            } else if !live.isEmpty {
                let block = live.remove(at: Int.random(in: 0..<live.count, using: &generator))
                unsafe arena.give(UnsafeMutableRawPointer(bitPattern: block.start)!, block.size)
            }
        }
        for block in live { unsafe arena.give(UnsafeMutableRawPointer(bitPattern: block.start)!, block.size) }
        #expect(arena.freeBytes == arena.top)
    }
}
