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
    /// How it lies in pages, for each layer with keys and values of its own.
    public let layouts: [PagedLayout]
    /// Which of `layouts` each layer reads: its own, or that of the layer it shares with.
    private let stores: [Int]
    /// The geometry that goes with each of `layouts`.
    private let shapes: [KVGeometry]
    private var tables: [Int: BlockTable] = [:] { didSet { prepared = nil } }
    /// Whether a row's sums must not depend on how its sequence was cut: prompts in blocks, later tokens one by one.
    var isBatchInvariant = false
    /// Whether ``commit(_:)`` frees what is behind windows; where not, ``freeBehindWindows(_:)`` has to be called after it.
    var freesOnCommit = true
    private var promptLengths: [Int: Int] = [:] { didSet { prepared = nil } }
    private var plans = PagedPlans()
    /// The last step's batch for each of `layouts`, for all its layers; nil once something has changed.
    private var prepared: (sequences: [Int], counts: [Int], batches: [PagedBatch])?

    /// A cache for a model of `config`, keys and values stored by `encoding`, in the pages of `store` that are `owner`'s.
    ///
    /// Throws ``InferenceError`` where a token of a layer does not fit a page.
    public init(
        config: ModelConfig, encoding: KVEncoding = .float32, store: PageStore, owner: Int = 0
    ) throws(InferenceError) {
        self.store = store
        self.owner = owner
        geometry = config.kvGeometry(encoding)
        var layouts: [PagedLayout] = []
        var stores: [Int] = []
        for (layer, geometry) in geometry.enumerated() {
            if let source = geometry.source {
                stores.append(stores[source])
                continue
            }
            guard let layout = PagedLayout(geometry, pageBytes: store.pageBytes) else {
                throw .pageTooSmall(layer: layer, tokenBytes: geometry.bytesPerToken, pageBytes: store.pageBytes)
            }
            stores.append(layouts.count)
            layouts.append(layout)
        }
        (self.layouts, self.stores) = (layouts, stores)
        shapes = geometry.filter { $0.source == nil }
    }

    /// A cache in a pool of its own, of pages of `pageBytes`, with room for `sequences` of `tokens` each that come in by at most
    /// `chunk` tokens at a time.
    ///
    /// Throws ``InferenceError`` where the memory cannot be had or a token of a layer does not fit a page.
    public init(
        config: ModelConfig, encoding: KVEncoding = .float32, pageBytes: Int, sequences: Int = 1, tokens: Int, chunk: Int
    ) throws(InferenceError) {
        let empty = try PagedKVCache(
            config: config, encoding: encoding, store: PageStore(bytes: pageBytes, pageBytes: pageBytes))
        let pages = sequences * empty.pages(tokens: tokens, inChunksOf: chunk)
        try self.init(
            config: config, encoding: encoding, store: PageStore(bytes: max(1, pages) * pageBytes, pageBytes: pageBytes))
    }

    /// Whether some layers forget what lies behind their window.
    public var hasWindows: Bool { shapes.contains { $0.window != nil } }

    /// For each of ``layouts`` the window whose tokens are kept, a little wider where sums must not depend on cuts.
    var windows: [WindowSpan?] {
        shapes.map { shape in
            shape.window.map {
                WindowSpan(window: $0 + (isBatchInvariant ? PagedAttentionKernel.blockTokens - 1 : 0), sinks: shape.sinks)
            }
        }
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
    ///
    /// Precondition: `tokens` is 0 where a layer has a window, as what lay in an earlier one is gone.
    public mutating func truncate(_ sequence: Int, to tokens: Int) {
        var table = table(of: sequence)
        precondition(!hasWindows || tokens <= 0 || tokens >= table.tokens, "PagedKVCache: a window's tokens are gone")
        table.tokens = min(table.tokens, max(0, tokens))
        for index in layouts.indices {
            let kept = layouts[index].pages(tokens: table.tokens)
            for page in table.pages[index].dropFirst(kept) where page != BlockTable.freed { store.pool.release(page) }
            table.pages[index].removeLast(max(0, table.pages[index].count - kept))
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

    /// Pages that a sequence with no shared ones needs to hold `tokens`.
    public func pages(tokens: Int) -> Int {
        zip(layouts, windows).reduce(0) { total, layer in
            let (layout, window) = layer
            return total
                + (0..<layout.pages(tokens: tokens)).count {
                    window?.keeps($0, size: layout.tokensPerPage, after: tokens) ?? true
                }
        }
    }

    /// Pages that a sequence taken in by at most `chunk` tokens at a time needs at most, until it has `tokens`.
    ///
    /// Never less for more tokens, so that what has room for a long sequence has room for each beginning of it.
    public func pages(tokens: Int, inChunksOf chunk: Int) -> Int {
        layouts.indices.reduce(0) { total, index in
            let all = layouts[index].pages(tokens: tokens)
            guard let window = windows[index] else { return total + all }
            let size = layouts[index].tokensPerPage
            // What a chunk sees: the window's tokens before it, and itself. It may begin with any token of a page:
            //     pages of 4, 6 tokens seen:   . . . x | x x x x | x . . .
            let seen = window.window - 1 + min(chunk, tokens)
            let touched = seen > 0 ? (seen - 1 + size - 1) / size + 1 : 0
            return total + min(all, touched + layouts[index].pages(tokens: window.sinks))
        }
    }

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
        guard needed > 0 else { return true }
        guard needed <= store.pool.ledger.available(to: owner) else { return false }
        for (sequence, count) in zip(step.sequences, step.counts) { grow(sequence, by: count) }
        return true
    }

    /// The same for `count` new tokens of one sequence.
    mutating func reserve(_ sequence: Int, adding count: Int) -> Bool {
        let needed = pagesNeeded(sequence, adding: count)
        guard needed > 0 else { return true }
        guard needed <= store.pool.ledger.available(to: owner) else { return false }
        grow(sequence, by: count)
        return true
    }

    /// A page that the step would write into though it isn't its sequence's alone; nil where ``reserve(_:)`` has seen to it.
    func sharedWrite(_ step: RaggedBatch) -> Int32? {
        for (sequence, count) in zip(step.sequences, step.counts) {
            let table = table(of: sequence)
            for (layer, pages) in table.pages.enumerated() {
                let size = layouts[layer].tokensPerPage
                let written = table.tokens / size..<(table.tokens + count + size - 1) / size
                if let page = pages[written].first(where: { store.pool.count(of: $0) != 1 }) { return page }
            }
        }
        return nil
    }

    /// Says which of a sequence's tokens are its prompt, for ``isBatchInvariant``.
    mutating func setPromptLength(_ sequence: Int, _ tokens: Int) { promptLengths[sequence] = tokens }

    /// Gets the pages that an empty sequence's first `tokens` are kept in and counts them as held, whatever is in them; false
    /// where there are not enough.
    mutating func extend(_ sequence: Int, to tokens: Int) -> Bool {
        var table = table(of: sequence)
        precondition(table.tokens == 0, "PagedKVCache: sequence \(sequence) holds tokens already")
        guard pages(tokens: tokens) <= store.pool.ledger.available(to: owner) else { return false }
        for (index, window) in windows.enumerated() {
            for page in 0..<layouts[index].pages(tokens: tokens) {
                let isKept = window?.keeps(page, size: layouts[index].tokensPerPage, after: tokens) ?? true
                let new = isKept ? store.pool.allocate(1, for: owner)?.first : nil
                table.pages[index].append(new ?? BlockTable.freed)
            }
        }
        table.tokens = tokens
        tables[sequence] = table
        return true
    }

    /// Stores the new tokens' keys and values, then attends: rows [tokens, rowWidth] → [tokens, heads·valueDim].
    ///
    /// Precondition: the pool has the pages, which ``reserve(_:)`` sees to beforehand.
    public mutating func attend(layer: Int, _ queries: CachedQueries, _ step: RaggedBatch) -> CachedAttention {
        if layer == 0 { precondition(reserve(step), "PagedKVCache: the pool has no pages left for \(step.tokens.count) tokens") }
        let layout = layouts[stores[layer]]
        var kernel = PagedAttentionKernel(layout: layout, heads: queries.heads, scale: queries.scale)
        kernel.sharesPrefixes = !isBatchInvariant
        kernel.storesKeys = geometry[layer].source == nil
        (kernel.window, kernel.sinks) = (geometry[layer].window, geometry[layer].sinks)
        kernel.alignsWindows = isBatchInvariant
        let output = Storage(count: step.tokens.count * queries.heads * layout.valueDim)
        let logSumExp = Storage(count: step.tokens.count * queries.heads)
        let batch = batches(of: step)[stores[layer]]
        kernel.run(qkv: queries.rows, memory: store.memory, batch: batch, plans: &plans, into: output, logSumExp: logSumExp)
        var mass: [Storage] = []
        if queries.wantsMass {
            mass = kernel.mass(qkv: queries.rows, memory: store.memory, batch: batch, logSumExp: logSumExp)
        }
        return CachedAttention(output: output, logSumExp: logSumExp, mass: mass)
    }

    /// A step's rows and pages for each of ``layouts``.
    private mutating func batches(of step: RaggedBatch) -> [PagedBatch] {
        if let prepared, prepared.sequences == step.sequences, prepared.counts == step.counts { return prepared.batches }
        let held = step.sequences.map { table(of: $0) }
        var blockCounts = [Int?](repeating: nil, count: held.count)
        if isBatchInvariant {
            for (index, sequence) in step.sequences.enumerated() {
                let prompt = (promptLengths[sequence] ?? 0) - held[index].tokens
                blockCounts[index] = max(0, min(step.counts[index], prompt))
            }
        }
        let batches = layouts.indices.map { layout in
            PagedBatch(
                held.indices.map { index in
                    var part = PagedSequence(
                        pages: held[index].pages[layout], held: held[index].tokens, count: step.counts[index])
                    part.blockCount = blockCounts[index]
                    return part
                }, layout: layouts[layout])
        }
        prepared = (step.sequences, step.counts, batches)
        return batches
    }

    /// Counts the step's tokens as held, and frees the pages that are now behind a window, unless told to leave them.
    public mutating func commit(_ step: RaggedBatch) {
        for (sequence, count) in zip(step.sequences, step.counts) {
            tables[sequence]?.tokens += count
            if freesOnCommit { freeBehindWindows(sequence) }
        }
    }

    /// Frees the pages of `sequence` that are behind a window.
    mutating func freeBehindWindows(_ sequence: Int) {
        guard hasWindows else { return }
        var table = table(of: sequence)
        for (index, window) in windows.enumerated() {
            guard let window else { continue }
            for page in table.pages[index].indices
            where table.pages[index][page] != BlockTable.freed
                && !window.keeps(page, size: layouts[index].tokensPerPage, after: table.tokens)
            {
                store.pool.release(table.pages[index][page])
                table.pages[index][page] = BlockTable.freed
            }
        }
        tables[sequence] = table
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

extension PagedLayout {
    /// How a layer's cache lies in pages of `pageBytes`; nil where not even one token fits.
    public init?(_ geometry: KVGeometry, pageBytes: Int) {
        self.init(
            kvHeads: geometry.kvHeads, keyDim: geometry.keyDim, valueDim: geometry.valueDim,
            valuesAreKeys: geometry.valuesAreKeys, encoding: geometry.encoding, pageBytes: pageBytes)
    }
}
