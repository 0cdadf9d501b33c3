import Foundation
import FuzzTargets
import Random
import Testing

/// Damaged files give errors of ours, soon and in little memory: never a crash, a hang or a foreign error.
///
/// `KVLAB_FUZZ_INPUTS` is how many files are made in all, `KVLAB_FUZZ_SEED` another sequence of them. These are made blindly; `make
/// fuzz` has libFuzzer make a million that reach as much of the readers' code as they can. The file that crashed the
/// process is left in the temporary folder, under `kvlab-test-`.
@Suite(.serialized) struct FuzzTests {
    private static func setting(_ name: String) -> Int? { ProcessInfo.processInfo.environment[name].flatMap { Int($0) } }
    private static let requested = setting("KVLAB_FUZZ_INPUTS")
    private static let count = (requested ?? 6000) / FuzzTarget.all.count + 1
    private static let seed = UInt64(max(setting("KVLAB_FUZZ_SEED") ?? 1, 0))

    @Test(arguments: FuzzTarget.all)
    func `every seed of the corpus is read as it is`(target: FuzzTarget) throws {
        let probe = try FuzzProbe(target)
        for seed in target.seeds {
            let outcome = try probe.read(try FuzzTarget.bytes(seed), limitsMemory: false)
            #expect(!outcome.isRefused && outcome.complaint == nil)
        }
    }

    @Test(arguments: FuzzTarget.all)
    func `damaged files are read or refused by an error of ours`(target: FuzzTarget) throws {
        let probe = try FuzzProbe(target)
        var mutator = Mutator(
            corpus: try target.seeds.map { try FuzzTarget.bytes($0) },
            generator: SeededGenerator(seed: Self.seed, name: target.name))
        var failures = 0
        var (refused, slowest, largest) = (0, 0.0, 0)
        let count = Int(Double(Self.count) * target.share) + 1
        for index in 0..<count {
            let bytes = mutator.next()
            // Other tests run in the same process unless these alone were asked for.
            let outcome = try probe.read(bytes, limitsMemory: Self.requested != nil)
            (slowest, largest) = (max(slowest, outcome.seconds), max(largest, outcome.growth))
            if outcome.isRefused { refused += 1 }
            if let complaint = outcome.complaint {
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
}

extension FuzzTarget: CustomTestStringConvertible {
    public var testDescription: String { name }
}
