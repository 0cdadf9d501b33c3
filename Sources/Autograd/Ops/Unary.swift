import Kernels

/// Elementwise functions of one operand; the shape stays.
extension Tensor {
    /// eˣ.
    public func exp() -> Tensor { unary(.exp, keeping: .output) }
    /// ln x; −∞ at 0, NaN below.
    public func log() -> Tensor { unary(.log, keeping: .input) }
    /// √x; the gradient at 0 is infinite.
    public func sqrt() -> Tensor { unary(.sqrt, keeping: .output) }
    /// The hyperbolic tangent.
    public func tanh() -> Tensor { unary(.tanh, keeping: .output) }
    /// 1 / (1 + e⁻ˣ).
    public func sigmoid() -> Tensor { unary(.sigmoid, keeping: .output) }
    /// x·sigmoid(x), also called swish.
    public func silu() -> Tensor { unary(.silu, keeping: .input) }
    /// max(x, 0); the gradient at 0 is 0.
    public func relu() -> Tensor { unary(.relu, keeping: .output) }
    /// x·Φ(x) by the tanh approximation, x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), as GPT-2 has it (Hendrycks and Gimpel
    /// 2016, Gaussian Error Linear Units).
    public func gelu() -> Tensor { unary(.gelu, keeping: .input) }
    /// x·Φ(x) = x/2·(1 + erf(x/√2)), the exact form.
    public func geluErf() -> Tensor { unary(.geluErf, keeping: .input) }

    /// The operand that the pullback needs, the only one saved for the backward pass.
    private enum Kept { case input, output }

    private func unary(_ op: Elementwise.Unary, keeping kept: Kept) -> Tensor {
        let output = Storage(count: shape.count)
        Elementwise.unary(op, storage, into: output)
        let saved = kept == .input ? storage : output
        return .result(shape, output, from: [self]) { gradient, sink in
            let dx = Storage(count: gradient.count)
            // The kernel reads x or y, as its formula needs; relu's formula holds for either.
            Elementwise.unaryGradient(op, x: saved, y: saved, dy: gradient, into: dx)
            sink.add(0, dx)
        }
    }
}
