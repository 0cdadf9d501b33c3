/// The precision of a model's large matrix products; sums, weights, optimizer and everything else are Float32.
public enum ComputePrecision: String, Sendable, Hashable, Codable, CaseIterable {
    /// IEEE 754 binary32.
    case fp32
    /// Operands rounded to BFloat16, their products summed in Float32.
    case bf16
}
