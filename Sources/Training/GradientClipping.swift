import Kernels

/// Clipping by the global norm (Pascanu et al. 2013).
public enum GradientClipping {
    /// √ Σ g² over all gradients, accumulated in Float64 in the order of `names`.
    public static func globalNorm(_ gradients: [String: Storage], order names: [String]) -> Double {
        names.reduce(0) { total, name in total + (gradients[name].map(Elementwise.sumOfSquares) ?? 0) }.squareRoot()
    }

    /// The factor that scales `norm` down to `limit`; 1 where the norm is no larger or there is no limit.
    ///
    /// As PyTorch's `clip_grad_norm_`: limit / (norm + 1e-6), at most 1.
    public static func scale(norm: Double, limit: Double?) -> Double {
        guard let limit, limit > 0 else { return 1 }
        return min(1, limit / (norm + 1e-6))
    }
}
