import Files

/// UTF-8 text files, memory-mapped, and the documents in them.
public struct Corpus: Sendable {
    /// One text that stands for itself: a range of a file's bytes.
    public struct Document: Sendable, Hashable {
        /// Index into ``Corpus/paths``.
        public var file: Int
        /// Where its bytes lie in that file.
        public var bytes: Range<Int>
    }

    /// The files, in the order given.
    public var paths: [String] { files.map(\.path) }
    /// The documents, in the files' order.
    public let documents: [Document]
    /// SHA-256 over the files' contents, in order; their names do not count.
    public let contentHash: SHA256Digest
    /// UTF-8 bytes of all documents; separators do not count.
    public var byteCount: Int { documents.reduce(0) { $0 + $1.bytes.count } }

    private let files: [MappedFile]

    /// Opens and checks files.
    ///
    /// - Parameters:
    ///   - separator: cuts files into documents, which are then stripped of surrounding ASCII white space and left out where
    ///     nothing remains; without one each file is one document, byte for byte.
    /// - Throws: ``TextError/invalidUTF8(path:offset:)`` or ``TextError/emptyText(path:)`` naming the file, or what the
    ///   operating system reports.
    public init(paths: [String], separator: String? = nil) throws {
        guard !paths.isEmpty else { throw TextError.noFiles }
        var files: [MappedFile] = []
        var documents: [Document] = []
        var hasher = SHA256Digest.Hasher()
        for (index, path) in paths.enumerated() {
            let file = try MappedFile(path: path)
            guard file.count > 0 else { throw TextError.emptyText(path: path) }
            let ranges = try unsafe file.withUnsafeBytes { bytes throws -> [Range<Int>] in
                let text = unsafe Span<UInt8>(_unsafeBytes: bytes)
                if let offset = UTF8Check.firstInvalid(in: text) { throw TextError.invalidUTF8(path: path, offset: offset) }
                unsafe hasher.update(SHA256Digest(of: bytes).bytes)
                guard let separator, !separator.isEmpty else { return [0..<bytes.count] }
                return Self.split(text, at: Array(separator.utf8))
            }
            guard !ranges.isEmpty else { throw TextError.noDocuments(path: path) }
            files.append(file)
            documents += ranges.map { Document(file: index, bytes: $0) }
        }
        self.files = files
        self.documents = documents
        contentHash = hasher.finalize()
    }

    private init(files: [MappedFile], documents: [Document], contentHash: SHA256Digest) {
        self.files = files
        self.documents = documents
        self.contentHash = contentHash
    }

    /// The same files with other documents.
    func with(_ documents: [Document]) -> Corpus {
        Corpus(files: files, documents: documents, contentHash: contentHash)
    }

    /// The text of `document`.
    public func text(_ document: Document) -> String {
        withUTF8(document) { text in
            // Checked when the file was opened.
            unsafe String(copying: UTF8Span(unchecked: text))
        }
    }

    /// The bytes of `document`, for the duration of `body`.
    func withUTF8<Result>(_ document: Document, _ body: (Span<UInt8>) throws -> Result) rethrows -> Result {
        try unsafe files[document.file].withUnsafeBytes { bytes in
            try body(unsafe Span<UInt8>(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[document.bytes])))
        }
    }

    /// What the documents are: the content's hash and all their ranges.
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

    /// The stripped pieces between separators that are not empty.
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
