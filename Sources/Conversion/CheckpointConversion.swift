import Checkpoints

extension Checkpoint {
    /// The checkpoint with fewer KV heads, its lineage saying from what and how; training state is dropped.
    public func converted(kvHeads: Int, method: any ConversionMethod, seed: UInt64 = 0) throws -> (Checkpoint, ConversionReport) {
        let (childConfig, childParameters, report) = try Converter(kvHeads: kvHeads, method: method, seed: seed)
            .convert(config, parameters)
        var child = self
        child.config = childConfig
        child.parameters = childParameters
        child.trainingState = nil
        child.lineage.parentHash = lineage.contentHash
        child.lineage.contentHash = nil
        let before = (0..<config.layers).map { String(config.kvHeads[$0]) }
        let from = Set(before).count == 1 ? before[0] : "[\(before.joined(separator: " "))]"
        child.lineage.conversion = "\(report.method), \(from) to \(kvHeads) KV heads"
        child.lineage.toolVersion = Lineage.currentTool
        return (child, report)
    }
}
