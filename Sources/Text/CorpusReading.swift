import Files

/// Opens the texts of a corpus one after the other.
///
/// Plain files are mapped as they are. What is compressed or stands in JSON is written into a temporary file as text, document behind
/// document, which is mapped then: memory grows with the number of documents alone.
struct CorpusReading {
    private(set) var files: [Corpus.File] = []
    private(set) var documents: [Corpus.Document] = []
    private(set) var contents: [Corpus.FileContent] = []
    private var hasher = SHA256Digest.Hasher()
    private let separator: [UInt8]?
    private let replacesInvalid: Bool

    /// The hash of all texts, as if they had been plain files.
    var contentHash: SHA256Digest { hasher.finalize() }

    init(separator: String?, replacesInvalid: Bool) {
        self.separator = separator.flatMap { $0.isEmpty ? nil : Array($0.utf8) }
        self.replacesInvalid = replacesInvalid
    }

    /// Appends all files of `source`; `chats` gives the template of chats.
    mutating func add(_ source: TextSource, chats: @escaping ChatRendering) throws {
        var (bytes, digests): (Int, [SHA256Digest]) = (0, [])
        var formats: Set<TextFormat> = []
        for path in try source.files() {
            // Stamped before reading, so that a write during it is noticed.
            let stamp = FileStamp(path: path)
            let stream = try ByteStream(path: path)
            guard stream.fileBytes > 0 else { throw TextError.emptyText(path: path) }
            let format = try TextFormat(stream, stated: source.format)
            formats.insert(format)
            switch format {
            case .jsonl:
                try addLines(of: stream, field: source.field, chats)
                digests.append(stream.digest())
            case .text where stream.compression == nil:
                digests.append(try addText(MappedFile(path: path), stamp))
            case .text:
                try addText(Self.decompressed(stream), nil)
                digests.append(stream.digest())
            }
            bytes += stream.fileBytes
        }
        if let field = source.field, !formats.contains(.jsonl) { throw TextError.fieldOfText(path: source.path, field: field) }
        contents.append(Corpus.FileContent(path: source.path, bytes: bytes, sha256: Self.combined(digests)))
    }

    /// Throws where a separator was given and no text is cut at it.
    func finish() throws {
        guard separator == nil || files.contains(where: { $0.format == .text }) else { throw TextError.separatorOfLines }
    }

    private mutating func append(
        _ text: MappedFile, _ stamp: FileStamp?, _ format: TextFormat, _ digest: SHA256Digest, _ documents: [Corpus.Document]
    ) {
        self.documents += documents
        files.append(Corpus.File(bytes: text, stamp: stamp, format: format, source: contents.count))
        hasher.update(digest.bytes)
    }

    /// Appends plain text; gives the digest of its bytes as they were.
    @discardableResult
    private mutating func addText(_ file: MappedFile, _ stamp: FileStamp?) throws -> SHA256Digest {
        guard file.count > 0 else { throw TextError.emptyText(path: file.path) }
        var (file, stamp) = (file, stamp)
        let (own, invalid) = Self.check(file)
        var digest = own
        if let offset = invalid {
            guard replacesInvalid else { throw TextError.invalidUTF8(path: file.path, offset: offset) }
            var mended = try TemporaryFile()
            try mended.append(Array(String(decoding: file.bytes(in: 0..<file.count), as: UTF8.self).utf8))
            (file, stamp) = (try mended.mapped(path: file.path), nil)
            (digest, _) = Self.check(file)
        }
        let ranges = separator.map { Self.split(file, at: $0) } ?? [0..<file.count]
        guard !ranges.isEmpty else { throw TextError.noDocuments(path: file.path) }
        append(file, stamp, .text, digest, ranges.map { Corpus.Document(file: files.count, bytes: $0) })
        return own
    }

    private mutating func addLines(of stream: ByteStream, field: String?, _ chats: @escaping ChatRendering) throws {
        var text = try TemporaryFile()
        var digest = SHA256Digest.Hasher()
        var documents: [Corpus.Document] = []
        var lines = JSONLines(path: stream.path, field: field, chats: chats)
        try lines.read(stream) { document in
            let range = text.count..<text.count + document.text.count
            documents.append(Corpus.Document(file: files.count, bytes: range, turns: document.turns))
            try text.append(document.text)
            digest.update(document.text)
        }
        guard !documents.isEmpty else { throw TextError.noLines(path: stream.path) }
        append(try text.mapped(path: stream.path), nil, .jsonl, digest.finalize(), documents)
    }

    private static func decompressed(_ stream: ByteStream) throws -> MappedFile {
        var text = try TemporaryFile()
        while true {
            let bytes = try stream.next()
            if bytes.isEmpty { return try text.mapped(path: stream.path) }
            try text.append(bytes)
        }
    }

    /// The digest of a source: that of its file, or over those of its files.
    private static func combined(_ digests: [SHA256Digest]) -> SHA256Digest {
        guard digests.count != 1 else { return digests[0] }
        var hasher = SHA256Digest.Hasher()
        for digest in digests { hasher.update(digest.bytes) }
        return hasher.finalize()
    }
}

extension CorpusReading {
    /// Bytes of a file that a pass looks at before it lets go of them.
    private static let passBytes = 16 << 20

    /// The digest of `file`, and the offset of the first bytes that are not UTF-8.
    private static func check(_ file: MappedFile) -> (SHA256Digest, invalid: Int?) {
        var hasher = SHA256Digest.Hasher()
        var invalid: Int?
        var start = 0
        while start < file.count {
            let end = unsafe file.withUnsafeBytes { bytes in
                // A character is not cut; more than three bytes that continue one are none in any case.
                var end = min(start + passBytes, bytes.count)
                if end < bytes.count { for _ in 0..<3 where unsafe bytes[end] & 0xc0 == 0x80 { end -= 1 } }
                let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<end])
                if invalid == nil {
                    invalid = unsafe UTF8Check.firstInvalid(in: Span<UInt8>(_unsafeBytes: piece)).map { start + $0 }
                }
                unsafe hasher.update(piece)
                return end
            }
            file.release(start..<end)
            start = end
        }
        return (hasher.finalize(), invalid)
    }

    /// The stripped, non-empty pieces between separators.
    private static func split(_ file: MappedFile, at separator: [UInt8]) -> [Range<Int>] {
        let matcher = AddedTokenMatcher(exact: [separator])
        var ranges: [Range<Int>] = []
        var released = 0
        unsafe file.withUnsafeBytes { bytes in
            let text = unsafe Span<UInt8>(_unsafeBytes: bytes)
            func take(_ range: Range<Int>) {
                var (start, end) = (range.lowerBound, range.upperBound)
                while start < end, TextFormat.isSpace(text[start]) { start += 1 }
                while end > start, TextFormat.isSpace(text[end - 1]) { end -= 1 }
                if start < end { ranges.append(start..<end) }
                guard range.upperBound - released >= passBytes else { return }
                file.release(released..<range.upperBound)
                released = range.upperBound
            }
            matcher.split(text, 0..<text.count, plain: take, token: { _ in })
        }
        file.release(released..<file.count)
        return ranges
    }
}
