import Models

/// The settings of an uptraining beside its length and its seed: of a run, or of each child of a lab.
public struct UptrainSettings: Sendable, Hashable, Encodable {
    /// Tokens of a given parent's training, which `alpha` takes a share of; nil: as its checkpoint says.
    public var parentTokens: Int?
    /// Peak learning rate; nil: the parent's.
    public var learningRate: Double?
    /// Sequences in a step; nil: the parent's.
    public var batch: Int?
    /// Tokens in a sequence; nil: the parent's.
    public var seq: Int?
    /// Distillation from the parent beside the text; nil: the text alone.
    public var distill: UptrainRecipe.Distill?
    /// The bound that ends the uptraining early; nil for none.
    public var stopAt: UptrainRecipe.StopAt?
    /// The compressed cache that the model is trained and validated through, in a lab once more than without; nil for none.
    public var through: UptrainRecipe.Through?
    /// Share of the steps, from the first on, in which only key, value and output projections learn; nil: none.
    public var keyValueShare: Double?

    /// Settings that are the parent's or left out.
    public init() {}

    /// Whether the uptraining reads the parent: distils from it or stops near its loss.
    public var usesParent: Bool { distill != nil || stopAt != nil }
}

extension UptrainSettings {
    /// Reads the settings among an object's keys.
    ///
    /// - Parameters:
    ///   - hasShare: whether the length is a share of the parent's training, without which its tokens mean nothing.
    ///   - defaults: the encoding of a cache that names none.
    init(_ reader: ObjectReader, hasShare: Bool, defaults: CacheEncoding = .standard) throws(RecipeError) {
        parentTokens = try reader.parentTokens(hasShare: hasShare)
        learningRate = try reader.double("learningRate")
        batch = try reader.int("batch")
        seq = try reader.int("seq")
        distill = try reader.distill()
        stopAt = try reader.stopAt()
        through = try reader.through(defaults: defaults)
        keyValueShare = try reader.double("keyValueShare")
    }
}

extension ObjectReader {
    fileprivate func distill() throws(RecipeError) -> UptrainRecipe.Distill? {
        guard let section = try object("distill") else { return nil }
        let distill = UptrainRecipe.Distill(
            weight: try section.value("weight"), temperature: try section.value("temperature"),
            hidden: try section.value("hidden"))
        guard distill.weight > 0 || distill.hidden > 0 else {
            throw section.impossible("with 'weight' and 'hidden' 0 nothing is learnt from the parent")
        }
        try section.finish()
        return distill
    }

    fileprivate func stopAt() throws(RecipeError) -> UptrainRecipe.StopAt? {
        guard let section = try object("stopAt") else { return nil }
        let stop = UptrainRecipe.StopAt(
            withinParentPercent: try section.value("withinParentPercent"), every: try section.int("every"))
        try section.finish()
        return stop
    }

    /// The parent's tokens, which only a share needs.
    fileprivate func parentTokens(hasShare: Bool) throws(RecipeError) -> Int? {
        let tokens = try int("parentTokens")
        guard tokens == nil || hasShare else {
            throw impossible(at: "parentTokens", "is what alpha takes a share of; the length doesn't depend on it")
        }
        return tokens
    }
}
