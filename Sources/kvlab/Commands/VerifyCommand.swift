import ArgumentParser
import Checkpoints
import Foundation
import Inference
import Models
import Random
import Text

/// `kvlab verify`: the same logits, however the cache is kept.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Check that a checkpoint's logits don't depend on how its cache is kept.",
        discussion: """
            Compares the contiguous cache with the full forward pass, and paged, batched, forked, preempted and resumed caches (both \
            ways) and merged spans with the contiguous one on the same random tokens, and sequences that share a prefix with each \
            alone: the largest difference of a logit, and tokens whose likeliest successor differs. A gate that says nothing of the \
            model is named with the reason. Of an encoding of blocks of tokens, caches whose sums do not depend on the chunks are \
            compared too, bit for bit. With --evict the policy's gates follow: the same logits with a budget of the length, with the \
            evicted slots masked in a whole cache, and however the sequence is cut, shared and preempted. Exits with 1 where a gate \
            fails. --json prints an object for each gate.
            """)

    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(help: "Tokens in all; by default as many as the model has positions, at most 400.")
    var tokens: Int?

    @Option(help: "Tokens of them that are decoded one by one.")
    var decoded = 24

    @Option(help: "Encoding of cached keys and values.")
    var kvDtype = CacheEncoding.float32

    @OptionGroup var paging: PageOptions

    @OptionGroup(title: "Eviction") var eviction: EvictionOptions

    @Option(help: "Seed of the tokens.")
    var seed: UInt64 = 1

    @OptionGroup var threads: ThreadsOption

    @OptionGroup var results: JSONOptions

    private struct Row: Encodable {
        var name: String
        /// This and the next two are nil where the gate was not exercised.
        var difference: Double?
        var tolerance: Double?
        var greedyDifferences: Int?
        var passed: Bool
        var notExercised: String?

        init(_ gate: ExactnessGate) {
            (name, passed, notExercised) = (gate.name, gate.passes, gate.notExercised)
            guard gate.notExercised == nil else { return }
            (difference, tolerance) = (gate.largestDifference, gate.tolerance)
            greedyDifferences = gate.greedyDifferences
        }
    }

    func run() throws {
        threads.apply()
        let encoding = try paging.encoding(kvDtype)
        var retention = try eviction.retention() as? EvictionRetention
        let loaded = try ModelImport.load(checkpoint)
        if let policy = retention, policy.needsTokenizer {
            guard let tokenizer = loaded.tokenizer else {
                throw ValidationError(
                    "'\(policy.name)' goes by a tokenizer, and \(checkpoint) has none"
                )
            }
            retention = policy.instructed(by: try TokenizerFile.load(tokenizer, name: checkpoint))
        }
        try retention?.check(loaded.config, encoding)
        let count = tokens ?? min(400, loaded.config.maxSequence)
        guard count >= 4, count <= loaded.config.maxSequence else {
            throw ValidationError("--tokens is \(count), expected 4 to the model's \(loaded.config.maxSequence) positions")
        }
        let decoded = min(decoded, count / 2)
        try checkRange("--decoded", decoded, from: 2)
        var random = SeededGenerator(seed: seed, name: "verify")
        let ids = (0..<count).map { _ in Int32(random.uniform() * Double(loaded.config.vocabularySize)) }
        let pageBytes = paging.bytes(for: [loaded.config], encoding, under: try eviction.retention())
        let checks = try ExactnessGates(
            config: loaded.config, parameters: loaded.parameters, encoding: encoding, pageBytes: pageBytes, tokens: ids,
            decoded: decoded, tier: FileTier(directory: FileManager.default.temporaryDirectory.path))
        var gates = try checks.run()
        if let retention { gates += try checks.run(evicting: retention) }
        if results.isJSON {
            for gate in gates { try results.print(Row(gate)) }
            if !gates.allSatisfy(\.passes) { throw ExitCode(1) }
            return
        }
        try print(
            "\(checkpoint): \(count) tokens, \(decoded) of them decoded, \(encoding.name) cache in pages of \(ByteCount.text(pageBytes))"
        )
        try print(
            "| full pass, then the contiguous cache\(encoding == .float32 ? "" : ", then pages") against | largest difference | allowed | greedy differences | |"
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
