import Kernels
import Models
import Random
import TestSupport
import Testing

@testable import Conversion

enum TestCalibration {
    /// The fewest tokens there can be, drawn at random; with `windows` so many windows again and again, among which are those held out.
    static func random(_ config: ModelConfig, seed: UInt64 = 3, windows: Int? = nil) throws -> Calibration {
        var generator = SeededGenerator(seed: seed)
        let drawn = (0..<(windows.map { $0 * config.maxSequence } ?? Calibration.leastTokens)).map { _ in
            Int32.random(in: 0..<Int32(config.vocabularySize), using: &generator)
        }
        let ids = (0..<Calibration.leastTokens).map { drawn[$0 % drawn.count] }
        return try Calibration(ids: ids, maxSequence: config.maxSequence)
    }
}

extension DenseMatrix {
    /// Values drawn from a normal distribution.
    static func random(_ rows: Int, _ columns: Int, using generator: inout SeededGenerator) -> DenseMatrix {
        DenseMatrix(rows: rows, columns: columns, values: generator.normals(rows * columns, deviation: 0.2).map(Double.init))
    }
}

extension Parameters {
    /// The same weights with those of a layer's attention replaced.
    func replacing(_ layer: AttentionWeights, at index: Int, of config: ModelConfig) throws -> Parameters {
        var result = self
        layer.write(to: &result, layer: index, unless: try AttentionWeights(config, self, layer: index))
        return result
    }
}

/// The largest difference between two models' logits on a few tokens.
func logitDistance(_ a: (ModelConfig, Parameters), _ b: (ModelConfig, Parameters)) throws -> Float {
    let tokens = (0..<2 * 17).map { Int32($0 * 13 % a.0.vocabularySize) }
    let input = ModelInput(batch: 2, seq: 17, tokens: tokens)
    let x = try DecoderLM(config: a.0, parameters: a.1).logits(input).values
    let y = try DecoderLM(config: b.0, parameters: b.1).logits(input).values
    return zip(x, y).reduce(0) { max($0, abs($1.0 - $1.1)) }
}

/// The merge of KV heads called `name`.
func merge(named name: String) throws -> any HeadMerge {
    try #require(ConversionMethods.merges.first { $0.name == name }).merge
}
