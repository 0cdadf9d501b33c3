import ArgumentParser
import Evaluation
import Files
import Text

/// `kvlab text`: makes texts to train on.
struct TextCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "text", abstract: "Make texts to train on.", subcommands: [TextRecallCommand.self])
}

/// `kvlab text recall`: documents from which small models learn retrieval.
struct TextRecallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recall", abstract: "Documents from which a small model learns to find facts in its context.",
        discussion: """
            Lists to repeat, facts with questions about them, passkeys and needles, between sentences of the haystack. Stage 1 has the shortest, \
            5 the longest documents; train on their files one after the other ("order": "sequential", "packing": "whole"). Stage 0 is text for \
            the tokenizer: with no number of two digits, so that each digit stays a token, and with the lists' words, most of which become two.

            A file called .jsonl gets a document a line, {"text": …}; another one documents with the separator on lines between them.
            """)

    @Option(parsing: .upToNextOption, help: "Texts of the filler, one behind the other; old books are free.", completion: .file())
    var haystack: [String]

    @Option(help: "The stage, 1 to \(RecallDocuments.stages.count); 0 for the tokenizer's text.")
    var stage: Int

    @Option(help: "Documents, for stage 0 lines. Default: as many as recipes/recall.json reads of the stage; 20000 lines.")
    var documents: Int?

    @Option(help: "Seed of the documents.")
    var seed: UInt64 = 1

    @Option(help: "The line between documents.")
    var separator = BPETrainer.endOfText

    @Option(help: "The file to write.", completion: .file())
    var out: String

    @OptionGroup var output: OutputOption

    func validate() throws {
        try checkRange("--stage", stage, from: 0, to: RecallDocuments.stages.count)
        try checkRange("--documents", documents, to: 10_000_000)
        guard !separator.isEmpty, !separator.contains(where: \.isNewline) else {
            throw ValidationError("--separator is empty or has a line end")
        }
    }

    func run() throws {
        try output.check(out)
        let recall = try RecallDocuments(
            haystack: try Corpus(paths: haystack).joinedText, seed: seed)
        let isJSON = out.hasSuffix(".jsonl")
        var text = ""
        let documents = documents ?? (stage == 0 ? 20_000 : RecallDocuments.stages[stage - 1].documents)
        if stage == 0 {
            let lines = recall.vocabularyText(lines: documents)
            text = try (isJSON ? CanonicalJSON.text(of: ["text": lines]) : lines) + "\n"
        } else {
            for number in 0..<documents {
                let document = recall.document(stage: stage, number: number)
                if isJSON {
                    text += try CanonicalJSON.text(of: ["text": document]) + "\n"
                } else {
                    text += document + "\n" + (number + 1 < documents ? separator + "\n" : "")
                }
            }
        }
        try AtomicFile.write(Array(text.utf8), to: out)
        try print("\(out): \(stage == 0 ? "text for a tokenizer" : "\(documents) documents"), \(text.utf8.count) bytes")
    }
}
