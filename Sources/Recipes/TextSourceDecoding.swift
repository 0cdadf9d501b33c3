import Text

extension DataRecipe {
    /// Refuses files of which only some have weights, and shares too small to be drawn.
    static func checkWeights(_ files: [TextSource], _ position: SourcePosition) throws(RecipeError) {
        let sum = files.reduce(0) { $0 + ($1.weight ?? 0) }
        guard sum > 0 else { return }
        for (index, file) in files.enumerated() {
            guard let weight = file.weight else {
                throw .impossible(
                    position, path: "data.files[\(index)]", reason: "has no weight, but others have; give all of them one or none"
                )
            }
            guard weight / sum >= 1 / Double(MixedBatches.block) else {
                throw .impossible(
                    position, path: "data.files[\(index)].weight",
                    reason: "\(weight) of \(sum) is less than a thousandth, the least share that is drawn")
            }
        }
    }
}

extension TextSource {
    /// A text as its object in a recipe describes it.
    init(_ reader: ObjectReader) throws(RecipeError) {
        self.init(
            path: try reader.value("path"), format: try reader.choice("format", TextFormat.self),
            field: try reader.string("field"), weight: try reader.double("weight"))
        guard field == nil || format != .text else {
            throw reader.impossible(at: "field", "plain text has no fields; leave it out")
        }
        try reader.finish()
    }
}
