import ArgumentParser
import Inference
import Kernels
import Models

/// The size of cache pages on the command line.
struct PageOptions: ParsableArguments {
    @Option(
        help: "Bytes of a page, a multiple of 64; by default a power of two from 1KiB to 16KiB that suits the models' caches.")
    var page: ByteCount?

    func validate() throws {
        guard let page else { return }
        do { try PageStore.check(pageBytes: page.bytes) } catch { throw ValidationError("--page: \(error)") }
    }

    /// What was asked for, or what suits models of `configs`.
    func bytes(for configs: [ModelConfig], _ elementType: ElementType) -> Int {
        page?.bytes ?? PageSize.bytes(for: configs, elementType)
    }
}
