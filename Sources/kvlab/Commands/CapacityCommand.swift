import ArgumentParser
import Checkpoints
import Experiments
import Foundation
import Inference
import Models

/// `kvlab capacity`: the number of sequences that a cache holds of each checkpoint.
struct CapacityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capacity", abstract: "Fill a cache with sequences and say how many it holds, for each checkpoint.",
        discussion: """
            Each checkpoint gets the whole of --kv-memory, in pages of --page bytes, and sequences of --context tokens are taken in \
            as a server takes them, by --step-tokens at a time, until the next one finds no pages. By default the page is one that \
            suits all the checkpoints together. With --evict the tokens are a prompt, and what is evicted behind it makes room. Logical bytes are those of keys and values, allocated ones those of their pages.
            """)

    @Argument(help: "The checkpoints.", completion: .file(extensions: ["h5"]))
    var checkpoints: [String]

    @Option(name: .customLong("kv-memory"), help: "Cache memory: 512MiB, 2GiB, …")
    var memory = ByteCount(512 << 20)

    @Option(help: "Tokens in a sequence.")
    var context: Int

    @Option(help: "Encoding of cached keys and values.")
    var kvDtype = CacheEncoding.standard

    @OptionGroup var paging: PageOptions

    @OptionGroup(title: "Eviction") var eviction: EvictionOptions

    @Option(name: .customLong("step-tokens"), help: "Tokens of a sequence that are taken in at a time.")
    var stepTokens = Scheduler.Limits().tokensPerStep

    @OptionGroup var results: JSONOptions

    func validate() throws {
        try checkRange("--context", context)
        try checkRange("--step-tokens", stepTokens)
    }

    private struct Row: Encodable {
        var model: String
        var attention: String
        var pageBytes: Int
        var capacity: CacheCapacity
    }

    func run() throws {
        let encoding = try paging.encoding(kvDtype)
        let configs = try checkpoints.map { path in
            let config = try ModelImport.load(path, verify: .structure).config
            guard context <= config.maxSequence else {
                throw ValidationError("--context is \(context), \(path) has \(config.maxSequence) positions")
            }
            return config
        }
        let retention = try eviction.retention()
        let pageBytes = paging.bytes(for: configs, encoding, under: retention)
        let rows = try zip(checkpoints, configs).map { path, config in
            Row(
                model: ModelImport.name(of: path), attention: config.attentionLabel,
                pageBytes: pageBytes,
                capacity: try CacheCapacity.measure(
                    config, encoding: encoding, retention: retention, bytes: memory.bytes, pageBytes: pageBytes, context: context,
                    chunk: stepTokens))
        }
        if results.isJSON { return try results.print(rows) }
        try print(
            "\(ByteCount.text(memory.bytes)) of \(encoding.name) cache in pages of \(ByteCount.text(pageBytes)), \(context) tokens a sequence\(eviction.text.map { ", \($0)" } ?? "")"
        )
        try print("| model | attention | KV bytes/token | sequences | logical | allocated |")
        try print("| --- | --- | ---: | ---: | ---: | ---: |")
        for row in rows {
            let it = row.capacity
            try print(
                "| \(row.model) | \(row.attention) | \(it.bytesPerToken) | \(it.sequences) | \(ByteCount.text(it.logicalBytes)) | \(ByteCount.text(it.allocatedBytes)) |"
            )
        }
    }
}
