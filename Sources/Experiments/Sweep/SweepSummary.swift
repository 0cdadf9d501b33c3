/// The points of a sweep that differ in their seeds alone.
public struct SweepSummary: Sendable, Codable, Hashable {
    /// Mean and deviation over the seeds.
    public struct Figure: Sendable, Codable, Hashable {
        /// The mean.
        public var mean: Double
        /// The standard deviation over the seeds; nil for one.
        public var deviation: Double?
        /// Seeds: of parents where there are several, else of uptrainings.
        public var n: Int

        /// Of values one by one; nil for none.
        public init?(_ values: [Double]) {
            guard !values.isEmpty else { return nil }
            n = values.count
            let mean = values.reduce(0, +) / Double(n)
            self.mean = mean
            deviation = n > 1 ? (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n - 1)).squareRoot() : nil
        }

        /// Of values with the seeds of their parents: uptrainings of one parent are not independent, so that each parent counts once
        /// with their mean, unless there is only one.
        init?(_ values: [(seed: Int, value: Double)]) {
            let groups = Dictionary(grouping: values, by: \.seed)
            let means = groups.keys.sorted().map { seed in
                let group = groups[seed] ?? []
                return group.reduce(0) { $0 + $1.value } / Double(group.count)
            }
            self.init(means.count > 1 ? means : values.map(\.value))
        }

        /// The mean's standard error; nil for one seed.
        public var standardError: Double? { deviation.map { $0 / Double(n).squareRoot() } }

        /// Half of the mean's 95 % interval by Student's t; nil for one seed.
        public var margin: Double? { standardError.map { $0 * StudentT.quantile975(n - 1) } }
    }

    /// The group's first point, for what its points have in common.
    public var point: SweepPoint
    /// Runs in the group.
    public var runs: Int
    /// Bits per byte before training.
    public var before: Figure?
    /// Bits per byte before training minus the parent's.
    public var beforeToParent: Figure?
    /// Bits per byte.
    public var bitsPerByte: Figure
    /// Bits per byte minus the parent's.
    public var toParent: Figure?
    /// Bits per byte minus those of the parent continued for the same tokens from the same seed.
    public var toContinued: Figure?

    /// The points' name.
    public var name: String { point.name }

    /// The points' family.
    var family: String { point.family }

    /// Half of the 95 % interval of a difference, whose standard error over windows is `error` in one run; nil where nothing pairs.
    func margin(_ figure: Figure?, _ error: Double?, _ pairing: Recommendation.Pairing) -> Double? {
        let half = pairing == .seeds ? figure?.margin : figure == nil ? nil : error.map { 1.96 * $0 }
        return half.flatMap { $0.isFinite ? $0 : nil }
    }

    /// The summaries of `points`, in the order in which groups first occur.
    static func all(_ points: [SweepPoint]) -> [SweepSummary] {
        struct Key: Hashable {
            var kind: SweepPoint.Kind
            var name: String
            var budget: Int
        }
        return points.grouped { Key(kind: $0.kind, name: $0.name, budget: $0.budget) }.compactMap { group in
            func figure(_ value: (SweepPoint) -> Double?) -> Figure? {
                Figure(group.compactMap { point in value(point).map { (seed: point.seed, value: $0) } })
            }
            guard let first = group.first, let bits = figure(\.bitsPerByte) else { return nil }
            return SweepSummary(
                point: first, runs: group.count, before: figure(\.bitsPerByteBefore), beforeToParent: figure(\.beforeDifference),
                bitsPerByte: bits, toParent: figure(\.difference), toContinued: figure(\.toContinued))
        }
    }
}
