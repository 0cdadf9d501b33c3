import Kernels
import Random

/// The distribution that fresh matrices are drawn from; norms are 1, biases 0.
public enum Initialization: String, Sendable, Hashable, Codable, CaseIterable {
    /// Normal with deviation 0.02, projections into the residual stream divided by √(2·layers) (Radford et al. 2019, Language Models
    /// are Unsupervised Multitask Learners, section 2.3).
    case normal
    /// Uniform in ±1/√inputs, as PyTorch's `nn.Linear` is made; embeddings normal with deviation 0.02.
    case fanIn = "fan-in"
}

extension Parameters {
    /// Fresh weights for `config`; `deviation` is that of normal draws.
    ///
    /// Each weight has a generator keyed by its name, so that a weight does not depend on the presence of others.
    public static func initialized(
        for config: ModelConfig, _ initialization: Initialization = .normal, seed: UInt64, deviation: Double = 0.02
    ) -> Parameters {
        var parameters = Parameters()
        for (name, shape) in config.weights {
            let count = shape.reduce(1, *)
            if shape.count == 1 {
                let value: Float = name.isBias ? 0 : 1
                parameters[name] = Weight(shape: shape, storage: Storage(repeating: value, count: count))
                continue
            }
            var generator = SeededGenerator(seed: seed, name: "\(name)")
            let values: [Float]
            switch initialization {
            case .fanIn where name.module != .embedding:
                let limit = 1 / Double(shape[1]).squareRoot()
                values = (0..<count).map { _ in Float((2 * generator.uniform() - 1) * limit) }
            case .normal where [.output, .down].contains(name.module):
                values = generator.normals(count, deviation: deviation / Double(2 * config.layers).squareRoot())
            case .normal, .fanIn: values = generator.normals(count, deviation: deviation)
            }
            parameters[name] = Weight(shape: shape, storage: Storage(copying: values))
        }
        return parameters
    }
}
