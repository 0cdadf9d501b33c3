import Kernels
import Models
import Random

/// The input of a head merge beside a layer's weights.
struct LayerContext: Sendable {
    /// Index of the layer, from 0.
    var layer: Int
    /// E[x xᵀ] over calibration tokens of what the layer's projections read, [hidden, hidden]; nil without calibration.
    var moment: DenseMatrix?
    /// Seed for methods that draw random numbers.
    var seed: UInt64

    /// m S mᵀ, S the calibrated second moment or else the identity.
    func gram(_ matrix: DenseMatrix) -> DenseMatrix {
        guard let moment else { return matrix.timesTransposed(matrix) }
        return (matrix * moment).timesTransposed(matrix)
    }
}

/// A layer after its conversion.
struct LayerConversion: Sendable {
    /// The weights with fewer KV heads.
    var child: AttentionWeights
    /// The parent's weights rewritten before heads were merged, where the method does that: the logits must not change.
    var rewritten: AttentionWeights?
}

/// A merge of a layer's KV heads into fewer: neighbouring heads form equal groups, and each group becomes one head.
protocol HeadMerge: Sendable {
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

extension HeadMerge {
    /// Most merges go by weights alone.
    static var usesActivations: Bool { false }
    /// Most merges are done after one pass over the weights.
    static var refines: Bool { false }
}
