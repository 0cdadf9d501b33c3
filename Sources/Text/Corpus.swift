import Files
import Glibc

/// UTF-8 texts, memory-mapped, and the documents in them: the one place where texts are opened, whatever they are stored as.
public struct Corpus: Sendable {
    /// A document: a range of a file's text.
    public struct Document: Sendable, Hashable {
        /// The file's number, from 0 in the order in which files were opened.
        public var file: Int
        /// The range of its bytes in that file's text, decompressed and taken out of JSON.
        public var bytes: Range<Int>
        /// The assistant's turns of a chat, the part of it that is learnt, as ranges from the document's beginning; nil for all of it.
        ///
        /// A chat is encoded as it is, without BOS and EOS: its template has written what stands there.
        public var turns: [Range<Int>]?

        /// Bytes that are learnt.
        var learntBytes: Int { turns.map { $0.reduce(0) { $0 + $1.count } } ?? bytes.count }

        init(file: Int, bytes: Range<Int>, turns: [Range<Int>]? = nil) {
            (self.file, self.bytes, self.turns) = (file, bytes, turns)
        }
    }

    /// The content of a source when it was opened.
    public struct FileContent: Sendable, Hashable {
        /// The source's path as given.
        public var path: String
        /// The size of its files in bytes.
        public var bytes: Int
        /// The digest of its file's bytes or, where it has several files, over their digests in order.
        public var sha256: SHA256Digest
    }

    /// The sources, in the order given.
    public let contents: [FileContent]
    /// The documents, in the files' order.
    public let documents: [Document]
    /// SHA-256 over the files' texts, in order, without their names: of a compressed file over what is in it.
    public let contentHash: SHA256Digest
    /// UTF-8 bytes of all documents that are learnt: of chats the assistant's turns, of others all.
    public var learntBytes: Int { documents.reduce(0) { $0 + $1.learntBytes } }
    /// Whether a document is a chat.
    public var hasChats: Bool { documents.contains { $0.turns != nil } }
    /// The documents' text, a line end between them.
    public var joinedText: String { documents.map { text($0) }.joined(separator: "\n") }
    /// UTF-8 bytes of all documents, without separators.
    public var byteCount: Int { documents.reduce(0) { $0 + $1.bytes.count } }

    /// A file's text in memory or mapped.
    struct File: Sendable {
        var bytes: MappedFile
        /// The file as it was when it was mapped; nil for a text that was written out of it, which later writes don't change.
        var stamp: FileStamp?
        var format: TextFormat
        /// Index into ``Corpus/contents``.
        var source: Int
    }

    /// The paths of the files, in the order in which they were opened.
    public var paths: [String] { files.map(\.bytes.path) }

    private let files: [File]

    /// Opens and checks the files of `sources`.
    ///
    /// Each line of JSON Lines is a document, its string as it is.
    ///
    /// - Parameters:
    ///   - separator: cuts plain text into documents, which are stripped of surrounding ASCII white space; empty ones are left out.
    ///     Without a separator each file is one document, byte for byte.
    ///   - chats: the template of chats in JSON Lines, asked for at the first of them; without one they are refused.
    ///   - replacingInvalid: whether bytes of plain text that are not UTF-8 become U+FFFD, as many as Python's
    ///     `errors="replace"` gives.
    /// - Throws: ``TextError`` with the file and, in JSON Lines, the line; `FileError` for compressed files that are damaged, and
    ///   errors of the operating system.
    public init(
        _ sources: [TextSource], separator: String? = nil, replacingInvalid: Bool = false,
        chats: @escaping ChatRendering = ChatTemplateRenderer.none
    ) throws {
        guard !sources.isEmpty else { throw TextError.noFiles }
        var reading = CorpusReading(separator: separator, replacesInvalid: replacingInvalid)
        // Templates come from models: one is read where a chat is found, and once.
        var template: ChatTemplateRenderer?
        func renderer() throws(ChatFault) -> ChatTemplateRenderer {
            if let template { return template }
            let found = try chats()
            template = found
            return found
        }
        for source in sources { try reading.add(source, chats: renderer) }
        try reading.finish()
        (files, documents, contents) = (reading.files, reading.documents, reading.contents)
        contentHash = reading.contentHash
    }

    /// Opens and checks the files at `paths`, each as its name says.
    public init(paths: [String], separator: String? = nil) throws {
        try self.init(paths.map { TextSource(path: $0) }, separator: separator)
    }

    private init(_ corpus: Corpus, documents: [Document]) {
        files = corpus.files
        contents = corpus.contents
        contentHash = corpus.contentHash
        self.documents = documents
    }

    /// The same files with other documents.
    func with(_ documents: [Document]) -> Corpus { Corpus(self, documents: documents) }

    /// Throws ``TextError/changed(path:)`` where a file was written to since it was opened.
    ///
    /// Writes to a mapped file change the corpus; a new file renamed over it does not.
    public func checkUnchanged() throws(TextError) {
        for file in files {
            guard let stamp = file.stamp, let now = FileStamp(path: file.bytes.path), now.isSameFile(as: stamp) else { continue }
            guard now == stamp else { throw .changed(path: file.bytes.path) }
        }
    }

    /// The documents of the source with this index alone.
    public func only(_ source: Int) -> Corpus { with(documents.filter { files[$0.file].source == source }) }

    /// The format of the file that `document` is from.
    public func format(of document: Document) -> TextFormat { files[document.file].format }

    /// Lets go of the memory that holds `documents`, which are read from disk again where they are needed.
    func release(_ documents: some Collection<Document>) {
        var index = documents.startIndex
        while index != documents.endIndex {
            var range = documents[index].bytes
            let file = documents[index].file
            documents.formIndex(after: &index)
            while index != documents.endIndex, documents[index].file == file {
                let next = documents[index].bytes
                range = min(range.lowerBound, next.lowerBound)..<max(range.upperBound, next.upperBound)
                documents.formIndex(after: &index)
            }
            files[file].bytes.release(range)
        }
    }

    /// The text of `document`, or its beginning of at most `limit` bytes that ends with a whole character.
    public func text(_ document: Document, upTo limit: Int = .max) -> String {
        withUTF8(document) { text in
            let text = text.extracting(first: UTF8Check.boundary(in: text, atOrBefore: limit))
            // Validated when the file was opened.
            return unsafe String(copying: UTF8Span(unchecked: text))
        }
    }

    /// The bytes of `document`, for the duration of `body`.
    func withUTF8<Result>(_ document: Document, _ body: (Span<UInt8>) throws -> Result) rethrows -> Result {
        try unsafe files[document.file].bytes.withUnsafeBytes { bytes in
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
            guard let turns = document.turns else { continue }
            for number in turns.flatMap({ [-1, $0.lowerBound, $0.upperBound] }) {
                hasher.update((0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) })
            }
        }
        return hasher.finalize()
    }
}
