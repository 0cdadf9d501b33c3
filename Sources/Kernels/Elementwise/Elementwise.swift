import CKernels
import Threads

/// Maps and sums over whole storages, vectorised and parallel.
public enum Elementwise {
    /// A map of one operand.
    public enum Unary: Sendable, CaseIterable {
        /// −x, eˣ, ln x, √x, tanh x, σ(x) = 1/(1 + e⁻ˣ), x·σ(x), max(x, 0).
        case negate, exp, log, sqrt, tanh, sigmoid, silu, relu
        /// x·Φ(x): `gelu` by the tanh approximation, `geluErf` exactly.
        case gelu, geluErf

        var code: Int32 {
            let code =
                switch self {
                case .negate: KK_NEG
                case .exp: KK_EXP
                case .log: KK_LOG
                case .sqrt: KK_SQRT
                case .tanh: KK_TANH
                case .sigmoid: KK_SIGMOID
                case .silu: KK_SILU
                case .gelu: KK_GELU
                case .relu: KK_RELU
                case .geluErf: KK_GELU_ERF
                }
            return Int32(code.rawValue)
        }
    }

    /// A map of two operands.
    public enum Binary: Sendable, CaseIterable {
        /// x + y, x − y, x·y, x/y, max(x, y).
        case add, subtract, multiply, divide, maximum
        /// 1 where equal, else 0.
        case equal

        var code: Int32 {
            let code =
                switch self {
                case .add: KK_ADD
                case .subtract: KK_SUB
                case .multiply: KK_MUL
                case .divide: KK_DIV
                case .maximum: KK_MAX
                case .equal: KK_EQUAL
                }
            return Int32(code.rawValue)
        }
    }

    /// Elements below which a map runs on one thread.
    static let grain = 1 << 15

    /// y = op(x).
    public static func unary(_ op: Unary, _ x: Storage, into y: Storage) {
        precondition(x.count == y.count, "unary: \(x.count) elements into \(y.count)")
        Parallel.forRanges(x.count, grain: grain) { range in
            unsafe kernels.unary(op.code, x.pointer + range.lowerBound, y.pointer + range.lowerBound, Int64(range.count))
        }
    }

    /// dx = dy · op'(x), with y = op(x).
    public static func unaryGradient(_ op: Unary, x: Storage, y: Storage, dy: Storage, into dx: Storage) {
        precondition(x.count == y.count && dy.count == y.count && dx.count == y.count, "unaryGradient: counts differ")
        Parallel.forRanges(x.count, grain: grain) { range in
            let start = range.lowerBound
            unsafe kernels.unary_gradient(
                op.code, x.pointer + start, y.pointer + start, dy.pointer + start, dx.pointer + start, Int64(range.count))
        }
    }

    /// y = a op b, equal counts.
    public static func binary(_ op: Binary, _ a: Storage, _ b: Storage, into y: Storage) {
        precondition(a.count == y.count && b.count == y.count, "binary: \(a.count) and \(b.count) elements into \(y.count)")
        Parallel.forRanges(y.count, grain: grain) { range in
            let start = range.lowerBound
            unsafe kernels.binary(op.code, a.pointer + start, 1, b.pointer + start, 1, y.pointer + start, Int64(range.count))
        }
    }

    /// y += x.
    public static func add(_ x: Storage, into y: Storage) {
        precondition(x.count == y.count, "add: \(x.count) elements into \(y.count)")
        Parallel.forRanges(y.count, grain: grain) { range in
            unsafe kernels.axpy(1, x.pointer + range.lowerBound, y.pointer + range.lowerBound, Int64(range.count))
        }
    }

    /// y = alpha · x; y may alias x.
    public static func scale(_ x: Storage, by alpha: Float, into y: Storage) {
        precondition(x.count == y.count, "scale: \(x.count) elements into \(y.count)")
        Parallel.forRanges(y.count, grain: grain) { range in
            unsafe kernels.scale(alpha, x.pointer + range.lowerBound, y.pointer + range.lowerBound, Int64(range.count))
        }
    }

    /// Sets every element to `value`.
    public static func fill(_ x: Storage, with value: Float) {
        Parallel.forRanges(x.count, grain: grain) { range in
            unsafe (x.pointer + range.lowerBound).update(repeating: value, count: range.count)
        }
    }

    /// Sum of the squares, in Float64; the order of additions does not depend on the number of threads.
    public static func sumOfSquares(_ x: Storage) -> Double {
        unsafe blockwise(x) { unsafe kernels.sum_squares($0, $1) }
    }

    /// Sum of the elements, in Float64; the order of additions does not depend on the number of threads.
    public static func sum(_ x: Storage) -> Double {
        unsafe blockwise(x) { unsafe kernels.sum($0, $1) }
    }

    private static func blockwise(_ x: Storage, _ body: @Sendable (UnsafePointer<Float>, Int64) -> Double) -> Double {
        let block = 1 << 16
        let blocks = (x.count + block - 1) / block
        var partial = [Double](repeating: 0, count: blocks)
        unsafe partial.withUnsafeMutableBufferPointer { partial in
            nonisolated(unsafe) let partial = unsafe partial
            Parallel.forEach(blocks) { index in
                let start = index * block
                unsafe partial[index] = unsafe body(x.pointer + start, Int64(min(block, x.count - start)))
            }
        }
        return partial.reduce(0, +)
    }
}
