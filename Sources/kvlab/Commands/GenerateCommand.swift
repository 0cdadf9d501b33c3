import ArgumentParser
import Console
import Experiments
import Inference
import Random
import Server
import Text

/// `kvlab generate`: continue a text.
struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Continue a prompt, or answer a message, with the model as it is served.",
        discussion: """
            Where the model has a chat template the prompt is a message of the user, written as the template has it, and the answer alone is \
            printed; --raw continues the prompt as it is. --json prints the prompt's ids, the ids generated and the text.
            """)

    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(help: "The text to continue, or the message to answer.")
    var prompt: String

    @Flag(help: "Take the prompt for a message of a chat; the default where the model has a chat template.")
    var chat = false

    @Flag(help: "Continue the prompt as it is, although the model has a chat template.")
    var raw = false

    @Option(help: "In a chat: what the system's message says.")
    var system: String?

    @OptionGroup var chats: ChatTemplateOption

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
        for (option, isGiven) in [("--chat", chat), ("--chat-template", chats.chatTemplate != nil), ("--system", system != nil)]
        where raw && isGiven {
            throw ValidationError("\(option) means nothing with --raw, which continues the prompt as it is")
        }
        try checkRange("--max-tokens", maxTokens)
        guard temperature >= 0, temperature.isFinite else {
            throw ValidationError("--temperature is \(temperature), expected 0 or more")
        }
        guard topK.map({ $0 >= 1 }) ?? true else { throw ValidationError("--top-k must be at least 1") }
        guard topP.map({ $0 > 0 && $0 <= 1 }) ?? true else { throw ValidationError("--top-p must be above 0 and at most 1") }
    }

    func run() throws {
        threads.apply()
        let loaded = try ServableModel(path: checkpoint, tokenizerPath: tokenizer)
        let isChat = try isChat(loaded)
        let (ids, stops) = try isChat ? message(loaded) : (text(loaded), [])
        guard ids.count <= loaded.config.maxSequence else {
            throw ValidationError("--prompt has \(ids.count) tokens, the model \(loaded.config.maxSequence) positions")
        }
        let generator = Generator(
            model: loaded.model, sampler: Sampler(temperature: temperature, topK: topK, topP: topP ?? 1), stops: loaded.stopIDs)
        var random = SeededGenerator(seed: seed, name: "generate")
        var output = Output(decoder: TokenStreamDecoder(loaded.tokenizer, after: ids), matcher: StopMatcher(stops))
        output.isShown = !results.isJSON
        if !isChat { output.begin(with: prompt) }
        let start = ContinuousClock.now
        let drawn = generator.continuation(of: ids, count: maxTokens, generator: &random) { output.append($0) }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let text = try output.finish()
        if results.isJSON {
            try results.print(Report(promptIDs: ids, ids: drawn, text: text, tokensPerSecond: Double(drawn.count) / seconds))
        }
        if drawn.isEmpty || isChat && text.isEmpty {
            let advice =
                raw && loaded.tokenIDs.chatTemplate != nil ? "leave --raw out to send it as a chat" : "try another --seed"
            note("the model ended the text at once, with no token before its end; \(advice)")
        }
    }

    /// Whether the prompt is a message of a chat.
    private func isChat(_ loaded: ServableModel) throws -> Bool {
        if raw { return false }
        if chat || chats.chatTemplate != nil || loaded.tokenIDs.chatTemplate != nil { return true }
        guard system == nil else {
            throw ValidationError(
                "--system is for chats, and \(checkpoint) has no chat template; --chat makes one of it all the same")
        }
        return false
    }

    /// The tokens of the prompt as it is.
    private func text(_ loaded: ServableModel) throws -> [Int32] {
        var ids = (loaded.bosID.map { [$0] } ?? []) + loaded.tokenizer.encode(prompt)
        if ids.isEmpty, let eos = loaded.tokenizer.eosID { ids = [eos] }
        guard !ids.isEmpty else { throw ValidationError("--prompt is empty and the tokenizer has no BOS to start from") }
        return ids
    }

    /// The tokens of a chat with the prompt as the user's message, and the strings that end the answer.
    private func message(_ loaded: ServableModel) throws -> ([Int32], [String]) {
        let model = ServedModel(
            id: checkpoint, tokenizer: loaded.tokenizer, bosID: loaded.bosID, eosIDs: loaded.stopIDs.sorted(),
            chatFormat: try chats.format(loaded, name: checkpoint), attention: loaded.config.attentionLabel)
        let messages = system.map { [ChatTemplate.Message(role: "system", content: $0)] } ?? []
        return (try model.chatPrompt(messages + [.init(role: "user", content: prompt)]), model.chatFormat.stops)
    }

    /// The text as it is generated, up to a stop string.
    private struct Output {
        var decoder: TokenStreamDecoder
        var matcher: StopMatcher
        /// Whether it is printed as it comes.
        var isShown = true
        private var text = ""
        private var isOver = false
        private var failure: OutputError?

        init(decoder: TokenStreamDecoder, matcher: StopMatcher) { (self.decoder, self.matcher) = (decoder, matcher) }

        mutating func begin(with prompt: String) { write(prompt) }

        /// Takes a token; false where the text is over, or nobody reads it.
        mutating func append(_ id: Int32) -> Bool {
            let (piece, stopped) = matcher.append(decoder.append(id))
            isOver = stopped
            write(piece)
            return !stopped && failure == nil
        }

        /// The whole text, written to its end.
        mutating func finish() throws -> String {
            if !isOver { write(matcher.append(decoder.finish()).text + matcher.finish()) }
            if isShown, failure == nil { write("\n", isText: false) }
            if let failure { throw failure }
            return text
        }

        private mutating func write(_ piece: String, isText: Bool = true) {
            if isText { text += piece }
            do throws(OutputError) {
                if isShown { try StandardOutput.write(piece) } else { try StandardOutput.checkReader() }
            } catch {
                failure = failure ?? error
            }
        }
    }

    private struct Report: Encodable {
        var promptIDs: [Int32]
        var ids: [Int32]
        var text: String
        var tokensPerSecond: Double
    }
}
