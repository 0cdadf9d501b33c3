import Autograd
import Random

/// Compares an op's gradients with central differences.
public enum GradientCheck {
    /// The differences' step: a power of two, so that x ± h and x ± 2h are exact for inputs on ``Tensor/random(_:seed:in:)``'s grid.
    private static let step: Float = 0x1p-5

    /// What differs between the gradients of Σ weight·f(inputs) (fixed random weights, so that no error cancels) and central
    /// differences of fourth order, (8·(f(x+h) − f(x−h)) − (f(x+2h) − f(x−2h))) / 12h, summed in Float64; empty where all agree.
    ///
    /// Tolerance: with h = 1/32 the formula's own error, h⁴·f⁽⁵⁾/30, is some 3·10⁻⁸·f⁽⁵⁾, and rounding of a Float32 forward pass
    /// of magnitude 1 gives 10⁻⁷·1.5/h ≈ 5·10⁻⁶, times the root of the terms it is summed over. 5·10⁻⁴ of (1 + |gradient|)
    /// leaves room for a chain of such steps and is far below what a wrong factor or sign would give.
    public static func failures(
        _ inputs: [Tensor], tolerance: Double = 5e-4, seed: UInt64 = 99, _ function: ([Tensor]) -> Tensor
    ) -> [String] {
        let variables = inputs.map { Tensor.variable($0) }
        let output = function(variables)
        let weights = Tensor.random(output.shape, seed: seed)
        let gradients = (output * weights).sum().gradients()
        let weightValues = weights.values
        func objective(_ input: Int, _ element: Int, _ shift: Float) -> [Double] {
            var shifted = inputs
            var values = inputs[input].values
            values[element] += shift
            shifted[input] = Tensor(values, shape: inputs[input].shape)
            return zip(function(shifted).values, weightValues).map { Double($0) * Double($1) }
        }
        var failures: [String] = []
        for (index, input) in inputs.enumerated() {
            guard let gradient = gradients[variables[index]] else {
                if input.shape.count > 0 && output.shape.count > 0 { failures.append("input \(index): no gradient") }
                continue
            }
            if gradient.shape != input.shape { failures.append("input \(index): gradient \(gradient.shape) for \(input.shape)") }
            for (element, found) in gradient.values.enumerated() {
                let near = zip(objective(index, element, step), objective(index, element, -step)).reduce(0) { $0 + ($1.0 - $1.1) }
                let far = zip(objective(index, element, 2 * step), objective(index, element, -2 * step))
                    .reduce(0) { $0 + ($1.0 - $1.1) }
                let expected = (8 * near - far) / (12 * Double(step))
                if !(abs(Double(found) - expected) <= tolerance * (1 + abs(expected))) {
                    failures.append("input \(index), element \(element): gradient \(found), differences give \(expected)")
                }
            }
        }
        return failures
    }
}
