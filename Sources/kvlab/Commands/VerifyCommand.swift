import ArgumentParser
import Checkpoints
import Foundation
import Inference
import Kernels
import Random

/// `kvlab verify`: the same logits, however the cache is kept.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Check that a checkpoint's logits don't depend on how its cache is kept.",
        discussion: """
            Compares the contiguous cache with the full forward pass, and paged, batched, forked, preempted and resumed caches (both \
            ways) and merged spans with the contiguous one on the same random tokens, and sequences that share a prefix with each \
            alone: the largest difference of a logit, and tokens whose likeliest successor differs. A gate that says nothing of the \
            model is named with the reason. Exits with 1 where a gate fails.
            """)

    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(help: "Tokens in all; by default as many as the model has positions, at most 400.")
    var tokens: Int?

    @Option(help: "Tokens of them that are decoded one by one.")
    var decoded = 24

    @Option(help: "Element type of cached keys and values.")
    var kvDtype = KVEncoding.float32

    @OptionGroup var paging: PageOptions

    @Option(help: "Seed of the tokens.")
    var seed: UInt64 = 1

    func run() throws {
        let loaded = try ModelImport.load(checkpoint)
        let count = tokens ?? min(400, loaded.config.maxSequence)
        guard count >= 4, count <= loaded.config.maxSequence else {
            throw ValidationError("--tokens is \(count), expected 4 to the model's \(loaded.config.maxSequence) positions")
        }
        let decoded = min(decoded, count / 2)
        guard decoded >= 2 else { throw ValidationError("--decoded is \(decoded), expected at least 2") }
        var random = SeededGenerator(seed: seed, name: "verify")
        let ids = (0..<count).map { _ in Int32(random.uniform() * Double(loaded.config.vocabularySize)) }
        let pageBytes = paging.bytes(for: [loaded.config], kvDtype)
        let gates = try ExactnessGates(
            config: loaded.config, parameters: loaded.parameters, encoding: kvDtype, pageBytes: pageBytes, tokens: ids,
            decoded: decoded, tier: FileTier(directory: FileManager.default.temporaryDirectory.path)
        ).run()
        try print(
            "\(checkpoint): \(count) tokens, \(decoded) of them decoded, \(kvDtype.name) cache in pages of \(ByteCount.text(pageBytes))"
        )
        try print(
            "| full pass, then the contiguous cache\(kvDtype == .float32 ? "" : ", then pages") against | largest difference | allowed | greedy differences | |"
        )
        try print("| --- | ---: | ---: | ---: | --- |")
        for gate in gates {
            if let reason = gate.notExercised {
                try print("| \(gate.name) | | | | not exercised: \(reason) |")
                continue
            }
            let figure = String(format: "%.2e | %g", gate.largestDifference, gate.tolerance)
            try print("| \(gate.name) | \(figure) | \(gate.greedyDifferences) | \(gate.passes ? "passes" : "FAILS") |")
        }
        if !gates.allSatisfy(\.passes) { throw ExitCode(1) }
    }
}
