import Glibc

/// One preempted sequence's pages on disk, in a file without a name that the system removes with the process.
final class SwapFile {
    /// The pages kept, and their size.
    let pages: Int
    private let pageBytes: Int
    private let descriptor: Int32
    private let directory: String

    /// Writes pages' bytes into `directory`.
    init(_ pages: some Collection<[UInt8]>, pageBytes: Int, directory: String) throws(InferenceError) {
        var template = Array((directory + "/kvlab-swap-XXXXXX").utf8CString)
        let descriptor = unsafe template.withUnsafeMutableBufferPointer { name -> Int32 in
            guard let name = name.baseAddress else { return -1 }
            let descriptor = unsafe mkstemp(name)
            if descriptor >= 0 { unsafe unlink(name) }
            return descriptor
        }
        guard descriptor >= 0 else { throw .swap(path: directory, code: errno) }
        self.pages = pages.count
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

    /// The bytes of page `index`.
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
