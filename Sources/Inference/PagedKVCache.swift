import Kernels
import Models

/// One model's keys and values in pages of a shared ``PageStore`` (Kwon et al. 2023, PagedAttention).
///
/// Sequences come and go under numbers the caller gives. Two may share pages (``fork(_:as:)``): a page is copied when one of
/// them writes into it. Copies of this value share everything: use only one of them afterwards.
public struct PagedKVCache: KVCache {
    /// Where the pages are.
    public let store: PageStore
    /// The model's number in the store's pool.
    public let owner: Int
    /// What each layer caches.
    public let geometry: [KVGeometry]
    /// How it lies in pages.
    public let layouts: [PagedLayout]
    private var tables: [Int: BlockTable] = [:]
    /// Whether a row's sums must not depend on how its sequence was cut: prompts in blocks, later tokens one by one.
    var isBatchInvariant = false
    private var promptLengths: [Int: Int] = [:]

    /// A cache for a model of `config`, elements stored as `elementType`, in the pages of `store` that are `owner`'s.
    ///
    /// Throws ``InferenceError`` where a token of a layer does not fit a page.
    public init(
        config: ModelConfig, elementType: ElementType = .float32, store: PageStore, owner: Int = 0
    ) throws(InferenceError) {
        if let part = config.partsBeyondLlama.first(where: {
            $0 != "attention biases" && !$0.hasPrefix("norms") && !$0.hasSuffix("scaling")
        }) {
            throw .unsupportedModel(part)
        }
        self.store = store
        self.owner = owner
        geometry = config.kvGeometry(elementType)
        var layouts: [PagedLayout] = []
        for (layer, geometry) in geometry.enumerated() {
            guard
                let layout = PagedLayout(
                    kvHeads: geometry.kvHeads, keyDim: geometry.keyDim, valueDim: geometry.valueDim, elementType: elementType,
                    pageBytes: store.pageBytes)
            else { throw .pageTooSmall(layer: layer, tokenBytes: geometry.bytesPerToken, pageBytes: store.pageBytes) }
            layouts.append(layout)
        }
        self.layouts = layouts
    }

    /// Numbers of the sequences held.
    public var sequences: some Collection<Int> { tables.keys }

    /// Starts `sequence`, empty or with the tokens and pages of `table`, of which it becomes a holder.
    public mutating func add(_ sequence: Int, sharing table: BlockTable? = nil) {
        precondition(tables[sequence] == nil, "PagedKVCache: sequence \(sequence) is held already")
        let table = table ?? BlockTable(layers: layouts.count)
        for page in table.allPages { store.pool.retain(page) }
        tables[sequence] = table
    }

    /// Starts `copy` with all that `sequence` holds, in the same pages.
    public mutating func fork(_ sequence: Int, as copy: Int) { add(copy, sharing: self.table(of: sequence)) }

    /// Lets go of `sequence` and its pages.
    public mutating func remove(_ sequence: Int) {
        promptLengths[sequence] = nil
        guard let table = tables.removeValue(forKey: sequence) else { return }
        for page in table.allPages { store.pool.release(page) }
    }

    /// The sequence's pages.
    public func table(of sequence: Int) -> BlockTable {
        guard let table = tables[sequence] else { preconditionFailure("PagedKVCache: there is no sequence \(sequence)") }
        return table
    }

    /// Tokens held for `sequence`.
    public func length(of sequence: Int) -> Int { table(of: sequence).tokens }

    /// Forgets all but the first `tokens` of `sequence`, and frees the pages behind them.
    public mutating func truncate(_ sequence: Int, to tokens: Int) {
        var table = table(of: sequence)
        table.tokens = min(table.tokens, max(0, tokens))
        for layer in layouts.indices {
            let kept = layouts[layer].pages(tokens: table.tokens)
            for page in table.pages[layer].dropFirst(kept) { store.pool.release(page) }
            table.pages[layer].removeLast(max(0, table.pages[layer].count - kept))
        }
        tables[sequence] = table
    }

    /// Pages that have to be free for `count` more tokens of `sequence`: new ones, and copies of shared ones.
    public func pagesNeeded(_ sequence: Int, adding count: Int) -> Int {
        let table = table(of: sequence)
        return layouts.indices.reduce(0) { total, layer in
            let missing = max(0, layouts[layer].pages(tokens: table.tokens + count) - table.pages[layer].count)
            return total + missing + (sharedTail(table, layer) == nil ? 0 : 1)
        }
    }

    /// Pages that `tokens` of a sequence with no shared ones take.
    public func pages(tokens: Int) -> Int { layouts.reduce(0) { $0 + $1.pages(tokens: tokens) } }

    /// Bytes of keys and values held, by tokens (logical), and of the pages that hold them (allocated); shared ones count once.
    public var bytesHeld: (logical: Int, allocated: Int) {
        var logical = 0
        var pages: Set<Int32> = []
        for table in tables.values {
            logical += geometry.reduce(0) { $0 + $1.bytes(tokens: table.tokens) }
            pages.formUnion(table.allPages)
        }
        return (logical, pages.count * store.pageBytes)
    }

    /// Gets pages for the step's new tokens, copying shared ones they will be written to; false, and nothing changed, where
    /// there are not enough.
    public mutating func reserve(_ step: RaggedBatch) -> Bool {
        let needed = zip(step.sequences, step.counts).reduce(0) { $0 + pagesNeeded($1.0, adding: $1.1) }
        guard needed <= store.pool.available(to: owner) else { return false }
        for (sequence, count) in zip(step.sequences, step.counts) { grow(sequence, by: count) }
        return true
    }

    /// Says which of a sequence's tokens are its prompt, for ``isBatchInvariant``.
    mutating func setPromptLength(_ sequence: Int, _ tokens: Int) { promptLengths[sequence] = tokens }

    /// Gets the pages of `tokens` and counts them as held, whatever is in them; false where there are not enough.
    mutating func extend(_ sequence: Int, to tokens: Int) -> Bool {
        let missing = tokens - length(of: sequence)
        guard pagesNeeded(sequence, adding: missing) <= store.pool.available(to: owner) else { return false }
        grow(sequence, by: missing)
        tables[sequence]?.tokens = tokens
        return true
    }

    /// Stores the new tokens' keys and values, then attends: qkv [tokens, (heads + 2·kvHeads)·d] → [tokens, heads·d].
    ///
    /// Precondition: the pool has the pages, which ``reserve(_:)`` sees to beforehand.
    public mutating func attend(layer: Int, _ queries: CachedQueries, _ step: RaggedBatch) -> CachedAttention {
        if layer == 0 { precondition(reserve(step), "PagedKVCache: the pool has no pages left for \(step.tokens.count) tokens") }
        var kernel = PagedAttentionKernel(layout: layouts[layer], heads: queries.heads)
        kernel.sharesPrefixes = !isBatchInvariant
        let output = Storage(count: step.tokens.count * queries.heads * layouts[layer].valueDim)
        let logSumExp = Storage(count: step.tokens.count * queries.heads)
        kernel.run(
            qkv: queries.qkv, memory: store.memory, sequences: parts(of: step, layer: layer), into: output, logSumExp: logSumExp)
        return CachedAttention(output: output, logSumExp: logSumExp)
    }

    /// The sequences of a step as the kernel takes them.
    func parts(of step: RaggedBatch, layer: Int) -> [PagedSequence] {
        zip(step.sequences, step.counts).map { sequence, count in
            let table = table(of: sequence)
            var part = PagedSequence(pages: table.pages[layer], held: table.tokens, count: count)
            if isBatchInvariant { part.blockCount = max(0, min(count, (promptLengths[sequence] ?? 0) - table.tokens)) }
            return part
        }
    }

    /// Counts the step's tokens as held.
    public mutating func commit(_ step: RaggedBatch) {
        for (sequence, count) in zip(step.sequences, step.counts) { tables[sequence]?.tokens += count }
    }

    /// The page the next token goes to, where the sequence isn't its only holder.
    private func sharedTail(_ table: BlockTable, _ layer: Int) -> Int32? {
        let index = table.tokens / layouts[layer].tokensPerPage
        guard index < table.pages[layer].count else { return nil }
        let page = table.pages[layer][index]
        return store.pool.count(of: page) > 1 ? page : nil
    }

    private mutating func grow(_ sequence: Int, by count: Int) {
        var table = table(of: sequence)
        for layer in layouts.indices {
            if let shared = sharedTail(table, layer), let copy = store.pool.allocate(1, for: owner)?.first {
                store.memory.copy(from: shared, to: copy)
                store.pool.release(shared)
                table.pages[layer][table.tokens / layouts[layer].tokensPerPage] = copy
            }
            let missing = layouts[layer].pages(tokens: table.tokens + count) - table.pages[layer].count
            if missing > 0, let pages = store.pool.allocate(missing, for: owner) { table.pages[layer] += pages }
        }
        tables[sequence] = table
    }
}
