import Conversion
import Models

/// An attention other than plain layers, as `model.attention` of a recipe names it, or a conversion to it.
public struct AttentionRecipe: Sendable, Hashable, Encodable {
    /// Its name among ``AttentionDesigns``.
    public var kind: String
    /// The values of its settings that were given.
    public var settings: DesignSettings
}

extension AttentionRecipe {
    /// Reads a design's settings; with `isConversion` the settings of the conversion to it, which decides the others itself.
    init(_ reader: ObjectReader, isConversion: Bool = false) throws(RecipeError) {
        let kind: String = try reader.value("kind")
        let conversion = isConversion ? ConversionMethods.all.first { $0.name == kind } : nil
        let own = AttentionDesigns.named(kind)?.settings ?? []
        let declared = conversion?.settings ?? own
        for setting in AttentionDesigns.all.flatMap({ $0.settings })
        where reader.has(setting.key) && !declared.contains(where: { $0.key == setting.key }) {
            let isDecided = own.contains { $0.key == setting.key }
            throw reader.impossible(
                at: setting.key, isDecided ? "is decided by the conversion" : "means nothing for kind \"\(kind)\"")
        }
        let reader = reader.of(kind: kind)
        self.init(kind: kind, settings: try reader.settings(declared))
        try reader.finish()
    }

    /// The kind beside the settings.
    public func encode(to encoder: any Encoder) throws {
        try settings.values.merging(["kind": .choice(kind)]) { $1 }.encode(to: encoder)
    }

    /// A short name for tables and folders: mla-r32, cla2, yoco-w64, hybrid-w64-f4.
    public var name: String { design(headDim: 1)?.label ?? kind }

    /// The design for heads of `headDim`; nil for an unknown kind.
    public func design(headDim: Int) -> (any AttentionDesign)? { AttentionDesigns.named(kind)?.init(settings, headDim: headDim) }
}

extension ObjectReader {
    /// The values of `declared` settings that are given, choices always.
    func settings(_ declared: [DesignSetting]) throws(RecipeError) -> DesignSettings {
        var settings: DesignSettings = [:]
        for setting in declared {
            switch setting.kind {
            case .integer: settings[setting.key] = try int(setting.key)
            case .flag: settings.values[setting.key] = try bool(setting.key).map(DesignSettings.Value.flag)
            case .choice: settings.values[setting.key] = .choice(try value(setting.key))
            }
            if setting.isRequired { _ = try require(setting.key, settings.values[setting.key]) }
        }
        return settings
    }
}
