import Inference

extension Comparison {
    /// Adds to a table of the models at `paths` the smallest cache within `withinPercent` of the first one's quality; nothing where there
    /// is one model only.
    public func recommend(in table: inout ComparisonTable, paths: [String], withinPercent: Double) {
        guard let first = table.rows.first, table.rows.count > 1 else { return }
        func allocated(_ row: ComparisonRow) -> Double { row.allocatedBytesPerToken ?? Double(row.kvBytesPerToken) }
        let candidates = zip(table.rows, paths).dropFirst().compactMap { row, path -> Recommendation.Candidate? in
            guard let difference = row.difference else { return nil }
            return Recommendation.Candidate(
                name: row.name, logicalBytesPerToken: Double(row.kvBytesPerToken), allocatedBytesPerToken: allocated(row),
                bitsPerByte: row.bitsPerByte, difference: difference,
                margin: row.standardError.flatMap { $0.isFinite ? 1.96 * $0 : nil },
                serve: ShellLine.serve(path, CacheSpec(keepingAllIn: kvType)))
        }
        table.recommendation = Recommendation(
            parent: first.name, bitsPerByte: first.bitsPerByte, allocatedBytesPerToken: allocated(first), among: candidates,
            withinPercent: withinPercent, pairing: .windows)
    }

    /// Adds to the frontier of `models`, which lie at `paths`, the smallest cache within `withinPercent` of the first one's quality.
    public func recommend(
        in frontier: inout CacheFrontier, _ models: [LoadedModel], paths: [String], withinPercent: Double
    ) {
        guard let first = models.first else { return }
        let names = models.enumerated().map { Self.distinct($1.name, $0, models) }
        let found = frontier.recommendation(parent: first.name, withinPercent: withinPercent) { row, cache in
            names.firstIndex(of: row.model).map { (nil, ShellLine.serve(paths[$0], cache)) }
        }
        frontier.recommendations = found.map { [$0] }
    }
}
