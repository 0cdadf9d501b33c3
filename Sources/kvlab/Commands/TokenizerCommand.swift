import ArgumentParser
import Checkpoints
import Console
import Experiments
import Files
import Foundation
import Text

/// `kvlab tokenizer`: trains a vocabulary, encodes text and decodes ids.
struct TokenizerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenizer", abstract: "Train a tokenizer, or encode and decode with one.",
        subcommands: [TokenizerTrainCommand.self, TokenizerEncodeCommand.self, TokenizerDecodeCommand.self])
}

/// `kvlab tokenizer train`: byte-level BPE from text.
struct TokenizerTrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Learn a byte-level BPE vocabulary from text.",
        discussion: """
            Writes a Hugging Face tokenizer.json: GPT-2's pattern, no normalisation, so that any text decodes to itself. \
            The same text gives the same file. With --split-on the separator is left out of what is learnt.
            """)

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Texts to learn from: UTF-8 or .jsonl, also .gz or .zst; files, folders or patterns in quotes.", valueName: "file"))
    var text: [String]

    @OptionGroup var textFormat: TextFormatOptions

    @Option(help: "Tokens in all, the 256 bytes and the special tokens included.")
    var vocabSize = 4096

    @Option(help: ArgumentHelp("Where to write the tokenizer.json.", valueName: "file"))
    var out: String

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "A special token; may be given several times, the first ends a text (default: \(BPETrainer.endOfText)).",
            valueName: "token"))
    var special: [String] = []

    @Option(help: ArgumentHelp("Cut the files into documents at this string.", valueName: "string"))
    var splitOn: String?

    @OptionGroup var output: OutputOption

    func run() throws {
        let start = ContinuousClock.now
        try output.check(out)
        let corpus = try Corpus(text.map { textFormat.source($0) }, separator: splitOn)
        let reporter = ProgressReporter()
        let tokenizer = try BPETrainer.train(
            corpus: corpus, vocabularySize: vocabSize, specialTokens: special.isEmpty ? [BPETrainer.endOfText] : special
        ) { progress in
            switch progress {
            case .reading(let bytes, let total): reporter.progress("reading  \(bytes >> 10)/\(total >> 10) KiB")
            case .merging(let tokens, let total): reporter.progress("learning  \(tokens)/\(total) tokens")
            }
        }
        reporter.clear()
        try AtomicFile.write(tokenizer.serialized.bytes, to: out)
        let seconds = ContinuousClock.now - start
        try print("\(out): \(tokenizer.vocabularySize) tokens from \(corpus.byteCount) bytes in \(format(seconds)) s")
        if tokenizer.vocabularySize < vocabSize {
            try print(
                "  fewer than the \(vocabSize) asked for: no other pair occurs twice; use more text or a smaller --vocab-size")
        }
    }
}

/// `kvlab tokenizer encode`: text to ids.
struct TokenizerEncodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encode", abstract: "Turn a text file into token ids.",
        discussion: "Prints the ids of each document as a JSON array on a line of its own, and the speed on standard error.")

    @Argument(help: "A text: a UTF-8 file, or JSON Lines by the name .jsonl, also as gzip or zstd; a folder, or a pattern.")
    var file: String

    @OptionGroup var textFormat: TextFormatOptions

    @OptionGroup var source: TokenizerSource

    @Option(help: ArgumentHelp("Cut the file into documents at this string, each stripped of white space.", valueName: "string"))
    var splitOn: String?

    @Flag(help: "Print only how many tokens there are.")
    var count = false

    func run() throws {
        let tokenizer = try source.load()
        let corpus = try Corpus([textFormat.source(file)], separator: splitOn)
        var tokens = 0
        var spent = Duration.zero
        for document in corpus.documents {
            let text = corpus.text(document)
            let start = ContinuousClock.now
            let ids = tokenizer.encode(text)
            spent += ContinuousClock.now - start
            tokens += ids.count
            if !count { try StandardOutput.write("[" + ids.map(String.init).joined(separator: ",") + "]\n") }
        }
        if count { try print("\(tokens)") }
        let megabytes = Double(corpus.byteCount) / 1e6
        note("\(tokens) tokens of \(corpus.byteCount) bytes, \(format(megabytes / max(spent / .seconds(1), 1e-9))) MB/s")
    }
}

/// `kvlab tokenizer decode`: ids to text.
struct TokenizerDecodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode", abstract: "Turn token ids into text.",
        discussion: "Reads what `encode` prints: a JSON array of ids a line. Each line's text is written as it is.")

    @Argument(help: "A file of JSON arrays, one a line.")
    var file: String

    @OptionGroup var source: TokenizerSource

    func run() throws {
        let tokenizer = try source.load()
        let corpus = try Corpus([TextSource(path: file, format: .text)])
        let lines = corpus.text(corpus.documents[0]).split(separator: "\n")
        for (index, line) in lines.enumerated() where line.contains(where: { !$0.isWhitespace }) {
            guard let ids = try? JSONDecoder().decode([Int32].self, from: Data(line.utf8)) else {
                throw ValidationError("\(file):\(index + 1): a JSON array of token ids is expected")
            }
            if let id = ids.first(where: { !(0..<Int32(tokenizer.vocabularySize)).contains($0) }) {
                throw ValidationError("\(file):\(index + 1): id \(id) is outside the vocabulary of \(tokenizer.vocabularySize)")
            }
            try StandardOutput.write(tokenizer.decode(ids))
        }
    }
}

/// The tokenizer that texts are encoded or ids decoded with.
struct TokenizerSource: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A tokenizer's file (tokenizer.json, tokenizer.model, llama2.c's tokenizer.bin), or a model that has one: a checkpoint, a Hugging Face folder, a GGUF file.",
            valueName: "path"), completion: .file())
    var tokenizer: String

    /// The tokenizer in the file, or the model's own.
    func load() throws -> any Tokenizer { try ModelImport.tokenizer(tokenizer) }
}

private func format(_ value: Double) -> String { String(format: "%.1f", value) }
private func format(_ value: Duration) -> String { format(value / .seconds(1)) }
