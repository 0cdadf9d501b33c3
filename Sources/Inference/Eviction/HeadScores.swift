import Files
import JSON
import Models

/// Scores of a model's KV heads by a measurement, which `kvlab heads` makes and a ``HeadPolicy`` ranks the heads by.
public struct HeadScores: Sendable, Hashable, Encodable {
    /// The name of the policy that they are for.
    public var method: String
    /// ``ServingModel/identity`` of the model measured; nil for scores from elsewhere, such as an author's.
    public var model: String?
    /// The layers with keys and values of their own and no window, ascending.
    public var layers: [Int]
    /// The scores by their names, a row of KV heads for each of ``layers``.
    public var scores: [String: [[Double]]]

    /// Scores of the heads of `layers`.
    public init(method: String, model: String?, layers: [Int], scores: [String: [[Double]]]) {
        (self.method, self.model, self.layers, self.scores) = (method, model, layers, scores)
    }

    /// Equal scores of all heads of `layers`, for checks and counts before a measurement; nil for policies without scores of heads.
    init?(unmeasured policy: String, layers: [(layer: Int, kvHeads: Int)]) {
        guard let found = EvictionPolicies.all.first(where: { $0.name == policy }) as? any HeadPolicy else { return nil }
        let rows = layers.map { [Double](repeating: 0, count: $0.kvHeads) }
        self.init(
            method: policy, model: nil, layers: layers.map(\.layer),
            scores: Dictionary(uniqueKeysWithValues: found.scoreNames.map { ($0, rows) }))
    }

    /// Reads a file of scores.
    ///
    /// Throws ``InferenceError/headScores(path:reason:)`` where it cannot be read or is no such file.
    public init(path: String) throws(InferenceError) {
        let bytes: [UInt8]
        do { bytes = try RegularFile.contents(path, links: .followed, limit: 1 << 24) } catch {
            // File errors name the path themselves.
            throw .headScores(path: nil, reason: "\(error)")
        }
        func refusal(_ reason: String) -> InferenceError { .headScores(path: path, reason: reason) }
        let root: JSONValue
        do { root = try JSONValue(parsing: bytes) } catch { throw refusal("\(error)") }
        guard let method = root["method"]?.string, let layers = root["layers"]?.array, let scores = root["scores"]?.members else {
            throw refusal("no file that kvlab heads writes: it has no 'method', 'layers' and 'scores'")
        }
        (self.method, model) = (method, root["model"]?.string)
        self.layers = layers.compactMap(\.int)
        self.scores = Dictionary(
            scores.map { ($0.name, ($0.value.array ?? []).map { ($0.array ?? []).compactMap(\.double) }) },
            uniquingKeysWith: { $1 })
        guard self.layers.count == layers.count, let shape = self.scores.values.first.map({ $0.map(\.count) }) else {
            throw refusal("'layers' are no numbers of layers, or 'scores' is empty")
        }
        for (name, rows) in self.scores.sorted(by: { $0.key < $1.key }) {
            guard rows.map(\.count) == shape, rows.count == layers.count, rows.joined().allSatisfy(\.isFinite) else {
                throw refusal("the scores '\(name)' are no row of finite numbers for each of the \(layers.count) layers")
            }
        }
    }

    /// KV heads of each of ``layers``.
    var heads: [Int] { scores.values.first?.map(\.count) ?? [] }

    /// Throws where the scores are not of the heads of a model of `config`.
    func check(_ config: ModelConfig, path: String) throws(InferenceError) {
        let found = HeadGates.layers(of: config)
        let (own, heads) = (found.map(\.layer), found.map(\.kvHeads))
        guard layers != own || self.heads != heads else { return }
        func text(_ layers: [Int], _ heads: [Int]) -> String { "layers \(layers) with \(heads) KV heads" }
        throw .headScores(
            path: path,
            reason: "scores of \(text(layers, self.heads)); the model keeps whole caches in \(text(own, heads))")
    }

    /// Throws where the scores are another model's.
    func check(_ identity: String, path: String) throws(InferenceError) {
        guard let model, model != identity else { return }
        throw .headScores(
            path: path,
            reason: "measured on a model whose key projections have the SHA-256 \(model.prefix(12))…, this model's have "
                + "\(identity.prefix(12))…; measure it with kvlab heads")
    }
}

/// KV heads in the order in which a policy keeps them whole.
struct HeadRanking: Sendable {
    /// The scores, and their file.
    let scores: HeadScores
    let path: String
    /// The place of each head in the order, by layer with a whole cache and KV head; 0 is kept first.
    private let places: [[Int]]

    /// The order of `policy`.
    init(_ scores: HeadScores, path: String, _ policy: any HeadPolicy) throws(InferenceError) {
        (self.scores, self.path) = (scores, path)
        guard scores.method == policy.name else {
            throw .headScores(path: path, reason: "scores for '\(scores.method)', which '\(policy.name)' does not go by")
        }
        var rows: [[Double]] = []
        for name in policy.scoreNames {
            guard let found = scores.scores[name] else { throw .headScores(path: path, reason: "there are no scores '\(name)'") }
            rows.append(found.flatMap { $0 })
        }
        var places = [Int](repeating: 0, count: rows[0].count)
        for (place, head) in policy.ranking(rows).enumerated() { places[head] = place }
        var rest = places[...]
        self.places = scores.heads.map { count in
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
    }

    /// Heads in all.
    var count: Int { places.joined().count }

    /// Whether a head is among the first `count`.
    func isAmong(first count: Int, layer: Int, head: Int) -> Bool {
        places.indices.contains(layer) && places[layer].indices.contains(head) && places[layer][head] < count
    }
}
