import Foundation

/// Means and rounding as Python and NumPy compute them, which differ from one another in the last digit.
enum PythonRounding {
    /// Python's `round(value, digits)`: the nearest decimal to the exact binary value, half to even.
    static func rounded(_ value: Double, digits: Int) -> Double {
        // printf rounds the exact binary value, as Python's repr-based algorithm does.
        Double(String(format: "%.\(digits)f", value)) ?? value
    }

    /// NumPy's `round(value, digits)`: scaled, rounded half to even and scaled back in binary.
    static func numpyRounded(_ value: Double, digits: Int) -> Double {
        let scale = Double((0..<digits).reduce(1) { product, _ in product * 10 })
        return (value * scale).rounded(.toNearestOrEven) / scale
    }

    /// `numpy.mean`: a pairwise sum in blocks of at most 128 values with eight accumulators, divided by the count.
    static func numpyMean(_ values: [Double]) -> Double { pairwiseSum(values[...]) / Double(values.count) }

    private static func pairwiseSum(_ values: ArraySlice<Double>) -> Double {
        let (start, count) = (values.startIndex, values.count)
        if count < 8 { return values.reduce(-0.0, +) }
        if count <= 128 {
            var sums = Array(values.prefix(8))
            let end = count - count % 8
            for index in 8..<max(end, 8) { sums[index % 8] += values[start + index] }
            let total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
            return values.dropFirst(end).reduce(total, +)
        }
        var half = count / 2
        half -= half % 8
        return pairwiseSum(values.prefix(half)) + pairwiseSum(values.dropFirst(half))
    }
}
