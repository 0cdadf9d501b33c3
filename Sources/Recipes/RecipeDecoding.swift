import Text

extension Recipe {
    /// Reads a merged document; throws the first thing wrong with it.
    init(_ node: JSONNode) throws(RecipeError) {
        let reader = try ObjectReader(node, path: "", .recipe)
        _ = try reader.string("extends")
        name = try reader.value("name")
        guard !name.isEmpty, !name.contains("/"), !name.hasPrefix(".") else {
            throw reader.impossible(at: "name", "'\(name)' cannot name a directory")
        }
        seed = try reader.value("seed")
        if let section = try reader.object("init") { `init` = try InitRecipe(section) }
        if let section = try reader.object("uptrain") { uptrain = try UptrainRecipe(section) }
        if let section = try reader.object("tokenizer") { tokenizer = try TokenizerRecipe(section) }
        if let section = try reader.object("model") { model = try ModelRecipe(section) }
        let dataSection = try reader.require("data", try reader.object("data"))
        data = try DataRecipe(dataSection)
        // A lab over given parents trains nothing but uptrainings.
        let hasGivenParents = reader.has("lab") && (`init` != nil || node["lab"]?["sweep"]?["parents"] != nil)
        let lengths: String? =
            if hasGivenParents {
                node["lab"]?["sweep"] == nil
                    ? "lab.steps, lab.tokens or lab.alpha" : "lab.sweep.steps, lab.sweep.tokens or lab.sweep.alphas"
            } else {
                uptrain.map { _ in "uptrain.steps, uptrain.tokens or uptrain.alpha" }
            }
        if let section = try reader.object("train") {
            train = try TrainRecipe(section, uptraining: lengths, of: hasGivenParents ? "lab" : "uptrain")
        } else if let lengths {
            let section = try reader.section("train")
            train = try TrainRecipe(section, uptraining: lengths, of: "uptrain")
        } else {
            throw .missing(reader.position, path: "train")
        }
        if let section = try reader.object("lab") { lab = try LabRecipe(section, hasGivenParents: hasGivenParents) }
        try reader.finish()
        try checkSections(node)
    }

    /// Refuses the sections that the checkpoints named by `key` replace.
    private func checkGiven(_ key: String, _ node: JSONNode) throws(RecipeError) {
        for section in ["model", "tokenizer"] where node[section] != nil {
            throw node.impossible(at: section, "the checkpoint named by '\(key)' gives it; leave it out")
        }
    }

    /// Refuses the settings of a parent that a lab decides itself.
    private func checkLab(of start: InitRecipe, _ node: JSONNode) throws(RecipeError) {
        let reasons = [
            ("convert", start.convert != nil, "a lab converts its parent itself: 'lab' names the children"),
            ("parent", start.parent != nil, "a lab's children learn from 'checkpoint'"),
        ]
        for (key, isGiven, reason) in reasons where isGiven {
            throw node.impossible(at: "init.\(key)", "\(reason); leave it out")
        }
    }

    private func checkSections(_ node: JSONNode) throws(RecipeError) {
        let givenParents = lab?.sweep?.parents
        if let start = `init` {
            try checkGiven("init", node)
            if lab != nil { try checkLab(of: start, node) }
            guard givenParents == nil else {
                throw node.impossible(at: "lab.sweep.parents", "'init' names a parent already; leave one of them out")
            }
        } else if givenParents != nil {
            try checkGiven("lab.sweep.parents", node)
        } else {
            guard model != nil else { throw .missing(node.position, path: "model") }
            guard tokenizer != nil else { throw .missing(node.position, path: "tokenizer") }
        }
        guard uptrain == nil || `init` != nil && lab == nil else {
            throw node.impossible(
                at: "uptrain",
                lab == nil
                    ? "uptraining starts from a checkpoint; add 'init'"
                    : "'lab' says how its children are uptrained; leave it out")
        }
        if let start = `init`, lab == nil, start.parent != nil, uptrain?.settings.usesParent != true {
            throw node.impossible(
                at: "init.parent",
                "nothing looks at the parent: 'uptrain' has neither 'distill' nor 'stopAt'; leave it out or add one")
        }
        for (key, value) in [("train", train.seq), ("lab", lab?.uptrain.seq)] {
            guard let model, let seq = value, seq > model.maxSeq else { continue }
            throw node.impossible(at: "\(key).seq", "\(seq) tokens, but model.maxSeq is \(model.maxSeq)")
        }
        for (section, batch) in [("uptrain", uptrain?.settings.batch), ("lab", lab?.uptrain.batch)] {
            guard let batch, batch % train.accumulation != 0 else { continue }
            throw node.impossible(
                at: "train.accumulation",
                "\(section)'s batch of \(batch) cannot be cut in \(train.accumulation) equal parts")
        }
        if let lab, lab.compression == nil, lab.uptrain.through == nil, lab.evaluation.prefill != nil {
            throw node.impossible(
                at: "lab.evaluation.prefill",
                "means nothing without 'lab.compression', whose policies decide behind a prompt; leave it out")
        }
        if let sweep = lab?.sweep {
            let stepTokens = (lab?.uptrain.batch ?? train.batch ?? 1) * (lab?.uptrain.seq ?? train.seq ?? 1)
            try sweep.check(node, model: model, train: train, stepTokens: stepTokens)
        }
        for (index, child) in (lab?.children ?? []).enumerated() {
            let architecture = child.conversion.architecture
            if let attention = architecture.attention, let model {
                do { try child.conversion.check(model) } catch {
                    throw node.impossible(
                        at: "lab.children[\(index)].attention", "\(attention.name) in a model of this shape: \(error)")
                }
            }
            if let heads = architecture.kvHeads, let count = model?.kvHeads.first(where: { $0 % heads != 0 }) {
                throw node.impossible(
                    at: "lab.children[\(index)].kvHeads", "\(count) KV heads cannot form \(heads) equal groups")
            }
        }
    }
}

extension DataRecipe {
    init(_ reader: ObjectReader) throws(RecipeError) {
        files = try reader.require("files", try reader.textSources("files"))
        guard !files.isEmpty else { throw reader.impossible(at: "files", "names no file") }
        try Self.checkWeights(files, reader.position(of: "files"))
        documentSeparator = try reader.string("documentSeparator")
        guard documentSeparator != "" else {
            throw reader.impossible(at: "documentSeparator", "is empty")
        }
        chatTemplate = try reader.string("chatTemplate")
        let section = try reader.section("validation")
        validation = Validation(fraction: try section.value("fraction"), by: try section.value("by"))
        try section.finish()
        packing = try reader.value("packing")
        let order: TokenBatches.Order = try reader.value("order")
        self.order = order == .shuffled ? nil : order
        cache = try reader.value("cache")
        if order == .sequential, isWeighted {
            throw reader.impossible(
                at: "order",
                "'sequential' reads one text after the other, but the weights of 'data.files' mix them; "
                    + "leave one of them out")
        }
        try reader.finish()
    }
}

extension TokenizerRecipe {
    init(_ reader: ObjectReader) throws(RecipeError) {
        kind = try reader.value("kind")
        vocabSize = try reader.int("vocabSize")
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
            throw reader.impossible(at: key, "means nothing for kind \"\(kind.rawValue)\"")
        }
    }
}

extension ModelRecipe {
    init(_ reader: ObjectReader) throws(RecipeError) {
        dim = try reader.value("dim")
        layers = try reader.value("layers")
        heads = try reader.require("heads", try reader.intOrList("heads"))
        kvHeads = try reader.intOrList("kvHeads") ?? heads
        let (dim, heads) = (dim, heads)
        let inferred = heads.allSatisfy { dim % $0 == 0 } ? heads.map { dim / $0 } : nil
        guard let headDim = try reader.intOrList("headDim") ?? inferred else {
            throw reader.impossible(
                at: "heads",
                "a dim of \(dim) cannot be cut into \(heads.first { dim % $0 != 0 } ?? 0) heads; say 'headDim' as well"
            )
        }
        self.headDim = headDim
        ffn = try reader.value("ffn")
        ropeTheta = try reader.value("ropeTheta")
        normEps = try reader.value("normEps")
        tied = try reader.value("tied")
        maxSeq = try reader.value("maxSeq")
        initialization = try reader.value("initialization")
        if let section = try reader.object("attention") { attention = try AttentionRecipe(section) }
        try reader.finish()
        for (key, values) in [("heads", heads), ("kvHeads", kvHeads), ("headDim", self.headDim)]
        where values.count != 1 && values.count != layers {
            throw reader.impossible(at: key, "\(values.count) values for \(layers) layers")
        }
        for layer in 0..<layers {
            let (h, g, d) = (perLayer(heads)[layer], perLayer(kvHeads)[layer], perLayer(self.headDim)[layer])
            guard h % g == 0 else {
                throw reader.impossible(at: "kvHeads", "\(h) heads cannot share \(g) KV heads evenly (layer \(layer))")
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
            throw reader.impossible(at: "attention", "\"\(attention.kind)\" in a model of this shape: \(error)")
        }
    }
}

extension TrainRecipe {
    /// Reads the section. Where `section` describes uptrainings, whose lengths have the keys `lengths`, steps, batch, sequence and
    /// learning rate are refused here.
    init(_ reader: ObjectReader, uptraining lengths: String?, of section: String) throws(RecipeError) {
        steps = try reader.int("steps")
        batch = try reader.int("batch")
        seq = try reader.int("seq")
        learningRate = try reader.double("learningRate")
        if let lengths {
            let given = [
                ("steps", steps != nil), ("seq", seq != nil), ("batch", batch != nil), ("learningRate", learningRate != nil),
            ]
            for (key, present) in given where present {
                throw reader.impossible(
                    at: key,
                    key == "steps"
                        ? "an uptraining has a length of its own; set \(lengths)"
                        : "an uptraining takes it from the parent; set \(section).\(key) to change it")
            }
        } else {
            _ = try reader.require("steps", steps)
            _ = try reader.require("batch", batch)
            _ = try reader.require("seq", seq)
            _ = try reader.require("learningRate", learningRate)
        }
        accumulation = try reader.value("accumulation")
        minLearningRateRatio = try reader.value("minLearningRateRatio")
        warmupSteps = try reader.value("warmupSteps")
        schedule = try reader.value("schedule")
        decayFraction = try reader.value("decayFraction")
        weightDecay = try reader.value("weightDecay")
        beta1 = try reader.value("beta1")
        beta2 = try reader.value("beta2")
        epsilon = try reader.value("epsilon")
        clip = try reader.value("clip")
        dropout = try reader.value("dropout")
        dtype = try reader.value("dtype")
        recompute = try reader.value("recompute")
        validateEvery = try reader.value("validateEvery")
        validationSequences = try reader.value("validationSequences")
        sampleEvery = try reader.value("sampleEvery")
        samplePrompt = try reader.value("samplePrompt")
        sampleTokens = try reader.value("sampleTokens")
        checkpointEvery = try reader.value("checkpointEvery")
        threads = try reader.int("threads")
        try reader.finish()
        if let steps, let fault = scheduleFault(in: steps) { throw reader.impossible(at: fault.key, fault.reason) }
        if let batch, batch % accumulation != 0 {
            throw reader.impossible(at: "accumulation", "a batch of \(batch) cannot be cut in \(accumulation) equal parts")
        }
    }
}

extension TrainRecipe {
    /// The reason why warm-up and decay have no room in `steps`, and the key of the section that is at fault; nil where they have.
    public func scheduleFault(in steps: Int) -> (key: String, reason: String)? {
        if warmupSteps > steps { return ("warmupSteps", "\(warmupSteps) of \(steps) steps; warm-up must fit in") }
        guard schedule == .wsd, Double(warmupSteps) > Double(steps) * (1 - decayFraction) else { return nil }
        return (
            "decayFraction",
            "the decay (\(decayFraction) of \(steps) steps) begins before the warm-up's \(warmupSteps) steps are over"
        )
    }
}

extension InitRecipe {
    init(_ reader: ObjectReader) throws(RecipeError) {
        checkpoint = try reader.value("checkpoint")
        if let section = try reader.object("convert") {
            convert = Convert(try ConversionRecipe(section), seed: try section.value("seed"))
            try section.finish()
        }
        parent = try reader.string("parent")
        guard parent == nil || convert == nil else {
            throw reader.impossible(at: "parent", "with 'convert' the parent is 'checkpoint'; leave one of them out")
        }
        try reader.finish()
    }
}

extension UptrainRecipe {
    init(_ reader: ObjectReader) throws(RecipeError) {
        length = try reader.uptrainLength() ?? .standard
        settings = try UptrainSettings(reader, hasShare: length.alpha != nil)
        seed = try reader.int("seed")
        try reader.finish()
    }
}
