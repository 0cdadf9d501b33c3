import Checkpoints
import Conversion
import Recipes
import Text

extension InitRecipe.Convert {
    /// `parent` converted, with the converter where KV heads became fewer; `progress` is told what is being done.
    func converted(
        _ parent: LoadedModel, training: Corpus, progress: (String) throws -> Void = { _ in }
    ) throws -> (checkpoint: Checkpoint, converter: Converter?) {
        guard let attention else {
            let converter = try self.converter(parent, training: training)
            return (try parent.checkpoint.converted(by: converter, progress: progress).0, converter)
        }
        let conversion = ArchitectureConversion(
            design: attention.design(headDim: parent.checkpoint.config.headDim[0]),
            calibration: try calibration(parent, training: training, tokens: calibrationTokens), seed: UInt64(seed))
        return (try parent.checkpoint.converted(by: conversion, progress: progress), nil)
    }

    /// The converter for `parent`, calibrated on the first documents of the recipe's training text where its method looks at
    /// activations.
    func converter(_ parent: LoadedModel, training: Corpus) throws -> Converter {
        guard let method = ConversionMethods.named(method) else { throw ConversionError.unknownMethod(self.method) }
        let grouping = HeadGrouping(rawValue: grouping) ?? .contiguous
        var converter = Converter(
            kvHeads: kvHeads ?? parent.checkpoint.config.kvHeads[0], method: method, grouping: grouping, seed: UInt64(seed))
        if method.usesActivations || grouping == .activation {
            converter.calibration = try calibration(parent, training: training, tokens: calibrationTokens)
        }
        return converter
    }

    /// The first `tokens` tokens of the training text, or what there is.
    func calibration(_ parent: LoadedModel, training: Corpus, tokens: Int) throws -> Calibration {
        var ids: [Int32] = []
        for document in training.documents where ids.count < tokens {
            // A token is seldom longer than this; a document may be a whole library.
            let beginning = training.text(document).utf8.prefix((tokens - ids.count) * 32)
            ids += parent.tokenizer.encode(String(decoding: beginning, as: UTF8.self))
        }
        return try Calibration(
            ids: ids, tokens: min(tokens, ids.count), bosID: parent.bosID, maxSequence: parent.checkpoint.config.maxSequence)
    }
}
