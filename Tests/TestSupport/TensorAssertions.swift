import Autograd
import Random

extension Tensor {
    /// Seeded values uniform in `range`, on a grid of 2⁻¹² so that small steps from them are exact.
    public static func random(_ shape: Shape, seed: UInt64, in range: ClosedRange<Double> = -1...1) -> Tensor {
        var generator = SeededGenerator(seed: seed)
        let values = (0..<shape.count).map { _ in
            Float(((range.lowerBound + (range.upperBound - range.lowerBound) * generator.uniform()) * 4096).rounded() / 4096)
        }
        return Tensor(values, shape: shape)
    }
}

/// Where two arrays differ by more than `absolute` + `relative`·|expected|, at most three places; empty where nowhere. NaN
/// agrees with NaN, an infinity with itself.
public func differences(
    _ found: [Float], _ expected: [Double], absolute: Double = 0, relative: Double = 0
) -> [String] {
    guard found.count == expected.count else { return ["\(found.count) values, expected \(expected.count)"] }
    var result: [String] = []
    for (index, (f, e)) in zip(found, expected).enumerated() where !(Double(f) == e || (f.isNaN && e.isNaN)) {
        if !(abs(Double(f) - e) <= absolute + relative * abs(e)) || e.isInfinite {
            result.append("[\(index)]: \(f), expected \(e)")
            if result.count == 3 { break }
        }
    }
    return result
}

/// As the above, against Float32 values.
public func differences(_ found: [Float], _ expected: [Float], absolute: Double = 0, relative: Double = 0) -> [String] {
    differences(found, expected.map(Double.init), absolute: absolute, relative: relative)
}
