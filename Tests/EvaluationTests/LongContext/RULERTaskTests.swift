import Foundation
import JSON
import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct RULERTaskTests {
    private let scratch = ScratchDirectory()
    private static let encoder = PromptEncoder(ByteTokenizer(), bosID: nil)

    private func write(_ text: String, _ name: String) throws {
        let folder = URL(fileURLWithPath: scratch[name]).deletingLastPathComponent()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try scratch.write(Array(text.utf8), to: name)
    }

    private static let record =
        #"{"index": 7, "input": "Memorize.\nText A.\nWhat is A?", "outputs": ["x", "y"], "answer_prefix": " A is"}"#

    @Test func `files are found under the names that RULER and its users give them, by length`() throws {
        try write(Self.record + "\n" + Self.record, "vt-2048.jsonl")
        try write(Self.record, "vt-1024.jsonl")
        try write(Self.record.replacing(#", "answer_prefix": " A is""#, with: ""), "qa_1/validation.jsonl")
        try write("{", "other.jsonl")
        try write("{", "vt-x.jsonl")
        let task = try RULERTask(tasks: nil, data: scratch.path)
        let examples = try task.examples(Self.encoder)
        #expect(task.count == 4 && task.options == ["tasks": "vt,qa_1"])
        #expect(examples.map(\.id) == ["ruler/1024/vt/0", "ruler/2048/vt/0", "ruler/2048/vt/1", "ruler/qa_1/0"])
        #expect(examples.map(\.group.length) == [1024, 2048, 2048, nil] && examples.map(\.maxTokens) == [30, 30, 30, 32])
        #expect(examples[0].prompt == "Memorize.\nText A.\nWhat is A? A is")
        #expect(examples[3].prompt.hasSuffix("What is A?"))
        #expect(ByteTokenizer().decode(Array(examples[0].tokens[examples[0].contextTokens...])) == Array("What is A? A is".utf8))
        #expect(try examples[0].scores("X") == ["score": 0.5] && examples[3].scores("X") == ["score": 1])
        let first = try RULERTask(tasks: ["vt"], data: scratch.path, limit: 1, maxTokens: 5)
        #expect(try first.examples(Self.encoder).map(\.maxTokens) == [5, 5])
        #expect(first.options == ["tasks": "vt", "limit": "1", "max-new": "5"])
        try write(Self.record, "vt-1024.jsonl")
        try write(Self.record, "qa_1.jsonl")
        let twice = #expect(throws: ScoringError.self) { try RULERTask(tasks: nil, data: scratch.path) }
        #expect(twice?.description.contains("qa_1/validation.jsonl: line 1: a second file of 'qa_1' beside ") == true)
    }

    @Test(arguments: [
        ("{}", "vt.jsonl: line 1: 'outputs' is missing"), (#"{"outputs": []}"#, "line 1: 'outputs' is empty"),
        (record + "\n{", "line 2: not valid JSON"), (#"{"outputs": ["a"]}"#, "line 1: 'input' is missing"),
        (#"{"outputs": ["a"], "input": "b", "answer_prefix": 1}"#, "line 1: 'answer_prefix' is no string"),
    ])
    func `a record of another form is named by file and line`(text: String, sentence: String) throws {
        try write(text, "vt.jsonl")
        let error = #expect(throws: ScoringError.self) { try RULERTask(tasks: nil, data: scratch.path) }
        #expect(try #require(error).description.contains(sentence), "\(error?.description ?? "")")
        let missing = #expect(throws: ScoringError.self) { try RULERTask(tasks: ["cwe"], data: scratch.path) }
        #expect(
            missing?.description.hasSuffix("no file cwe/validation.jsonl, cwe.jsonl or cwe-LENGTH.jsonl in this folder") == true)
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `the shared files of RULER's generators are read, and their own outputs score 1`() throws {
        let task = try RULERTask(tasks: nil, data: OfficialScoreTests.folder + "ruler")
        let examples = try task.examples(Self.encoder)
        #expect(Set(examples.map(\.group.dataset)).count == 6 && examples.allSatisfy { $0.group.length == 1024 })
        for example in examples {
            #expect(try example.score(example.references.joined(separator: ", ")) == 1)
            let context = ByteTokenizer().decode(Array(example.tokens[..<example.contextTokens]))
            #expect(context.last == 10 && !example.prompt.hasSuffix("\n"))
        }
    }
}
