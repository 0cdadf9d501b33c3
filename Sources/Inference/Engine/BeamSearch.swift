import Glibc

/// The width of a request's beam search, and how its hypotheses are ranked.
public struct BeamOptions: Sendable, Hashable {
    /// Beams kept in each step.
    public var width: Int
    /// Hypotheses are ranked by Σ ln p / length^lengthPenalty, length in tokens without the prompt: above 0 favours longer ones.
    public var lengthPenalty = 1.0
    /// Whether the search ends with the `width`-th finished hypothesis, even if an open beam could still rank higher.
    public var stopsEarly = false

    /// A search of `width` beams, hypotheses ranked by their mean ln p.
    public init(width: Int) { self.width = width }
}

/// One request's beam search: chooses the beams of each step and ends with the best hypotheses.
///
/// In each step every beam offers its likeliest next tokens, and the `width` likeliest continuations by summed log-probability
/// become the next beams. A continuation that ends its text is finished instead. The search ends when no open beam, scored at its
/// present length, ranks above the finished hypotheses, as in transformers' `generate` with `num_beams`.
struct BeamSearch: Sendable {
    struct Beam: Sendable {
        /// The sequence that computes it.
        var sequence: Int
        var sum = 0.0
        var tokens: [SampledToken] = []
        /// Its likeliest next tokens; nil until its logits are computed.
        var candidates: [SampledToken]?
    }

    /// A finished output.
    struct Hypothesis: Sendable {
        var tokens: [SampledToken]
        var score: Double
        var reason: FinishReason
    }

    let options: BeamOptions
    private let stopIDs: Set<Int32>
    private let maxTokens: Int
    private(set) var beams: [Beam]
    private(set) var finished: [Hypothesis] = []

    /// Candidates that each beam offers.
    var candidateCount: Int { 2 * options.width }

    init(_ options: BeamOptions, sequence: Int, stopIDs: Set<Int32>, maxTokens: Int) {
        (self.options, self.stopIDs, self.maxTokens) = (options, stopIDs, maxTokens)
        beams = [Beam(sequence: sequence)]
    }

    /// Whether every beam has offered its candidates.
    var isReady: Bool { beams.allSatisfy { $0.candidates != nil } }

    /// Takes the candidates of `sequence`: its likeliest next tokens with their log-probabilities, likeliest first.
    mutating func offer(_ sequence: Int, _ candidates: [SampledToken]) {
        guard let index = beams.firstIndex(where: { $0.sequence == sequence }) else { return }
        beams[index].candidates = candidates
    }

    /// Replaces the beams by the next step's, likeliest first, each still under its parent's sequence; by none where the search is over.
    mutating func advance() {
        let length = (beams.first?.tokens.count ?? 0) + 1
        // Ties fall to the better beam, then to its likelier token.
        let all = beams.enumerated().flatMap { index, beam in
            (beam.candidates ?? []).enumerated().map { rank, token in
                (sum: beam.sum + Double(token.logprob ?? 0), beam: index, rank: rank, token: token)
            }
        }.sorted { $0.sum != $1.sum ? $0.sum > $1.sum : ($0.beam, $0.rank) < ($1.beam, $1.rank) }
        var next: [Beam] = []
        for (rank, candidate) in all.prefix(candidateCount).enumerated() {
            let parent = beams[candidate.beam]
            let tokens = parent.tokens + [candidate.token]
            if stopIDs.contains(candidate.token.id) {
                if rank < options.width { keep(tokens, sum: candidate.sum, .stop) }
            } else if next.count < options.width {
                next.append(Beam(sequence: parent.sequence, sum: candidate.sum, tokens: tokens))
            }
        }
        beams = next
        if length >= maxTokens {
            end()
        } else if isOver(length) {
            beams = []
        }
    }

    /// Sets the sequences that compute the beams from now on.
    mutating func assign(_ sequences: [Int]) {
        for (index, sequence) in sequences.enumerated() { beams[index].sequence = sequence }
    }

    /// Ends the search early: open beams count as hypotheses where no better one is finished.
    mutating func end() {
        for beam in beams { keep(beam.tokens, sum: beam.sum, .length) }
        beams = []
    }

    private func isOver(_ length: Int) -> Bool {
        guard finished.count >= options.width, let worst = finished.last?.score else { return false }
        return options.stopsEarly || (beams.first.map { score($0.sum, length) } ?? -.infinity) <= worst
    }

    private func score(_ sum: Double, _ length: Int) -> Double { sum / pow(Double(max(1, length)), options.lengthPenalty) }

    private mutating func keep(_ tokens: [SampledToken], sum: Double, _ reason: FinishReason) {
        let score = score(sum, tokens.count)
        let place = finished.firstIndex { $0.score < score } ?? finished.count
        finished.insert(Hypothesis(tokens: tokens, score: score, reason: reason), at: place)
        if finished.count > options.width { finished.removeLast() }
    }
}
