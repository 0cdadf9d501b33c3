import Kernels
import Random

extension Parameters {
    /// Fresh weights for `config`: normal with deviation 0.02, projections into the residual stream divided by √(2·layers)
    /// (Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.3), norms 1, biases 0.
    ///
    /// Each weight has a generator keyed by its name, so that a weight does not depend on the presence of others.
    public static func initialized(for config: ModelConfig, seed: UInt64, deviation: Double = 0.02) -> Parameters {
        var parameters = Parameters()
        for (name, shape) in config.weights {
            let count = shape.reduce(1, *)
            if shape.count == 1 {
                let value: Float = name.isBias ? 0 : 1
                parameters[name] = Weight(shape: shape, storage: Storage(repeating: value, count: count))
                continue
            }
            let isResidual = [.output, .down].contains(name.module)
            let scale = isResidual ? deviation / Double(2 * config.layers).squareRoot() : deviation
            var generator = SeededGenerator(seed: seed, name: "\(name)")
            parameters[name] = Weight(shape: shape, storage: Storage(copying: generator.normals(count, deviation: scale)))
        }
        return parameters
    }
}
