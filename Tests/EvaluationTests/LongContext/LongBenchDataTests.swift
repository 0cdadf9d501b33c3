import Files
import Foundation
import JSON
import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct LongBenchDataTests {
    private let scratch = ScratchDirectory()

    /// Writes LongBench's two configuration files.
    private func configure(_ prompts: JSONValue, _ lengths: JSONValue) throws {
        try scratch.write(Array(prompts.text.utf8), to: "dataset2prompt.json")
        try scratch.write(Array(lengths.text.utf8), to: "dataset2maxlen.json")
    }

    /// All of LongBench's data sets with the shared records.
    private func shared() throws -> [GenerationExample] {
        let templates = try OfficialScoreTests.value("templates/longbench.json")
        try configure(try #require(templates["prompt"]), try #require(templates["max_new_tokens"]))
        return try LongBenchData(
            datasets: LongBench.tasks.map(\.name), data: OfficialScoreTests.folder + "longbench", config: scratch.path,
            LongBenchData.Options(maxLength: .max)
        ).examples(PromptEncoder(ByteTokenizer(), bosID: nil))
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `filled prompts are LongBench's, by their SHA-256`() throws {
        let cases = try #require(try OfficialScoreTests.value("longbench-prompt-hashes.json").array)
        let examples = try shared()
        #expect(cases.count == 30 && examples.count == 30)
        for one in cases {
            let name = one["dataset"]?.string ?? ""
            let example = try #require(
                examples.first { $0.group.dataset == name && $0.id.hasSuffix("/" + (one["_id"]?.string ?? "")) })
            #expect(example.prompt.utf8.count == one["utf8_bytes"]?.int)
            #expect(example.prompt.unicodeScalars.count == one["characters"]?.int)
            #expect(SHA256Digest(of: example.prompt).hex == one["sha256"]?.string, "\(example.id)")
            #expect(example.maxTokens == one["max_new_tokens"]?.int)
        }
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `prompts are cut in the middle as LongBench cuts them, by their SHA-256`() throws {
        let cases = try #require(try OfficialScoreTests.value("truncation-cases.json")["cases"]?.array)
        let tokenizer = try TokenizerFile.load(SharedData.path("models/tinystories-656k/tokenizer.json"))
        let prompts = try shared()
        for one in cases {
            let (name, id) = (one["dataset"]?.string ?? "", one["_id"]?.string ?? "")
            let prompt = try #require(prompts.first { $0.group.dataset == name && $0.id.hasSuffix("/" + id) }).prompt
            #expect(tokenizer.encode(prompt).count == one["prompt_tokens"]?.int)
            let cut = MiddleTruncation.truncated(prompt, to: one["max_length"]?.int ?? 0, tokenizer)
            #expect(cut.utf8.count == one["utf8_bytes"]?.int, "\(name) \(id)")
            #expect(SHA256Digest(of: cut).hex == one["sha256"]?.string, "\(name) \(id)")
            #expect(tokenizer.encode(cut).count == one["encoded_again"]?.int)
        }
        #expect(cases.count == 18)
    }

    @Test func `templates are filled as Python's format fills them`() throws {
        let template = try PromptTemplate("a{{{x}}} {y_1}\r\n{x}")
        #expect(template.fields == ["x", "y_1", "x"])
        let filled = template.filled(behind: "y_1") { name in name == "x" ? "{y_1}" : "é\u{301}" }
        #expect(filled.text == "a{{y_1}} é\u{301}\r\n{y_1}" && filled.bytesBehind == 7)
        for (text, reason) in [
            ("{", "a single '{'"), ("a}b", "a single '}'"), ("{}", "the field '{}', expected a name"),
            ("{0}", "the field '{0}', expected a name"), ("{a!r}", "the field '{a!r}', expected a name"),
        ] {
            let fault = #expect(throws: Fault.self) { try PromptTemplate(text) }
            #expect(try #require(fault).reason == reason)
        }
    }

    @Test func `a long prompt keeps its halves, characters that are cut are replaced`() {
        #expect(MiddleTruncation.truncated("abcdef", to: 6, ByteTokenizer()) == "abcdef")
        #expect(MiddleTruncation.truncated("abcdef", to: 5, ByteTokenizer()) == "abef")
        #expect(MiddleTruncation.truncated("aébcé", to: 4, ByteTokenizer()) == "a\u{FFFD}é")
    }

    private static let record = #"{"input": "q", "context": "c", "answers": ["x"], "all_classes": null, "_id": "1"}"#

    @Test(arguments: [
        (record + "\n{", "line 2: not valid JSON"),
        ("{}", "line 1: 'context' is missing, which the prompt of 'qasper' has a place for"),
        (#"{"context": "c", "input": "q", "answers": "x"}"#, "line 1: 'answers' is no list of strings"),
        (#"{"context": "c", "input": "q"}"#, "line 1: 'answers' is missing"), ("\n", "line 1: no records"),
    ])
    func `a record of another form is named by file and line`(text: String, sentence: String) throws {
        try configure(.object(["qasper": .text("C {context} Q {input}")]), .object(["qasper": .int(8)]))
        try scratch.write(Array(text.utf8), to: "qasper.jsonl")
        let error = #expect(throws: ScoringError.self) {
            try LongBenchData(datasets: ["qasper"], data: scratch.path, config: scratch.path)
        }
        #expect(try #require(error).description.hasPrefix("\(scratch.path)/qasper.jsonl: \(sentence)"))
    }

    @Test func `a configuration without the data set is named`() throws {
        for (prompts, lengths, sentence) in [
            (JSONValue.object([:]), JSONValue.object(["qasper": .int(8)]), "dataset2prompt.json: line 1: no prompt for 'qasper'"),
            (
                .object(["qasper": .text("{")]), .object(["qasper": .int(8)]),
                "dataset2prompt.json: line 1: the prompt for 'qasper' has a single '{'"
            ),
            (
                .object(["qasper": .text("x")]), .object(["qasper": .int(0)]),
                "dataset2maxlen.json: line 1: no number of new tokens for 'qasper'"
            ),
        ] {
            try configure(prompts, lengths)
            let error = #expect(throws: ScoringError.self) {
                try LongBenchData(datasets: ["qasper"], data: scratch.path, config: scratch.path)
            }
            #expect(try #require(error).description == "\(scratch.path)/\(sentence)")
        }
    }

    @Test func `samsum alone ends at a newline, which may not come first`() throws {
        try configure(
            .object(["samsum": .text("{context}"), "qasper": .text("{context}")]),
            .object(["samsum": .int(8), "qasper": .int(8)]))
        for name in ["samsum", "qasper", "samsum_e"] {
            let record = #"{"input": "q", "context": "c", "answers": ["x"], "all_classes": null, "length": 7}"#
            try scratch.write(Array(record.utf8), to: name + ".jsonl")
        }
        let examples = try LongBenchData(datasets: ["samsum", "qasper", "samsum_e"], data: scratch.path, config: scratch.path)
            .examples(PromptEncoder(ByteTokenizer(), bosID: nil))
        #expect(examples.map(\.laterStopIDs) == [[10], [], [10]])
    }

    @Test func `LongBench-E's records have their group of lengths, and few-shot examples and code no chat template`() throws {
        let names = ["qasper_e", "trec", "lcc_e"]
        try configure(
            .object(["qasper": .text("C {context} Q {input}"), "trec": .text("{context}"), "lcc": .text("{context}")]),
            .object(["qasper": .int(8), "trec": .int(3), "lcc": .int(3)]))
        func record(_ length: String) -> String {
            #"{"input": "q", "context": "c", "answers": ["x"], "all_classes": ["x"]\#(length)}"#
        }
        for (name, lengths) in [("qasper_e", [10, 3999, 4000, 8000]), ("trec", [1]), ("lcc_e", [7999])] {
            let lines = lengths.map { record(", \"length\": \($0)") }.joined(separator: "\n")
            try scratch.write(Array(lines.utf8), to: name + ".jsonl")
        }
        let chat = ChatWriter(stops: ["<end>"]) { "[\($0[0].content)]" }
        let task = try LongBenchData(datasets: names, data: scratch.path, config: scratch.path)
        let examples = try task.examples(PromptEncoder(ByteTokenizer(), bosID: nil, chat: chat))
        #expect(examples.map(\.group.words) == ["0-4k", "0-4k", "4-8k", "8k+", nil, "4-8k"])
        #expect(examples.map(\.group.dataset) == ["qasper_e", "qasper_e", "qasper_e", "qasper_e", "trec", "lcc_e"])
        #expect(examples.map(\.prompt) == ["[C c Q q]", "[C c Q q]", "[C c Q q]", "[C c Q q]", "c", "c"])
        #expect(examples.map(\.stops) == [["<end>"], ["<end>"], ["<end>"], ["<end>"], [], []])
        #expect(
            examples.map(\.task.name) == ["qasper", "qasper", "qasper", "qasper", "trec", "lcc"] && examples[0].maxTokens == 8)
        try scratch.write(Array(record("").utf8), to: "qasper_e.jsonl")
        let error = #expect(throws: ScoringError.self) {
            try LongBenchData(datasets: names, data: scratch.path, config: scratch.path)
        }
        #expect(
            error?.description.hasSuffix("qasper_e.jsonl: line 1: no whole number 'length', by which LongBench-E groups") == true)
    }

    @Test func `examples have a record's references, and the first so many are taken`() throws {
        try configure(
            .object(["qasper": .text("C {context} Q {input}"), "trec": .text("{context}{input}")]),
            .object(["qasper": .int(8), "trec": .int(3)]))
        try scratch.write(Array((Self.record + "\r\n\r\n" + Self.record).utf8), to: "qasper.jsonl")
        try scratch.write(
            Array(#"{"input": "q", "context": "c", "answers": ["x"], "all_classes": ["x", "y"]}"#.utf8), to: "trec.jsonl")
        func data(_ options: LongBenchData.Options) throws -> LongBenchData {
            try LongBenchData(datasets: ["qasper", "trec"], data: scratch.path, config: scratch.path, options)
        }
        let encoder = PromptEncoder(ByteTokenizer(), bosID: 256)
        let first = try data(.init(maxLength: 5, limit: 1))
        #expect(first.count == 2 && first.options["limit"] == "1")
        #expect(LongBenchData.needsJieba(["qasper", "vcsum"]) && !LongBenchData.needsJieba(["qasper", "lcc"]))
        let whole = try data(.init(maxLength: 7))
        #expect(whole.count == 3)
        let examples = try first.examples(encoder)
        #expect(examples.map(\.id) == ["longbench/qasper/0/1", "longbench/trec/0/0"])
        // "C c Q q" has seven tokens: two from each end are kept.
        #expect(examples.map(\.prompt) == ["C  q", "cq"])
        // The question, " Q q", has as many bytes as the prompt that is left; whole, it has a BOS and "C c" before it.
        #expect(examples[0].contextTokens == 1)
        #expect(try whole.examples(encoder)[0].contextTokens == 4)
        #expect(examples[0].tokens.first == 256 && examples[1].maxTokens == 3)
        #expect(try examples[1].score("x") == 1)
    }
}
