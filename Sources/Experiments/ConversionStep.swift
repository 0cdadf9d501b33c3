import Checkpoints
import Conversion
import Recipes
import Text

extension InitRecipe.Convert {
    /// The converter for `parent`, calibrated on the first documents of the recipe's training text where its method looks at
    /// activations.
    func converter(_ parent: LoadedModel, training: Corpus) throws -> Converter {
        guard let method = ConversionMethods.named(method) else { throw ConversionError.unknownMethod(self.method) }
        let grouping = HeadGrouping(rawValue: grouping) ?? .contiguous
        var converter = Converter(kvHeads: kvHeads, method: method, grouping: grouping, seed: UInt64(seed))
        if method.usesActivations || grouping == .activation {
            var ids: [Int32] = []
            for document in training.documents where ids.count < calibrationTokens {
                // A token is seldom longer than this; a document may be a whole library.
                let beginning = training.text(document).utf8.prefix((calibrationTokens - ids.count) * 32)
                ids += parent.tokenizer.encode(String(decoding: beginning, as: UTF8.self))
            }
            converter.calibration = try Calibration(
                ids: ids, tokens: min(calibrationTokens, ids.count), bosID: parent.bosID,
                maxSequence: parent.checkpoint.config.maxSequence)
        }
        return converter
    }
}
