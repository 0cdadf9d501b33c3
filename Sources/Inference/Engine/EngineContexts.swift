import Kernels

/// A context after its evictions, kept for prompts that begin with it.
///
/// It is a sequence of the model's cache that the scheduler does not know. The prefix tree cannot hold it: the retained set depends
/// on the whole context, so that its compacted pages are no prefix of another context.
struct KeptContext {
    /// The sequence in the cache.
    var sequence: Int
    var model: Int
    /// The scope of its prefixes.
    var scope: String
    var tokens: [Int32]
    /// The moment of its last use.
    var lastUse: Int
}

/// Contexts shared behind an eviction.
extension Engine {
    /// Whether a sequence may begin behind a kept context.
    private func sharesContext(_ sequence: EngineSequence) -> Bool { options.prefixSharing && sequence.sharesContext }

    /// The index of the kept context that a sequence goes on behind.
    private func keptContext(of sequence: EngineSequence) -> Int? {
        contexts.firstIndex {
            $0.model == sequence.model && $0.scope == sequence.prefixScope && $0.tokens.count == sequence.contextCount
                && sequence.tokens.starts(with: $0.tokens)
        }
    }

    /// Whether to wait for a context that another sequence is computing.
    func awaitsContext(_ sequence: EngineSequence, held: Set<Int>) -> Bool {
        guard sharesContext(sequence), case .none = sequence.residence, keptContext(of: sequence) == nil else { return false }
        return sequences.values.contains { other in
            mayAwait(other, sequence, held: held) && other.sharesContext && other.contextCount == sequence.contextCount
                && computed(other) < other.contextCount
                && other.tokens.prefix(other.contextCount).elementsEqual(sequence.tokens.prefix(sequence.contextCount))
        }
    }

    /// Forks a sequence from the context that it goes on behind; false where none is kept.
    func forkContext(_ sequence: EngineSequence) -> Bool {
        guard sharesContext(sequence), let index = keptContext(of: sequence) else { return false }
        contexts[index].lastUse = tick()
        caches[sequence.model].fork(contexts[index].sequence, as: sequence.id)
        // Compacted pages are no prefix of another prompt.
        sequence.keepsPrefix = false
        counters.prefixQueries += sequence.tokens.count
        counters.prefixHits += sequence.contextCount
        if !sequence.isStarted { sequence.cached = sequence.contextCount }
        return true
    }

    /// Keeps a sequence's context, where slots of it were just evicted at its end.
    func keepContext(_ id: Int) {
        guard let sequence = sequences[id], sharesContext(sequence), sequence.isResident,
            computed(sequence) == sequence.contextCount, caches[sequence.model].isCompacted(id),
            keptContext(of: sequence) == nil
        else { return }
        let kept = KeptContext(
            sequence: takeID(), model: sequence.model, scope: sequence.prefixScope,
            tokens: Array(sequence.tokens.prefix(sequence.contextCount)), lastUse: tick())
        caches[sequence.model].fork(id, as: kept.sequence)
        contexts.append(kept)
    }

    /// The last use of the least recently used context of a model; nil where it has none.
    func oldestContextUse(of model: Int) -> Int? { contexts.filter { $0.model == model }.map(\.lastUse).min() }

    /// Drops the least recently used context of a model; false where it has none.
    func dropContext(of model: Int) -> Bool {
        guard let oldest = oldestContextUse(of: model), let index = contexts.firstIndex(where: { $0.lastUse == oldest }) else {
            return false
        }
        let context = contexts.remove(at: index)
        caches[context.model].remove(context.sequence)
        return true
    }

    /// Pages of each model that only its kept contexts hold.
    var idleContextPages: [Int] {
        models.indices.map { model in
            contexts.filter { $0.model == model }.reduce(0) { sum, context in
                sum + caches[model].table(of: context.sequence).allPages.count { store.pool.count(of: $0) == 1 }
            }
        }
    }
}
