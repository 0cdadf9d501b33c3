import Foundation
import JSON
import TestSupport
import Testing
import Text

@testable import Evaluation

/// Task files of lm-evaluation-harness, compared with prompts and scores of the harness itself (Fixtures/harness/make_harness.py).
@Suite struct HarnessTaskTests {
    private let scratch = ScratchDirectory()
    static let folder =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/harness").path + "/"
    private static let encoder = PromptEncoder(ByteTokenizer(), bosID: nil)

    private static func expected(_ name: String) throws -> [JSONValue] {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "expected.json")))
        return try #require(try JSONValue(parsing: bytes)[name]?.array)
    }

    private static func task(_ name: String, _ options: HarnessTask.Options = .init()) throws -> HarnessTask {
        try HarnessTask(path: folder + name + ".yaml", options)
    }

    @Test func `prompts with drawn examples, extracted answers and scores of generated outputs are the harness's`() throws {
        let (task, expected) = (try Self.task("generate"), try Self.expected("generate"))
        let (examples, scoring) = (try task.examples(Self.encoder), try #require(task.scoring))
        #expect(examples.count == 9 && expected.count == 9 && task.hasContext && task.metrics == ["exact_match"])
        for (example, one) in zip(examples, expected) {
            #expect(example.prompt == one["prompt"]?.string)
            #expect(example.stops == one["until"]?.array?.compactMap(\.string) && example.maxTokens == 40)
            let output = try #require(one["output"]?.string)
            for name in ["strict", "last"] {
                #expect(scoring.extracted(output, filter: name) == one["extracted"]?[name]?.string, "\(output)")
            }
            let scores = try example.scores(output, .init(harness: scoring))
            #expect(scores["accuracy"] == one["scores"]?["strict"]?.double, "\(output)")
            #expect(scores["exact_match,last"] == one["scores"]?["last"]?.double, "\(output)")
            // The description and the examples precede the question.
            let question = ByteTokenizer().decode(Array(example.tokens[example.contextTokens...]))
            #expect(["\nQ: ", "Hint"].contains(String(decoding: question.prefix(4), as: UTF8.self)))
        }
        #expect(Set(expected.map { $0["scores"]?["strict"]?.double }) == [0, 1])
        // What run.json keeps makes the same scoring.
        let source = try #require(task.options["scoring"])
        #expect(HarnessScoring(source: source) == scoring)
        #expect(
            task.files.map { URL(fileURLWithPath: $0).lastPathComponent } == [
                "generate.yaml", "base.yaml", "questions.jsonl", "dev.jsonl",
            ])
    }

    @Test func `contexts, continuations and scores of choices are the harness's`() throws {
        let (task, expected) = (try Self.task("choice"), try Self.expected("choice"))
        let items = try task.choices()
        #expect(items.count == 9 && task.kind == .choice && task.metrics == ["acc", "acc_norm", "f1"])
        for (item, one) in zip(items, expected) {
            #expect(item.context == one["context"]?.string)
            #expect(item.choices == one["continuations"]?.array?.compactMap(\.string))
            let sums = one["sums"]?.array?.compactMap(\.double) ?? []
            let score = ChoiceScore([item], sums.map { ($0, false) })
            #expect(score.accuracy == one["acc"]?.double && score.normalizedAccuracy == one["acc_norm"]?.double)
            #expect([score.results[0].answer, score.results[0].chosen] == one["f1"]?.array?.compactMap(\.int))
        }
        let pairs = expected.map { one in
            let pair = one["f1"]?.array?.compactMap(\.int) ?? []
            return (right: pair[0], predicted: pair[1])
        }
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Self.folder + "expected.json")))
        #expect(abs(try BinaryF1.score(pairs) - (try JSONValue(parsing: bytes)["f1"]?.double ?? .nan)) < 1e-12)
        #expect(throws: ScoringError.self) { try BinaryF1.score([(right: 2, predicted: 0)]) }
    }

    @Test func `examples from the evaluated split are never the document itself, and any of several targets will do`() throws {
        let (task, expected) = (try Self.task("same"), try Self.expected("same"))
        let examples = try task.examples(Self.encoder)
        for (example, one) in zip(examples, expected) {
            #expect(example.prompt == one["prompt"]?.string)
            #expect(example.references.count == 3 && example.stops == ["\n"] && example.maxTokens == 256)
            let scores = try example.scores(one["output"]?.string ?? "", .init(harness: task.scoring))
            #expect(scores["accuracy"] == one["score"]?.double, "\(one.text)")
        }
        #expect(examples.count == 9 && Set(expected.map { $0["score"]?.double }) == [0, 1])
    }

    @Test func `shots, limit, tokens and data may be given instead of the file's`() throws {
        let task = try Self.task(
            "generate", .init(data: ["": Self.folder + "dev.jsonl"], shots: 0, limit: 2, maxTokens: 3))
        let examples = try task.examples(Self.encoder)
        #expect(task.count == 2 && examples.map(\.id) == ["sums/0", "sums/1"] && examples[0].maxTokens == 3)
        #expect(examples[0].prompt.hasPrefix("Sums about") && examples[0].prompt.components(separatedBy: "Q: ").count == 2)
        #expect(task.options["shots"] == "0" && task.options["limit"] == "2" && task.options["max-new"] == "3")
        #expect(try Self.task("same", .init(shots: 0)).hasContext == false)
    }

    private func write(_ text: String, _ name: String) throws { try scratch.write(Array(text.utf8), to: name) }

    private static let sound = """
        dataset_path: json
        dataset_kwargs: {data_files: {test: data.jsonl}}
        test_split: test
        doc_to_text: "{{q}}"
        doc_to_target: a

        """

    @Test(arguments: [
        ("process_docs: !function utils.f", "line 6: '!function utils.f' asks for Python, which kvlab does not run"),
        ("process_results: x", "'process_results' is not among the keys that kvlab reads: dataset_kwargs, "),
        ("gen_prefix: x", "'gen_prefix' is not among the keys"), ("repeats: 2", "'repeats' is 2, expected 1"),
        (
            "output_type: loglikelihood_rolling",
            "'output_type' is 'loglikelihood_rolling', expected generate_until or multiple_choice"
        ),
        ("output_type: multiple_choice", "a multiple choice without 'doc_to_choice'"),
        ("a: b: c", "line 6: not valid YAML: "), ("test_split: x", "'test_split' is there twice"),
        ("include: none.yaml", "none.yaml: cannot open"), ("include: task.yaml", "task.yaml: line 1: includes itself"),
        ("metric_list: [{metric: bleu}]", "'metric_list' has 'bleu', expected exact_match alone for generated outputs"),
        ("metric_list: [{metric: exact_match, hf_evaluate: true}]", "exact_match has no 'hf_evaluate' here"),
        ("filter_list: [{name: x, filter: [{function: map}]}]", "the filter 'map' is not one of regex, lowercase, "),
        ("filter_list: [{name: x, filter: [{function: regex, regex_pattern: '('}]}]", "'(' is no regular expression"),
        ("generation_kwargs: {temperature: 0.7}", "'temperature' is not 0: outputs are greedy"),
        ("generation_kwargs: {top_p: 1}", "'generation_kwargs' has 'top_p', which kvlab does not know"),
        ("num_fewshot: 3", "3 few-shot examples are drawn from 2"),
        ("num_fewshot: 1\nfewshot_config: {sampler: balanced}", "the sampler 'balanced' is not one of default, first_n"),
        ("num_fewshot: 1\nfewshot_split: dev", "'data_files' has no files of the split 'dev'"),
        ("description: '{{x'", "'description' is no template: line 1"),
        ("description: '{{x}}'", "data.jsonl: line 1: the template '{{x}}': line 1: 'x' is undefined"),
        ("doc_to_decontamination_query: q", ""),
    ])
    func `a key that means nothing here, or needs Python, is refused by name`(line: String, sentence: String) throws {
        try write(Self.sound + line + "\n", "task.yaml")
        try write(#"{"q": "x", "a": "y"}"# + "\n" + #"{"q": "z", "a": "y"}"#, "data.jsonl")
        func make() throws { _ = try HarnessTask(path: scratch["task.yaml"]).examples(Self.encoder) }
        if sentence.isEmpty { return try make() }
        let error = #expect(throws: (any Error).self) { try make() }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.contains(sentence), "\(text)")
    }

    @Test(arguments: [
        (
            "dataset_path: org/name",
            "the data 'org/name' of the split 'test' is not local; name a JSON or JSON Lines file with --data test=FILE"
        ),
        (
            "dataset_path: json\ndataset_kwargs: {data_files: x, field: data}",
            "'dataset_kwargs' has 'field', expected data_files alone"
        ),
        ("dataset_path: json\ndataset_kwargs: {data_files: none.jsonl}", "'data_files' has no files of the split 'test'"),
        ("dataset_path: json\ndataset_kwargs: {data_files: {test: none.jsonl}}", "none.jsonl: cannot open"),
    ])
    func `data that is not local is named with the option for it`(lines: String, sentence: String) throws {
        try write(lines + "\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\n", "task.yaml")
        let error = #expect(throws: (any Error).self) { try HarnessTask(path: scratch["task.yaml"]) }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.contains(sentence), "\(text)")
    }

    @Test func `YAML is typed as PyYAML types it`() throws {
        try write(
            "a: no\nb: 'no'\nc: 012\nd: 1_000\ne: ~\nf: 1.5\ng: 2024-01-02\nh: [1, x]\ni: |\n  two\n  lines\nj: !!str 5\n",
            "x.yaml")
        let value = try YAMLFile.read(scratch["x.yaml"])
        #expect(
            value.text
                == #"{"a": false, "b": "no", "c": 10, "d": 1000, "e": null, "f": 1.5, "g": "2024-01-02", "h": [1, "x"], "i": "two\nlines\n", "j": "5"}"#
        )
    }
}
