import Autograd
import Kernels

extension [Tensor] {
    /// The concatenated biases; nil for none.
    var joined: Tensor? { count > 1 ? .concat(self) : first }
}

extension [Weight] {
    /// The concatenated biases; nil for none.
    var joined: Storage? { isEmpty ? nil : Storage(copying: flatMap { $0.float32().array() }) }
}
