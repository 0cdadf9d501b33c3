import Foundation
import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct DialogueTaskTests {
    private let scratch = ScratchDirectory()
    private static let encoder = PromptEncoder(
        ByteTokenizer(), bosID: nil,
        chat: ChatWriter(stops: ["\n"]) { turns in
            turns.map { "\($0.role): \($0.content)\n" }.joined() + "assistant:"
        })

    private func task(_ lines: String...) throws -> DialogueTask {
        try scratch.write(Array(lines.joined(separator: "\n").utf8), to: "talk.jsonl")
        return try DialogueTask(data: scratch["talk.jsonl"], maxTokens: 5)
    }

    @Test func `a turn follows the model's own answers, and its question is the user's text`() throws {
        let task = try task(
            #"{"id": "trip", "system": "Be brief.", "turns": [{"user": "Platform 9."}, {"user": "Which one?", "references": ["9", "nine"]}]}"#
        )
        #expect(task.count == 2 && task.options == ["max-new": "5"] && task.rules == ["dialogue", "unscored"])
        let first = try #require(try task.examples(Self.encoder).first)
        #expect(first.id == "dialogue/trip/1" && first.group == ExampleGroup(turn: 1) && first.stops == ["\n"])
        #expect(first.prompt == "system: Be brief.\nuser: Platform 9.\nassistant:")
        #expect(try first.scores("anything").isEmpty)
        let second = try #require(try first.following?("Noted."))
        #expect(
            second.prompt == "system: Be brief.\nuser: Platform 9.\nassistant: Noted.\nuser: Which one?\nassistant:")
        let question = second.tokens[second.contextTokens...]
        #expect(ByteTokenizer().decode(Array(question)) == Array("Which one?\nassistant:".utf8))
        #expect(try second.scores("Number NINE.") == ["accuracy": 1] && second.scores("Eight.") == ["accuracy": 0])
        #expect(second.following == nil)
        // Without the answer's six bytes.
        #expect(first.leastTokens == second.tokens.count - "Noted.".utf8.count + 4)
    }

    @Test func `a conversation goes on behind the answers that are there`() throws {
        let task = try task(
            #"{"id": "a", "turns": [{"user": "1", "references": ["x"]}, {"user": "2", "references": ["x"]}, {"user": "3", "references": ["x"]}]}"#
        )
        let first = try #require(try task.examples(Self.encoder).first)
        #expect(try first.remaining([:])?.id == "dialogue/a/1")
        let third = try #require(try first.remaining(["dialogue/a/1": "one", "dialogue/a/2": "two"]))
        #expect(
            third.prompt == "user: 1\nassistant: one\nuser: 2\nassistant: two\nuser: 3\nassistant:")
        #expect(try first.remaining(["dialogue/a/1": "", "dialogue/a/2": "", "dialogue/a/3": ""]) == nil)
    }

    @Test func `rules stand beside the turns or in one of them`() throws {
        let task = try task(
            #"{"id": "a", "task": "ruler:vt", "turns": [{"user": "1", "references": ["x", "y"]}, {"user": "2", "task": "gsm8k:strict", "references": ["4"]}]}"#,
            #"{"id": "b", "dataset": "trec", "all_classes": ["Food", "Sport"], "turns": [{"user": "1", "references": ["Food"]}]}"#
        )
        let examples = try task.examples(Self.encoder)
        #expect(try examples[0].scores("x") == ["score": 0.5])
        #expect(try examples[0].following?("x")?.scores("The answer is 4.") == ["accuracy": 1])
        #expect(try examples[1].scores("Food") == ["score": 1])
    }

    @Test(arguments: [
        (#"{"id": "a"}"#, "line 1: 'turns' is no list of at least one turn"),
        (#"{"turns": [{"user": "1"}]}"#, "line 1: 'id' is missing"),
        (#"{"id": "a", "turns": [{"user": "1"}, {"text": "2"}]}"#, "line 1: turn 2: 'user' is no text"),
        (#"{"id": "a", "turns": [{"user": "1"}]}"#, "line 1: no turn has 'references'"),
        (#"{"id": "a", "turns": [{"user": "1", "references": []}]}"#, "turn 1: 'references' is no list of strings"),
        (#"{"id": "a", "turns": [{"user": "1", "task": "passkey"}]}"#, "turn 1: a rule of the score, but no 'references'"),
        (
            #"{"id": "a", "task": "passkey", "turns": [{"user": "1", "references": ["1", "2"]}]}"#,
            "turn 1: 2 references, expected 1 for 'passkey'"
        ),
        (
            #"{"id": "a", "dataset": "trec", "turns": [{"user": "1", "references": ["1"]}]}"#,
            "turn 1: 'trec' needs 'all_classes'"
        ),
        (#"{"id": "a", "task": "talk", "turns": [{"user": "1", "references": ["1"]}]}"#, "line 1: unknown task 'talk'"),
        (
            #"{"id": "a", "turns": [{"user": "1", "references": ["1"]}]}"# + "\n"
                + #"{"id": "a", "turns": [{"user": "1", "references": ["1"]}]}"#,
            "line 2: a second conversation with the id 'a'"
        ),
    ])
    func `a fault is named with its line and turn`(lines: String, sentence: String) throws {
        let error = try #require(throws: ScoringError.self) { try task(lines) }
        #expect("\(error)".contains(sentence), "\(error)")
    }
}
