import Autograd
import Kernels
import Models

/// The trainable weights of a run: owned Float32 storage under Hugging Face names, in file order.
public struct TrainableWeights: Sendable {
    /// One weight.
    public struct Entry: Sendable {
        /// Hugging Face name.
        public let name: String
        /// Dimensions.
        public let shape: [Int]
        /// The values, updated in place by the optimizer between steps.
        public let storage: Storage
    }

    /// Every weight, in order.
    public let entries: [Entry]

    /// Copies of `parameters`, widened to Float32.
    public init(_ parameters: Parameters) {
        entries = parameters.names.compactMap { name in
            parameters[name].map { Entry(name: name, shape: $0.shape, storage: Storage(copying: $0.float32().array())) }
        }
    }

    /// A view as parameters; the values change with the next update.
    public var parameters: Parameters {
        var parameters = Parameters()
        for entry in entries { parameters[entry.name] = Weight(shape: entry.shape, storage: entry.storage) }
        return parameters
    }

    /// The weights that a step updates.
    public enum Part: Sendable, Hashable {
        /// Every weight.
        case all
        /// The attention's key, value and output projections.
        case keyValueOutput

        func contains(_ name: String) -> Bool {
            self == .all || [WeightName.Module.key, .value, .output].contains { name.contains($0.rawValue + ".") }
        }
    }

    /// New tensors over the current values, for one step's graph: variables for the weights of `part`, constants for the others.
    public func variables(_ part: Part = .all) -> [String: Tensor] {
        Dictionary(
            uniqueKeysWithValues: entries.map { entry in
                let tensor = Tensor(shape: Shape(entry.shape), storage: entry.storage)
                return (entry.name, part.contains(entry.name) ? .variable(tensor) : tensor)
            })
    }
}
