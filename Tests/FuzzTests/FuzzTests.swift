import Foundation
import Glibc
import Random
import TestSupport
import Testing

/// Damaged files give errors of ours, soon and in little memory: never a crash, a hang or a foreign error.
///
/// `KVLAB_FUZZ_INPUTS` is how many files are made in all, `KVLAB_FUZZ_SEED` another sequence of them; `make fuzz` makes a
/// million. The file that crashed the process is left in the temporary folder, under `kvlab-test-`.
@Suite(.serialized) struct FuzzTests {
    private static func setting(_ name: String) -> Int? { ProcessInfo.processInfo.environment[name].flatMap { Int($0) } }
    private static let requested = setting("KVLAB_FUZZ_INPUTS")
    private static let count = (requested ?? 6000) / FuzzTarget.all.count + 1
    private static let seed = UInt64(max(setting("KVLAB_FUZZ_SEED") ?? 1, 0))
    private static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Corpus").path

    /// What a file may take beyond 32 times its size, for the allocator's own steps.
    private static let slackBytes = 64 << 20

    private static func bytes(_ name: String) throws -> [UInt8] {
        let content = try #require(FileManager.default.contents(atPath: corpus + "/" + name), "\(name) is not in the corpus")
        return [UInt8](content)
    }

    @Test(arguments: FuzzTarget.all)
    func `every seed of the corpus is read as it is`(target: FuzzTarget) throws {
        for seed in target.seeds {
            let scratch = ScratchDirectory()
            for name in target.beside {
                try scratch.write(try Self.bytes(name), to: URL(fileURLWithPath: name).lastPathComponent)
            }
            try scratch.write(try Self.bytes(seed), to: target.file)
            try target.read(scratch[target.file])
        }
    }

    @Test(arguments: FuzzTarget.all)
    func `damaged files are read or refused by an error of ours`(target: FuzzTarget) throws {
        let scratch = ScratchDirectory()
        for name in target.beside { try scratch.write(try Self.bytes(name), to: URL(fileURLWithPath: name).lastPathComponent) }
        var mutator = Mutator(
            corpus: try target.seeds.map { try Self.bytes($0) }, generator: SeededGenerator(seed: Self.seed, name: target.name))
        var failures = 0
        var (refused, slowest, largest) = (0, 0.0, 0)
        let count = Int(Double(Self.count) * target.share) + 1
        for index in 0..<count {
            let bytes = target.mend(mutator.next())
            try scratch.write(bytes, to: target.file)
            let (start, memory) = (Self.seconds, Self.peakBytes)
            var complaint: String?
            do { try target.read(scratch[target.file]) } catch {
                refused += 1
                complaint = Self.complaint(about: error)
            }
            let (seconds, growth) = (Self.seconds - start, Self.peakBytes - memory)
            (slowest, largest) = (max(slowest, seconds), max(largest, growth))
            if seconds > 1 { complaint = "took \(seconds) s of processor time" }
            // Other tests run in the same process unless these alone were asked for.
            if Self.requested != nil, growth > 32 * bytes.count + Self.slackBytes {
                complaint = "took \(growth) bytes of memory for a file of \(bytes.count)"
            }
            if let complaint {
                failures += 1
                let kept = FileManager.default.temporaryDirectory.appendingPathComponent(
                    "kvlab-fuzz-\(Self.seed)-\(index)-\(target.file)")
                try Data(bytes).write(to: kept)
                Issue.record("\(target.name), file \(index), kept as \(kept.path): \(complaint)")
            }
            if failures == 5 { return }
        }
        if Self.requested != nil {
            let time = String(format: "%.3f", slowest)
            print("\(target.name): \(count) files, \(refused) refused, slowest \(time) s, \(largest >> 20) MiB at most")
        }
        // A mutator that changed nothing would find nothing; what is read leniently is refused by nobody.
        if !target.isLenient { #expect(refused > count / 10) }
    }

    /// What is wrong with an error, if it isn't one of ours with a sentence.
    private static func complaint(about error: any Error) -> String? {
        let type = String(reflecting: type(of: error))
        if error is FuzzFailure || error is DecodingError || type.contains("NSError") || type.contains("Cocoa") {
            return "\(type): \(error)"
        }
        let text = "\(error)"
        return text.isEmpty || text.utf8.count > 1 << 16 ? "\(type): a description of \(text.utf8.count) bytes" : nil
    }

    private static var seconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// The most memory that the process has had resident.
    private static var peakBytes: Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss << 10
    }
}
