import Checkpoints
import Foundation
import Random
import TestSupport
import Testing

/// Promise 2: no changed byte of a checkpoint is ever used.
@Suite struct ChangedBytesTortureTests {
    private let scratch = ScratchDirectory()

    /// A share of the bytes, drawn; all of them where the whole torture was asked for.
    private func indices(_ count: Int, share: Int) -> [Int] {
        if Torture.isWhole { return Array(0..<count) }
        var generator = SeededGenerator(seed: 23, name: "changed bytes")
        return Array((0..<count).shuffled(using: &generator).prefix(share)).sorted()
    }

    @Test(arguments: [false, true])
    func `a flipped bit in any byte of a checkpoint is refused by name, with training state and without`(trained: Bool) throws {
        let path = scratch["a.h5"]
        try TinyCheckpoint.make(trained: trained).save(to: path)
        let good = scratch.bytes("a.h5")
        let undetected = try ChangedBytes.unnoticed(in: path, at: indices(good.count, share: 150)) { index in
            do { _ = try Checkpoint.load(path) } catch {
                if !"\(error)".hasPrefix(path + ": ") { Issue.record("byte \(index): \(error)") }
                return true
            }
            return false
        }
        #expect(undetected.isEmpty)
        #expect(scratch.bytes("a.h5") == good)
    }

    @Test func `bytes that change between two looks at a checkpoint are never in what was loaded`() throws {
        let checkpoint = TinyCheckpoint.make()
        let path = scratch["a.h5"]
        try checkpoint.save(to: path)
        let good = scratch.bytes("a.h5")
        let stop = scratch["stop"]
        // Another process overwrites the file in place, again and again, with itself and with itself but for a byte.
        let writer = Process()
        writer.executableURL = URL(fileURLWithPath: "/bin/sh")
        try scratch.write(good, to: "good")
        var bad = good
        let weight = try #require(checkpoint.parameters["lm_head.weight"]).bytes
        let place = try #require(good.indices.first { good[$0...].starts(with: weight) })
        bad[place + 5] ^= 0x40
        try scratch.write(bad, to: "bad")
        writer.arguments = [
            "-c",
            "while [ ! -e \"$3\" ]; do for f in \"$0\" \"$1\"; do dd if=\"$f\" of=\"$2\" conv=notrunc bs=1M 2>/dev/null; done; done",
            scratch["bad"], scratch["good"], path, stop,
        ]
        try writer.run()
        defer {
            try? Data().write(to: URL(fileURLWithPath: stop))
            writer.waitUntilExit()
        }
        var outcomes = (loaded: 0, refused: 0)
        for _ in 0..<Torture.count(60) {
            do {
                let loaded = try Checkpoint.load(path, copiesWeights: true)
                outcomes.loaded += 1
                for name in checkpoint.parameters.names {
                    #expect(loaded.parameters[name]?.bytes == checkpoint.parameters[name]?.bytes, "\(name)")
                }
            } catch {
                outcomes.refused += 1
            }
        }
        #expect(outcomes.loaded > 0 && outcomes.refused > 0, "\(outcomes)")
    }
}
