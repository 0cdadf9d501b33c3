import Glibc
import Kernels
import Models

/// A cached prompt with the tokens of one pass of its ``Reconstruction`` behind it.
///
/// The pass's own keys and values lie in Float32 beside the pages and are gone with this value; pages are only read.
struct ReconstructionCache: KVCache {
    private let cache: PagedKVCache
    private let sequence: Int
    private let prompt: Int
    private var own: ContiguousKVCache
    private var plans = PagedPlans()
    private let chunk: Range<Int>
    private let sinks: Range<Int>
    /// The greatest attention weight so far of each slot of the prompt, by layer with keys and values of its own and KV head; of a layer
    /// with a window, none.
    private(set) var peaks: [[[Float]]]

    /// The cache of `pass` over `sequence` of `cache`, whose slots have `peaks` already.
    init(_ cache: PagedKVCache, _ sequence: Int, _ pass: Reconstruction.Pass, sinks: Int, peaks: [[[Float]]]) {
        (self.cache, self.sequence, self.peaks, chunk) = (cache, sequence, peaks, pass.chunk)
        prompt = cache.length(of: sequence)
        self.sinks = 0..<min(sinks, pass.chunk.lowerBound)
        let geometry = cache.geometry.map { layer in
            var layer = layer
            // The pass's first tokens are no attention sinks.
            (layer.encoding, layer.sinks) = (.float32, 0)
            return layer
        }
        own = ContiguousKVCache(geometry: geometry, capacity: pass.tokens.count)
    }

    func length(of sequence: Int) -> Int { prompt + own.length(of: 0) }

    mutating func commit(_ step: RaggedBatch) { own.commit(step) }

    /// Attends from each row to the prompt and to the pass's tokens up to its own.
    ///
    /// Precondition: the step is of sequence 0 alone.
    mutating func attend(layer: Int, _ queries: CachedQueries, _ step: RaggedBatch) -> CachedAttention {
        let (rows, width) = (step.tokens.count, queries.heads * cache.geometry[layer].valueDim)
        let held = own.length(of: 0)
        let behind = own.attend(layer: layer, queries, step)
        let context = cache.contextAttention(layer: layer, queries, of: sequence, behind: held, rows: rows, plans: &plans)
        let outputs = Storage(count: 2 * rows * width)
        let sums = Storage(count: 2 * rows * queries.heads)
        for (part, found) in [context.attention, behind].enumerated() {
            for (from, to, count) in [
                (found.output, outputs, rows * width), (found.logSumExp, sums, rows * queries.heads),
            ] {
                StridedCopy.copy(
                    .init(from, offset: 0, strides: [1]), to: .init(to, offset: part * count, strides: [1]), extents: [count])
            }
        }
        let result = CachedAttention(
            output: Storage(count: rows * width), logSumExp: Storage(count: rows * queries.heads))
        var all = PagedSequence(pages: [], held: 0, count: rows)
        all.stored = 0
        let layout = context.kernel.layout
        PagedAttentionKernel(layout: layout, heads: queries.heads, scale: queries.scale).merge(
            parts: 2, outputs, sums, of: PagedBatch([all], layout: layout), into: result.output,
            logSumExp: result.logSumExp)
        observe(layer, context, behind.logSumExp.array(), heads: queries.heads)
        return result
    }

    /// Raises the peaks of the chunk's slots to the weights of the rows.
    private mutating func observe(_ layer: Int, _ context: ContextAttention, _ behind: [Float], heads: Int) {
        let stream = context.stream
        guard cache.geometry[layer].window == nil else { return }
        let (seen, group) = (context.attention.logSumExp.array(), context.kernel.heads)
        let (chunk, sinks) = (chunk, sinks)
        let found = context.peaks(cache.store.memory) { query, weights in
            // Weights add up to 1 over the prompt; the softmax is over a part of it, and the pass's tokens.
            let place = query.row * heads + query.sequence * group + query.head
            let sum = weights[chunk].reduce(0, +) + weights[sinks].reduce(0, +) + exp(behind[place] - seen[place])
            for slot in weights.indices { weights[slot] = chunk.contains(slot) ? weights[slot] / sum : 0 }
        }
        if peaks[stream].isEmpty { peaks[stream] = found.map { _ in [Float](repeating: 0, count: prompt) } }
        for (head, weights) in found.enumerated() {
            for slot in chunk { peaks[stream][head][slot] = max(peaks[stream][head][slot], weights[slot]) }
        }
    }
}

/// The attention of rows behind a sequence to its slots alone.
struct ContextAttention {
    /// The number of the layer among those with keys and values of their own.
    var stream: Int
    /// The kernel, of a layer or of each of its KV heads.
    var kernel: PagedAttentionKernel
    /// The kernel's sequences, one or one a KV head.
    var batch: PagedBatch
    /// Slots of each of the batch's sequences, its rows' own counted in.
    var slots: [Int]
    /// The kernel's rows of queries, and their log-sum-exp.
    var rows: Storage, logSumExp: Storage
    /// Output and log-sum-exp in the layer's rows.
    var attention: CachedAttention

    /// The greatest summand that `weigh` makes of the weights of a slot, for each KV head: of the queries of its group in all rows.
    func peaks(_ memory: PageMemory, weighing weigh: @escaping @Sendable (PagedQuery, inout [Float]) -> Void) -> [[Float]] {
        let (heads, count) = (kernel.layout.kvHeads, batch.rows / slots.count)
        let results = slots.map { SlotSums([[Float]](repeating: [Float](repeating: 0, count: $0), count: heads)) }
        kernel.addMass(
            qkv: rows, memory: memory, batch: batch, logSumExp: logSumExp, rows: slots.map { _ in 0..<count }, into: results,
            takesGreatest: true, weighing: weigh)
        return results.flatMap(\.heads)
    }
}

/// Reconstruction of prompts whose retention goes by it.
extension PagedKVCache {
    /// Rows of a step of a pass: activations of a whole chunk would be large.
    private static let reconstructedRows = 512

    /// The reconstruction that `sequence` awaits before it is compacted; nil where none is due.
    func dueReconstruction(_ sequence: Int) -> Reconstruction? {
        guard !countsOnly, decides(sequence), !isCompacted(sequence) else { return nil }
        let prompt = prompt(of: sequence)
        guard prompt > 0, length(of: sequence) == prompt else { return nil }
        return retentions(of: sequence).lazy.compactMap { retention in
            retention.nextDecision(after: prompt - 1, prompt: prompt) == prompt ? retention.reconstruction : nil
        }.first
    }

    /// Has `model` repeat the tokens `prompt` of `sequence`, where a reconstruction is due, for the decision of ``retain(_:)``.
    mutating func reconstruct(_ sequence: Int, _ prompt: some Collection<Int32>, by model: ServingModel) {
        guard let reconstruction = dueReconstruction(sequence) else { return }
        precondition(
            prompt.count == length(of: sequence),
            "PagedKVCache: \(prompt.count) tokens are known of the \(length(of: sequence)) of sequence \(sequence)")
        var found = [[[Float]]](repeating: [], count: layerStreams.count)
        for pass in reconstruction.passes(over: Array(prompt), positions: model.config.maxSequence) {
            var reader = ReconstructionCache(self, sequence, pass, sinks: reconstruction.sinks, peaks: found)
            for start in stride(from: 0, to: pass.tokens.count, by: Self.reconstructedRows) {
                let rows = Array(pass.tokens[start...].prefix(Self.reconstructedRows))
                let step = RaggedBatch(sequences: [0], counts: [rows.count], tokens: rows)
                _ = model.logits(step, cache: &reader)
            }
            found = reader.peaks
        }
        peaks[sequence] = found
    }

    /// Reconstructs the prompts that end with `step`, and evicts their slots, where ``retainsOnCommit`` is set.
    public mutating func finish(_ step: RaggedBatch, by model: ServingModel) {
        guard retainsOnCommit else { return }
        for sequence in step.sequences where dueReconstruction(sequence) != nil {
            reconstruct(sequence, prompts[sequence] ?? [], by: model)
            retain(sequence)
        }
    }

    /// Hands the tokens of the prompt of `sequence` to a retention that decides by them, for the decision at the prompt's end.
    mutating func tellPrompt(_ sequence: Int, _ prompt: some Collection<Int32>) {
        guard decides(sequence), !isCompacted(sequence), length(of: sequence) == self.prompt(of: sequence),
            retentions(of: sequence).contains(where: { $0.inputs.contains(.tokens) })
        else { return }
        prompts[sequence] = Array(prompt)
    }

    /// Keeps the tokens of a step whose sequence's retention goes by them, or will have its prompt reconstructed.
    mutating func keepPrompts(_ step: RaggedBatch) {
        var first = 0
        for (sequence, count) in zip(step.sequences, step.counts) {
            defer { first += count }
            guard !countsOnly, decides(sequence), let prompt = promptLengths[sequence], length(of: sequence) < prompt,
                retentions(of: sequence).contains(where: { $0.reconstruction != nil || $0.inputs.contains(.tokens) })
            else { continue }
            prompts[sequence, default: []] += step.tokens[first..<first + count]
        }
    }

    /// Attention of `rows` rows, at positions from `held` behind the tokens of `sequence` on, to its slots.
    func contextAttention(
        layer: Int, _ queries: CachedQueries, of sequence: Int, behind held: Int, rows: Int, plans: inout PagedPlans
    ) -> ContextAttention {
        let (own, table) = (stores[layer], table(of: sequence))
        let streams = layerStreams[own]
        var kernel = kernel(layer, queries)
        kernel.sharesPrefixes = false
        let batch = PagedBatch(
            streams.map { stream in
                var part = PagedSequence(pages: table.pages[stream], held: table.slots(stream) + held, count: rows)
                part.stored = table.slots(stream)
                return part
            }, layout: kernel.layout)
        let (separated, sums, attention, _) = kernel.attend(
            queries, store.memory, batch, streams: streams.count, counts: [rows], plans: &plans, storing: false)
        return ContextAttention(
            stream: own, kernel: kernel, batch: batch, slots: streams.map { table.slots($0) + held + rows }, rows: separated,
            logSumExp: sums, attention: attention)
    }
}
