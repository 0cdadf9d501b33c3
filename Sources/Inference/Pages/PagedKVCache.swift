import Kernels
import Models

/// One model's keys and values in pages of a shared ``PageStore`` (Kwon et al. 2023, PagedAttention).
///
/// Sequences are numbered by the caller. Two of them may share pages (``fork(_:as:)``), copy-on-write. Copies of this value share
/// all their state: use only one of them afterwards.
public struct PagedKVCache: KVCache {
    /// The store of the pages.
    public let store: PageStore
    /// The model's number in the store's pool.
    public let owner: Int
    /// The encoding of keys and values.
    let encoding: CacheEncoding
    /// The cache geometry of each layer.
    public let geometry: [KVGeometry]
    /// The page layout of each stream, which has a block table of its own: of each layer with keys and values of its own or, where
    /// heads keep unequal numbers of slots under the cache's retention, of each of its KV heads.
    public let layouts: [PagedLayout]
    /// The streams of each layer with keys and values of its own.
    let layerStreams: [Range<Int>]
    /// The index into `layerStreams` for each layer: its own, or that of the layer whose cache it shares.
    let stores: [Int]
    /// The geometry of each of `layouts`.
    let shapes: [KVGeometry]
    /// The open blocks of each of `layouts`; nil where tokens are encoded one by one.
    let blocks: [OpenBlocks?]
    var tables: [Int: BlockTable] = [:] { didSet { prepared = nil } }
    private let config: ModelConfig
    /// The retention of each of `layouts`: a window where the layer has one, else the cache's own.
    private(set) var retentions: [any Retention] = []
    private let retention: any Retention
    /// The retentions of the sequences that were given their own.
    private var ownRetentions: [Int: [any Retention]] = [:]
    /// Whether some retention ever evicts a slot.
    private(set) var decides = false
    /// Whether a row's sums must not depend on the chunks of its sequence: prompts in blocks, later tokens one by one.
    var isBatchInvariant = false { didSet { retentions = retentions(with: retention) } }
    /// Whether ``commit(_:)`` evicts the slots outside the retained sets; otherwise ``retain(_:)`` has to be called after it.
    var retainsOnCommit = true
    /// Whether slots are only counted: pages are allocated and released, and no key or value is ever read or moved.
    var countsOnly = false
    /// The observations of retentions, by sequence and layout.
    var observations: [Int: [StreamObservations]] = [:]
    /// The rotation of the queries of each of `layerStreams`; empty where no retention goes by queries.
    private(set) var rotations: [QueryRotation] = []
    var promptLengths: [Int: Int] = [:] { didSet { prepared = nil } }
    /// The tokens so far of prompts that a retention reconstructs or decides by, where ``retainsOnCommit`` is set.
    var prompts: [Int: [Int32]] = [:]
    /// The peaks of a reconstruction for the decision behind it, by sequence, layer with keys and values of its own, and KV head.
    var peaks: [Int: [[[Float]]]] = [:]
    var plans = PagedPlans()
    /// The last step's batches for each of `layerStreams`, reused by all of its layers; nil after a change.
    private var prepared: (sequences: [Int], counts: [Int], batches: [PagedBatch], rounds: [[BlockRound]])?

    /// A cache for a model of `config`, keys and values in `encoding`, in pages of `store` that `owner` allocates; layers without
    /// a window use `retention`.
    ///
    /// Throws ``InferenceError`` where the encoding cannot store a layer's vectors, a token of a layer does not fit a page or the
    /// retention does not fit the model.
    public init(
        config: ModelConfig, encoding: CacheEncoding = .float32, retention: any Retention = FullRetention(), store: PageStore,
        owner: Int = 0
    ) throws(InferenceError) {
        try retention.check(config, encoding)
        self.store = store
        self.encoding = encoding
        self.config = config
        self.retention = retention
        self.owner = owner
        geometry = config.kvGeometry(encoding)
        do { try geometry.check(encoding) } catch { throw .encoding(error) }
        var (layouts, shapes, blocks) = ([PagedLayout](), [KVGeometry](), [OpenBlocks?]())
        var layerStreams: [Range<Int>] = []
        for (layer, geometry) in geometry.enumerated() where geometry.source == nil {
            let streams = geometry.streams(under: retention)
            guard let layout = PagedLayout(streams[0], pageBytes: store.pageBytes),
                let open = OpenBlocks(
                    streams[0], pageBytes: store.pageBytes, isShared: self.geometry.contains { $0.source == layer })
            else {
                let tokens = geometry.encoding.blockTokens
                throw .pageTooSmall(
                    layer: layer, tokens: tokens, bytes: tokens * streams[0].bytesPerToken, pageBytes: store.pageBytes)
            }
            layerStreams.append(layouts.count..<layouts.count + streams.count)
            shapes += streams
            layouts += streams.map { _ in layout }
            blocks += streams.map { _ in geometry.encoding.blockTokens > 1 ? open : nil }
        }
        (self.layouts, self.shapes, self.blocks) = (layouts, shapes, blocks)
        (stores, self.layerStreams) = (geometry.cacheNumbers, layerStreams)
        retentions = retentions(with: retention)
        decides = !retentions.allSatisfy { $0 is FullRetention }
        makeRotations(for: retention)
    }

    private mutating func makeRotations(for retention: any Retention) {
        guard retention.inputs.contains(.queries), rotations.isEmpty else { return }
        rotations = geometry.indices.filter { geometry[$0].source == nil }.map { QueryRotation(config, layer: $0) }
    }

    /// The retention of each of ``layouts`` where layers without a window have `retention`.
    func retentions(with retention: any Retention) -> [any Retention] {
        let windows = windows
        let count = layerStreams.count { windows[$0.lowerBound] == nil }
        var index = 0
        return layerStreams.flatMap { streams -> [any Retention] in
            if let window = windows[streams.lowerBound] { return [window] }
            index += 1
            return retention.stream(index - 1, of: count).heads(streams.count)
        }
    }

    /// A cache with a pool of its own, of pages of `pageBytes`, large enough for `sequences` of `tokens` each, computed in chunks
    /// of at most `chunk` tokens.
    ///
    /// Throws ``InferenceError`` where the memory cannot be had or a token of a layer does not fit a page.
    public init(
        config: ModelConfig, encoding: CacheEncoding = .float32, retention: any Retention = FullRetention(), pageBytes: Int,
        sequences: Int = 1, tokens: Int, chunk: Int
    ) throws(InferenceError) {
        let empty = try PagedKVCache(
            config: config, encoding: encoding, retention: retention,
            store: PageStore(bytes: pageBytes, pageBytes: pageBytes))
        let pages = sequences * empty.pages(tokens: tokens, inChunksOf: chunk)
        try self.init(
            config: config, encoding: encoding, retention: retention,
            store: PageStore(bytes: max(1, pages) * pageBytes, pageBytes: pageBytes))
    }

    /// The window of each of ``layouts``, a little wider where sums must not depend on chunks.
    var windows: [WindowRetention?] {
        shapes.map { shape in
            shape.window.map {
                WindowRetention(window: $0 + (isBatchInvariant ? PagedAttentionKernel.blockTokens - 1 : 0), sinks: shape.sinks)
            }
        }
    }

    /// The retention of each of ``layouts`` for `sequence`.
    func retentions(of sequence: Int) -> [any Retention] { ownRetentions[sequence] ?? retentions }

    /// Whether some retention of `sequence` ever evicts a slot.
    func decides(_ sequence: Int) -> Bool { decides || ownRetentions[sequence] != nil }

    /// Gives `sequence` a retention of its own instead of the cache's.
    ///
    /// Precondition: none of its slots is evicted and none of its queries observed yet, and the cache ``holds(_:)`` it.
    mutating func setRetention(_ sequence: Int, _ retention: any Retention) {
        precondition(holds(retention), "PagedKVCache: pages hold all heads of a layer, '\(retention.name)' frees single ones")
        precondition(
            !isCompacted(sequence) && observations[sequence] == nil, "PagedKVCache: sequence \(sequence) has evicted slots")
        ownRetentions[sequence] = retentions(with: retention)
        makeRotations(for: retention)
    }

    /// Numbers of the cached sequences.
    public var sequences: some Collection<Int> { tables.keys }

    /// Adds `sequence`, empty or with the tokens and the pages of `table`, whose reference counts rise.
    public mutating func add(_ sequence: Int, sharing table: BlockTable? = nil) {
        precondition(tables[sequence] == nil, "PagedKVCache: sequence \(sequence) is held already")
        let table = table ?? BlockTable(layers: layouts.count)
        for page in table.allPages { store.pool.retain(page) }
        tables[sequence] = table
    }

    /// Forks `sequence`: `copy` has the same tokens in the same pages, copy-on-write.
    public mutating func fork(_ sequence: Int, as copy: Int) {
        var table = table(of: sequence)
        table.reserved = table.reserved.map { _ in [] }
        add(copy, sharing: table)
        (observations[copy], promptLengths[copy]) = (observations[sequence], promptLengths[sequence])
        (ownRetentions[copy], prompts[copy]) = (ownRetentions[sequence], prompts[sequence])
    }

    /// Removes `sequence` and releases its pages.
    public mutating func remove(_ sequence: Int) {
        (promptLengths[sequence], observations[sequence], ownRetentions[sequence], prompts[sequence]) = (nil, nil, nil, nil)
        guard let table = tables.removeValue(forKey: sequence) else { return }
        for page in table.allPages { store.pool.release(page) }
    }

    /// The block table of `sequence`.
    public func table(of sequence: Int) -> BlockTable {
        guard let table = tables[sequence] else { preconditionFailure("PagedKVCache: there is no sequence \(sequence)") }
        return table
    }

    /// Tokens computed for `sequence`, evicted ones included.
    public func length(of sequence: Int) -> Int { table(of: sequence).tokens }

    /// Releases the pages of `sequence`, which has no tokens from then on and keeps its prompt's length and its retention.
    mutating func reset(_ sequence: Int) {
        for page in table(of: sequence).allPages { store.pool.release(page) }
        tables[sequence] = BlockTable(layers: layouts.count)
        (observations[sequence], prompts[sequence]) = (nil, nil)
    }

    /// Bytes of the stored keys and values (logical), and of the pages that hold them (allocated); shared pages count once.
    public var bytesHeld: (logical: Int, allocated: Int) {
        let pages = tables.values.reduce(into: Set<Int32>()) { $0.formUnion($1.allPages) }
        return (tables.keys.reduce(0) { $0 + logicalBytes(of: $1) }, pages.count * store.pageBytes)
    }

    /// Bytes held beside the pages of `sequence`: positions of compacted slots, attention mass, statistics of queries.
    public func sidecarBytes(of sequence: Int) -> Int {
        let positions = table(of: sequence).positions.joined().reduce(0) { $0 + 4 * $1.count }
        return (observations[sequence] ?? []).reduce(positions) { total, stream in
            total + stream.byteCount + (stream.queries?.byteCount ?? 0)
        }
    }

    /// Slots of `sequence` a KV head of a layer with keys and values of its own, on average over heads and layers: of a windowed one,
    /// those inside the window.
    public func slotsKept(_ sequence: Int) -> Double {
        let table = table(of: sequence)
        let slots = layerStreams.map { streams in
            Double(streams.reduce(0) { $0 + shapes[$1].tokensKept(of: table.slots($1)) }) / Double(streams.count)
        }
        return slots.reduce(0, +) / Double(slots.count)
    }

    /// Bytes of the stored keys and values of `sequence`.
    func logicalBytes(of sequence: Int) -> Int {
        let table = table(of: sequence)
        return shapes.indices.reduce(0) { $0 + shapes[$1].bytes(tokens: table.slots($1)) }
    }

    /// Sets the length of a sequence's prompt, for ``isBatchInvariant`` and for retentions that decide after the prompt.
    public mutating func setPromptLength(_ sequence: Int, _ tokens: Int) { promptLengths[sequence] = tokens }

    /// The cached state of a sequence apart from its pages' bytes.
    struct Snapshot: Sendable {
        fileprivate(set) var table: BlockTable
        fileprivate var observations: [StreamObservations]?
        fileprivate var promptLength: Int?
        fileprivate var retentions: [any Retention]?
    }

    /// A snapshot of `sequence` for ``restore(_:_:)``.
    func snapshot(of sequence: Int) -> Snapshot {
        Snapshot(
            table: table(of: sequence), observations: observations[sequence], promptLength: promptLengths[sequence],
            retentions: ownRetentions[sequence])
    }

    /// Adds `sequence` with the tokens, slots and number of pages of `snapshot`, in new pages of undefined contents; false, and
    /// nothing changed, where there are too few free pages.
    mutating func restore(_ sequence: Int, _ snapshot: Snapshot) -> Bool {
        precondition(tables[sequence] == nil, "PagedKVCache: sequence \(sequence) is held already")
        var table = snapshot.table
        guard var pages = store.pool.allocate(table.allPages.count, for: owner) else { return false }
        table.reserved = table.reserved.map { _ in [] }
        func renewed(_ layers: [[Int32]]) -> [[Int32]] {
            layers.map { $0.map { $0 == BlockTable.freed ? $0 : pages.removeFirst() } }
        }
        (table.pages, table.open) = (renewed(table.pages), renewed(table.open))
        for page in pages { store.pool.release(page) }
        (tables[sequence], observations[sequence]) = (table, snapshot.observations)
        (promptLengths[sequence], ownRetentions[sequence]) = (snapshot.promptLength, snapshot.retentions)
        return true
    }

    /// Stores the new tokens' keys and values, then attends: rows [tokens, rowWidth] → [tokens, heads·valueDim].
    ///
    /// Precondition: ``reserve(_:)`` allocated the step's pages.
    public mutating func attend(layer: Int, _ queries: CachedQueries, _ step: RaggedBatch) -> CachedAttention {
        if layer == 0 { precondition(reserve(step), "PagedKVCache: the pool has no pages left for \(step.tokens.count) tokens") }
        let streams = layerStreams[stores[layer]]
        let kernel = kernel(layer, queries)
        let layout = kernel.layout
        let (batches, rounds) = batches(of: step)
        if let blocks = blocks[streams.lowerBound] {
            let output = Storage(count: step.tokens.count * queries.heads * layout.valueDim)
            let logSumExp = Storage(count: step.tokens.count * queries.heads)
            var queries = queries
            if layout.encoding.isRotated { queries.rows = kernel.rotated(queries.rows) }
            attend(queries, rounds[stores[layer]], blocks, kernel, into: output, logSumExp: logSumExp)
            if layout.encoding.isRotated { kernel.turnBack(output) }
            return CachedAttention(output: output, logSumExp: logSumExp)
        }
        let batch = batches[stores[layer]]
        let observed = observedRows(step, streams)
        let masses = massSums(step, streams, observed, of: .mass, \.mass)
        let (rows, sums, attention, added) = kernel.attend(
            queries, store.memory, batch, streams: streams.count, counts: step.counts, plans: &plans, masses: masses)
        observe(
            step, queries, kernel, batch, qkv: rows, logSumExp: sums, layer: layer, of: stores[layer], observed, masses,
            added: added)
        return attention
    }

    /// The attention kernel of a layer, or of each of its KV heads where these have pages of their own.
    func kernel(_ layer: Int, _ queries: CachedQueries) -> PagedAttentionKernel {
        let streams = layerStreams[stores[layer]]
        var kernel = PagedAttentionKernel(
            layout: layouts[streams.lowerBound], heads: queries.heads / streams.count, scale: queries.scale)
        kernel.sharesPrefixes = !isBatchInvariant
        kernel.storesKeys = geometry[layer].source == nil
        (kernel.window, kernel.sinks) = (geometry[layer].window, geometry[layer].sinks)
        kernel.alignsWindows = isBatchInvariant
        return kernel
    }

    /// The step's rows and pages, for each of ``layerStreams``, in rounds where it has open blocks; where a layer has several
    /// streams, each of them is a sequence of its own (``SeparatedHeads``).
    private mutating func batches(of step: RaggedBatch) -> (batches: [PagedBatch], rounds: [[BlockRound]]) {
        if let prepared, prepared.sequences == step.sequences, prepared.counts == step.counts {
            return (prepared.batches, prepared.rounds)
        }
        let held = step.sequences.map { table(of: $0) }
        var blockCounts = [Int?](repeating: nil, count: held.count)
        if isBatchInvariant {
            for (index, sequence) in step.sequences.enumerated() {
                let prompt = (promptLengths[sequence] ?? 0) - held[index].tokens
                blockCounts[index] = max(0, min(step.counts[index], prompt))
            }
        }
        let batches = layerStreams.map { streams in
            PagedBatch(
                (blocks[streams.lowerBound] == nil ? held.indices : 0..<0).flatMap { index in
                    streams.map { stream in
                        var part = PagedSequence(
                            pages: held[index].pages[stream], held: held[index].slots(stream), count: step.counts[index])
                        part.blockCount = blockCounts[index]
                        return part
                    }
                }, layout: layouts[streams.lowerBound])
        }
        let rounds = layerStreams.map { streams in
            let stream = streams.lowerBound
            return blocks[stream].map { BlockRound.rounds(held, step.counts, blockCounts, stream, layouts[stream], $0) } ?? []
        }
        prepared = (step.sequences, step.counts, batches, rounds)
        return (batches, rounds)
    }

    /// Counts the step's tokens as computed, and evicts slots outside the retained sets where `retainsOnCommit` is set: at once, or in
    /// ``finish(_:by:)`` where a prompt is reconstructed before.
    public mutating func commit(_ step: RaggedBatch) {
        if retainsOnCommit { keepPrompts(step) }
        for (sequence, count) in zip(step.sequences, step.counts) {
            precondition(
                count <= tokensToDecision(sequence) ?? count,
                "PagedKVCache: \(count) tokens of sequence \(sequence) go past a decision on its slots")
            releaseSealed(sequence, adding: count)
            tables[sequence]?.append(count)
            if retainsOnCommit, dueReconstruction(sequence) == nil { retain(sequence) }
        }
    }
}

extension PagedLayout {
    /// The layout of a layer's cache in pages of `pageBytes`; nil where not even one token fits.
    public init?(_ geometry: KVGeometry, pageBytes: Int) {
        self.init(
            kvHeads: geometry.kvHeads, keyDim: geometry.keyDim, valueDim: geometry.valueDim,
            valuesAreKeys: geometry.valuesAreKeys, encoding: geometry.encoding, pageBytes: pageBytes)
    }
}
