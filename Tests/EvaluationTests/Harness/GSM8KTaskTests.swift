import Files
import JSON
import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct GSM8KTaskTests {
    private let scratch = ScratchDirectory()
    private static let encoder = PromptEncoder(ByteTokenizer(), bosID: nil)

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `prompts are those of lm-evaluation-harness's gsm8k_cot, by their SHA-256`() throws {
        let task = try GSM8KTask(
            data: OfficialScoreTests.folder + "gsm8k-test-first300.jsonl",
            prompts: OfficialScoreTests.folder + "templates/gsm8k-cot.json", maxTokens: 100)
        let examples = try task.examples(Self.encoder)
        let cases = try #require(try OfficialScoreTests.value("gsm8k-cot-prompt-hashes.json").array)
        #expect(task.count == 300 && cases.count == 5)
        for one in cases {
            let example = examples[try #require(one["index"]?.int)]
            #expect(example.prompt.utf8.count == one["utf8_bytes"]?.int)
            #expect(SHA256Digest(of: example.prompt).hex == one["sha256"]?.string, "\(example.id)")
        }
        #expect(examples[0].stops == ["Q:", "</s>", "<|im_end|>"] && examples[0].maxTokens == 100)
        #expect(examples[0].id == "gsm8k/0" && examples[0].prompt.hasSuffix("\nA:"))
        // The worked examples are the context.
        #expect(ByteTokenizer().decode(Array(examples[0].tokens[examples[0].contextTokens...])).starts(with: "Q: Janet".utf8))
        let right = " She makes $18 a day. The answer is 18."
        #expect(try examples[0].scores(right) == ["accuracy": 1, "flexible-extract": 1])
        #expect(try examples[0].scores(" $18") == ["accuracy": 0, "flexible-extract": 1])
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `the filters of the task file extract what lm-evaluation-harness extracts`() throws {
        let template = try OfficialScoreTests.value("templates/gsm8k-cot.json")
        let metric = JSONValue.object([
            "metric": .text("exact_match"), "ignore_case": .bool(true),
            "regexes_to_ignore": template["regexes_to_ignore"] ?? .null,
        ])
        let scoring = try HarnessScoring(filters: template["filters"], metrics: .array([metric]))
        let cases = try OfficialScoreTests.lines("gsm8k-extract-cases.jsonl")
        #expect(cases.count == 143)
        for one in cases {
            let (text, answer) = (one["prediction"]?.string ?? "", one["answer"]?.string ?? "")
            let scores = scoring.scores(text, references: [answer])
            for (filter, key, score) in [
                ("strict-match", "gsm8k_cot/strict-match", "accuracy"),
                ("flexible-extract", "flexible-extract", "exact_match,flexible-extract"),
            ] {
                #expect(scoring.extracted(text, filter: filter) == one[key]?["extracted"]?.string, "\(one["id"]?.string ?? "")")
                #expect(scores[score] == one[key]?["exact_match"]?.double, "\(one["id"]?.string ?? "")")
            }
        }
    }

    @Test func `the harness's task file and its texts as JSON make the same prompts`() throws {
        let yaml = """
            task: gsm8k_cot
            dataset_path: openai/gsm8k
            test_split: test
            output_type: generate_until
            doc_to_text: 'Q: {{question}}

              A:'
            doc_to_target: '{{answer.split(''####'')[-1].strip() if answer is defined else target}}'
            num_fewshot: 1
            fewshot_config:
              sampler: first_n
              samples:
              - {question: One and one?, target: It is 2. The answer is 2.}
            generation_kwargs: {do_sample: false, until: ['Q:']}
            filter_list:
            - name: strict-match
              filter: [{function: regex, regex_pattern: 'is ([0-9]+).'}, {function: take_first}]
            metric_list: [{metric: exact_match}]

            """
        let json =
            #"{"doc_to_text": "Q: {{question}}\nA:", "until": ["Q:"], "examples": [{"question": "One and one?", "target": "It is 2. The answer is 2."}]}"#
        try scratch.write(Array(yaml.utf8), to: "task.yaml")
        try scratch.write(Array(json.utf8), to: "task.json")
        try scratch.write(Array(#"{"question": "Two and two?", "answer": "2+2=<<2+2=4>>4\n#### 4"}"#.utf8), to: "test.jsonl")
        for name in ["task.yaml", "task.json"] {
            let example = try #require(
                try GSM8KTask(data: scratch["test.jsonl"], prompts: scratch[name]).examples(Self.encoder).first)
            #expect(
                example.prompt == "Q: One and one?\nA: It is 2. The answer is 2.\n\nQ: Two and two?\nA:", "\(name)")
            #expect(example.stops == ["Q:"] && example.maxTokens == 256)
            #expect(try example.score("The answer is 4.") == 1 && example.score("The answer is 5.") == 0)
        }
    }
}
