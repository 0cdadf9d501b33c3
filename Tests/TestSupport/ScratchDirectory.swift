import Foundation

/// A fresh directory, removed with everything in it when the object goes.
public final class ScratchDirectory: Sendable {
    /// Where it is.
    public let path: String

    public init() {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("kvlab-test-" + UUID().uuidString)
        try? FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    /// What is in it, sorted.
    public var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    /// The path of `name` in it.
    public subscript(name: String) -> String { path + "/" + name }

    /// The bytes of the file `name`, empty where there is none.
    public func bytes(_ name: String) -> [UInt8] { [UInt8](FileManager.default.contents(atPath: self[name]) ?? Data()) }

    /// Writes the file `name`.
    public func write(_ bytes: some Sequence<UInt8>, to name: String) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: self[name]))
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
