import Glibc
import Kernels
import Models

/// One path to the same logits, and its distance from the reference.
public struct ExactnessGate: Sendable {
    /// The path's name.
    public var name: String
    /// The largest |difference| of a logit from the reference, over all tokens compared.
    public var largestDifference: Double
    /// Tokens with another likeliest token than the reference's, although the reference leads by more than twice the tolerance:
    /// either of the two logits may be off by it.
    public var greedyDifferences: Int
    /// The largest difference allowed.
    public var tolerance: Double
    /// The reason why the gate does not apply to this model and these tokens; nil where it does.
    public var notExercised: String?

    /// Whether the gate holds, or could not be tried.
    public var passes: Bool { notExercised != nil || (largestDifference <= tolerance && greedyDifferences == 0) }

    /// Compares logits [rows, width] with a reference's.
    init(name: String, _ found: [Float], _ reference: [Float], width: Int, tolerance: Double) {
        precondition(found.count == reference.count, "ExactnessGate: \(found.count) logits, \(reference.count) expected")
        (self.name, self.tolerance) = (name, tolerance)
        (largestDifference, greedyDifferences) = (0, 0)
        for row in 0..<reference.count / width {
            let (a, b) = (Array(reference[row * width..<(row + 1) * width]), Array(found[row * width..<(row + 1) * width]))
            for (x, y) in zip(a, b) {
                let difference = abs(Double(x) - Double(y))
                largestDifference = difference.isNaN ? .infinity : max(largestDifference, difference)
            }
            let (expected, got) = (Int(Sampler.greedy(a)), Int(Sampler.greedy(b)))
            if expected != got, Double(a[expected]) - Double(a[got]) > 2 * tolerance { greedyDifferences += 1 }
        }
    }

    /// Compares the mean KL divergence of predictions over logits [rows, width] from a reference's, in nats, with a bound.
    init(name: String, divergenceOf found: [Float], from reference: [Float], width: Int, bound: Double) {
        precondition(found.count == reference.count, "ExactnessGate: \(found.count) logits, \(reference.count) expected")
        (self.name, tolerance, greedyDifferences) = (name, bound, 0)
        let rows = reference.count / width
        let total = (0..<rows).reduce(0.0) { sum, row in
            let (p, q) = (reference[row * width..<(row + 1) * width], found[row * width..<(row + 1) * width])
            let (pSum, qSum) = (Self.logSumExp(p), Self.logSumExp(q))
            return sum
                + zip(p, q).reduce(0.0) { sum, pair in
                    let logP = Double(pair.0) - pSum
                    return sum + exp(logP) * (logP - (Double(pair.1) - qSum))
                }
        }
        let mean = total / Double(max(1, rows))
        largestDifference = mean.isNaN ? .infinity : mean
    }

    private static func logSumExp(_ logits: ArraySlice<Float>) -> Double {
        let top = Double(logits.max() ?? 0)
        return top + log(logits.reduce(0.0) { $0 + exp(Double($1) - top) })
    }

    /// A gate that could not be tried.
    init(name: String, tolerance: Double, notExercised: String) {
        (self.name, self.tolerance, self.notExercised) = (name, tolerance, notExercised)
        (largestDifference, greedyDifferences) = (0, 0)
    }
}

/// Checks that a model gives the same logits however its cache is kept: contiguous, paged, shared, preempted and resumed.
///
/// The serving model over a contiguous cache is compared with the training form's pass over the whole sequence, without a cache.
/// Every other path runs the serving model and is compared with the contiguous cache; where keys and values are rounded, with the
/// paged cache. That one is then also compared with the same codes decoded before attention, and bounded in its mean KL divergence
/// from the contiguous cache. Where tokens are encoded in blocks, caches whose sums do not depend on the chunks are compared too,
/// and allow no difference.
public struct ExactnessGates {
    let config: ModelConfig
    private let reference: DecoderLM
    let model: ServingModel
    let encoding: CacheEncoding
    let pageBytes: Int
    private let tier: any KVTier
    private let tolerance: Double
    /// Tolerances for sums in another order, and for stored keys and values.
    let reorderedTolerance: Double
    private let storedTolerance: Double
    /// The prompt and the tokens after it; logits of the prompt's last token and of all later ones are compared.
    private(set) var tokens: [Int32]
    let prompt: Int
    /// The retention of the caches, and whether they compute each row alike in every chunk.
    var retention: any Retention = FullRetention()
    var isBatchInvariant = false

    /// Gates for a model on `tokens`, the last `decoded` of which go through the caches one by one.
    ///
    /// The tolerance is 1e-3 for Float32 weights: logits of about ten, off by rounding in other orders. Sixteen-bit weights are
    /// multiplied with inputs rounded alike, of which a last bit may turn: 0.15 for BFloat16. Where keys and values are rounded, the
    /// paged pass may differ from the contiguous one by that: 0.1 for Float16, 0.5 for BFloat16, 2 for codecs whose divergence is
    /// bounded by 0.01 nats, and more by the bound's root for others (0.8 was seen at 0.002 nats). The other paths are compared with
    /// the paged one: as closely as in Float32 where they sum in its order, else to 0.1, as last bits of stored values turn (up to
    /// 0.03 was seen).
    public init(
        config: ModelConfig, parameters: Parameters, encoding: CacheEncoding, pageBytes: Int, tokens: [Int32], decoded: Int,
        tier: any KVTier
    ) throws {
        try PageStore.check(pageBytes: pageBytes)
        precondition(decoded > 0 && decoded < tokens.count, "ExactnessGates: \(decoded) of \(tokens.count) tokens")
        self.config = config
        var reference = try DecoderLM(config: config, parameters: parameters)
        let is16Bit = parameters.names.contains { parameters[$0]?.elementType == .bfloat16 }
        if is16Bit { reference.compute.precision = .bf16 }
        self.reference = reference
        model = try ServingModel(config: config, parameters: parameters)
        self.encoding = encoding
        self.pageBytes = pageBytes
        self.tokens = tokens
        self.tier = tier
        prompt = tokens.count - decoded
        tolerance = is16Bit ? 0.15 : 1e-3
        let rounding: Double =
            switch encoding {
            case .float32: 0
            case .float16: 0.1
            case .bfloat16: 0.5
            default: 2 * (encoding.divergenceBound / 0.01).squareRoot()
            }
        reorderedTolerance = max(tolerance, min(rounding, 0.1))
        storedTolerance = max(tolerance, rounding)
    }

    /// Every gate's outcome; throws where the cache memory cannot be had or the tier fails.
    public func run() throws -> [ExactnessGate] {
        let vocabulary = config.vocabularySize
        let all = reference.logits(ModelInput(batch: 1, seq: tokens.count, tokens: tokens)).values
        let full = Array(all[((prompt - 1) * vocabulary)...])
        let contiguous = try contiguous()
        // Sixteen-bit keys and values are rounded once, the same way on every path, so these are compared with each other.
        let paged = try paged()
        let same = encoding == .float32 ? contiguous : paged
        var gates = [
            gate("contiguous", contiguous, full), gate("paged, token by token", paged, contiguous, tolerance: storedTolerance),
            gate("paged, prompt in chunks", try self.paged(chunk: 37), same), gate("in a batch of four", try batched(), same),
            gate("forked, written after copying", try forked(), same), try prefixShared(),
            gate("preempted, recomputed", try resumed(.recompute), same, tolerance: reorderedTolerance),
            gate("preempted, swapped", try resumed(.swap), same),
            try split(same),
        ]
        if encoding.blockTokens > 1 {
            // Blocks of tokens sealed in other steps, beside other sequences and behind a preemption.
            var invariant = self
            invariant.isBatchInvariant = true
            gates += try invariant.invariantGates("blocks", invariant.paged())
        }
        guard encoding != .float32 else { return gates }
        let decoded = try self.paged(encoding: encoding.portable)
        gates.append(gate("paged, decoded before attention", decoded, paged, tolerance: reorderedTolerance))
        gates.append(
            ExactnessGate(
                name: "paged, mean KL divergence in nats", divergenceOf: paged, from: contiguous, width: vocabulary,
                bound: encoding.divergenceBound))
        return gates
    }

    /// The paths of caches that compute each row alike in every chunk, bit for bit; their names begin with `name`.
    func invariantGates(_ name: String, _ same: [Float]) throws -> [ExactnessGate] {
        [
            exact("\(name), prompt in chunks", try paged(chunk: 37), same),
            exact("\(name), in a batch of four", try batched(), same),
            exact("\(name), forked, written after copying", try forked(), same),
            exact("\(name), preempted, recomputed", try resumed(.recompute), same),
            exact("\(name), preempted, swapped", try resumed(.swap), same),
        ]
    }

    func gate(
        _ name: String, _ found: [Float], _ reference: [Float], tolerance: Double? = nil
    ) -> ExactnessGate {
        ExactnessGate(name: name, found, reference, width: config.vocabularySize, tolerance: tolerance ?? self.tolerance)
    }

    /// A cache with room for `sequences` sequences; by default four and their copies of shared pages.
    func makeCache(sequences: Int = 5, encoding: CacheEncoding? = nil) throws -> PagedKVCache {
        var cache = try PagedKVCache(
            config: config, encoding: encoding ?? self.encoding, retention: retention, pageBytes: pageBytes,
            sequences: sequences, tokens: tokens.count + 3, chunk: tokens.count + 3)
        cache.isBatchInvariant = isBatchInvariant
        return cache
    }

    /// Adds `sequence` with a prompt of `length` tokens.
    func add(_ sequence: Int, to cache: inout PagedKVCache, sharing table: BlockTable? = nil, length: Int? = nil) {
        cache.add(sequence, sharing: table)
        cache.setPromptLength(sequence, length ?? prompt)
    }

    private func step(_ range: Range<Int>, _ sequence: Int = 0) -> RaggedBatch {
        RaggedBatch(sequences: [sequence], counts: [range.count], tokens: Array(tokens[range]))
    }

    /// The logits of the last of `range`'s tokens, which go through the cache in chunks of at most `chunk`.
    func prefill(_ cache: inout some KVCache, _ range: Range<Int>, chunk: Int, sequence: Int = 0) -> [Float] {
        var last: [Float] = []
        var start = range.lowerBound
        while start < range.upperBound {
            let decision = (cache as? PagedKVCache)?.tokensToDecision(sequence) ?? .max
            let end = start + min(chunk, range.upperBound - start, decision)
            last = model.logits(step(start..<end, sequence), cache: &cache).array()
            start = end
        }
        return last
    }

    func decode(_ cache: inout some KVCache, _ range: Range<Int>, sequence: Int = 0) -> [Float] {
        range.flatMap { model.logits(step($0..<$0 + 1, sequence), cache: &cache).array() }
    }

    private func contiguous() throws -> [Float] {
        var cache = ContiguousKVCache(config: config, capacity: tokens.count)
        return prefill(&cache, 0..<prompt, chunk: prompt) + decode(&cache, prompt..<tokens.count)
    }

    func paged(chunk: Int? = nil, encoding: CacheEncoding? = nil) throws -> [Float] {
        var cache = try makeCache(encoding: encoding)
        add(0, to: &cache)
        return prefill(&cache, 0..<prompt, chunk: chunk ?? prompt) + decode(&cache, prompt..<tokens.count)
    }

    /// The sequence decoded as the third of a batch of four, the others being parts of it.
    func batched() throws -> [Float] {
        var cache = try makeCache()
        var found: [Float] = []
        let lengths = [max(1, prompt / 3), max(1, prompt / 2), prompt, max(1, prompt - 1)]
        for (sequence, length) in lengths.enumerated() {
            add(sequence, to: &cache, length: length)
            let last = prefill(&cache, 0..<length, chunk: length, sequence: sequence)
            if sequence == 2 { found = last }
        }
        for offset in 0..<tokens.count - prompt {
            let next = lengths.map { tokens[min($0 + offset, tokens.count - 1)] }
            let logits = model.logits(
                RaggedBatch(sequences: [0, 1, 2, 3], counts: [1, 1, 1, 1], tokens: next), cache: &cache)
            found += logits.array(2 * config.vocabularySize..<3 * config.vocabularySize)
        }
        return found
    }

    /// The sequence forked from another one, which computed the prompt and continued differently.
    func forked() throws -> [Float] {
        var cache = try makeCache()
        add(1, to: &cache)
        let last = prefill(&cache, 0..<prompt, chunk: prompt, sequence: 1)
        cache.fork(1, as: 0)
        for _ in 0..<3 { _ = model.logits(step(0..<1, 1), cache: &cache) }
        return last + decode(&cache, prompt..<tokens.count)
    }

    /// Sequences that share a prefix from the prefix tree and decode together, against each of them alone.
    ///
    /// Their number is large enough for attention in two phases at any head grouping: first the shared tokens, with all queries.
    private func prefixShared() throws -> ExactnessGate {
        let name = "prefix shared by \(Self.sharers), decoded together"
        var cache = try makeCache(sequences: Self.sharers + 2)
        var tree = PrefixTree(cache)
        let shared = min(prompt - 1, cache.shareableTokens(prompt: prompt)) / tree.blockTokens * tree.blockTokens
        guard encoding.residual == 0 else {
            return ExactnessGate(
                name: name, tolerance: reorderedTolerance,
                notExercised: "prompts share no tokens where the newest \(encoding.residual) stay unrounded")
        }
        guard shared >= PagedAttentionKernel.sharedTokens else {
            return ExactnessGate(
                name: name, tolerance: reorderedTolerance,
                notExercised: "\(PagedAttentionKernel.sharedTokens) tokens are shared from on, blocks of \(tree.blockTokens) "
                    + "leave \(shared) of a prompt of \(prompt)")
        }
        // A sequence that computed the prefix and was then removed.
        cache.add(Self.sharers)
        insert(shared, of: Self.sharers, &cache, into: &tree)
        let texts = (0..<Self.sharers).map { variant($0, from: shared) }
        var together = [[Float]](repeating: [], count: Self.sharers)
        for (sequence, text) in texts.enumerated() {
            let found = tree.match(Array(text[..<prompt]), salt: "")
            tree.use(found, at: 2)
            cache.add(sequence, sharing: tree.table(of: found))
            let rest = cache.length(of: sequence)..<prompt
            precondition(rest.lowerBound == shared, "ExactnessGates: \(rest.lowerBound) of \(shared) tokens are in the tree")
            let step = RaggedBatch(sequences: [sequence], counts: [rest.count], tokens: Array(text[rest]))
            together[sequence] = model.logits(step, cache: &cache).array()
        }
        let ones = texts.map { _ in 1 }
        for token in prompt..<tokens.count {
            let step = RaggedBatch(sequences: Array(texts.indices), counts: ones, tokens: texts.map { $0[token] })
            let logits = model.logits(step, cache: &cache)
            for sequence in texts.indices {
                together[sequence] += logits.array(
                    sequence * config.vocabularySize..<(sequence + 1) * config.vocabularySize)
            }
        }
        let alone = try texts.map { text in
            var gates = self
            gates.tokens = text
            return try gates.paged()
        }
        return gate(name, together.flatMap { $0 }, alone.flatMap { $0 }, tolerance: reorderedTolerance)
    }

    /// Computes the first `count` tokens with `sequence`, inserts their blocks into the prefix tree and removes the sequence.
    func insert(_ count: Int, of sequence: Int, _ cache: inout PagedKVCache, into tree: inout PrefixTree) {
        cache.retainsOnCommit = false
        _ = prefill(&cache, 0..<count, chunk: count, sequence: sequence)
        cache.retainsOnCommit = true
        let (path, held) = tree.insert(
            Array(tokens[..<count]), salt: "", table: cache.table(of: sequence), behind: PrefixPath(), at: 1)
        for page in held { cache.store.pool.retain(page) }
        cache.remove(sequence)
        tree.leave(path, at: 1)
    }

    /// The least number of queries of one head for which the kernel shares keys and values.
    private static let sharers = 8

    /// The tokens with each one from `start` on raised by `number`.
    private func variant(_ number: Int, from start: Int) -> [Int32] {
        tokens[..<start] + tokens[start...].map { ($0 + Int32(number)) % Int32(config.vocabularySize) }
    }

    /// Token by token from the start: every row is computed over spans and merged.
    private func split(_ same: [Float]) throws -> ExactnessGate {
        let name = "one by one from the start, spans merged"
        guard tokens.count > PagedAttentionKernel.span else {
            return ExactnessGate(
                name: name, tolerance: reorderedTolerance,
                notExercised: "a span has \(PagedAttentionKernel.span) tokens, the sequence \(tokens.count)")
        }
        return gate(name, try paged(chunk: 1), same, tolerance: reorderedTolerance)
    }

    /// The sequence preempted half-way through decoding, and resumed.
    func resumed(_ way: EngineOptions.Preemption) throws -> [Float] {
        var cache = try makeCache()
        add(0, to: &cache)
        let middle = (prompt + tokens.count) / 2
        var found = prefill(&cache, 0..<prompt, chunk: prompt) + decode(&cache, prompt..<middle)
        switch way {
        case .recompute:
            cache.remove(0)
            add(0, to: &cache)
            // The logits of the last of these tokens were taken before.
            _ = prefill(&cache, 0..<middle, chunk: middle)
        case .swap:
            let memory = cache.store.memory
            let snapshot = cache.snapshot(of: 0)
            let tiered = try tier.store(cache.table(of: 0).allPages.map { memory.bytes(of: $0) }, pageBytes: pageBytes)
            cache.remove(0)
            // Another sequence overwrites the freed pages.
            add(1, to: &cache)
            _ = prefill(&cache, 0..<min(prompt, 50), chunk: 50, sequence: 1)
            guard cache.restore(0, snapshot) else { throw InferenceError.memory(bytes: 0, pageBytes: pageBytes) }
            for (index, page) in cache.table(of: 0).allPages.enumerated() { memory.write(try tiered.page(index)[...], to: page) }
        }
        found += decode(&cache, middle..<tokens.count)
        return found
    }
}
