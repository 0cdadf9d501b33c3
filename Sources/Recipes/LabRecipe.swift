import Evaluation
import Inference
import Models

/// A whole experiment: convert the trained or given model, uptrain the children, compare.
public struct LabRecipe: Sendable, Hashable, Encodable {
    /// One conversion of the parent, whose result is uptrained.
    public struct Child: Sendable, Hashable, Encodable {
        /// Its name in tables.
        public var name: String
        /// Its conversion.
        public var conversion: ConversionRecipe

        /// The name beside the conversion's own keys.
        public func encode(to encoder: any Encoder) throws {
            try ["name": name].encode(to: encoder)
            try conversion.encode(to: encoder)
        }
    }

    /// The evaluation of every model.
    public struct Evaluation: Sendable, Hashable, Encodable {
        /// A text to score; nil: the validation part.
        public var text: String?
        /// Text tokens in a window.
        public var window: Int
        /// Tokens of the cache sizes shown.
        public var contextTokens: Int
        /// Sequences of the cache sizes shown.
        public var batch: Int
        /// Element type of the cache sizes shown: fp32, fp16 or bf16.
        public var kvDtype: String
        /// Tokens of a window's prompt where models are scored through caches, a BOS included; nil: half the window.
        public var prefill: Int?
        /// Bits per byte above the parent's, in percent of them, that a recommended cache may cost; nil: ``standardPercent``.
        public var withinPercent: Double?
        /// Evaluations of every model beside the text; nil: none.
        public var tasks: [EvaluationSpec]?

        /// The encoding that ``kvDtype`` names.
        public var encoding: CacheEncoding { CacheEncoding(kvDtype) ?? .standard }

        /// The limit of recommendations where nothing else is said, in percent of the parent's bits per byte.
        public static let standardPercent = 1.0
    }

    /// The children that the parent is converted to; empty for a sweep.
    public var children: [Child]
    /// The axes of a sweep, in place of `children`.
    public var sweep: SweepRecipe?
    /// The length of each child's uptraining; a sweep has lengths of its own.
    public var length: UptrainLength
    /// The other settings of each child's uptraining.
    public var uptrain: UptrainSettings
    /// Whether the parent is continued for the same tokens.
    public var control: Bool
    /// The evaluation of every model.
    public var evaluation: Evaluation
    /// Caches that every model is measured through; nil: none.
    public var compression: [CacheSpec]?

    /// The name of the uptraining of the child called `name` through the compressed cache.
    public static func throughName(_ name: String) -> String { name + "-through" }

    /// Every child: those listed, or the product of the sweep's axes.
    public var allChildren: [Child] { sweep?.children ?? children }
    /// Lengths of the uptrainings, ascending.
    public var lengths: [UptrainLength] { sweep?.lengths ?? [length] }

    private enum CodingKeys: String, CodingKey { case children, sweep, control, evaluation, compression }

    /// As the recipe has it: children and the length of their uptrainings, or a sweep, beside the uptrainings' other keys.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        if let sweep {
            try container.encode(sweep, forKey: .sweep)
        } else {
            try container.encode(children, forKey: .children)
            try [length.key: length].encode(to: encoder)
        }
        try uptrain.encode(to: encoder)
        try container.encode(control, forKey: .control)
        try container.encode(evaluation, forKey: .evaluation)
        try container.encodeIfPresent(compression, forKey: .compression)
    }
}

extension LabRecipe {
    init(_ reader: ObjectReader, hasGivenParents: Bool) throws(RecipeError) {
        if let section = try reader.object("sweep") {
            sweep = try SweepRecipe(section, hasGivenParents: hasGivenParents)
        }
        for (key, own) in [("children", "axes"), ("alpha", "'alphas'"), ("steps", "'steps'"), ("tokens", "'tokens'")]
        where sweep != nil && reader.has(key) {
            throw reader.impossible(at: key, "a sweep has its own \(own); leave it or 'sweep' out")
        }
        let found = try reader.objects("children")
        let sections = sweep == nil ? try reader.require("children", found) : []
        var children: [Child] = []
        for section in sections {
            let conversion = try ConversionRecipe(section)
            let architecture = conversion.architecture
            let name =
                try section.string("name") ?? architecture.attention?.name ?? "\(architecture.name)-\(conversion.method)"
            guard !name.isEmpty, !name.contains("/"), !name.hasPrefix("."), !["parent", "control", "lock"].contains(name) else {
                throw section.impossible(at: "name", "'\(name)' cannot name a child")
            }
            guard !children.contains(where: { $0.name == name }) else {
                throw section.impossible("a second child is called '\(name)'; give it a 'name'")
            }
            try section.finish()
            children.append(Child(name: name, conversion: conversion))
        }
        guard !children.isEmpty || sweep != nil else {
            throw reader.impossible(at: "children", "is empty")
        }
        for (child, section) in zip(children, sections) where reader.has("through") {
            guard let other = children.first(where: { Self.throughName($0.name) == child.name }) else { continue }
            throw section.impossible(
                "the uptraining of '\(other.name)' through 'lab.through' is called '\(child.name)'; give it another 'name'")
        }
        self.children = children
        length = try reader.uptrainLength() ?? .standard
        evaluation = try Evaluation(reader.section("evaluation"))
        uptrain = try UptrainSettings(
            reader, hasShare: (sweep?.lengths.first ?? length).alpha != nil, defaults: evaluation.encoding)
        guard uptrain.parentTokens == nil || hasGivenParents else {
            throw reader.impossible(at: "parentTokens", "the lab trains its parent itself, whose tokens are known; leave it out")
        }
        control = try reader.value("control")
        compression = try reader.distinct("compression") { (section) throws(RecipeError) in
            try section.cache(defaults: evaluation.encoding)
        }
        try reader.finish()
    }
}

extension LabRecipe.Evaluation {
    init(_ reader: ObjectReader) throws(RecipeError) {
        text = try reader.string("text")
        window = try reader.value("window")
        contextTokens = try reader.value("contextTokens")
        batch = try reader.value("batch")
        kvDtype = try reader.value("kvDtype")
        prefill = try reader.int("prefill")
        withinPercent = try reader.value("withinPercent") as Double
        tasks = try reader.distinct("tasks") { (section) throws(RecipeError) in try section.task() }
        guard prefill.map({ $0 < window }) ?? true else {
            throw reader.impossible(at: "prefill", "\(prefill ?? 0) tokens, expected less than the \(window) of 'window'")
        }
        try reader.finish()
    }
}
