import Files

/// The sender of a request, as its API key tells.
struct Caller: Sendable, Hashable {
    /// The digest of the key in hexadecimal digits, so that keys are kept nowhere; empty for callers without a key.
    var tenant = ""
    /// Whether every tenant's sequences and load are shown.
    var seesAll = false
}

/// The API keys that a server takes, as digests.
struct KeyRing: Sendable {
    private let keys: [(digest: SHA256Digest, caller: Caller)]
    /// Callers without a key; nil where a key is demanded.
    private let anonymous: Caller?
    /// Whether one key alone shows the load of all tenants.
    private let hasAdmin: Bool

    /// Takes `keys` and, with more rights, `admin`. Without `keys` none is demanded, and all callers without one are one tenant.
    init(_ keys: [String], admin: String?) {
        func entry(_ key: String, seesAll: Bool) -> (digest: SHA256Digest, caller: Caller) {
            let digest = SHA256Digest(of: key)
            return (digest, Caller(tenant: digest.hex, seesAll: seesAll))
        }
        self.keys = keys.map { entry($0, seesAll: false) } + (admin.map { [entry($0, seesAll: true)] } ?? [])
        anonymous = keys.isEmpty ? Caller(seesAll: admin == nil) : nil
        hasAdmin = admin != nil
    }

    /// The number of tenants.
    var tenants: Int { keys.count + (anonymous == nil ? 0 : 1) }

    /// The caller that an Authorization header names; nil where its key is missing or wrong.
    func caller(authorization: String?) -> Caller? {
        // No header is no key, not an empty one.
        guard let given = authorization, given.prefix(7).lowercased() == "bearer ", given.utf8.count > 7 else { return anonymous }
        let digest = SHA256Digest(of: String(given.dropFirst(7)))
        var found = anonymous
        // Digests of equal length, compared to the last byte of the last one.
        for key in keys where zip(digest.bytes, key.digest.bytes).reduce(UInt8(0), { $0 | ($1.0 ^ $1.1) }) == 0 {
            found = key.caller
        }
        return found
    }

    /// Whether `caller` may see the load of all tenants: the admin, or any caller where no key is set apart for that.
    func showsAll(to caller: Caller) -> Bool { caller.seesAll || !hasAdmin }
}

extension RequestFields {
    /// The digest of `cache_salt`, which divides a tenant's prefix cache further; the salt itself may have any length.
    func cacheSalt() throws(APIError) -> String {
        try string("cache_salt").map { SHA256Digest(of: $0).hex } ?? ""
    }
}
