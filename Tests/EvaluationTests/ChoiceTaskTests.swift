import Checkpoints
import Foundation
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
        let score = try ChoiceScore.evaluate(model, tokenizer: tokenizer, bosID: 1, try ChoiceTask.blimp.items(text))
        #expect(score.items == 1000)
        #expect(abs(score.accuracy - expected) < 1e-9)
    }
}
