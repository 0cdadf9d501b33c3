extension Collection<Double> {
    /// The median, of an even number of values the mean of the middle two; NaN for none.
    var median: Double {
        let sorted = sorted()
        return sorted.isEmpty ? .nan : (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
}
