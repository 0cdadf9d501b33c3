import Foundation
import FuzzTargets
import Glibc

/// libFuzzer over one reader: `fuzzer NAME [-runs=N …]`, with libFuzzer's own options; `fuzzer NAME FILE` reads one file that it
/// kept; `fuzzer` alone lists the readers.
///
/// Files grow out of the committed seeds towards code not reached before. One that crashes, hangs or is refused by an error that is
/// not ours is kept, as `-artifact_prefix` says, and ends the run with a status other than 0.
@main enum Fuzzer {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count > 1 else {
            for target in FuzzTarget.all { print("\(target.share)\t\(target.name)") }
            return
        }
        guard let target = FuzzTarget.all.first(where: { $0.name == arguments[1] }) else {
            complain("no reader is called '\(arguments[1])'")
            exit(2)
        }
        probe = try FuzzProbe(target)
        // libFuzzer's own choice of what to keep lands in here too.
        let corpus = URL(fileURLWithPath: NSTemporaryDirectory()).appendingPathComponent("kvlab-corpus-\(getpid())")
        try FileManager.default.createDirectory(at: corpus, withIntermediateDirectories: true)
        for (index, seed) in target.seeds.enumerated() {
            try Data(try FuzzTarget.bytes(seed)).write(to: corpus.appendingPathComponent("seed-\(index)"))
        }
        let rest = Array(arguments.dropFirst(2))
        let all = [arguments[0]] + rest + (rest.allSatisfy { $0.hasPrefix("-") } ? [corpus.path] : [])
        var count = CInt(all.count)
        var words = all.map { strdup($0) } + [nil]
        let status = words.withUnsafeMutableBufferPointer { words in
            var first = words.baseAddress
            return LLVMFuzzerRunDriver(&count, &first) { bytes, count in
                Fuzzer.read([UInt8](UnsafeBufferPointer(start: bytes, count: count)))
                return 0
            }
        }
        try? FileManager.default.removeItem(at: corpus)
        exit(status)
    }

    /// Set once, before libFuzzer's single thread reads it.
    nonisolated(unsafe) private static var probe: FuzzProbe?

    private static func read(_ bytes: [UInt8]) {
        do {
            guard let complaint = try probe?.read(bytes, limitsMemory: true).complaint else { return }
            complain(complaint)
        } catch { complain("\(error)") }
        abort()
    }

    private static func complain(_ text: String) { FileHandle.standardError.write(Data("fuzzer: \(text)\n".utf8)) }
}

@_silgen_name("LLVMFuzzerRunDriver")
private func LLVMFuzzerRunDriver(
    _ count: UnsafeMutablePointer<CInt>, _ words: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ read: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt
