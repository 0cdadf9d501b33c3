import ArgumentParser
import CMalloc
import Console
import Experiments
import Files
import Foundation
import Inference
import Kernels
import Logging
import Models
import Server

extension EngineOptions.Preemption: ExpressibleByArgument {}

/// `kvlab serve`: checkpoints behind an OpenAI-compatible server.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Serve checkpoints from one pool of cache memory, as OpenAI's API does.",
        discussion: """
            Model ids are the files' names without extension, or given before the path: small=runs/a/model.h5. Routes: \(ModelServer.paths.joined(separator: ", ")), and a \
            playground at /. SIGTERM takes no more requests and lets those there are come to their end within --drain-timeout.
            """)

    @Argument(
        help: ArgumentHelp("The models, each with the id NAME where that is given.", valueName: "[NAME=]PATH"),
        completion: .file(extensions: ["h5"]))
    var checkpoints: [ServedPath]

    @Option(help: "The address to listen on; other machines reach it only if it isn't a local one, which needs --api-key.")
    var host = "127.0.0.1"

    @Option(help: "The port; 0 lets the system choose.")
    var port = 8000

    @Option(name: .customLong("kv-memory"), help: "Cache memory for all models together: 512MiB, 2GiB, …")
    var memory = ByteCount(EngineOptions().cacheBytes)

    @Option(help: "Encoding of cached keys and values.")
    var kvDtype = CacheEncoding.standard

    @OptionGroup var paging: PageOptions

    @OptionGroup(title: "Eviction") var eviction: EvictionOptions

    @Flag(
        name: .customLong("allow-kv-evict"), help: "Let requests choose a policy and a budget, by kv_evict and kv_budget.")
    var allowsRequestEviction = false

    @Flag(
        help: """
            Evict slots of a prefix that requests share once, at its end, and have them all read what is left (with --evict \
            \(EvictionPolicies.namesOfQueryAgnostic.joined(separator: ", "))): a chat's messages before its first user's, or \
            kv_prefix_tokens tokens of a prompt.
            """)
    var compressPrefixes = false

    @Option(
        name: .customLong("api-key"),
        help: """
            What clients must send as a bearer token; several may be given, whose prompts are kept apart. By default the \
            environment's KVLAB_API_KEY.
            """)
    var apiKeys: [String] = []

    @Option(
        name: .customLong("allow-origin"),
        help: "An origin whose web pages may use the server, such as https://app.example; may be repeated, '*' for all.")
    var allowedOrigins: [String] = []

    @Option(
        name: .customLong("admin-key"),
        help: """
            A key that may do all that an API key may, and that alone sees every tenant's sequences in /v1/kvlab/pool and the \
            metrics. By default the environment's KVLAB_ADMIN_KEY; without any, each key sees the metrics.
            """)
    var adminKey: String?

    @Option(
        help:
            "Requests of one key at once; more are told to come again (429). By default half of --connections with several keys.")
    var keyRequests: Int?

    @Option(
        help: """
            Tokens of prompts and answers that one key's requests may hold at once; more are told to come again (429). By default \
            \(ServerLimits().heldTokens), which all keys share, or half of that with several keys.
            """)
    var keyTokens: Int?

    @Option(help: "A tokenizer.json or tokenizer.bin instead of the checkpoints' own.", completion: .file())
    var tokenizer: String?

    @OptionGroup var chats: ChatTemplateOption

    @Option(name: .customLong("step-tokens"), help: "Tokens of a step, prompts and decoding together.")
    var stepTokens = Scheduler.Limits().tokensPerStep

    @Option(help: "Sequences that hold pages at once.")
    var running = Scheduler.Limits().running

    @Option(help: "Requests that wait; more are told to come again (429).")
    var queue = Scheduler.Limits().waiting

    @Option(help: "Seconds a request may take.")
    var timeout = ServerLimits().seconds

    @Option(
        name: .customLong("drain-timeout"), help: "Seconds that requests have to end after SIGTERM; a second signal ends them.")
    var drain = ServerOptions().drainSeconds

    @Option(
        help: "Connections at once. Idle ones make room for new ones; while all have requests, others get 503, but for /health.")
    var connections = ServerLimits().connections

    @Option(help: "Where preempted sequences may be swapped to; by default they are computed again.", completion: .directory)
    var swap: String?

    @Option(help: "How sequences are preempted, with --swap: recompute or swap; by default the cheaper way.")
    var preemption: EngineOptions.Preemption?

    @Flag(inversion: .prefixedNo, help: "Keep and share prompts' beginnings.")
    var prefixSharing = true

    @Flag(help: "Give the same results, bit for bit, whatever else is in the batch.")
    var batchInvariant = false

    @Option(name: .customLong("metrics-prefix"), help: "What the metrics' names start with.")
    var metricsPrefix = "vllm:"

    @OptionGroup var threads: ThreadsOption

    @Option(help: "How requests are logged to stderr, one a line at its end: json, text or none.")
    var log = LogFormat.json

    @Flag(help: "Log what goes on beside requests.")
    var verbose = false

    enum LogFormat: String, ExpressibleByArgument, CaseIterable { case json, text, none }

    func validate() throws {
        try checkRange("--port", port, from: 0, to: 65_535)
        for (option, value) in [
            ("--step-tokens", stepTokens), ("--running", running), ("--queue", queue), ("--timeout", timeout),
            ("--connections", connections), ("--key-requests", keyRequests), ("--key-tokens", keyTokens),
        ] as [(String, Int?)] { try checkRange(option, value) }
        try checkRange("--drain-timeout", drain, from: 0)
        var options = ServerOptions()
        options.host = host
        guard apiKeys.allSatisfy({ !$0.isEmpty }) else {
            throw ValidationError("--api-key is empty; give a key, or leave the option out to serve without one")
        }
        if let wrong = allowedOrigins.first(where: { !ServerOptions.isOrigin($0) }) {
            throw ValidationError("--allow-origin is '\(wrong)', expected scheme://host[:port] or *")
        }
        guard admin != "" else {
            throw ValidationError("--admin-key is empty; give a key, or leave the option out")
        }
        guard admin.map({ !keys.contains($0) }) ?? true else {
            throw ValidationError("--admin-key is an API key too; its holders would see every tenant, give another")
        }
        if !options.isLocal, keys.isEmpty {
            throw ValidationError("--host \(host) can be reached by others; set --api-key or KVLAB_API_KEY, or use 127.0.0.1")
        }
        guard prefixSharing || !compressPrefixes else {
            throw ValidationError("--compress-prefixes shares prefixes, --no-prefix-sharing does not; leave one of them out")
        }
        let ids = checkpoints.map(\.id)
        if let id = ids.first(where: { id in ids.count { $0 == id } > 1 }) {
            throw ValidationError("two models have the id '\(id)'; name one of them otherwise: NAME=PATH")
        }
    }

    private var keys: [String] {
        apiKeys.isEmpty ? [ProcessInfo.processInfo.environment["KVLAB_API_KEY"] ?? ""].filter { !$0.isEmpty } : apiKeys
    }

    private var admin: String? {
        adminKey ?? ProcessInfo.processInfo.environment["KVLAB_ADMIN_KEY"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Has the system's allocator give large blocks back once they are free.
    ///
    /// By itself glibc takes blocks up to 32 MiB from its heaps as soon as one of their size was freed, so that bodies of megabytes leave
    /// holes behind: 130 bodies of 1 to 8 MB took a server from 52 to 127 MiB for good, and to 56 MiB with these bounds.
    private static func boundHeaps() {
        for parameter in [M_MMAP_THRESHOLD, M_TRIM_THRESHOLD] { mallopt(parameter, 1 << 20) }
    }

    /// Gives free memory within the system allocator's heaps back every half minute, until the task is cancelled.
    ///
    /// Under load the live blocks stay level, 7.6 MB on average from the tenth minute to the thirtieth, but among them lie ever more
    /// pages that were free once and touched since: resident memory crept by 2 to 4 %.
    private static func trimHeaps() -> Task<Void, any Error> {
        Task {
            while true {
                try await Task.sleep(for: .seconds(30))
                malloc_trim(0)
            }
        }
    }

    func run() async throws {
        Self.boundHeaps()
        let trimming = Self.trimHeaps()
        defer { trimming.cancel() }
        threads.apply()
        let encoding = try paging.encoding(kvDtype)
        let retention = try eviction.retention()
        if compressPrefixes { try retention.checkSharedPrefixes() }
        var engineModels: [EngineModel] = []
        var served: [ServedModel] = []
        var sizes: [String] = []
        for checkpoint in checkpoints {
            let loaded = try ServableModel(path: checkpoint.path, tokenizerPath: tokenizer)
            let id = checkpoint.id
            engineModels.append(
                EngineModel(name: id, model: loaded.model, tokenizer: loaded.tokenizer, stopIDs: loaded.stopIDs))
            served.append(
                ServedModel(
                    id: id, tokenizer: loaded.tokenizer, bosID: loaded.bosID, eosIDs: loaded.stopIDs.sorted(),
                    chatFormat: try chats.format(loaded, name: id),
                    attention: loaded.config.attentionLabel))
            sizes.append("\(ByteCount.text(loaded.config.kvBytesPerToken(encoding))) (\(id))")
        }
        var options = EngineOptions()
        options.cacheBytes = memory.bytes
        options.pageBytes = paging.page?.bytes
        options.encoding = encoding
        options.retention = retention
        (options.limits.tokensPerStep, options.limits.running, options.limits.waiting) = (stepTokens, running, queue)
        options.limits.tenants = ServerOptions.tenants(apiKeys: keys, adminKey: admin)
        options.prefixSharing = prefixSharing
        options.batchInvariant = batchInvariant
        options.tier = try swap.map { try FileTier(directory: $0) }
        options.preemption = preemption
        options.seed = UInt64.random(in: 0 ... .max)
        let engine = try Engine(models: engineModels, options: options)
        var server = ServerOptions()
        (server.host, server.port, server.apiKeys, server.metricsPrefix) = (host, port, keys, metricsPrefix)
        server.allowedOrigins = allowedOrigins
        (server.limits.requestsMayEvict, server.limits.compressesPrefixes) = (allowsRequestEviction, compressPrefixes)
        (server.adminKey, server.limits.keyRequests, server.limits.keyTokens) = (admin, keyRequests, keyTokens)
        (server.limits.seconds, server.limits.connections, server.drainSeconds) = (timeout, connections, drain)
        let format = log
        if format != .none {
            server.onRequest = { summary in
                if format == .json { StandardError.write(summary.json + "\n") } else { note(summary.text) }
            }
        }
        var logger = Logger(label: "kvlab") { NoteLogHandler(label: $0) }
        logger.logLevel = verbose ? .info : .warning
        let (address, names) = (host, served.map(\.id).joined(separator: ", "))
        let open = served.indices.map { "\(ByteCount.text(engineModels[$0].model.config.kvBytesPerToken(encoding.open)))" }
        let waiting =
            encoding.blockTokens > 1
            ? ", \(open.joined(separator: ", ")) while unsealed, the newest \(encoding.residual + encoding.blockTokens - 1) at most"
            : ""
        let cache =
            "cache pages of \(ByteCount.text(engine.pageBytes)); a token takes \(sizes.joined(separator: ", ")) in \(encoding.name)"
            + waiting + (eviction.text.map { "; evicted by \($0)" + (compressPrefixes ? ", shared prefixes once" : "") } ?? "")
        try await ModelServer(engine: engine, models: served, options: server, logger: logger).run { port in
            StandardOutput.announce("\(cache)\nserving \(names) at http://\(address):\(port)")
        }
    }
}
