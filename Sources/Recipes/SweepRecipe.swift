import Conversion
import Models

/// The axes of a sweep: its models are their product, with a parent for each seed and controls for each token budget.
public struct SweepRecipe: Sendable, Hashable, Encodable {
    /// Checkpoints to convert, in any format that is read; nil: the recipe's own parent, trained or named by `init`.
    public var parents: [String]?
    /// The attentions of the children.
    public var architectures: [ChildArchitecture]
    /// Conversion methods.
    public var methods: [String]
    /// The grouping of heads.
    public var grouping: String
    /// Tokens of the training text to calibrate methods on, which read the parent's activations.
    public var calibrationTokens: Int
    /// Lengths of the uptrainings, ascending, all in one unit.
    public var lengths: [UptrainLength]
    /// Seeds of the parents: their weights, order of data and held-out documents; none for given parents, which have the recipe's seed.
    public var seeds: [Int]
    /// Seeds of the uptrainings of each parent: order of data, dropout, methods that draw; nil: one, which goes on in its parent's order.
    public var uptrainSeeds: [Int]?
    /// Whether each child's architecture is also trained from scratch on the tokens of the parent and the uptraining together.
    public var scratch: Bool
    /// The timing of decoding; nil for none.
    public var timing: Timing?
    /// The folder of the steps, which sweeps may share; nil: steps/ in the sweep's own.
    public var store: String?

    /// The product of the axes: each architecture by each of its conversions.
    public var children: [LabRecipe.Child] {
        architectures.flatMap { architecture in
            let conversions =
                architecture.attention.map {
                    [ConversionRecipe($0.kind, $0.settings, calibrationTokens: calibrationTokens)]
                }
                ?? methods.map { method in
                    ConversionRecipe(
                        method, ["kvHeads": .integer(architecture.kvHeads ?? 1), "grouping": .choice(grouping)],
                        calibrationTokens: calibrationTokens)
                }
            return conversions.map { LabRecipe.Child(name: "\(architecture.name)-\($0.methodName)", conversion: $0) }
        }
    }

    /// Seconds of decoding a token, measured on the paged cache in process.
    public struct Timing: Sendable, Hashable, Encodable {
        /// Sequences decoded at once.
        public var batch: Int
        /// Tokens in the cache of each when decoding begins.
        public var context: Int
        /// Tokens decoded for each.
        public var tokens: Int
        /// Rounds over all architectures, one more before them.
        public var rounds: Int
    }

    private enum CodingKeys: String, CodingKey {
        case parents, kvHeads, architectures, methods, grouping, calibrationTokens, alphas, steps, tokens, seeds, uptrainSeeds,
            scratch, timing, store
    }

    /// As the recipe has it.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        let (heads, designs) = (architectures.compactMap(\.kvHeads), architectures.compactMap(\.attention))
        try container.encodeIfPresent(parents, forKey: .parents)
        if !heads.isEmpty { try container.encode(heads, forKey: .kvHeads) }
        if !designs.isEmpty { try container.encode(designs, forKey: .architectures) }
        try container.encode(methods, forKey: .methods)
        try container.encode(grouping, forKey: .grouping)
        try container.encode(calibrationTokens, forKey: .calibrationTokens)
        try container.encode(lengths, forKey: CodingKeys(stringValue: Self.key(of: lengths)) ?? .alphas)
        if !seeds.isEmpty { try container.encode(seeds, forKey: .seeds) }
        try container.encodeIfPresent(uptrainSeeds, forKey: .uptrainSeeds)
        try container.encode(scratch, forKey: .scratch)
        try container.encodeIfPresent(timing, forKey: .timing)
        try container.encodeIfPresent(store, forKey: .store)
    }
}

/// The attention of a child: the target of a conversion, and the shape of its control from scratch.
public struct ChildArchitecture: Sendable, Hashable {
    /// KV heads of every layer; nil for another attention.
    public let kvHeads: Int?
    /// Another attention; nil for KV heads.
    public let attention: AttentionRecipe?

    /// Grouped-query attention with `kvHeads` KV heads.
    public init(kvHeads: Int) {
        self.kvHeads = kvHeads
        attention = nil
    }

    /// Another attention, whose conversion has one method of its own.
    public init(attention: AttentionRecipe) {
        self.attention = attention
        kvHeads = nil
    }

    /// A short name: kv2, mla-r32.
    public var name: String { attention?.name ?? "kv\(kvHeads ?? 0)" }

    /// `model` with this attention, to train from scratch.
    public func applied(to model: ModelRecipe) -> ModelRecipe {
        var model = model
        if let kvHeads { model.kvHeads = [kvHeads] }
        model.attention = nil
        if let attention, let method = ConversionMethods.named(attention.kind, attention.settings),
            let design = method.design(headDim: model.headDim[0])
        {
            let added = design.headDim - model.headDim[0]
            model.attention = AttentionRecipe(kind: attention.kind, settings: design.settings)
            model.headDim = model.headDim.map { $0 + added }
        }
        return model
    }
}

extension SweepRecipe {
    init(_ reader: ObjectReader, hasGivenParents: Bool) throws(RecipeError) {
        if let paths = try reader.strings("parents") { parents = try reader.axis("parents", paths, nil) }
        let heads = try reader.integers("kvHeads")
        var designs: [AttentionRecipe] = []
        for section in try reader.objects("architectures") ?? [] {
            designs.append(try AttentionRecipe(section, isConversion: true))
        }
        architectures = try reader.axis("kvHeads", heads, designs.isEmpty ? nil : []).map(ChildArchitecture.init(kvHeads:))
        for (index, design) in designs.enumerated() {
            guard !architectures.contains(where: { $0.name == design.name }) else {
                throw .impossible(
                    reader.position(of: "architectures"), path: "\(reader.keyPath("architectures"))[\(index)]",
                    reason: "\(design.name) stands there twice")
            }
            architectures.append(ChildArchitecture(attention: design))
        }
        methods = try reader.axis("methods", try reader.value("methods"), nil)
        grouping = try reader.value("grouping")
        calibrationTokens = try reader.value("calibrationTokens")
        lengths = try reader.lengths()
        let draws = try reader.integers("seeds")
        guard draws == nil || !hasGivenParents else {
            throw reader.impossible(at: "seeds", "the parents are given, not drawn; 'uptrainSeeds' repeats their uptrainings")
        }
        seeds = hasGivenParents ? [] : try reader.axis("seeds", draws, [0])
        if let again = try reader.integers("uptrainSeeds") {
            uptrainSeeds = try reader.axis("uptrainSeeds", again, nil)
        }
        scratch = try reader.value("scratch")
        guard !scratch || !hasGivenParents else {
            throw reader.impossible(
                at: "scratch",
                "a given parent's training cannot be repeated for the child's architecture; the parent continued is the control"
            )
        }
        if let section = try reader.object("timing") {
            timing = Timing(
                batch: try section.value("batch"), context: try section.value("context"), tokens: try section.value("tokens"),
                rounds: try section.value("rounds"))
            try section.finish()
        }
        store = try reader.string("store")
        guard store != "" else {
            throw reader.impossible(at: "store", "is empty")
        }
        try reader.finish()
    }

    /// Refuses axes that don't fit the parent; `node` is the whole recipe.
    ///
    /// - Parameter stepTokens: tokens in a step of the uptrainings.
    func check(_ node: JSONNode, model: ModelRecipe?, train: TrainRecipe, stepTokens: Int) throws(RecipeError) {
        for (index, architecture) in architectures.enumerated() {
            if let kvHeads = architecture.kvHeads, let count = model?.kvHeads.first(where: { $0 % kvHeads != 0 }) {
                throw node.impossible(
                    at: "lab.sweep.kvHeads[\(index)]", "\(count) KV heads cannot form \(kvHeads) equal groups")
            }
            guard let attention = architecture.attention, let model else { continue }
            let place = "lab.sweep.architectures[\(index - architectures.count { $0.kvHeads != nil })]"
            guard model.attention == nil else {
                throw node.impossible(at: place, "the parent has another attention already")
            }
            do { try ConversionRecipe(attention.kind, attention.settings).check(model) } catch {
                throw node.impossible(at: place, "\(architecture.name) in a model of this shape: \(error)")
            }
        }
        if let steps = train.steps, let reason = UptrainLength.repetition(in: lengths, ofParent: steps, stepTokens: stepTokens) {
            throw node.impossible(at: "lab.sweep.\(SweepRecipe.key(of: lengths))", reason)
        }
        if let timing, let model, timing.context + timing.tokens > model.maxSeq {
            throw node.impossible(
                at: "lab.sweep.timing",
                "\(timing.context) tokens of context and \(timing.tokens) decoded ones are beyond model.maxSeq, \(model.maxSeq)")
        }
    }

    /// The recipe's key of these lengths: alphas, steps or tokens.
    public static func key(of lengths: [UptrainLength]) -> String {
        lengths.first.map { $0.alpha == nil ? $0.key : "alphas" } ?? "alphas"
    }
}

extension ObjectReader {
    /// The lengths of a sweep's uptrainings, ascending, by the given one of `alphas`, `steps` and `tokens`.
    fileprivate func lengths() throws(RecipeError) -> [UptrainLength] {
        let (shares, steps, tokens) = (try doubles("alphas"), try integers("steps"), try integers("tokens"))
        let given: [(key: String, value: [UptrainLength]?)] = [
            ("alphas", shares?.sorted().map { .alpha($0) }), ("steps", steps?.sorted().map { .steps($0) }),
            ("tokens", tokens?.sorted().map { .tokens($0) }),
        ]
        let found = try single(given.compactMap { entry in entry.value.map { (entry.key, $0) } })
        return try axis(given.first { $0.value != nil }?.key ?? "alphas", found, [.standard])
    }

    /// The values of an axis: at least one, none twice.
    fileprivate func axis<Value: Hashable>(_ key: String, _ values: [Value]?, _ fallback: [Value]?) throws(RecipeError)
        -> [Value]
    {
        let values = try require(key, values ?? fallback)
        guard !values.isEmpty || fallback?.isEmpty == true, Set(values).count == values.count else {
            throw impossible(at: key, values.isEmpty ? "is empty" : "names a value twice")
        }
        return values
    }
}
