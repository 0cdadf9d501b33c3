import Kernels
import Models

/// Eviction of slots by the layers' retentions.
extension PagedKVCache {
    /// Tokens of `sequence` until its next compaction, which a step must not exceed; nil where none follows.
    public func tokensToDecision(_ sequence: Int) -> Int? {
        guard decides(sequence) else { return nil }
        let tokens = length(of: sequence)
        return retentions(of: sequence).nextPacking(after: tokens, prompt: prompt(of: sequence)).map { $0 - tokens }
    }

    /// Tokens of a prompt of `prompt` tokens that a sequence may take from the prefix cache: those before the first decision, and
    /// before the first query that a retention observes; none where an encoding leaves the newest tokens before a full block
    /// unrounded, as the prefix cache has codes alone. A `retention` of nil is the cache's.
    func shareableTokens(prompt: Int, retention: (any Retention)? = nil) -> Int {
        guard encoding.residual == 0 else { return 0 }
        let deciding = retention.map { retentions(with: $0) } ?? retentions
        guard let decision = deciding.nextPacking(after: 0, prompt: prompt) else { return .max }
        return deciding.reduce(decision) { most, retention in
            guard retention.observesQueries else { return most }
            let observed = retention.observed(0..<decision, prompt: prompt)
            return observed.isEmpty ? most : min(most, observed.lowerBound)
        }
    }

    /// Whether slots of `sequence` were compacted: its pages no longer hold its first tokens.
    func isCompacted(_ sequence: Int) -> Bool { table(of: sequence).isCompacted }

    /// Tokens of a sequence's prompt; all tokens where no prompt length was set.
    func prompt(of sequence: Int) -> Int { promptLengths[sequence] ?? .max }

    private func isDecision(_ sequence: Int, _ stream: Int, at tokens: Int) -> Bool {
        guard decides(sequence), tokens > 0 else { return false }
        return retentions(of: sequence)[stream].nextDecision(after: tokens - 1, prompt: prompt(of: sequence)) == tokens
    }

    /// Pages to reserve for the compaction at the last of `count` more tokens, and the stream that holds them until then: enough for
    /// the retained sets of each budget's streams, where some target pages are shared or may become shared before it.
    func pagesToReserve(_ sequence: Int, _ table: BlockTable, adding count: Int) -> [(stream: Int, pages: Int)] {
        guard tokensToDecision(sequence) == count else { return [] }
        let (retentions, tokens) = (retentions(of: sequence), table.tokens + count)
        return budgets(retentions).compactMap { streams in
            let retention = retentions[streams[0]]
            guard retention.release == .compaction, isDecision(sequence, streams[0], at: tokens) else { return nil }
            let most = retention.mostRetained(at: tokens, prompt: prompt(of: sequence)) * streams.count
            let slots = streams.map { table.slots($0) + count }
            let sizes = streams.map { layouts[$0].tokensPerPage }
            let kept = min(slots.reduce(0, +), most)
            let isOwn =
                table.isCompacted
                && streams.indices.allSatisfy { index in
                    let pages = layouts[streams[index]].pages(tokens: min(kept, slots[index]))
                    return table.pages[streams[index]].prefix(pages).allSatisfy { store.pool.count(of: $0) == 1 }
                }
            let held = streams.reduce(0) { $0 + table.reserved[$1].count }
            let missing = isOwn ? 0 : sizes.mostPages(of: kept, atMost: slots.max() ?? 0) - held
            return missing > 0 ? (stream: streams[0], pages: missing) : nil
        }
    }

    /// Evicts the slots of `sequence` outside the retained sets and releases their pages; true where some were compacted.
    @discardableResult mutating func retain(_ sequence: Int) -> Bool {
        guard decides(sequence) else { return false }
        var table = table(of: sequence)
        let retentions = retentions(of: sequence)
        var packed: [Range<Int>] = []
        for streams in decidingStreams(retentions) {
            let stream = streams.lowerBound
            guard isDecision(sequence, stream, at: table.tokens) else { continue }
            switch retentions[stream].release {
            case .pages:
                guard case .ranges(let ranges) = retentions[stream].retained(state(of: sequence, table, streams)) else {
                    preconditionFailure("PagedKVCache: '\(retentions[stream].name)' keeps slots by head in place")
                }
                release(&table, stream, outside: ranges)
            case .compaction:
                packed.append(streams)
                if retentions[stream].budgetScope != .model { pack(&table, sequence, [streams]) }
            }
        }
        if let streams = packed.first, retentions[streams.lowerBound].budgetScope == .model {
            pack(&table, sequence, packed)
        }
        (peaks[sequence], prompts[sequence]) = (nil, packed.isEmpty ? prompts[sequence] : nil)
        tables[sequence] = table
        return !packed.isEmpty
    }

    /// The streams of each layer, or of each KV head where heads decide for themselves under the `retentions` of ``layouts``.
    private func decidingStreams(_ retentions: [any Retention]) -> [Range<Int>] {
        layerStreams.flatMap { streams in
            retentions[streams.lowerBound].budgetScope == .own ? streams.map { $0..<$0 + 1 } : [streams]
        }
    }

    /// Packs the retained slots of layers, or of one head, that decide together, each with its streams.
    private mutating func pack(_ table: inout BlockTable, _ sequence: Int, _ parts: [Range<Int>]) {
        let streams = Array(parts.joined())
        let retention = retentions(of: sequence)[streams[0]]
        var spare = streams.flatMap { table.reserved[$0] }
        for stream in streams { table.reserved[stream] = [] }
        if countsOnly {
            let most = retention.mostRetained(at: table.tokens, prompt: prompt(of: sequence))
            let counts =
                [.head, .own].contains(retention.budgetScope)
                ? streams.map { min(table.slots($0), most) } : largestDivision(table, streams, most: most)
            for (stream, count) in zip(streams, counts) {
                pack(&table, sequence, stream, [[Int]](repeating: Array(0..<count), count: shapes[stream].kvHeads), &spare)
            }
        } else {
            let states = parts.map { state(of: sequence, table, $0) }
            for (streams, (state, kept)) in zip(parts, zip(states, retention.retained(states))) {
                pack(&table, sequence, streams, state, kept, retention.merge, &spare)
            }
        }
        for page in spare { store.pool.release(page) }
    }

    /// Packs the slots `kept` of a layer's `streams`, or of one, into which `merge` merges the others.
    private mutating func pack(
        _ table: inout BlockTable, _ sequence: Int, _ streams: Range<Int>, _ state: StreamState, _ kept: RetainedSlots,
        _ merge: (any SlotMerge)?, _ spare: inout [Int32]
    ) {
        var (heads, merged) = ([[Int]](), [[Int: [Float]]]())
        switch kept {
        case .ranges(let ranges): heads = [[Int]](repeating: ranges.flatMap { Array($0) }, count: state.kvHeads)
        case .heads(let slots):
            heads = slots
            if let merge {
                merged = heads.indices.map { self.merged(by: merge, sequence, streams, state, head: $0, kept: heads[$0]) }
            }
        }
        precondition(heads.count == state.kvHeads, "PagedKVCache: slots of \(heads.count) heads are kept of \(state.kvHeads)")
        for (index, stream) in streams.enumerated() {
            pack(&table, sequence, stream, streams.count > 1 ? [heads[index]] : heads, &spare)
        }
        for (head, values) in merged.enumerated() {
            let place = place(of: head, in: streams)
            for (slot, old) in heads[head].enumerated() {
                guard let value = values[old] else { continue }
                store.memory.storeValue(
                    value, layouts[place.stream], head: place.head, slot: slot, of: table.pages[place.stream])
            }
        }
    }

    /// The changed values of a head of a layer's `streams`, whose threshold is kept among the sequence's observations.
    private mutating func merged(
        by merge: any SlotMerge, _ sequence: Int, _ streams: Range<Int>, _ state: StreamState, head: Int, kept: [Int]
    ) -> [Int: [Float]] {
        let place = place(of: head, in: streams)
        var threshold = observations[sequence]?[place.stream].thresholds[place.head]
        let values = merge.values(state, head: head, kept: kept, threshold: &threshold)
        guard let threshold else { return values }
        changeObservations(of: sequence) { $0[place.stream].thresholds[place.head] = threshold }
        return values
    }

    /// The state of a layer's `streams`, or of the one of a head that decides for itself, for the retention.
    private func state(of sequence: Int, _ table: BlockTable, _ streams: Range<Int>) -> StreamState {
        guard let layer = layerStreams.firstIndex(where: { $0.contains(streams.lowerBound) }) else {
            preconditionFailure("PagedKVCache: streams \(streams) are no layer's")
        }
        let retention = retentions(of: sequence)[streams.lowerBound]
        let inputs = retention.inputs
        let heads = streams.flatMap { stream in (0..<layouts[stream].kvHeads).map { (stream: stream, head: $0) } }
        var state = StreamState(
            tokens: table.tokens, prompt: prompt(of: sequence), kvHeads: heads.count,
            slots: streams.map { table.slots($0) }.max() ?? 0, positions: streams.flatMap { table.positions[$0] }, mass: [])
        state.index = layer
        if let observations = observations[sequence] {
            if inputs.contains(.mass) { state.mass = streams.flatMap { observations[$0].mass.heads } }
            if inputs.contains(.rows) { state.weighed = streams.flatMap { observations[$0].weighed.heads } }
            if inputs.contains(.queries) { state.queries = observations[streams.lowerBound].queries }
        }
        if inputs.contains(.tokens) { state.ids = prompts[sequence] ?? [] }
        func vectors(_ part: PageMemory.SlotPart) -> [[Float]] {
            heads.map { head in
                store.memory.vectors(
                    layouts[head.stream], part, head: head.head, slots: table.slots(head.stream), of: table.pages[head.stream])
            }
        }
        if inputs.contains(.keys) { state.keys = vectors(.key) }
        if inputs.contains(.values) { state.values = vectors(.value) }
        if retention.reconstruction != nil {
            guard let peaks = peaks[sequence] else {
                preconditionFailure("PagedKVCache: '\(retention.name)' decides behind a reconstruction, and there was none")
            }
            state.peaks = peaks[layer]
        }
        return state
    }

    /// Adds a step's observations for the retentions in a layer, number `own` of ``layerStreams``: the attention mass of its slots and
    /// the statistics of the queries in its rows `observed`. The `batch` has rows `qkv` of each sequence's streams; to the sums in `masses`
    /// the attention itself has `added` some.
    mutating func observe(
        _ step: RaggedBatch, _ queries: CachedQueries, _ kernel: PagedAttentionKernel, _ batch: PagedBatch, qkv: Storage,
        logSumExp: Storage, layer: Int, of own: Int, _ observed: [[Range<Int>]], _ masses: [SlotSums?], added: [Bool]
    ) {
        let (streams, stream) = (layerStreams[own], layerStreams[own].lowerBound)
        guard observed.joined().contains(where: { !$0.isEmpty }) else { return }
        func add(_ sums: [SlotSums?], _ isAdded: [Bool], weighing weigh: (@Sendable (PagedQuery, inout [Float]) -> Void)? = nil) {
            let rows = observed.joined().enumerated().map { sums[$0] == nil || isAdded[$0] ? 0..<0 : $1 }
            guard rows.contains(where: { !$0.isEmpty }) else { return }
            kernel.addMass(
                qkv: qkv, memory: store.memory, batch: batch, logSumExp: logSumExp, rows: rows, into: sums, weighing: weigh)
        }
        if !masses.isEmpty { add(masses, added) }
        let weighed = massSums(step, streams, observed, of: .rows, \.weighed)
        if !weighed.isEmpty {
            add(weighed, weighed.map { _ in false }, weighing: weighing(step, kernel, layer: layer, streams: streams))
        }
        let inputs = step.sequences.map { retentions(of: $0)[stream].inputs }
        var first = 0
        for (index, sequence) in step.sequences.enumerated() {
            defer { first += step.counts[index] }
            let rows = observed[index][0]
            guard inputs[index].contains(.queries), !rows.isEmpty else { continue }
            var statistics =
                observations[sequence]?[stream].queries ?? QueryStatistics(queries, rotation: rotations[own])
            changeObservations(of: sequence) { $0[stream].queries = nil }
            statistics.add(
                queries, rows: first + rows.lowerBound..<first + rows.upperBound,
                position: length(of: sequence) + rows.lowerBound)
            observations[sequence]?[stream].queries = statistics
        }
    }

    /// The rows of each sequence and each of a layer's `streams`, numbered from the step's first, whose queries a retention observes.
    func observedRows(_ step: RaggedBatch, _ streams: Range<Int>) -> [[Range<Int>]] {
        step.sequences.indices.map { index in
            streams.map { observedRows(step.sequences[index], $0, adding: step.counts[index]) }
        }
    }

    /// The rows of the next `count` of a sequence, numbered from the first, whose queries its retention observes.
    private func observedRows(_ sequence: Int, _ stream: Int, adding count: Int) -> Range<Int> {
        let retention = retentions(of: sequence)[stream]
        let (held, prompt) = (length(of: sequence), prompt(of: sequence))
        guard retention.observesQueries, retention.nextDecision(after: held, prompt: prompt) != nil else { return 0..<0 }
        let observed = retention.observed(held..<held + count, prompt: prompt)
        return observed.isEmpty ? 0..<0 : observed.lowerBound - held..<observed.upperBound - held
    }

    /// The summands of attention mass that the retentions of the step's sequences make of a query's weights.
    private func weighing(
        _ step: RaggedBatch, _ kernel: PagedAttentionKernel, layer: Int, streams: Range<Int>
    ) -> @Sendable (PagedQuery, inout [Float]) -> Void {
        let parts = step.sequences.flatMap { sequence in
            let (table, prompt) = (table(of: sequence), prompt(of: sequence))
            let retentions = retentions(of: sequence)
            return streams.enumerated().map { index, stream in
                (
                    retention: retentions[stream], held: table.tokens, positions: table.positions[stream], prompt: prompt,
                    firstHead: index * kernel.heads
                )
            }
        }
        let group = kernel.heads / kernel.layout.kvHeads
        return { query, weights in
            let part = parts[query.sequence]
            let observed = ObservedQuery(
                position: part.held + query.row, prompt: part.prompt, layer: layer, head: part.firstHead + query.head,
                positions: part.positions.isEmpty ? [] : part.positions[query.head / group], held: part.held)
            part.retention.weigh(&weights, of: observed)
        }
    }

    /// The sums of the slots of each sequence and each of a layer's `streams`, the step's tokens among them, to add to where rows are
    /// `observed` and the retention has the `input` that they are for; nil elsewhere, and none where all are nil.
    mutating func massSums(
        _ step: RaggedBatch, _ streams: Range<Int>, _ observed: [[Range<Int>]], of input: RetentionInputs,
        _ sums: WritableKeyPath<StreamObservations, SlotSums>
    ) -> [SlotSums?] {
        var found: [SlotSums?] = []
        for (index, sequence) in step.sequences.enumerated() {
            let inputs = retentions(of: sequence)[streams.lowerBound].inputs
            for (stream, rows) in zip(streams, observed[index]) {
                guard inputs.contains(input), !rows.isEmpty else {
                    found.append(nil)
                    continue
                }
                let slots = table(of: sequence).slots(stream) + step.counts[index]
                changeObservations(of: sequence) { $0[stream][keyPath: sums].extend(to: slots) }
                found.append(observations[sequence]?[stream][keyPath: sums])
            }
        }
        return found.contains { $0 != nil } ? found : []
    }

    /// Changes a sequence's observations, which are made where there are none.
    private mutating func changeObservations(of sequence: Int, _ change: (inout [StreamObservations]) -> Void) {
        let kvHeads = shapes.map(\.kvHeads)
        change(&observations[sequence, default: kvHeads.map { StreamObservations(kvHeads: $0) }])
    }

    /// Releases the pages without a slot in `ranges`.
    private func release(_ table: inout BlockTable, _ stream: Int, outside ranges: [Range<Int>]) {
        let size = layouts[stream].tokensPerPage
        for page in table.pages[stream].indices where table.pages[stream][page] != BlockTable.freed {
            let slots = page * size..<(page + 1) * size
            guard !ranges.contains(where: { $0.overlaps(slots) }) else { continue }
            store.pool.release(table.pages[stream][page])
            table.pages[stream][page] = BlockTable.freed
        }
    }

    /// Packs the slots `kept` of each head of a stream to the front: in place where the target pages are the sequence's alone, else
    /// into pages of `spare`.
    private mutating func pack(
        _ table: inout BlockTable, _ sequence: Int, _ stream: Int, _ kept: [[Int]], _ spare: inout [Int32]
    ) {
        let (layout, old) = (layouts[stream], table.pages[stream])
        let count = kept.first?.count ?? 0
        precondition(
            kept.count == layout.kvHeads && kept.allSatisfy { $0.count == count },
            "PagedKVCache: heads keep \(kept.map(\.count)) slots, all have to keep as many")
        let pages = layout.pages(tokens: count)
        let isOwn = old.prefix(pages).allSatisfy { store.pool.count(of: $0) == 1 }
        precondition(
            isOwn || pages <= spare.count, "PagedKVCache: \(spare.count) pages are reserved for a decision that needs \(pages)")
        let new = Array(isOwn ? old.prefix(pages) : spare.prefix(pages))
        if !isOwn { spare.removeFirst(pages) }
        for (head, slots) in kept.enumerated() where !countsOnly {
            for (slot, source) in slots.enumerated() where !isOwn || slot != source {
                store.memory.copySlot(layout, head: head, from: source, of: old, to: slot, of: new)
            }
        }
        for page in isOwn ? old.dropFirst(pages) : old[...] { store.pool.release(page) }
        table.pages[stream] = new
        let positions = table.positions[stream]
        table.positions[stream] = kept.enumerated().map { head, slots in
            slots.map { positions.isEmpty ? Int32($0) : positions[head][$0] }
        }
        let accumulates = retentions(of: sequence)[stream].accumulates
        observations[sequence]?[stream].mapSums { sums in
            guard accumulates, sums.slots > 0 else { return SlotSums(kvHeads: sums.kvHeads) }
            return SlotSums(zip(kept, sums.heads).map { kept, sums in kept.map { sums[$0] } })
        }
    }
}

/// A retention's observations of a stream's queries.
struct StreamObservations: Sendable {
    /// The attention mass of the slots; those behind the last with a sum have none yet.
    var mass: SlotSums
    /// The sums of the retention's own summands, likewise.
    var weighed: SlotSums
    var queries: QueryStatistics?
    /// The threshold of each KV head's merge; nil before the first decision, and of a merge without one.
    var thresholds: [Double?]

    init(kvHeads: Int) {
        (mass, weighed) = (SlotSums(kvHeads: kvHeads), SlotSums(kvHeads: kvHeads))
        thresholds = [Double?](repeating: nil, count: kvHeads)
    }

    /// Replaces the sums of the slots.
    mutating func mapSums(_ change: (SlotSums) -> SlotSums) { (mass, weighed) = (change(mass), change(weighed)) }

    /// Bytes of the sums and the thresholds.
    var byteCount: Int {
        [mass, weighed].reduce(8 * thresholds.count { $0 != nil }) { $0 + 4 * $1.kvHeads * $1.slots }
    }
}

extension Retention {
    /// Whether decisions depend on queries, which a prefix cache does not keep.
    var observesQueries: Bool { !inputs.isDisjoint(with: [.mass, .rows, .queries]) }
}

extension [any Retention] {
    /// The number of tokens above `tokens` at which a sequence with a prompt of `prompt` tokens is compacted next; nil where none
    /// follows.
    func nextPacking(after tokens: Int, prompt: Int) -> Int? {
        lazy.filter { $0.release == .compaction }.compactMap { $0.nextDecision(after: tokens, prompt: prompt) }.min()
    }
}
