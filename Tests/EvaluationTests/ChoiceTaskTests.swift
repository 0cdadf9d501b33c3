import Checkpoints
import Foundation
import JSON
import Models
import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct ChoiceTaskTests {
    @Test func `items are read as lm-evaluation-harness reads them`() throws {
        let blimp = try ChoiceTask.blimp.items(#"{"sentence_good": "a b", "sentence_bad": "b a"}"# + "\n\n")
        #expect(blimp == [ChoiceItem(context: "", choices: ["a b", "b a"], answer: 0)])
        let line =
            #"{"activity_label": "Cut", "ctx_a": "A man [x]sits.", "ctx_b": "he", "endings": ["a [title] b", "c"], "label": "1"}"#
        let swag = try ChoiceTask.hellaswag.items(line)
        #expect(swag == [ChoiceItem(context: "Cut: A man sits. He", choices: [" a. b", " c"], answer: 1)])
        let lambada = try ChoiceTask.lambada.items(#"{"text": "once upon a time"}"#)
        #expect(lambada == [ChoiceItem(context: "once upon a", choices: [" time"], answer: 0)])
    }

    @Test func `lines that end as on Windows are lines`() throws {
        let lines = (0..<3).map { #"{"sentence_good": "a \#($0)", "sentence_bad": "b"}"# }
        let items = try ChoiceTask.blimp.items(lines.joined(separator: "\r\n") + "\r\n")
        #expect(try items == ChoiceTask.blimp.items(lines.joined(separator: "\n")) && items.count == 3)
    }

    @Test(arguments: ["", "\n", "{", "{}", #"{"sentence_good": "a"}"#])
    func `a file that is not the task's is refused`(text: String) {
        #expect(throws: ChoiceTaskError.self) { try ChoiceTask.blimp.items(text) }
    }

    @Test(
        .enabled(if: SharedData.isPresent, "\(SharedData.skipped)"),
        arguments: [
            ("stories260K", "anaphor_number_agreement", 0.612), ("stories260K", "wh_vs_that_no_gap", 0.83),
            ("tinystories-656k", "determiner_noun_agreement_1", 0.571),
            ("tinystories-656k", "irregular_past_participle_verbs", 0.781),
        ])
    func `BLiMP accuracies equal PyTorch's`(name: String, paradigm: String, expected: Double) throws {
        let folder = SharedData.path("models/\(name)/")
        let checkpoint = try HuggingFaceFolder.load(folder)
        let model = try DecoderLM(config: checkpoint.config, parameters: checkpoint.parameters)
        let tokenizer = try TokenizerFile.load(folder + (name == "stories260K" ? "tok512.bin" : "tokenizer.json"))
        let text = try String(contentsOfFile: SharedData.path("eval/blimp/\(paradigm).jsonl"), encoding: .utf8)
        let score = try ChoiceScore.evaluate(model, tokenizer: tokenizer, bosID: 1, prefixID: 1, try ChoiceTask.blimp.items(text))
        #expect(score.items == 1000)
        #expect(abs(score.accuracy - expected) < 1e-9)
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"), arguments: [ChoiceTask.hellaswag, .lambada])
    func `scores equal lm-evaluation-harness's, with characters of several bytes and tokens across the seam`(
        task: ChoiceTask
    ) throws {
        let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures").path + "/"
        let expected = try #require(
            try JSONValue(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: fixtures + "expected.json"))))[task.rawValue])
        let items = try task.items(try String(contentsOfFile: fixtures + "\(task.rawValue).jsonl", encoding: .utf8))
        let folder = SharedData.path("models/tinystories-656k/")
        let checkpoint = try HuggingFaceFolder.load(folder)
        let score = try ChoiceScore.evaluate(
            try DecoderLM(widening: checkpoint.parameters, config: checkpoint.config),
            tokenizer: try TokenizerFile.load(folder + "tokenizer.json"), bosID: 1, prefixID: 1, items, batchTokens: 700)
        #expect(score.items == 60)
        if task == .lambada {
            #expect(score.greedyAccuracy == expected["acc"]?.double)
            let perplexity = try #require(expected["perplexity"]?.double)
            #expect(abs(score.perplexity / perplexity - 1) < 1e-5)
        } else {
            #expect(score.accuracy == expected["acc"]?.double)
            #expect(score.normalizedAccuracy == expected["acc_norm"]?.double)
            #expect(score.byteAccuracy == expected["acc_bytes"]?.double)
        }
    }

    @Test func `choices of one token after the same tokens have the scores that each has alone`() throws {
        let config = TinyModel.config(vocabulary: 257)
        let model = try DecoderLM(config: config, parameters: TinyModel.parameters(config))
        func score(_ items: [ChoiceItem], batchTokens: Int) throws -> ChoiceScore {
            try ChoiceScore.evaluate(
                model, tokenizer: ByteTokenizer(), bosID: nil, prefixID: nil, items, batchTokens: batchTokens)
        }
        let choices = ["a", "b", "cd", "c", "a"]
        for context in ["x: ", "longer than that: "] {
            let alone = try choices.map { try score([.init(context: context, choices: [$0], answer: 0)], batchTokens: 64) }
            for answer in choices.indices {
                var done: [Int] = []
                let together = try ChoiceScore.evaluate(
                    model, tokenizer: ByteTokenizer(), bosID: nil, prefixID: nil,
                    [.init(context: context, choices: choices, answer: answer)], batchTokens: 24
                ) { count, _ in done.append(count) }
                #expect(abs(together.perplexity / alone[answer].perplexity - 1) < 1e-5)
                #expect(together.greedyAccuracy == alone[answer].greedyAccuracy)
                #expect(together.results[0].chosen == alone.indices.min { alone[$0].perplexity < alone[$1].perplexity })
                #expect(done.last == 5)
            }
        }
    }

    @Test func `of equal choices the first is chosen, and lengths are characters or bytes`() {
        func score(_ choices: [String], _ sums: [Double], answer: Int) -> ChoiceScore {
            ChoiceScore([ChoiceItem(context: "a", choices: choices, answer: answer)], sums.map { ($0, false) })
        }
        #expect(score(["a", "b"], [-1, -1], answer: 0).accuracy == 1)
        #expect(score(["a", "b"], [-1, -1], answer: 1).accuracy == 0)
        // -3 over 3 characters of 6 bytes; -2.5 over 2 of 2.
        let umlauts = score([" \u{e9}\u{e9}\u{e9}", " ab"], [-3, -2.5], answer: 0)
        #expect(umlauts.accuracy == 0 && umlauts.normalizedAccuracy == 1 && umlauts.byteAccuracy == 1)
        let longer = score([" \u{e9}\u{e9}", " abc"], [-3, -3], answer: 1)
        #expect(longer.normalizedAccuracy == 1 && longer.byteAccuracy == 0)
    }
}
