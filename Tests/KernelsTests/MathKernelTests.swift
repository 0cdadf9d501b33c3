import CKernels
import Foundation
import Testing

@Suite struct MathKernelTests {
    private struct Function: Sendable {
        let name: String
        let op: UInt32
        let reference: @Sendable (Double) -> Double
        let derivative: @Sendable (Double) -> Double
        let range: ClosedRange<Double>
        /// The largest error seen over two million points is below this.
        let ulps: Double
        /// An error that the result's own magnitude does not bound: cancellation near zeros of the function.
        var absolute = 0.0
    }

    private static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
    private static func phi(_ x: Double) -> Double { exp(-x * x / 2) / (2 * Double.pi).squareRoot() }
    private static func normal(_ x: Double) -> Double { erfc(-x / 2.0.squareRoot()) / 2 }
    private static func gelu(_ x: Double) -> Double {
        x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }

    private static let functions: [Function] = [
        Function(name: "negate", op: KK_NEG.rawValue, reference: { -$0 }, derivative: { _ in -1 }, range: -1e30...1e30, ulps: 0),
        Function(
            name: "exp", op: KK_EXP.rawValue, reference: { exp($0) }, derivative: { exp($0) }, range: -87.3...88.7, ulps: 1.5),
        Function(name: "log", op: KK_LOG.rawValue, reference: { log($0) }, derivative: { 1 / $0 }, range: 1e-4...1e4, ulps: 1.5),
        Function(
            name: "sqrt", op: KK_SQRT.rawValue, reference: { $0.squareRoot() }, derivative: { 0.5 / $0.squareRoot() },
            range: 1e-6...1e6,
            ulps: 0.51),
        Function(
            name: "tanh", op: KK_TANH.rawValue, reference: { tanh($0) }, derivative: { 1 - tanh($0) * tanh($0) }, range: -10...10,
            ulps: 2),
        Function(
            name: "sigmoid", op: KK_SIGMOID.rawValue, reference: sigmoid, derivative: { sigmoid($0) * sigmoid(-$0) },
            range: -80...80,
            ulps: 3),
        Function(
            name: "silu", op: KK_SILU.rawValue, reference: { $0 * sigmoid($0) },
            derivative: { sigmoid($0) * (1 + $0 * sigmoid(-$0)) }, range: -80...80, ulps: 4),
        Function(
            name: "gelu", op: KK_GELU.rawValue, reference: gelu,
            derivative: { x in (gelu(x + 1e-5) - gelu(x - 1e-5)) / 2e-5 }, range: -6...6, ulps: 4, absolute: 4e-7),
        Function(
            name: "geluErf", op: KK_GELU_ERF.rawValue, reference: { $0 * normal($0) }, derivative: { normal($0) + $0 * phi($0) },
            range: -6...6, ulps: 4, absolute: 4e-7),
        Function(
            name: "relu", op: KK_RELU.rawValue, reference: { max($0, 0) }, derivative: { $0 > 0 ? 1 : 0 }, range: -1e30...1e30,
            ulps: 0),
    ]

    private func apply(_ level: Level, _ op: UInt32, _ x: [Float]) -> [Float] {
        var y = [Float](repeating: .nan, count: x.count)
        level.table.unary(Int32(op), x, &y, Int64(x.count))
        return y
    }

    @Test(arguments: Level.all)
    func `unary functions are within their ulps of Float64`(level: Level) {
        for function in Self.functions {
            // An odd count: the vector loop and its tail.
            let x =
                random(200_003, seed: 1, in: function.range) + random(1001, seed: 2, in: max(-1, function.range.lowerBound)...1)
            var worst = 0.0
            for (x, y) in zip(x, apply(level, function.op, x)) {
                let expected = function.reference(Double(x))
                if abs(Double(y) - expected) > function.absolute { worst = max(worst, ulps(y, expected)) }
            }
            #expect(worst <= function.ulps, "\(function.name): \(worst) ulps")
        }
    }

    @Test(arguments: Level.all)
    func `gradients of unary functions agree with the derivatives`(level: Level) {
        for function in Self.functions {
            let range = max(-20, function.range.lowerBound)...min(20, function.range.upperBound)
            let x = random(10_007, seed: 3, in: range)
            let y = apply(level, function.op, x)
            let dy = random(x.count, seed: 4)
            var dx = [Float](repeating: .nan, count: x.count)
            level.table.unary_gradient(Int32(function.op), x, y, dy, &dx, Int64(x.count))
            for index in x.indices {
                let expected = Double(dy[index]) * function.derivative(Double(x[index]))
                // 1 − y² cancels: an error of one part in 10⁷ of 1, not of the result.
                #expect(abs(Double(dx[index]) - expected) <= 1e-6 + 1e-6 * abs(expected), "\(function.name) at \(x[index])")
            }
        }
    }

    @Test(arguments: Level.all)
    func `infinities, NaN, zeros and extremes come out as they should`(level: Level) {
        let inf = Float.infinity
        let cases: [(op: UInt32, x: Float, y: Float)] = [
            (KK_EXP.rawValue, inf, inf), (KK_EXP.rawValue, -inf, 0), (KK_EXP.rawValue, .nan, .nan), (KK_EXP.rawValue, 0, 1),
            (KK_EXP.rawValue, -0.0, 1), (KK_EXP.rawValue, 89, inf), (KK_EXP.rawValue, 1e30, inf), (KK_EXP.rawValue, -88, 0),
            (KK_LOG.rawValue, 0, -inf), (KK_LOG.rawValue, -0.0, -inf), (KK_LOG.rawValue, -1, .nan), (KK_LOG.rawValue, inf, inf),
            (KK_LOG.rawValue, -inf, .nan), (KK_LOG.rawValue, .nan, .nan), (KK_LOG.rawValue, 1, 0), (KK_TANH.rawValue, inf, 1),
            (KK_TANH.rawValue, -inf, -1), (KK_TANH.rawValue, .nan, .nan), (KK_TANH.rawValue, 0, 0), (KK_TANH.rawValue, 1e30, 1),
            (KK_TANH.rawValue, -50, -1), (KK_SIGMOID.rawValue, inf, 1), (KK_SIGMOID.rawValue, -inf, 0),
            (KK_SIGMOID.rawValue, .nan, .nan),
            (KK_SIGMOID.rawValue, 100, 1), (KK_SIGMOID.rawValue, -100, 0), (KK_SILU.rawValue, 1e30, 1e30),
            (KK_SILU.rawValue, -200, 0),
            (KK_SILU.rawValue, .nan, .nan), (KK_GELU.rawValue, 100, 100), (KK_GELU.rawValue, -100, 0),
            (KK_GELU.rawValue, .nan, .nan),
            (KK_GELU_ERF.rawValue, 100, 100), (KK_GELU_ERF.rawValue, -100, 0), (KK_GELU_ERF.rawValue, .nan, .nan),
            (KK_RELU.rawValue, .nan, .nan), (KK_RELU.rawValue, -inf, 0), (KK_SQRT.rawValue, 0, 0), (KK_SQRT.rawValue, -1, .nan),
        ]
        for (op, x, y) in cases {
            // Both the vector loop and the tail.
            for found in apply(level, op, [Float](repeating: x, count: 37)) {
                #expect(found == y || (found.isNaN && y.isNaN), "op \(op) of \(x) is \(found), expected \(y)")
            }
        }
    }

    @Test(arguments: Level.all)
    func `exp and log over every magnitude`(level: Level) {
        // e^x over the whole range, subnormal results included: those below 2⁻¹²⁶ are 0.
        let x = stride(from: Float(-110), through: 90, by: 0.0137).map { $0 }
        for (x, y) in zip(x, apply(level, KK_EXP.rawValue, x)) {
            let expected = exp(Double(x))
            if expected < Double(Float.leastNormalMagnitude) {
                #expect(y <= .leastNormalMagnitude)
            } else if expected > Double(Float.greatestFiniteMagnitude) {
                #expect(y == .infinity)
            } else {
                #expect(ulps(y, expected) <= 1.5, "exp(\(x))")
            }
        }
        // ln over every binade, subnormals included.
        var positive: [Float] = []
        for exponent in 0..<255 {
            for mantissa: UInt32 in [0, 1, 0x3504F3, 0x3504F4, 0x400000, 0x7FFFFF] {
                positive.append(Float(bitPattern: UInt32(exponent) << 23 | mantissa))
            }
        }
        for (x, y) in zip(positive, apply(level, KK_LOG.rawValue, positive)) where x > 0 {
            #expect(ulps(y, log(Double(x))) <= 1.5, "log(\(x))")
        }
    }

    @Test(arguments: Level.all)
    func `exp grows where its argument does`(level: Level) {
        let x = stride(from: Float(-87), through: 88, by: 0.001).map { $0 }
        let y = apply(level, KK_EXP.rawValue, x)
        #expect(zip(y, y.dropFirst()).allSatisfy { $0 <= $1 })
    }
}
