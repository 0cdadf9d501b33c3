import Checkpoints
import Models

extension Checkpoint {
    /// The checkpoint with fewer KV heads, its lineage saying from what and how; training state is dropped.
    public func converted(
        by converter: Converter, progress: (String) throws -> Void = { _ in }
    ) throws -> (Checkpoint, ConversionReport) {
        let (childConfig, childParameters, report) = try converter.convert(config, parameters, progress: progress)
        var child = self
        child.config = childConfig
        child.parameters = childParameters
        child.trainingState = nil
        child.lineage.parentHash = lineage.contentHash
        child.lineage.contentHash = nil
        child.lineage.figures = nil
        func text(_ heads: PerLayer<Int>) -> String {
            heads.uniform.map(String.init) ?? "[" + (0..<config.layers).map { String(heads[$0]) }.joined(separator: " ") + "]"
        }
        var how = report.method
        if report.grouping != .contiguous { how += " by \(report.grouping.rawValue)" }
        if let tokens = report.calibrationTokens { how += " on \(tokens) tokens" }
        child.lineage.conversion = "\(how), \(text(config.kvHeads)) to \(text(childConfig.kvHeads)) KV heads"
        child.lineage.toolVersion = Lineage.currentTool
        return (child, report)
    }
}
