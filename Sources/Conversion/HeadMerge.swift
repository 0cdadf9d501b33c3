import Kernels
import Models
import Random

/// The input of a head merge beside a layer's weights.
struct LayerContext: Sendable {
    /// The layer's index, from 0.
    var layer: Int
    /// The second moment E[x xᵀ] of the projections' input over calibration tokens, [hidden, hidden]; nil without calibration.
    var moment: DenseMatrix?
    /// Seed of the methods that draw random numbers.
    var seed: UInt64

    /// The Gram matrix m S mᵀ, S the calibrated second moment or else the identity.
    func gram(_ matrix: DenseMatrix) -> DenseMatrix {
        guard let moment else { return matrix.timesTransposed(matrix) }
        return (matrix * moment).timesTransposed(matrix)
    }
}

/// A layer after its conversion.
struct LayerConversion: Sendable {
    /// The weights with fewer KV heads.
    var child: AttentionWeights
    /// The parent's weights as rewritten before the merge, which must leave the logits unchanged; nil without a rewrite.
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
    /// Whether the weights are refined against the parent's predictions afterwards, which needs calibration text.
    static var refines: Bool { get }
    /// The layer with `kvHeads` KV heads. Precondition: a proper divisor of the layer's present ones.
    func convert(_ layer: AttentionWeights, to kvHeads: Int, _ context: LayerContext) throws -> LayerConversion
}

extension HeadMerge {
    /// The default: the merge uses weights alone.
    static var usesActivations: Bool { false }
    /// The default: no refinement.
    static var refines: Bool { false }
}
