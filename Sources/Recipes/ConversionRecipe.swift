import Conversion
import Models

/// A conversion: its method, the values of the method's settings, and its calibration text.
public struct ConversionRecipe: Sendable, Hashable, Encodable {
    /// The method's name among ``ConversionMethods``.
    public var method: String
    /// The values of its settings.
    public var settings: DesignSettings
    /// Tokens of the training text to calibrate methods on, which read the parent's activations.
    public var calibrationTokens: Int

    /// A conversion by `method`.
    public init(_ method: String, _ settings: DesignSettings, calibrationTokens: Int = Calibration.defaultTokens) {
        self.method = method
        self.settings = settings
        self.calibrationTokens = calibrationTokens
    }

    /// Reads `method` with its settings, or an `attention` that has a conversion of its own.
    init(_ reader: ObjectReader) throws(RecipeError) {
        if let section = try reader.object("attention") {
            for key in ["method"] + HeadMergeMethod.settings.map(\.key) where reader.has(key) {
                throw reader.impossible(at: key, "means nothing for another 'attention'; convert twice for both")
            }
            let attention = try AttentionRecipe(section, isConversion: true)
            (method, settings) = (attention.kind, attention.settings)
        } else {
            method = try reader.value("method")
            settings = try reader.settings(HeadMergeMethod.settings)
        }
        calibrationTokens = try reader.value("calibrationTokens")
    }

    /// As a recipe has it: settings of KV heads beside their method, those of another attention in an object of their own.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(calibrationTokens, forKey: .calibrationTokens)
        if let attention = architecture.attention {
            try container.encode(attention, forKey: .attention)
        } else {
            try container.encode(method, forKey: .method)
            try settings.values.encode(to: encoder)
        }
    }

    private enum CodingKeys: String, CodingKey { case method, attention, calibrationTokens }

    /// The method that loses least.
    public static let defaultMethod = ConversionMethods.defaultName(calibrated: true)

    /// The attention that it leads to.
    public var architecture: ChildArchitecture {
        AttentionDesigns.named(method) == nil
            ? ChildArchitecture(kvHeads: settings["kvHeads"] ?? 1)
            : ChildArchitecture(attention: AttentionRecipe(kind: method, settings: settings))
    }

    /// The merge's name, or "converted": another attention has one conversion of its own.
    public var methodName: String { architecture.attention == nil ? method : "converted" }

    /// The method with its settings; throws ``ConversionError/unknownMethod(_:)``.
    public func resolved() throws(ConversionError) -> any ConversionMethod {
        guard let method = ConversionMethods.named(method, settings) else { throw .unknownMethod(self.method) }
        return method
    }

    /// Throws the reason where a model of this shape has no such conversion.
    func check(_ model: ModelRecipe) throws { _ = try resolved().childConfig(model.config(vocabularySize: 1)) }
}
