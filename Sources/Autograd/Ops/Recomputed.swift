import Kernels

extension Tensor {
    /// `body(inputs)` with activation checkpointing: the backward pass recomputes the activations (Chen et al. 2016, Training
    /// Deep Nets with Sublinear Memory Cost).
    ///
    /// Precondition: `body` depends on its inputs alone and is deterministic.
    public static func recomputed(_ inputs: [Tensor], _ body: @escaping @Sendable ([Tensor]) -> Tensor) -> Tensor {
        let output = body(inputs.map(\.detached))
        let plain = inputs.map { (tensor: $0.detached, isVariable: $0.requiresGradient) }
        return .result(output.shape, output.storage, from: inputs) { gradient, sink in
            let again = plain.map { $0.isVariable ? Tensor.variable($0.tensor) : $0.tensor }
            let gradients = body(again).gradients(ofOutput: gradient)
            for (index, input) in again.enumerated() where sink.needs(index) {
                if let found = gradients[input] { sink.add(index, found.storage, owned: false) }
            }
        }
    }
}
