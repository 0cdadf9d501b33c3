import ArgumentParser
import Console
import Experiments
import Inference
import Random
import Text

/// `kvlab generate`: continue a text.
struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Continue a prompt with the model as it is served.")

    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(help: "The text to continue.")
    var prompt: String

    @Option(name: .customLong("max-tokens"), help: "Tokens to generate at most.")
    var maxTokens = 128

    @Option(help: "0 takes the likeliest token each time.")
    var temperature = 0.8

    @Option(name: .customLong("top-k"), help: "Draw from the K likeliest tokens only.")
    var topK: Int?

    @Option(name: .customLong("top-p"), help: "Draw from the likeliest tokens that reach this probability only.")
    var topP: Double?

    @Option(help: "Seed of the draws; the same seed gives the same text.")
    var seed: UInt64 = 0

    @Option(help: "A tokenizer.json or tokenizer.bin instead of the checkpoint's own.", completion: .file())
    var tokenizer: String?

    @OptionGroup var threads: ThreadsOption

    @OptionGroup var results: JSONOptions

    func validate() throws {
        guard maxTokens >= 1 else { throw ValidationError("--max-tokens is \(maxTokens), expected at least 1") }
        guard temperature >= 0, temperature.isFinite else {
            throw ValidationError("--temperature is \(temperature), expected 0 or more")
        }
        guard topK.map({ $0 >= 1 }) ?? true else { throw ValidationError("--top-k must be at least 1") }
        guard topP.map({ $0 > 0 && $0 <= 1 }) ?? true else { throw ValidationError("--top-p must be above 0 and at most 1") }
    }

    func run() throws {
        threads.apply()
        let loaded = try ServableModel(path: checkpoint, tokenizerPath: tokenizer)
        var ids = (loaded.bosID.map { [$0] } ?? []) + loaded.tokenizer.encode(prompt)
        if ids.isEmpty, let eos = loaded.tokenizer.eosID { ids = [eos] }
        guard !ids.isEmpty else { throw ValidationError("--prompt is empty and the tokenizer has no BOS to start from") }
        guard ids.count <= loaded.config.maxSequence else {
            throw ValidationError("--prompt has \(ids.count) tokens, the model \(loaded.config.maxSequence) positions")
        }
        let generator = Generator(
            model: loaded.model, sampler: Sampler(temperature: temperature, topK: topK, topP: topP ?? 1), stops: loaded.stopIDs)
        var random = SeededGenerator(seed: seed, name: "generate")
        var decoder = TokenStreamDecoder(loaded.tokenizer, after: ids)
        if !results.isJSON { try StandardOutput.write(prompt) }
        let start = ContinuousClock.now
        var failure: OutputError?
        let drawn = generator.continuation(of: ids, count: maxTokens, generator: &random) { id in
            do throws(OutputError) {
                if results.isJSON { try StandardOutput.checkReader() } else { try StandardOutput.write(decoder.append(id)) }
            } catch {
                failure = error
            }
            return failure == nil
        }
        if let failure { throw failure }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        if results.isJSON {
            let text = String(decoding: loaded.tokenizer.decode(ids + drawn), as: UTF8.self)
            try results.print(Report(promptIDs: ids, ids: drawn, text: text, tokensPerSecond: Double(drawn.count) / seconds))
        } else {
            try StandardOutput.write(decoder.finish() + "\n")
        }
    }

    private struct Report: Encodable {
        var promptIDs: [Int32]
        var ids: [Int32]
        var text: String
        var tokensPerSecond: Double
    }
}
