import Kernels

/// The activation of a feed-forward layer without a gate; raw values are Hugging Face's names.
public enum Activation: String, Codable, Sendable, CaseIterable {
    /// x·Φ(x) (Hendrycks and Gimpel 2016), exact.
    case gelu
    /// The tanh approximation of ``gelu``, as in GPT-2.
    case geluTanh = "gelu_new"
    /// max(x, 0).
    case relu

    /// The kernel that computes it.
    public var kernel: Elementwise.Unary {
        switch self {
        case .gelu: .geluErf
        case .geluTanh: .gelu
        case .relu: .relu
        }
    }
}
