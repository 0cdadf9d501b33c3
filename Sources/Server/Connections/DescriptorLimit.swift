import Glibc

/// The number of files and sockets that the process may have open.
///
/// A listening socket without a free descriptor for the next connection stays readable, and its thread busy: so connections are
/// bounded below the limit.
enum DescriptorLimit {
    /// Descriptors for everything but connections: standard streams, event loops, models, the swap file, child processes.
    static let others = 96

    /// Raises the soft limit as far as `connections` need it, and gives the number that the hard limit leaves room for.
    static func connections(wanted: Int) -> Int {
        let reserved = others + Connections.reserve
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return wanted }
        if limit.rlim_cur < rlim_t(wanted + reserved) {
            limit.rlim_cur = min(limit.rlim_max, rlim_t(wanted + reserved))
            _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return wanted }
        }
        return min(wanted, Int(clamping: limit.rlim_cur) - reserved)
    }
}
