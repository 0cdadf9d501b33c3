import Inference
import JSON

extension RequestFields {
    /// The tokens of each prompt, the shortest of which has `shortest`, that `kv_prefix_tokens` says other requests share; nil where it
    /// says nothing.
    ///
    /// Throws ``APIError`` where the server does not compress shared prefixes, or the request asks for an eviction of its own.
    func prefixTokens(_ limits: ServerLimits, shortest: Int) throws(APIError) -> Int? {
        guard json["kv_prefix_tokens"] != nil else { return nil }
        guard limits.compressesPrefixes else {
            throw .parameter("kv_prefix_tokens", "is not taken: the server runs without --compress-prefixes")
        }
        guard json["kv_evict"] == nil else {
            throw .parameter("kv_prefix_tokens", "goes with the server's own eviction, and 'kv_evict' asks for another")
        }
        return try int("kv_prefix_tokens", in: 1...shortest)
    }

    /// The eviction that `kv_evict` and `kv_budget` ask for; nil where the request leaves it to the server.
    ///
    /// Throws ``APIError`` where the server does not let requests choose, or the two make no eviction.
    func retention(_ limits: ServerLimits) throws(APIError) -> (any Retention)? {
        var settings = EvictionSettings()
        settings.policy = try string("kv_evict")
        let field = json["kv_budget"]
        guard settings.policy != nil || field != nil else { return nil }
        guard limits.requestsMayEvict else {
            throw .parameter(
                settings.policy == nil ? "kv_budget" : "kv_evict", "is not taken: the server runs without --allow-kv-evict")
        }
        guard let policy = settings.policy else { throw .parameter("kv_budget", "means nothing without 'kv_evict'") }
        settings.budget = (field?.string ?? field?.int.map { "\($0)" }).flatMap { EvictionBudget($0) }
        guard field != nil || EvictionPolicies.namesWithoutBudget.contains(policy) else {
            throw .parameter("kv_evict", "needs 'kv_budget' beside it")
        }
        guard field == nil || settings.budget != nil else {
            throw .parameter("kv_budget", "is neither a number of slots nor a share of the prompt such as \"25%\"")
        }
        do throws(InferenceError) {
            return try settings.retention()
        } catch {
            switch error {
            case .optionTooSmall(_, let value, let least, let reason):
                throw .parameter("kv_budget", "is \(value), expected at least \(least): \(reason)")
            case .noPolicy:
                let known = EvictionPolicies.names.joined(separator: ", ")
                throw .parameter("kv_evict", "is '\(policy.prefix(40))', expected one of \(known)")
            default: throw .parameter("kv_evict", "cannot be: \(error)")
            }
        }
    }
}
