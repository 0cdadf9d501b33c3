import ArgumentParser
import Inference
import Kernels
import Models

/// The size of cache pages, and what waits in them unrounded, on the command line.
struct PageOptions: ParsableArguments {
    @Option(
        help: "Bytes of a page, a multiple of 64; by default a power of two from 1KiB to 16KiB that suits the models' caches.")
    var page: ByteCount?

    @Option(help: ArgumentHelp(CacheSetting.residual.help))
    var kvResidual: Int?

    /// Refused, with the command that chooses.
    @Option(help: .hidden)
    var kvBitsBudget: String?

    func validate() throws {
        if let kvBitsBudget {
            throw ValidationError(
                "--kv-bits-budget is no setting of a cache: 'kvlab codecs MODEL --text FILE --kv-bits-budget \(kvBitsBudget)' "
                    + "measures what layers lose and prints the --kv-dtype to give here")
        }
        guard let page else { return }
        do { try PageStore.check(pageBytes: page.bytes) } catch { throw ValidationError("--page: \(error)") }
    }

    /// The encoding `type` with the residual given.
    func encoding(_ type: CacheEncoding) throws -> CacheEncoding {
        guard let kvResidual else { return type }
        do { return try type.with(residual: kvResidual) } catch { throw ValidationError("--kv-residual: \(error)") }
    }

    /// The page size given, or one that suits models of `configs` under `retention`.
    func bytes(for configs: [ModelConfig], _ encoding: CacheEncoding, under retention: any Retention = FullRetention()) -> Int {
        page?.bytes ?? PageSize.bytes(for: configs, encoding, under: retention)
    }
}

extension KVEncoding: ExpressibleByArgument {
    /// Reads an encoding's name from the command line, or PyTorch's name of an element type; nil, which ends in a usage error, for
    /// anything else.
    public init?(argument: String) {
        guard let type = ElementType(argument: argument) else {
            self.init(name: argument)
            return
        }
        self.init(type)
    }

    /// The default as help shows it.
    public var defaultValueDescription: String { name }
    /// The names that help and shell completion offer.
    public static var allValueStrings: [String] { all.map(\.name) }
    /// The kind of shell completion.
    public static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}

extension CacheEncoding: ExpressibleByArgument {
    /// Reads an encoding's name, or several by layer; nil, which ends in a usage error, for anything else.
    public init?(argument: String) {
        do { try self.init(name: argument, encoding: { KVEncoding(argument: $0) }) } catch { return nil }
    }

    /// The default as help shows it.
    public var defaultValueDescription: String { name }
    /// The names that help and shell completion offer, and an example of several by layer.
    public static var allValueStrings: [String] { KVEncoding.allValueStrings + [example] }
    /// The kind of shell completion.
    public static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}
