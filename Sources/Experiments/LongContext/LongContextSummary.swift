import Evaluation

/// Scores of models and caches on a task: means with intervals, and differences to the first.
public struct LongContextSummary: Codable, Sendable, Equatable {
    /// A group's scores.
    public struct Group: Codable, Sendable, Equatable {
        /// The group: a data set, length or depth.
        public var group: ExampleGroup
        /// The number of examples.
        public var n: Int
        /// The mean score.
        public var mean: Double
        /// The 95 % interval's ends.
        public var low: Double, high: Double
    }

    /// A model with a cache.
    public struct Cache: Codable, Sendable, Equatable {
        /// The model's name.
        public var model: String
        /// The cache's configuration.
        public var spec: String
        /// Whether it was compressed after it had seen the question.
        public var queryAware: Bool
        /// The configuration in tables and plots.
        var label: String { queryAware ? spec + ", query-aware" : spec }
        /// Bytes that the cache holds for a token of the prompts.
        public var bytesPerToken: Double
        /// The share of the prompts' keys and values that is held.
        public var heldShare: Double
        /// Scores by length and depth.
        public var groups: [Group]
        /// The turns of conversations; nil where the task has none.
        public var turns: [Turn]?
        /// The score over all examples.
        public var overall: WilsonInterval
        /// The means of the rule's further scores, by their names; nil where it has none.
        public var further: [String: Double]?
        /// Prompt tokens computed a second, and tokens generated a second after the first; nil where nothing was measured.
        public var prefillTokensPerSecond: Double?, decodeTokensPerSecond: Double?
        /// The median of seconds to the first token.
        public var firstTokenMedian: Double
        /// The mean of seconds of evictions before the first token, 0 for prompts behind a context that others left; nil where nothing is
        /// evicted.
        public var compressSeconds: Double?
        /// The difference to the first model and cache, paired over examples; nil for the first, or without examples in common.
        public var toReference: PairedScores?
    }

    /// The format of the folder's files.
    public var format = RecordFolder.format
    /// The task's name.
    public var task: String
    /// The reference: the first model.
    public var model: String
    /// The models with their caches; the first is the reference.
    public var caches: [Cache]

    /// The summary of `records`, models and caches in the order in which they were named, without the ones that have no scores.
    public init(task: String, models: [String], caches: [String], records: [ExampleRecord]) {
        self.task = task
        model = models.first ?? ""
        var reference: [String: Double]?
        var entries: [Cache] = []
        for (model, spec) in models.flatMap({ model in caches.map { (model, $0) } }) {
            let own = records.filter { $0.model == model && $0.cache == spec }
            let scored = own.filter(\.isScored)
            guard !scored.isEmpty else { continue }
            var entry = Cache(model: model, spec: spec, records: own)
            if let reference {
                let pairs = scored.compactMap { record in reference[record.id].map { (reference: $0, other: record.score) } }
                if !pairs.isEmpty { entry.toReference = PairedScores(pairs) }
            } else {
                reference = Dictionary(scored.map { ($0.id, $0.score) }, uniquingKeysWith: { first, _ in first })
            }
            entries.append(entry)
        }
        self.caches = entries
    }
}

extension LongContextSummary.Cache {
    /// The entry of one model and cache, of whose records at least one has a score.
    init(model: String, spec: String, records: [ExampleRecord]) {
        (self.model, self.spec) = (model, spec)
        queryAware = records[0].queryAware
        func sum(_ value: (ExampleRecord) -> Double) -> Double { records.reduce(0) { $0 + value($1) } }
        let (held, context) = (sum { Double($0.heldBytes) }, sum { Double($0.contextBytes) })
        bytesPerToken = held / sum { Double($0.promptTokens) }
        heldShare = context > 0 ? held / context : 1
        let scored = records.filter(\.isScored)
        groups = Self.groups(scored)
        turns = [LongContextSummary.Turn](records)
        overall = WilsonInterval(scored.map(\.score))
        let names = Set(records.flatMap(\.furtherScores.keys))
        let means = names.map { name in
            let scores = records.compactMap { $0.furtherScores[name] }
            return (name, scores.reduce(0, +) / Double(scores.count))
        }
        further = means.isEmpty ? nil : Dictionary(uniqueKeysWithValues: means)
        let (prefill, decode) = (sum(\.prefillSeconds), sum(\.decodeSeconds))
        prefillTokensPerSecond = prefill > 0 ? sum { Double($0.promptTokens - $0.cachedTokens) } / prefill : nil
        // The first token is the prefill's.
        decodeTokensPerSecond = decode > 0 ? sum { Double($0.outputTokens - 1) } / decode : nil
        firstTokenMedian = records.map(\.prefillSeconds).median
        let compress = records.compactMap(\.compressSeconds)
        compressSeconds = compress.isEmpty ? nil : compress.reduce(0, +) / Double(compress.count)
    }

    /// The scores of each group, in the order of data sets, lengths and depths.
    private static func groups(_ records: [ExampleRecord]) -> [LongContextSummary.Group] {
        func precedes(_ left: ExampleGroup, _ right: ExampleGroup) -> Bool {
            if left.dataset != right.dataset { return (left.dataset ?? "") < (right.dataset ?? "") }
            if left.length != right.length { return (left.length ?? 0) < (right.length ?? 0) }
            if left.words != right.words { return (left.words ?? "") < (right.words ?? "") }
            if left.turn != right.turn { return (left.turn ?? 0) < (right.turn ?? 0) }
            return (left.depth ?? 0) < (right.depth ?? 0)
        }
        let members = Dictionary(grouping: records, by: \.group)
        return members.keys.sorted(by: precedes).map { group in
            let interval = WilsonInterval((members[group] ?? []).map(\.score))
            return LongContextSummary.Group(
                group: group, n: interval.n, mean: interval.mean, low: interval.low, high: interval.high)
        }
    }
}
