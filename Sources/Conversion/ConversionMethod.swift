import Kernels
import Models
import Random

/// What a method may use beside a layer's weights.
public struct LayerContext: Sendable {
    /// Index of the layer, from 0.
    public var layer: Int
    /// E[x xᵀ] over calibration tokens of what the layer's projections read, [hidden, hidden]; nil without calibration.
    public var moment: DenseMatrix?
    /// Seed for methods that draw random numbers.
    public var seed: UInt64

    /// m S mᵀ, S the calibrated second moment or else the identity.
    func gram(_ matrix: DenseMatrix) -> DenseMatrix {
        guard let moment else { return matrix.timesTransposed(matrix) }
        return (matrix * moment).timesTransposed(matrix)
    }
}

/// A layer after its conversion.
public struct LayerConversion: Sendable {
    /// The weights with fewer KV heads.
    public var child: AttentionWeights
    /// The parent's weights rewritten before heads were merged, where the method does that: the logits must not change.
    public var rewritten: AttentionWeights?
}

/// How the KV heads of a layer become fewer: neighbouring heads form equal groups, and each group becomes one head.
public protocol ConversionMethod: Sendable {
    /// The name `--method` and recipes use.
    static var name: String { get }
    /// One line for `--help`.
    static var summary: String { get }
    /// Whether calibration text makes a difference.
    static var usesActivations: Bool { get }
    /// Whether weights are refined against the parent's activations afterwards, which takes calibration text.
    static var refines: Bool { get }
    /// The layer with `kvHeads` KV heads, a proper divisor of what it has.
    func convert(_ layer: AttentionWeights, to kvHeads: Int, _ context: LayerContext) throws -> LayerConversion
}

extension ConversionMethod {
    /// Most methods go by weights alone.
    public static var usesActivations: Bool { false }
    /// Most methods are done after one pass over the weights.
    public static var refines: Bool { false }
}

/// The methods there are, by name.
public enum ConversionMethods {
    /// Every method.
    public static let all: [any (ConversionMethod & SendableMetatype).Type] = [
        MeanMethod.self, FirstMethod.self, RandomMethod.self, MedoidMethod.self, AlignedMethod.self, SVDMethod.self,
        LearnedMethod.self,
    ]

    /// The method called `name`, or nil.
    public static func named(_ name: String) -> (any ConversionMethod)? {
        switch name {
        case MeanMethod.name: MeanMethod()
        case FirstMethod.name: FirstMethod()
        case RandomMethod.name: RandomMethod()
        case MedoidMethod.name: MedoidMethod()
        case AlignedMethod.name: AlignedMethod()
        case SVDMethod.name: SVDMethod()
        case LearnedMethod.name: LearnedMethod()
        default: nil
        }
    }

    /// Every name, in order.
    public static var names: [String] { all.map { $0.name } }

    /// What is best by measurement: with calibration text `learned`, on weights alone `aligned`.
    public static func defaultName(calibrated: Bool) -> String { calibrated ? LearnedMethod.name : AlignedMethod.name }
}
