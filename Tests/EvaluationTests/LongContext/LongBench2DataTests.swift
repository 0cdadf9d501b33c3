import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct LongBench2DataTests {
    private let scratch = ScratchDirectory()
    private static let choices = "\n(A) $C_A$\n(B) $C_B$\n(C) $C_C$\n(D) $C_D$"

    private func record(_ id: String, _ change: (inout [String: String]) -> Void = { _ in }) -> String {
        var fields = [
            "_id": id, "difficulty": "easy", "length": "short", "question": " Which? ", "choice_A": "a\\n", "choice_B": "b",
            "choice_C": "c", "choice_D": "d", "answer": "B", "context": " Long $Q$ text.\\n",
        ]
        change(&fields)
        return "{" + fields.sorted { $0.key < $1.key }.map { "\"\($0)\": \"\($1)\"" }.joined(separator: ", ") + "}"
    }

    private func write(_ records: [String]) throws {
        try scratch.write(Array("[\(records.joined(separator: ",\n"))]".utf8), to: "data.json")
        for (name, text) in [
            ("0shot.txt", "Read.\n$DOC$\nQ: $Q$\(Self.choices)\nFormat."),
            ("0shot_cot.txt", "Read.\n$DOC$\nQ: $Q$\(Self.choices)\nThink:"),
            ("0shot_cot_ans.txt", "Left out.\nQ: $Q$\(Self.choices)\nThought: $COT$\nAnswer?"),
        ] { try scratch.write(Array(text.utf8), to: name) }
    }

    private func task(_ options: LongBench2Data.Options = .init()) throws -> LongBench2Data {
        try LongBench2Data(data: scratch["data.json"], prompts: scratch.path, options)
    }

    @Test func `prompts are filled place by place, as the authors' program replaces them`() throws {
        try write([record("1"), record("2") { ($0["difficulty"], $0["length"], $0["question"]) = ("hard", "long", "Q $C_A$?") }])
        let task = try task()
        let examples = try task.examples(PromptEncoder(ByteTokenizer(), bosID: 256))
        #expect(task.count == 2 && examples.map(\.id) == ["longbench2/1", "longbench2/2"])
        // The question stands in the text too, where that has its place's name.
        #expect(
            examples[0].prompt == "Read.\nLong Which? text.\nQ: Which?\n(A) a\n(B) b\n(C) c\n(D) d\nFormat.")
        #expect(examples[1].prompt == "Read.\nLong Q a? text.\nQ: Q a?\n(A) a\n(B) b\n(C) c\n(D) d\nFormat.")
        #expect(examples.map(\.group) == [.init(dataset: "easy", words: "short"), .init(dataset: "hard", words: "long")])
        #expect(examples.map(\.maxTokens) == [128, 128])
        for example in examples {
            let context = ByteTokenizer().decode(Array(example.tokens[..<example.contextTokens]))
            #expect(String(decoding: context, as: UTF8.self).hasSuffix("text."))
            #expect(try example.score("**The correct answer is (B)**") == 1 && example.score("B") == 0)
        }
        #expect(task.options == ["max-length": "120000", "cot": "false"])
        #expect(task.files == [scratch["data.json"], scratch["0shot.txt"]])
        let first = try self.task(.init(maxLength: 30, limit: 1, maxTokens: 5))
        #expect(first.count == 1 && first.options == ["max-length": "30", "cot": "false", "limit": "1", "max-new": "5"])
        #expect(try first.examples(PromptEncoder(ByteTokenizer(), bosID: nil)).map(\.tokens.count) == [30])
    }

    @Test func `a long prompt keeps its first and last half, the beginning-of-sequence token counted`() {
        let plain = PromptEncoder(ByteTokenizer(), bosID: nil)
        #expect(LongBench2Data.truncated("abcdef", to: 6, plain) == "abcdef")
        #expect(LongBench2Data.truncated("abcdefg", to: 5, plain) == "abefg")
        #expect(LongBench2Data.truncated("abcdefg", to: 5, PromptEncoder(ByteTokenizer(), bosID: 256)) == "aefg")
    }

    @Test func `a chain of thought goes into a second prompt, whose output alone is scored`() throws {
        try write([record("1")])
        let task = try task(.init(isReasoned: true))
        #expect(task.count == 2 && task.files.count == 3 && task.options["cot"] == "true")
        let examples = try task.examples(PromptEncoder(ByteTokenizer(), bosID: nil))
        #expect(examples.map(\.id) == ["longbench2/1/reasoning"] && examples[0].prompt.hasSuffix("\nThink:"))
        #expect(examples[0].maxTokens == 1024)
        #expect(try examples[0].scores("The correct answer is (B)").isEmpty)
        let second = try #require(try examples[0].following?(" So $Q$ it is.\n"))
        #expect(
            second.prompt == "Left out.\nQ: Which?\n(A) a\n(B) b\n(C) c\n(D) d\nThought: So $Q$ it is.\nAnswer?")
        #expect(second.id == "longbench2/1" && second.maxTokens == 128 && second.following == nil && second.contextTokens == 1)
        #expect(try second.score("The correct answer is B") == 1)
    }

    @Test func `a record or a prompt of another form is named by file and line`() throws {
        for (records, sentence) in [
            (["{}"], "data.json: line 1: '_id' is missing"),
            ([record("1"), record("2") { $0["answer"] = "E" }], "data.json: line 2: 'answer' is 'E', expected A, B, C or D"),
            ([record("1"), record("1")], "data.json: line 2: a second record with the _id '1'"),
            ([record("1") { $0["choice_C"] = nil }], "data.json: line 1: 'choice_C' is missing"),
        ] {
            try write(records)
            let error = #expect(throws: ScoringError.self) { try task() }
            #expect(try #require(error).description == "\(scratch.path)/\(sentence)")
        }
        try write([record("1")])
        for (text, sentence) in [
            ("$Q$", "line 1: no place '$DOC$', as LongBench v2's prompts have"), ("$DOC$", "line 1: no place '$Q$'"),
            ("$DOC$ $Q$ $C_A$ $C_B$ $C_C$ $C_D$ $DOC$", "line 1: the place '$DOC$' twice"),
        ] {
            try scratch.write(Array(text.utf8), to: "0shot.txt")
            let error = #expect(throws: ScoringError.self) { try task() }
            #expect(try #require(error).description.hasPrefix("\(scratch.path)/0shot.txt: \(sentence)"))
        }
    }
}
