import Threads

/// The memory that requests in flight hold, in all and of each tenant, and its bounds.
///
/// It grows with the clients' bodies and the outputs they ask for; a request that would exceed a bound is told to come again. With
/// several tenants none has more than half, so that one alone never keeps the others out.
final class Holdings: Sendable {
    /// Amounts held, or bounds of them.
    struct Amounts: Sendable, Equatable {
        /// Requests with a body.
        var requests = 0
        /// Bytes of their bodies.
        var bytes = 0
        /// Tokens of their prompts and answers, likeliest tokens beside them included.
        var tokens = 0

        static func + (a: Amounts, b: Amounts) -> Amounts {
            Amounts(requests: a.requests + b.requests, bytes: a.bytes + b.bytes, tokens: a.tokens + b.tokens)
        }

        static func - (a: Amounts, b: Amounts) -> Amounts {
            Amounts(requests: a.requests - b.requests, bytes: a.bytes - b.bytes, tokens: a.tokens - b.tokens)
        }
    }

    private struct State {
        var all = Amounts()
        /// Of tenants that hold something.
        var tenants: [String: Amounts] = [:]
    }

    private let state = Lock(State())
    private let most: Amounts
    private let mostOfTenant: Amounts

    /// Bounds from `limits` for `tenants` tenants.
    init(_ limits: ServerLimits, tenants: Int) {
        let parts = tenants > 1 ? 2 : 1
        most = Amounts(requests: limits.connections, bytes: limits.heldBytes, tokens: limits.heldTokens)
        mostOfTenant = Amounts(
            requests: limits.keyRequests ?? max(1, most.requests / parts), bytes: most.bytes / parts,
            tokens: limits.keyTokens ?? most.tokens / parts)
    }

    /// The amounts that `tenant` holds now.
    func held(by tenant: String) -> Amounts { state.withLock { $0.tenants[tenant] ?? Amounts() } }

    /// Counts `amounts` for `tenant`; throws 429 where that is too much.
    fileprivate func take(_ amounts: Amounts, for tenant: String) throws(APIError) {
        let (most, mostOfTenant) = (most, mostOfTenant)
        let refusal = state.withLock { state -> APIError? in
            let (all, own) = (state.all + amounts, (state.tenants[tenant] ?? Amounts()) + amounts)
            if let refusal = Self.refusal(
                own, mostOfTenant, whose: tenant.isEmpty ? "these clients' requests" : "this key's requests")
                ?? Self.refusal(all, most, whose: "all requests")
            {
                return refusal
            }
            state.all = all
            state.tenants[tenant] = own
            return nil
        }
        if let refusal { throw refusal }
    }

    private static func refusal(_ held: Amounts, _ most: Amounts, whose: String) -> APIError? {
        let exceeded: [(Int, Int, String, String)] = [
            (held.requests, most.requests, "requests at once", "too_many_requests"),
            (held.bytes, most.bytes, "bytes of bodies at once", "too_many_bytes"),
            (held.tokens, most.tokens, "prompt and answer tokens at once", "too_many_tokens"),
        ]
        guard let (count, limit, unit, code) = exceeded.first(where: { $0.0 > $0.1 }) else { return nil }
        return APIError(
            .tooManyRequests, "\(whose) would be \(count) \(unit), at most \(limit) are allowed; try again when some have ended",
            code: code, retryAfter: 1)
    }

    fileprivate func give(_ amounts: Amounts, of tenant: String) {
        state.withLock { state in
            state.all = state.all - amounts
            let rest = (state.tenants[tenant] ?? Amounts()) - amounts
            state.tenants[tenant] = rest == Amounts() ? nil : rest
        }
    }
}

/// The amounts that one request holds, given back at its end, at the latest when it is released.
final class Holding: Sendable {
    private let holdings: Holdings
    private let tenant: String
    private let amounts = Lock(Holdings.Amounts())

    /// One request's holding; throws 429 where its tenant has too many requests.
    init(_ holdings: Holdings, tenant: String) throws(APIError) {
        (self.holdings, self.tenant) = (holdings, tenant)
        try take(Holdings.Amounts(requests: 1))
    }

    /// Counts more; throws 429 where that is too much.
    func take(_ more: Holdings.Amounts) throws(APIError) {
        try holdings.take(more, for: tenant)
        amounts.withLock { $0 = $0 + more }
    }

    /// Gives back a part of the amounts.
    func give(_ part: Holdings.Amounts) {
        holdings.give(part, of: tenant)
        amounts.withLock { $0 = $0 - part }
    }

    /// Gives back everything.
    func end() {
        let held = amounts.withLock { amounts in
            defer { amounts = Holdings.Amounts() }
            return amounts
        }
        if held != Holdings.Amounts() { holdings.give(held, of: tenant) }
    }

    deinit { end() }
}
