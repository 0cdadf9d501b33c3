import Foundation

/// An axis of a plot: the map from values to pixels, and the ticks.
struct PlotAxis {
    /// The values at the two ends.
    let domain: ClosedRange<Double>
    /// Pixels at the two ends; the first may be the larger.
    let pixels: (first: Double, last: Double)
    private let isLogarithmic: Bool

    /// An axis that shows all of the finite `values` with `margin` of the span around them.
    ///
    /// A logarithmic axis takes positive values only.
    init(showing values: [Double], pixels: (first: Double, last: Double), logarithmic: Bool = false, margin: Double = 0.08) {
        let mapped = values.filter { $0.isFinite && (!logarithmic || $0 > 0) }.map { logarithmic ? log2($0) : $0 }
        let low = mapped.min() ?? 0
        let high = mapped.max() ?? 1
        // One value alone stands in the middle.
        let padding = high > low ? (high - low) * margin : max(abs(high) * 0.05, 0.5)
        domain = (low - padding)...(high + padding)
        self.pixels = pixels
        isLogarithmic = logarithmic
    }

    /// An axis with these ends.
    init(domain: ClosedRange<Double>, pixels: (first: Double, last: Double)) {
        self.domain = domain
        self.pixels = pixels
        isLogarithmic = false
    }

    /// The pixel of `value`.
    func position(_ value: Double) -> Double {
        let mapped = isLogarithmic ? log2(value) : value
        let share = (mapped - domain.lowerBound) / (domain.upperBound - domain.lowerBound)
        return pixels.first + share * (pixels.last - pixels.first)
    }

    /// About `count` round values inside a linear axis, each a multiple of 1, 2 or 5 times a power of ten, with their texts.
    func ticks(about count: Int) -> [(value: Double, text: String)] {
        let raw = (domain.upperBound - domain.lowerBound) / Double(max(count, 1))
        let power = pow(10, log10(raw).rounded(.down))
        let step = [1.0, 2, 5, 10].map { $0 * power }.first { $0 >= raw * 0.75 } ?? raw
        let digits = max(0, Int((-log10(step)).rounded(.up) + 0.0))
        let first = (domain.lowerBound / step).rounded(.up)
        let last = (domain.upperBound / step).rounded(.down)
        guard first <= last else { return [] }
        return stride(from: first, through: last, by: 1).map { multiple in
            // Without a sign where it is 0.
            let value = multiple == 0 ? 0 : multiple * step
            return (value, String(format: "%.\(digits)f", value))
        }
    }
}

extension PlotAxis {
    /// Powers of ten inside a logarithmic axis, with their doubles and halves where it spans less than three of them.
    var factorTicks: [(value: Double, text: String)] {
        let (low, high) = (exp2(domain.lowerBound), exp2(domain.upperBound))
        let factors = high / low < 1000 ? [1.0, 2, 5] : [1]
        let powers = Int(log10(low).rounded(.down))...Int(log10(high).rounded(.up))
        return powers.flatMap { power in factors.map { $0 * pow(10, Double(power)) } }.filter { $0 >= low && $0 <= high }.map {
            ($0, String(format: "%g", $0))
        }
    }
}

extension SVG {
    /// Level lines at about `count` round values of `y`, each with its text on the left.
    mutating func grid(_ y: PlotAxis, from left: Double, to right: Double, about count: Int) {
        for tick in y.ticks(about: count) {
            line(left, y.position(tick.value), right, y.position(tick.value), style: "grid")
            text(tick.text, left - 8, y.position(tick.value) + 4, style: "tick", anchor: "end")
        }
    }

    /// Ticks of `x` below `bottom` at each of `values`, with the texts that have room.
    mutating func ticks(_ x: PlotAxis, at values: [Double], bottom: Double, text: (Double) -> String) {
        var free = -Double.infinity
        for value in Set(values).sorted() {
            let position = x.position(value)
            line(position, bottom, position, bottom + 5, style: "axis")
            let name = text(value)
            let half = Double(name.count) * 3.6 + 3
            guard position - half > free else { continue }
            self.text(name, position, bottom + 20, style: "tick", anchor: "middle")
            free = position + half
        }
    }

    /// The lower axis of a drawing between two corners, and both axes' names.
    mutating func names(x: String, y: String, from corner: (left: Double, top: Double), to end: (right: Double, bottom: Double)) {
        line(corner.left, end.bottom, end.right, end.bottom, style: "axis")
        text(x, (corner.left + end.right) / 2, end.bottom + 46, style: "name", anchor: "middle")
        text(y, 18, (corner.top + end.bottom) / 2, style: "name", anchor: "middle", rotated: true)
    }
}
