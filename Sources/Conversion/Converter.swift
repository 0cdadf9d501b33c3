import Kernels
import Models
import Random

/// Turns a model's KV heads into fewer.
///
/// Query head h goes on reading KV head ⌊h·G/H⌋, so groups are neighbouring KV heads and neither queries nor output
/// projection change. With as many KV heads as before the weights are the same, bit for bit.
public struct Converter: Sendable {
    /// KV heads of each layer afterwards.
    public let kvHeads: Int
    /// How a group becomes one head.
    public let method: any ConversionMethod
    /// Seed for methods that draw random numbers.
    public let seed: UInt64

    /// A converter to `kvHeads` in every layer.
    ///
    /// Whether a model's heads can be grouped so is found out by ``convert(_:_:)``; `seed` matters only to methods that draw.
    public init(kvHeads: Int, method: any ConversionMethod, seed: UInt64 = 0) {
        self.kvHeads = kvHeads
        self.method = method
        self.seed = seed
    }

    /// The converted configuration and weights, and what changed.
    ///
    /// Throws ``ConversionError`` where a layer's KV heads cannot be grouped so, `ParametersError` where weights don't fit.
    public func convert(_ config: ModelConfig, _ parameters: Parameters) throws -> (ModelConfig, Parameters, ConversionReport) {
        for layer in 0..<config.layers {
            guard kvHeads >= 1, config.kvHeads[layer] % kvHeads == 0 else {
                throw ConversionError.impossible(layer: layer, from: config.kvHeads[layer], to: kvHeads)
            }
        }
        try parameters.validate(against: config)
        var child = config
        child.kvHeads = .all(kvHeads)
        var converted = parameters
        var layers: [ConversionReport.Layer] = []
        for layer in 0..<config.layers {
            var report = ConversionReport.Layer(layer: layer, from: config.kvHeads[layer], to: kvHeads)
            for projection in KVProjection.allCases {
                let name = "model.layers.\(layer).self_attn.\(projection.rawValue).weight"
                guard let weight = parameters[name] else { throw ParametersError.missing(name: name, shape: []) }
                let heads = HeadRows(
                    heads: config.kvHeads[layer], headDim: config.headDim[layer], width: config.hiddenSize,
                    values: weight.float32().array())
                let merged = merge(heads, name: name)
                report.projections[projection] = ConversionReport.Projection(parent: heads, child: merged)
                guard heads.heads != kvHeads else { continue }
                converted[name] = Weight(
                    shape: [kvHeads * heads.headDim, heads.width], storage: Storage(copying: merged.values))
            }
            layers.append(report)
        }
        return (child, converted, ConversionReport(method: type(of: method).name, parent: config, child: child, layers: layers))
    }

    private func merge(_ heads: HeadRows, name: String) -> HeadRows {
        guard heads.heads != kvHeads else { return heads }
        let size = heads.heads / kvHeads
        var values: [Float] = []
        values.reserveCapacity(kvHeads * heads.headDim * heads.width)
        for group in 0..<kvHeads {
            let first = group * size * heads.headDim * heads.width
            let rows = HeadRows(
                heads: size, headDim: heads.headDim, width: heads.width,
                values: Array(heads.values[first..<first + size * heads.headDim * heads.width]))
            var generator = SeededGenerator(seed: seed, name: "\(name)/\(group)")
            values += method.merge(rows, generator: &generator)
        }
        return HeadRows(heads: kvHeads, headDim: heads.headDim, width: heads.width, values: values)
    }
}

/// Why a conversion cannot be made.
public enum ConversionError: Error, CustomStringConvertible, Equatable {
    /// The layer's KV heads cannot be put in equal groups.
    case impossible(layer: Int, from: Int, to: Int)
    /// There is no such method.
    case unknownMethod(String)

    /// The sentence for the user, with the numbers of KV heads or the methods there are to choose from.
    public var description: String {
        switch self {
        case .impossible(let layer, let from, let to):
            if to > from {
                "layer \(layer) has \(from) KV heads, conversion cannot make \(to) of them; choose one of \(Self.divisors(from))"
            } else {
                "layer \(layer): \(from) KV heads cannot form \(to) equal groups; choose one of \(Self.divisors(from))"
            }
        case .unknownMethod(let name):
            "no conversion method '\(name)'; there are \(ConversionMethods.names.joined(separator: ", "))"
        }
    }

    private static func divisors(_ count: Int) -> String {
        (1...max(count, 1)).filter { count % $0 == 0 }.map(String.init).joined(separator: ", ")
    }
}
