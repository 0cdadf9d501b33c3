import Checkpoints
import Evaluation
import Models
import TestSupport
import Testing
import Text

@testable import Experiments

@Suite struct LoadedModelTests {
    private func loaded(tokenizer: any Tokenizer, ids: TokenIDs) throws -> LoadedModel {
        var config = TinyModel.config()
        config.vocabularySize = 300
        let checkpoint = Checkpoint(
            config: config, parameters: TinyModel.parameters(config), tokenizer: tokenizer.serialized, tokenIDs: ids)
        return try LoadedModel(name: "a", checkpoint: checkpoint, path: "a.h5")
    }

    @Test func `a BOS that only the configuration names is put before no text, unless one asks`() throws {
        // What GPT-NeoX and Qwen folders have: a bos_token_id that their tokenizers do not add.
        let model = try loaded(tokenizer: ByteTokenizer(), ids: TokenIDs(bos: 7, eos: [9]))
        #expect(model.bosID == nil && model.namedBOS == 7 && model.prefixID == 7)
        #expect(try model.policy(window: 4, stride: nil, bos: nil).bos == .never)
        let always = try model.policy(window: 4, stride: nil, bos: .always)
        #expect(try model.windows(EvaluationText("abcd"), always).first?.inputs.first == 7)
    }

    @Test func `without a BOS the end of text stands for a context that is not there`() throws {
        let model = try loaded(tokenizer: ByteTokenizer(), ids: TokenIDs(eos: [9]))
        #expect(model.bosID == nil && model.prefixID == ByteTokenizer().eosID)
        #expect(throws: ExperimentError.noBOS("a")) { try model.policy(window: 4, stride: nil, bos: .always) }
    }
}
