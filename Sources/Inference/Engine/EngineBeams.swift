import Kernels
import Text

/// Beam search over pages: diverging beams share their common pages, copy-on-write.
extension Engine {
    /// Takes a beam's candidates from its row of logits and holds the beam until the other beams have theirs.
    func offer(_ id: Int, _ logits: Storage, row: Int, width: Int) {
        guard let sequence = sequences[id], var search = beams[sequence.request] else { return }
        let shown = sequence.sampler.options.logprobs
        let logprobs = LogitRows.logSoftmax(logits, row: row, width: width)
        let top = TokenSampler.likeliest(logprobs, max(search.candidateCount, shown ?? 0)).map {
            TokenLogprob(id: Int32($0), logprob: logprobs[$0])
        }
        search.offer(
            id,
            top.prefix(search.candidateCount).map {
                SampledToken(id: $0.id, logprob: $0.logprob, top: Array(top.prefix(shown ?? 0)))
            })
        beams[sequence.request] = search
        scheduler.hold(id)
    }

    /// Advances every search whose beams have all offered their candidates.
    func advanceBeams() {
        for request in beams.keys.sorted() where beams[request]?.isReady == true { advanceBeams(of: request) }
    }

    private func advanceBeams(of request: Int) {
        guard var search = beams[request] else { return }
        let parents = search.beams.map(\.sequence)
        search.advance()
        beams[request] = search
        guard !search.beams.isEmpty else { return finishBeams(of: request) }
        var kept: Set<Int> = []
        // Forks come before any append to the beams that they copy.
        let ids = search.beams.map { kept.insert($0.sequence).inserted ? $0.sequence : forkBeam($0.sequence) }
        for id in parents where !kept.contains(id) { remove(id) }
        for (id, beam) in zip(ids, search.beams) {
            guard let sequence = sequences[id], let token = beam.tokens.last else { continue }
            sequence.tokens.append(token.id)
            scheduler.release(id)
        }
        beams[request]?.assign(ids)
    }

    /// Forks `id`: the copy shares its pages where it is resident, and is recomputed otherwise.
    private func forkBeam(_ id: Int) -> Int {
        guard let sequence = sequences[id] else { return id }
        let copy = sequence.copied(as: takeID())
        enter(copy, forkOf: id, sharesPages: sequence.isResident)
        return copy.id
    }

    /// Ends a search in its present state and sends its best hypotheses.
    func finishBeams(of request: Int) {
        guard var search = beams.removeValue(forKey: request) else { return }
        let prompt = sequences.values.first { $0.request == request }
        for id in sequences.values.filter({ $0.request == request }).map(\.id) { remove(id) }
        search.end()
        guard let entry = requests.removeValue(forKey: request), let prompt else { return }
        for (index, hypothesis) in search.finished.prefix(entry.open).enumerated() {
            var decoder = TokenStreamDecoder(
                models[prompt.model].tokenizer, after: Array(prompt.tokens.prefix(prompt.promptCount)))
            for token in hypothesis.tokens {
                let isStop = prompt.stopIDs.contains(token.id)
                entry.continuation.yield(.token(index: index, token, text: isStop ? "" : decoder.append(token.id)))
            }
            counters.generatedTokens += hypothesis.tokens.count
            counters.finished += 1
            entry.continuation.yield(.finished(index: index, hypothesis.reason, text: decoder.finish()))
        }
        // Fewer outputs than requested where the vocabulary has no more.
        for index in min(search.finished.count, entry.open)..<entry.open {
            entry.continuation.yield(.finished(index: index, .length, text: ""))
        }
        entry.continuation.finish()
    }
}
