import JSON
import TestSupport
import Testing

@testable import Evaluation

@Suite struct ScoringCaseTests {
    @Test(arguments: [
        ("", "no predictions; a JSON object a line is expected"),
        (" \r\n\n", "no predictions; a JSON object a line is expected"),
        ("\n{", "line 2: not valid JSON: byte 1: expected a key, found the end of the text"),
        ("[]", "line 1: expected a JSON object"),
        (#"{"task": "passkey", "prediction": "1", "key": 1}"#, "line 1: 'id' is missing"),
        (#"{"id": [], "task": "passkey", "prediction": "1", "key": 1}"#, "line 1: 'id' is no string or whole number"),
        (#"{"id": 1, "prediction": "1", "key": 1}"#, "line 1: neither 'dataset' nor 'task'"),
        (#"{"id": 1, "task": "passkey", "dataset": "trec"}"#, "line 1: both 'dataset' and 'task', expected one"),
        (#"{"id": 1, "task": 7}"#, "line 1: 'task' is no string"),
        (#"{"id": 1, "task": "passkey", "key": 1}"#, "line 1: 'prediction' is missing, which 'passkey' needs"),
        (#"{"id": 1, "task": "passkey", "prediction": 1, "key": 1}"#, "line 1: 'prediction' is no string"),
        (#"{"id": 1, "task": "passkey", "prediction": "1"}"#, "line 1: 'key' is missing, which 'passkey' needs"),
        (
            #"{"id": 1, "task": "passkey", "prediction": "1", "answers": ["1", "2"]}"#,
            "line 1: 'answers' has 2 references, expected 1 for 'passkey'"
        ),
        (#"{"id": 1, "dataset": "qasper", "prediction": "1", "answers": ["1", 2]}"#, "line 1: 'answers' is no list of strings"),
        (#"{"id": 1, "dataset": "qasper", "prediction": "1", "answers": "1"}"#, "line 1: 'answers' is no list of strings"),
        (
            #"{"id": 1, "dataset": "trec", "prediction": "1", "answers": ["1"]}"#,
            "line 1: 'all_classes' is missing, which 'trec' needs"
        ),
        (
            #"{"id": 1, "task": "babilong:qa1", "prediction": "1", "target": "1"}"#,
            "line 1: 'question' is missing, which 'babilong:qa1' needs"
        ),
        (
            #"{"id": 1, "dataset": "qasper", "prediction": "1", "answers": ["1"], "length": "long"}"#,
            "line 1: 'length' is no whole number"
        ),
        (
            #"{"id": 1, "task": "gsm8k", "prediction": "1", "answer": "1"}"#,
            "line 1: unknown task 'gsm8k'; the tasks are longbench2, "
        ),
        (
            #"{"id": 1, "dataset": "babilong:qa1", "prediction": "1"}"#,
            "line 1: unknown dataset 'babilong:qa1'; the datasets are narrativeqa, "
        ),
    ])
    func `a line that is not of its task's form is named, and what is wrong with it`(text: String, sentence: String) throws {
        let error = #expect(throws: ScoringError.self) { try ScoringCase.cases(text) }
        let found = try #require(error).description
        #expect(sentence.hasSuffix(", ") ? found.hasPrefix(sentence) : found == sentence)
    }

    @Test(arguments: [
        (
            #"{"id": 1, "dataset": "vcsum", "prediction": "a", "answers": ["a"]}"#,
            "line 2: 'vcsum' is scored on jieba's words; name the folder of a jieba distribution with --jieba"
        ),
        (
            #"{"id": 1, "dataset": "passage_retrieval_en", "prediction": "1", "answers": ["one"]}"#,
            "line 2: the answer 'one' of 'passage_retrieval_en' has no number behind 'Paragraph '"
        ),
        (#"{"id": 1, "task": "ruler:vt", "prediction": "1", "outputs": []}"#, "line 2: 'outputs' of 'ruler:vt' is empty"),
        (
            #"{"id": 1, "task": "passkey", "prediction": "1", "key": "x1"}"#,
            "line 2: the key 'x1' is no whole number from 0"
        ),
    ])
    func `a case that cannot be scored is named`(text: String, sentence: String) throws {
        let cases = try ScoringCase.cases("\r\n" + text)
        let error = #expect(throws: ScoringError.self) { try ScoringReport(cases, options: .init()) }
        #expect(try #require(error).description == sentence)
    }

    @Test func `references are read from answers or from the suite's own key, ids as they are`() throws {
        let text = [
            #"{"id": "a", "task": "passkey", "prediction": " 7 8", "key": 7}"#,
            #"{"id": 2, "task": "passkey", "prediction": "8", "key": "7"}"#,
            #"{"id": "c", "task": "passkey", "prediction": "07", "answers": ["7"], "note": null}"#,
            #"{"id": "d", "task": "passkey", "prediction": "7", "answers": "7"}"#,
            #"{"id": "e", "task": "ruler:cwe", "prediction": "CAR pine", "outputs": ["car", "lamp"], "length": "long"}"#,
        ].joined(separator: "\r\n")
        let report = try ScoringReport(try ScoringCase.cases(text), options: .init())
        #expect(report.scores.map(\.score.value) == [1, 0, 1, 1, 0.5])
        #expect(report.scores.map(\.id) == [.text("a"), .int(2), .text("c"), .text("d"), .text("e")])
        #expect(report.tasks.map(\.name) == ["passkey", "ruler:cwe"])
        #expect(report.tasks.map(\.mean) == [75, 50])
    }

    @Test func `every task has its own name`() {
        #expect(Set(ScoringTask.all.map(\.name)).count == ScoringTask.all.count)
        #expect(ScoringTask.all.count == 21 + 1 + 20 + 13 + 2 + 1)
    }
}
