import Glibc

/// A tier on disk: one unnamed file a swapped sequence, which the system removes with the process.
public struct FileTier: KVTier {
    /// The directory.
    public let directory: String

    /// A tier in `directory`; throws ``InferenceError/swap(path:code:)`` where no file can be made there.
    public init(directory: String) throws(InferenceError) {
        self.directory = directory
        _ = try SwapFile([[UInt8]](), pageBytes: 0, directory: directory)
    }

    public func store(_ pages: some Collection<[UInt8]>, pageBytes: Int) throws(InferenceError) -> any TieredPages {
        try SwapFile(pages, pageBytes: pageBytes, directory: directory)
    }
}

/// One preempted sequence's pages on disk.
private final class SwapFile: TieredPages {
    private let pageBytes: Int
    private let descriptor: Int32
    private let directory: String

    /// Writes the bytes of `pages` to an unnamed file in `directory`.
    init(_ pages: some Collection<[UInt8]>, pageBytes: Int, directory: String) throws(InferenceError) {
        var template = Array((directory + "/kvlab-swap-XXXXXX").utf8CString)
        let descriptor = unsafe template.withUnsafeMutableBufferPointer { name -> Int32 in
            guard let name = name.baseAddress else { return -1 }
            let descriptor = unsafe mkstemp(name)
            if descriptor >= 0 { unsafe unlink(name) }
            return descriptor
        }
        guard descriptor >= 0 else { throw .swap(path: directory, code: errno) }
        self.pageBytes = pageBytes
        self.descriptor = descriptor
        self.directory = directory
        for (index, bytes) in pages.enumerated() {
            let written = unsafe bytes.withUnsafeBytes {
                unsafe pwrite(descriptor, $0.baseAddress, pageBytes, off_t(index * pageBytes))
            }
            guard written == pageBytes else { throw .swap(path: directory, code: written < 0 ? errno : ENOSPC) }
        }
    }

    func page(_ index: Int) throws(InferenceError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: pageBytes)
        let count = unsafe bytes.withUnsafeMutableBytes {
            unsafe pread(descriptor, $0.baseAddress, pageBytes, off_t(index * pageBytes))
        }
        guard count == pageBytes else { throw .swap(path: directory, code: count < 0 ? errno : EIO) }
        return bytes
    }

    deinit { close(descriptor) }
}
