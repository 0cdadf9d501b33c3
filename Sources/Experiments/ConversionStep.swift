import Conversion
import Recipes
import Text

extension InitRecipe.Convert {
    /// The converter for `parent`, calibrated on the first documents of the recipe's training text where its method looks at
    /// activations.
    func converter(_ parent: LoadedModel, training: Corpus) throws -> Converter {
        var converter = Converter(try conversion.resolved(), seed: UInt64(seed))
        if converter.method.calibrationUse != .none {
            converter.calibration = try calibration(parent, training: training, tokens: conversion.calibrationTokens)
        }
        return converter
    }

    /// The first `tokens` tokens of the training text, or all of a shorter one.
    func calibration(_ parent: LoadedModel, training: Corpus, tokens: Int) throws -> Calibration {
        var ids: [Int32] = []
        for document in training.documents where ids.count < tokens {
            // A token is seldom longer than this; a document may be a whole library.
            ids += parent.tokenizer.encode(training.text(document, upTo: (tokens - ids.count) * 32))
        }
        return try Calibration(
            ids: ids, tokens: min(tokens, ids.count), bosID: parent.bosID, maxSequence: parent.checkpoint.config.maxSequence)
    }
}
