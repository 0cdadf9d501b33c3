import Text

extension TextSource {
    /// A text as its object in a recipe describes it.
    init(_ reader: ObjectReader) throws(RecipeError) {
        self.init(
            path: try reader.value("path"), format: try reader.choice("format", TextFormat.self),
            field: try reader.string("field"))
        guard field == nil || format != .text else {
            throw .impossible(
                reader.position(of: "field"), path: reader.keyPath("field"), reason: "plain text has no fields; leave it out")
        }
        try reader.finish()
    }
}
