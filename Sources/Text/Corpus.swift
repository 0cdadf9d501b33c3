import Files
import Glibc

/// UTF-8 text files, memory-mapped, and the documents in them.
public struct Corpus: Sendable {
    /// A document: a range of a file's bytes.
    public struct Document: Sendable, Hashable {
        /// Index into ``Corpus/paths``.
        public var file: Int
        /// The range of its bytes in that file.
        public var bytes: Range<Int>
    }

    /// The content of a file when it was opened.
    public struct FileContent: Sendable, Hashable {
        /// The file's path as given.
        public var path: String
        /// Its size in bytes.
        public var bytes: Int
        /// The digest of its bytes.
        public var sha256: SHA256Digest
    }

    /// The files, in the order given.
    public let contents: [FileContent]
    /// The documents, in the files' order.
    public let documents: [Document]
    /// SHA-256 over the files' contents, in order, without their names.
    public let contentHash: SHA256Digest
    /// UTF-8 bytes of all documents, without separators.
    public var byteCount: Int { documents.reduce(0) { $0 + $1.bytes.count } }

    private let files: [MappedFile]
    private let stamps: [FileStamp?]

    /// Opens and checks files.
    ///
    /// - Parameters:
    ///   - separator: cuts files into documents, which are stripped of surrounding ASCII white space; empty ones are left out.
    ///     Without a separator each file is one document, byte for byte.
    /// - Throws: ``TextError/invalidUTF8(path:offset:)`` or ``TextError/emptyText(path:)`` with the file, or an error of the
    ///   operating system.
    public init(paths: [String], separator: String? = nil) throws {
        guard !paths.isEmpty else { throw TextError.noFiles }
        var files: [MappedFile] = []
        var documents: [Document] = []
        var contents: [FileContent] = []
        // Stamped before reading, so that a write during it is noticed.
        let stamps = paths.map { FileStamp(path: $0) }
        var hasher = SHA256Digest.Hasher()
        for (index, path) in paths.enumerated() {
            let file = try MappedFile(path: path)
            guard file.count > 0 else { throw TextError.emptyText(path: path) }
            let ranges = try unsafe file.withUnsafeBytes { bytes throws -> [Range<Int>] in
                let text = unsafe Span<UInt8>(_unsafeBytes: bytes)
                if let offset = UTF8Check.firstInvalid(in: text) { throw TextError.invalidUTF8(path: path, offset: offset) }
                let digest = unsafe SHA256Digest(of: bytes)
                hasher.update(digest.bytes)
                contents.append(FileContent(path: path, bytes: bytes.count, sha256: digest))
                guard let separator, !separator.isEmpty else { return [0..<bytes.count] }
                return Self.split(text, at: Array(separator.utf8))
            }
            guard !ranges.isEmpty else { throw TextError.noDocuments(path: path) }
            files.append(file)
            documents += ranges.map { Document(file: index, bytes: $0) }
        }
        self.files = files
        self.documents = documents
        self.contents = contents
        self.stamps = stamps
        contentHash = hasher.finalize()
    }

    private init(_ corpus: Corpus, documents: [Document]) {
        files = corpus.files
        contents = corpus.contents
        stamps = corpus.stamps
        contentHash = corpus.contentHash
        self.documents = documents
    }

    /// The same files with other documents.
    func with(_ documents: [Document]) -> Corpus { Corpus(self, documents: documents) }

    /// Throws ``TextError/changed(path:)`` where a file was written to since it was opened.
    ///
    /// Writes to a mapped file change the corpus; a new file renamed over it does not.
    public func checkUnchanged() throws(TextError) {
        for (content, stamp) in zip(contents, stamps) {
            guard let stamp, let now = FileStamp(path: content.path), now.isSameFile(as: stamp) else { continue }
            guard now == stamp else { throw .changed(path: content.path) }
        }
    }

    /// The text of `document`.
    public func text(_ document: Document) -> String {
        withUTF8(document) { text in
            // Validated when the file was opened.
            unsafe String(copying: UTF8Span(unchecked: text))
        }
    }

    /// The bytes of `document`, for the duration of `body`.
    func withUTF8<Result>(_ document: Document, _ body: (Span<UInt8>) throws -> Result) rethrows -> Result {
        try unsafe files[document.file].withUnsafeBytes { bytes in
            try body(unsafe Span<UInt8>(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[document.bytes])))
        }
    }

    /// The identity of the documents: a hash of the contents' hash and all ranges.
    var selectionHash: SHA256Digest {
        var hasher = SHA256Digest.Hasher()
        hasher.update(contentHash.bytes)
        for document in documents {
            for number in [document.file, document.bytes.lowerBound, document.bytes.upperBound] {
                hasher.update((0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) })
            }
        }
        return hasher.finalize()
    }

    /// The stripped, non-empty pieces between separators.
    private static func split(_ text: Span<UInt8>, at separator: [UInt8]) -> [Range<Int>] {
        let matcher = AddedTokenMatcher(exact: [separator])
        var ranges: [Range<Int>] = []
        func take(_ range: Range<Int>) {
            var (start, end) = (range.lowerBound, range.upperBound)
            while start < end, isSpace(text[start]) { start += 1 }
            while end > start, isSpace(text[end - 1]) { end -= 1 }
            if start < end { ranges.append(start..<end) }
        }
        matcher.split(text, 0..<text.count, plain: take, token: { _ in })
        return ranges
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (0x09...0x0d).contains(byte)
    }
}

/// The identity of the file at a path, and the time of its last change.
private struct FileStamp: Sendable, Equatable {
    private var device: UInt
    private var inode: UInt
    private var size: Int
    private var seconds: Int
    private var nanoseconds: Int

    /// The stamp of the file at `path`; nil where there is none.
    init?(path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        (device, inode, size) = (status.st_dev, status.st_ino, status.st_size)
        (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    }

    func isSameFile(as other: FileStamp) -> Bool { device == other.device && inode == other.inode }
}
