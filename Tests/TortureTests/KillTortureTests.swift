import Foundation
import Random
import TestSupport
import Testing

/// Promise 1, kills: SIGKILL at any moment leaves the old file or the new one, and what is resumed is the uninterrupted run byte for
/// byte, without a temporary file.
@Suite(.serialized) struct KillTortureTests {
    /// Kills `job` `count` times at moments drawn with `seed`, a few in each folder before it may end.
    private func torture(_ job: Job, kills count: Int, seed: UInt64) throws {
        let scratch = ScratchDirectory()
        func folder(_ name: String) throws -> String {
            try FileManager.default.createDirectory(atPath: scratch[name], withIntermediateDirectories: true)
            try job.prepare(scratch[name])
            return scratch[name]
        }
        let whole = try folder("whole")
        let old = try Job.content(whole)
        let clock = ContinuousClock()
        let start = clock.now
        let outcome = try Tool.run(job.arguments(whole), in: whole)
        try #require(outcome.status == 0, "\(job): \(outcome.error)")
        let seconds = (clock.now - start) / .seconds(1)
        let new = try Job.content(whole)
        var random = SeededGenerator(seed: seed, name: "\(job)")
        var (kills, writing) = (0, 0)
        while kills < count {
            let parts = try folder("parts")
            for _ in 0...Int(random.next() % 5) where kills < count {
                let process = try Tool.process(job.arguments(parts), in: parts)
                try process.run()
                let deadline = clock.now + .seconds(seconds * random.uniform())
                while process.isRunning, clock.now < deadline { usleep(500) }
                let isKilled = process.isRunning
                if isKilled { kill(process.processIdentifier, SIGKILL) }
                process.waitUntilExit()
                guard isKilled, process.terminationReason == .uncaughtSignal else { continue }
                kills += 1
                if try !Job.leftovers(parts).isEmpty { writing += 1 }
                try job.expectOldOrNew(parts, old: old, new: new, "kill \(kills)")
            }
            let last = try Tool.run(job.arguments(parts), in: parts)
            #expect(last.status == 0, "\(job), after kill \(kills): \(last.error)")
            try job.expectFinished(parts, as: new, "after kill \(kills)")
            #expect(try Job.leftovers(parts) == [], "\(job), after kill \(kills)")
            try FileManager.default.removeItem(atPath: parts)
        }
        guard Torture.isWhole else { return }
        print("\(job): \(kills) kills, \(writing) of them while a file was being written")
        // One file that is written once is met seldom.
        #expect(writing > 0 || job.product != nil, "\(job): no kill met a file half written")
    }

    @Test func `a training killed at any moment ends as the one that was not, byte for byte`() throws {
        try torture(.train, kills: Torture.count(7), seed: 1)
    }

    @Test(arguments: Job.writers) func `a command killed at any moment leaves the old file or the new one`(job: Job) throws {
        try torture(job, kills: Torture.count(1), seed: 2)
    }

    @Test func `a lab killed at any moment ends as the one that was not, byte for byte`() throws {
        try torture(.lab, kills: Torture.count(2), seed: 3)
    }

    @Test func `a sweep killed at any moment ends as the one that was not, byte for byte`() throws {
        try torture(.sweep, kills: Torture.count(4), seed: 4)
    }
}
