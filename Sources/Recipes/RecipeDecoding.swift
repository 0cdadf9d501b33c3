import Kernels
import Models

extension Recipe {
    /// Reads a merged document; throws the first thing wrong with it.
    init(_ node: JSONNode) throws(RecipeError) {
        var reader = try ObjectReader(node, path: "")
        _ = try reader.string("extends")
        name = try reader.string("name") ?? "run"
        guard !name.isEmpty, !name.contains("/"), !name.hasPrefix(".") else {
            throw .impossible(reader.position(of: "name"), path: "name", reason: "'\(name)' cannot name a directory")
        }
        seed = try reader.int("seed", 0...Int.max) ?? 0
        if var section = try reader.object("init") { `init` = try InitRecipe(&section) }
        if var section = try reader.object("uptrain") { uptrain = try UptrainRecipe(&section) }
        if var section = try reader.object("tokenizer") { tokenizer = try TokenizerRecipe(&section) }
        if var section = try reader.object("model") { model = try ModelRecipe(&section) }
        var dataSection = try reader.require("data", try reader.object("data"))
        data = try DataRecipe(&dataSection)
        // A lab over given parents trains nothing but uptrainings.
        let hasGivenParents = reader.has("lab") && (`init` != nil || node["lab"]?["sweep"]?["parents"] != nil)
        let lengths: String? =
            if hasGivenParents {
                node["lab"]?["sweep"] == nil
                    ? "lab.steps, lab.tokens or lab.alpha" : "lab.sweep.steps, lab.sweep.tokens or lab.sweep.alphas"
            } else {
                uptrain.map { _ in "uptrain.steps, uptrain.tokens or uptrain.alpha" }
            }
        if var section = try reader.object("train") {
            train = try TrainRecipe(&section, uptraining: lengths, of: hasGivenParents ? "lab" : "uptrain")
        } else if let lengths {
            var section = try ObjectReader(JSONNode(value: .object([]), position: reader.position), path: "train")
            train = try TrainRecipe(&section, uptraining: lengths, of: "uptrain")
        } else {
            throw .missing(reader.position, path: "train")
        }
        if var section = try reader.object("lab") { lab = try LabRecipe(&section, hasGivenParents: hasGivenParents) }
        try reader.finish()
        try checkSections(reader, node)
    }

    /// Refuses what the checkpoints named by `key` give.
    private func checkGiven(_ key: String, _ reader: ObjectReader) throws(RecipeError) {
        for section in ["model", "tokenizer"] where reader.has(section) {
            throw .impossible(
                reader.position(of: section), path: section, reason: "the checkpoint named by '\(key)' gives it; leave it out")
        }
    }

    /// Refuses what a lab decides about its parent itself.
    private func checkLab(of start: InitRecipe, _ reader: ObjectReader, _ node: JSONNode) throws(RecipeError) {
        let reasons = [
            ("convert", start.convert != nil, "a lab converts its parent itself: 'lab' names the children"),
            ("parent", start.parent != nil, "a lab's children learn from 'checkpoint'"),
        ]
        for (key, isGiven, reason) in reasons where isGiven {
            throw .impossible(
                node["init"]?[key]?.position ?? reader.position, path: "init.\(key)", reason: "\(reason); leave it out")
        }
    }

    private func checkSections(_ reader: ObjectReader, _ node: JSONNode) throws(RecipeError) {
        let givenParents = lab?.sweep?.parents
        if let start = `init` {
            try checkGiven("init", reader)
            if lab != nil { try checkLab(of: start, reader, node) }
            guard givenParents == nil else {
                throw .impossible(
                    node["lab"]?["sweep"]?["parents"]?.position ?? reader.position, path: "lab.sweep.parents",
                    reason: "'init' names a parent already; leave one of them out")
            }
        } else if givenParents != nil {
            try checkGiven("lab.sweep.parents", reader)
        } else {
            guard model != nil else { throw .missing(reader.position, path: "model") }
            guard tokenizer != nil else { throw .missing(reader.position, path: "tokenizer") }
        }
        guard uptrain == nil || `init` != nil && lab == nil else {
            throw .impossible(
                reader.position(of: "uptrain"), path: "uptrain",
                reason: lab == nil
                    ? "uptraining starts from a checkpoint; add 'init'"
                    : "'lab' says how its children are uptrained; leave it out")
        }
        if let start = `init`, lab == nil, start.parent != nil, uptrain?.usesParent != true {
            throw .impossible(
                node["init"]?["parent"]?.position ?? reader.position, path: "init.parent",
                reason: "nothing looks at the parent: 'uptrain' has neither 'distill' nor 'stopAt'; leave it out or add one")
        }
        for (key, value) in [("train", train.seq), ("lab", lab?.seq)] {
            guard let model, let seq = value, seq > model.maxSeq else { continue }
            throw .impossible(
                node[key]?["seq"]?.position ?? reader.position, path: "\(key).seq",
                reason: "\(seq) tokens, but model.maxSeq is \(model.maxSeq)")
        }
        for (section, batch) in [("uptrain", uptrain?.batch), ("lab", lab?.batch)] {
            guard let batch, batch % train.accumulation != 0 else { continue }
            throw .impossible(
                node["train"]?["accumulation"]?.position ?? reader.position, path: "train.accumulation",
                reason: "\(section)'s batch of \(batch) cannot be cut in \(train.accumulation) equal parts")
        }
        if let sweep = lab?.sweep {
            let stepTokens = (lab?.batch ?? train.batch ?? 1) * (lab?.seq ?? train.seq ?? 1)
            try sweep.check(node["lab"]?["sweep"], model: model, train: train, stepTokens: stepTokens)
        }
        for (index, child) in (lab?.children ?? []).enumerated() {
            let (architecture, parents) = (child.conversion.architecture, model?.kvHeads ?? [])
            let place = node["lab"]?["children"]?[index]?["kvHeads"]?.position ?? reader.position
            if let attention = architecture.attention, let model {
                do { try child.conversion.check(model) } catch {
                    throw .impossible(
                        node["lab"]?["children"]?[index]?["attention"]?.position ?? reader.position,
                        path: "lab.children[\(index)].attention", reason: "\(attention.name) in a model of this shape: \(error)")
                }
            }
            if let heads = architecture.kvHeads, let count = parents.first(where: { $0 % heads != 0 }) {
                throw .impossible(
                    place, path: "lab.children[\(index)].kvHeads",
                    reason: "\(count) KV heads cannot form \(heads) equal groups")
            }
        }
    }
}

extension DataRecipe {
    init(_ reader: inout ObjectReader) throws(RecipeError) {
        files = try reader.require("files", try reader.strings("files"))
        guard !files.isEmpty else { throw .impossible(reader.position(of: "files"), path: "data.files", reason: "names no file") }
        documentSeparator = try reader.string("documentSeparator")
        guard documentSeparator != "" else {
            throw .impossible(reader.position(of: "documentSeparator"), path: "data.documentSeparator", reason: "is empty")
        }
        if var section = try reader.object("validation") {
            validation = Validation(
                fraction: try section.double("fraction", 0.0001...0.9) ?? 0.05,
                by: try section.choice("by", SplitRule.self) ?? .position)
            try section.finish()
        } else {
            validation = Validation(fraction: 0.05, by: .position)
        }
        packing = try reader.choice("packing", Packing.self) ?? .packed
        cache = try reader.string("cache") ?? "runs/cache"
        try reader.finish()
    }
}

extension TokenizerRecipe {
    init(_ reader: inout ObjectReader) throws(RecipeError) {
        kind = try reader.require("kind", try reader.choice("kind", Kind.self))
        vocabSize = try reader.int("vocabSize", 257...(1 << 20))
        path = try reader.string("path")
        switch kind {
        case .bpe:
            if vocabSize == nil { throw .missing(reader.position, path: "tokenizer.vocabSize") }
            try refuse("path", path != nil, reader)
        case .byte:
            try refuse("path", path != nil, reader)
            try refuse("vocabSize", vocabSize != nil, reader)
        case .file:
            if path == nil { throw .missing(reader.position, path: "tokenizer.path") }
            try refuse("vocabSize", vocabSize != nil, reader)
        }
        try reader.finish()
    }

    private func refuse(_ key: String, _ present: Bool, _ reader: ObjectReader) throws(RecipeError) {
        if present {
            throw .impossible(
                reader.position(of: key), path: "tokenizer.\(key)", reason: "means nothing for kind \"\(kind.rawValue)\"")
        }
    }
}

extension ModelRecipe {
    init(_ reader: inout ObjectReader) throws(RecipeError) {
        let sizes = 1...(1 << 20)
        dim = try reader.require("dim", try reader.int("dim", sizes))
        layers = try reader.require("layers", try reader.int("layers", 1...4096))
        heads = try reader.require("heads", try reader.intOrList("heads"))
        kvHeads = try reader.intOrList("kvHeads") ?? heads
        let (dim, heads) = (dim, heads)
        let inferred = heads.allSatisfy { dim % $0 == 0 } ? heads.map { dim / $0 } : nil
        guard let headDim = try reader.intOrList("headDim") ?? inferred else {
            throw .impossible(
                reader.position(of: "heads"), path: "model.heads",
                reason: "a dim of \(dim) cannot be cut into \(heads.first { dim % $0 != 0 } ?? 0) heads; say 'headDim' as well"
            )
        }
        self.headDim = headDim
        ffn = try reader.require("ffn", try reader.int("ffn", sizes))
        ropeTheta = try reader.double("ropeTheta", 1...1e12) ?? 10_000
        normEps = try reader.double("normEps", 1e-12...1) ?? 1e-5
        tied = try reader.bool("tied") ?? true
        maxSeq = try reader.int("maxSeq", 1...(1 << 24)) ?? 1024
        if var section = try reader.object("attention") { attention = try AttentionRecipe(&section) }
        try reader.finish()
        for (key, values) in [("heads", heads), ("kvHeads", kvHeads), ("headDim", self.headDim)]
        where values.count != 1 && values.count != layers {
            throw .impossible(
                reader.position(of: key), path: "model.\(key)", reason: "\(values.count) values for \(layers) layers")
        }
        for layer in 0..<layers {
            let (h, g, d) = (at(heads, layer), at(kvHeads, layer), at(self.headDim, layer))
            guard h % g == 0 else {
                throw .impossible(
                    reader.position(of: "kvHeads"), path: "model.kvHeads",
                    reason: "\(h) heads cannot share \(g) KV heads evenly (layer \(layer))")
            }
            guard d % 2 == 0 else {
                let source = reader.has("headDim") ? ("headDim", "") : ("heads", " (dim / heads)")
                throw .impossible(
                    reader.position(of: source.0), path: "model.headDim",
                    reason: "\(d)\(source.1) is odd (layer \(layer)); RoPE rotates pairs")
            }
        }
        guard let attention else { return }
        do {
            _ = try config(vocabularySize: 1)
        } catch {
            throw .impossible(
                reader.position(of: "attention"), path: "model.attention",
                reason: "\"\(attention.kind)\" in a model of this shape: \(error)")
        }
    }

    private func at(_ values: [Int], _ layer: Int) -> Int { values.count == 1 ? values[0] : values[layer] }
}

extension TrainRecipe {
    /// Reads the section; where `section` describes uptrainings, whose lengths' keys are `lengths`, without what it says of them.
    init(_ reader: inout ObjectReader, uptraining lengths: String?, of section: String) throws(RecipeError) {
        steps = try reader.int("steps")
        batch = try reader.int("batch", 1...(1 << 20))
        seq = try reader.int("seq", 1...(1 << 24))
        learningRate = try reader.double("learningRate", 1e-12...100)
        if let lengths {
            let given = [
                ("steps", steps != nil), ("seq", seq != nil), ("batch", batch != nil), ("learningRate", learningRate != nil),
            ]
            for (key, present) in given where present {
                throw .impossible(
                    reader.position(of: key), path: "train.\(key)",
                    reason: key == "steps"
                        ? "an uptraining has a length of its own; set \(lengths)"
                        : "an uptraining takes it from the parent; set \(section).\(key) to change it")
            }
        } else {
            _ = try reader.require("steps", steps)
            _ = try reader.require("batch", batch)
            _ = try reader.require("seq", seq)
            _ = try reader.require("learningRate", learningRate)
        }
        accumulation = try reader.int("accumulation", 1...(1 << 16)) ?? 1
        minLearningRateRatio = try reader.double("minLearningRateRatio", 0...1) ?? 0.1
        warmupSteps = try reader.int("warmupSteps", 0...(1 << 40)) ?? 0
        schedule = try reader.choice("schedule", Schedule.self) ?? .cosine
        decayFraction = try reader.double("decayFraction", 0...1) ?? 0.2
        weightDecay = try reader.double("weightDecay", 0...10) ?? 0.1
        beta1 = try reader.double("beta1", 0...0.999999) ?? 0.9
        beta2 = try reader.double("beta2", 0...0.999999) ?? 0.95
        epsilon = try reader.double("epsilon", 1e-20...1) ?? 1e-8
        clip = try reader.double("clip", 0...1e9) ?? 1
        dropout = try reader.double("dropout", 0...0.95) ?? 0
        dtype = try reader.choice("dtype", ComputePrecision.self) ?? .fp32
        recompute = try reader.choice("recompute", Recompute.self) ?? .none
        validateEvery = try reader.int("validateEvery", 0...(1 << 40)) ?? 0
        validationSequences = try reader.int("validationSequences", 1...(1 << 30)) ?? 64
        sampleEvery = try reader.int("sampleEvery", 0...(1 << 40)) ?? 0
        samplePrompt = try reader.string("samplePrompt") ?? "The "
        sampleTokens = try reader.int("sampleTokens", 1...(1 << 20)) ?? 40
        checkpointEvery = try reader.int("checkpointEvery", 0...(1 << 40)) ?? 0
        threads = try reader.int("threads", 1...1024)
        try reader.finish()
        if let steps, warmupSteps > steps {
            throw .impossible(
                reader.position(of: "warmupSteps"), path: "train.warmupSteps",
                reason: "\(warmupSteps) of \(steps) steps; warm-up must fit in")
        }
        if let steps, schedule == .wsd, Double(warmupSteps) > Double(steps) * (1 - decayFraction) {
            throw .impossible(
                reader.position(of: "decayFraction"), path: "train.decayFraction",
                reason: "the decay (\(decayFraction) of \(steps) steps) begins before the warm-up's \(warmupSteps) steps are over"
            )
        }
        if let batch, batch % accumulation != 0 {
            throw .impossible(
                reader.position(of: "accumulation"), path: "train.accumulation",
                reason: "a batch of \(batch) cannot be cut in \(accumulation) equal parts")
        }
    }
}

extension InitRecipe {
    init(_ reader: inout ObjectReader) throws(RecipeError) {
        checkpoint = try reader.require("checkpoint", try reader.string("checkpoint"))
        if var section = try reader.object("convert") {
            convert = Convert(try ConversionRecipe(&section), seed: try section.int("seed", 0...Int.max) ?? 0)
            try section.finish()
        }
        parent = try reader.string("parent")
        guard parent == nil || convert == nil else {
            throw .impossible(
                reader.position(of: "parent"), path: "init.parent",
                reason: "with 'convert' the parent is 'checkpoint'; leave one of them out")
        }
        try reader.finish()
    }
}

extension UptrainRecipe {
    init(_ reader: inout ObjectReader) throws(RecipeError) {
        length = try reader.uptrainLength() ?? .standard
        parentTokens = try reader.parentTokens(hasShare: length.alpha != nil)
        learningRate = try reader.double("learningRate", 1e-12...100)
        batch = try reader.int("batch", 1...(1 << 20))
        seq = try reader.int("seq", 1...(1 << 24))
        distill = try reader.distill()
        stopAt = try reader.stopAt()
        keyValueShare = try reader.double("keyValueShare", 0...1)
        seed = try reader.int("seed", 0...Int.max)
        try reader.finish()
    }
}

extension ObjectReader {
    fileprivate mutating func distill() throws(RecipeError) -> UptrainRecipe.Distill? {
        guard var section = try object("distill") else { return nil }
        let distill = UptrainRecipe.Distill(
            weight: try section.double("weight", 0...1) ?? 0.5, temperature: try section.double("temperature", 0.01...100) ?? 1,
            hidden: try section.double("hidden", 0...1e6) ?? 0)
        guard distill.weight > 0 || distill.hidden > 0 else {
            throw .impossible(
                section.position, path: section.path, reason: "with 'weight' and 'hidden' 0 nothing is learnt from the parent")
        }
        try section.finish()
        return distill
    }

    fileprivate mutating func stopAt() throws(RecipeError) -> UptrainRecipe.StopAt? {
        guard var section = try object("stopAt") else { return nil }
        let percent = try section.require("withinParentPercent", try section.double("withinParentPercent", 0...1000))
        let stop = UptrainRecipe.StopAt(withinParentPercent: percent, every: try section.int("every", 1...(1 << 40)))
        try section.finish()
        return stop
    }
}

extension LabRecipe {
    init(_ reader: inout ObjectReader, hasGivenParents: Bool) throws(RecipeError) {
        if var section = try reader.object("sweep") {
            sweep = try SweepRecipe(&section, hasGivenParents: hasGivenParents)
        }
        for (key, own) in [("children", "axes"), ("alpha", "'alphas'"), ("steps", "'steps'"), ("tokens", "'tokens'")]
        where sweep != nil && reader.has(key) {
            throw .impossible(
                reader.position(of: key), path: "lab.\(key)", reason: "a sweep has its own \(own); leave it or 'sweep' out")
        }
        let found = try reader.objects("children")
        let sections = sweep == nil ? try reader.require("children", found) : []
        var children: [Child] = []
        for var section in sections {
            let conversion = try ConversionRecipe(&section)
            let architecture = conversion.architecture
            let name =
                try section.string("name") ?? architecture.attention?.name ?? "\(architecture.name)-\(conversion.method)"
            guard !name.isEmpty, !name.contains("/"), !name.hasPrefix("."), !["parent", "control", "lock"].contains(name) else {
                throw .impossible(
                    section.position(of: "name"), path: section.keyPath("name"), reason: "'\(name)' cannot name a child")
            }
            guard !children.contains(where: { $0.name == name }) else {
                throw .impossible(
                    section.position, path: section.path, reason: "a second child is called '\(name)'; give it a 'name'")
            }
            try section.finish()
            children.append(Child(name: name, conversion: conversion))
        }
        guard !children.isEmpty || sweep != nil else {
            throw .impossible(reader.position(of: "children"), path: "lab.children", reason: "is empty")
        }
        self.children = children
        length = try reader.uptrainLength() ?? .standard
        parentTokens = try reader.parentTokens(hasShare: (sweep?.lengths.first ?? length).alpha != nil)
        guard parentTokens == nil || hasGivenParents else {
            throw .impossible(
                reader.position(of: "parentTokens"), path: "lab.parentTokens",
                reason: "the lab trains its parent itself, whose tokens are known; leave it out")
        }
        learningRate = try reader.double("learningRate", 1e-12...100)
        batch = try reader.int("batch", 1...(1 << 20))
        seq = try reader.int("seq", 1...(1 << 24))
        distill = try reader.distill()
        stopAt = try reader.stopAt()
        keyValueShare = try reader.double("keyValueShare", 0...1)
        control = try reader.bool("control") ?? true
        if var section = try reader.object("evaluation") {
            evaluation = try Evaluation(&section)
        } else {
            var section = try ObjectReader(JSONNode(value: .object([]), position: reader.position), path: "lab.evaluation")
            evaluation = try Evaluation(&section)
        }
        try reader.finish()
    }
}

extension LabRecipe.Evaluation {
    init(_ reader: inout ObjectReader) throws(RecipeError) {
        text = try reader.string("text")
        window = try reader.int("window", 1...(1 << 24)) ?? 256
        contextTokens = try reader.int("contextTokens", 1...(1 << 30)) ?? 4096
        batch = try reader.int("batch", 1...(1 << 20)) ?? 1
        kvDtype = try reader.string("kvDtype") ?? "fp16"
        guard KVEncoding(name: kvDtype) != nil else {
            throw .wrongType(
                reader.position(of: "kvDtype"), path: reader.keyPath("kvDtype"), found: "\"\(kvDtype)\"",
                expected: "one of " + KVEncoding.all.map { "\"\($0.name)\"" }.joined(separator: ", "))
        }
        try reader.finish()
    }
}
