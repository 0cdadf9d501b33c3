import Crypto

/// A SHA-256 digest.
public struct SHA256Digest: Sendable, Hashable, CustomStringConvertible {
    /// The digest, 32 bytes.
    public let bytes: [UInt8]

    /// The digest of `bytes`.
    public init(of bytes: UnsafeRawBufferPointer) {
        var hasher = Hasher()
        unsafe hasher.update(bytes)
        self = hasher.finalize()
    }

    /// The digest of `bytes`.
    public init(of bytes: [UInt8]) {
        self = unsafe bytes.withUnsafeBytes { unsafe SHA256Digest(of: $0) }
    }

    /// The digest of a text in UTF-8.
    public init(of text: String) {
        self.init(of: Array(text.utf8))
    }

    /// The digest of a whole mapped file.
    public init(of file: MappedFile) {
        self = unsafe file.withUnsafeBytes { unsafe SHA256Digest(of: $0) }
    }

    /// A digest from its 32 bytes; nil for any other count.
    public init?(bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// 64 lower-case hexadecimal digits.
    public var hex: String { bytes.hex }

    /// The same as ``hex``, and as the output of `sha256sum`.
    public var description: String { hex }
}

extension SHA256Digest {
    /// Incremental hashing.
    public struct Hasher: Sendable {
        private var state = SHA256()

        /// A hasher without input, whose digest is that of no bytes.
        public init() {}

        /// Appends `bytes` to the input.
        public mutating func update(_ bytes: UnsafeRawBufferPointer) {
            unsafe state.update(bufferPointer: bytes)
        }

        /// Appends `bytes` to the input.
        public mutating func update(_ bytes: [UInt8]) {
            unsafe bytes.withUnsafeBytes { unsafe state.update(bufferPointer: $0) }
        }

        /// The digest of all input so far.
        public func finalize() -> SHA256Digest {
            SHA256Digest(unchecked: Array(state.finalize()))
        }
    }

    private init(unchecked bytes: [UInt8]) { self.bytes = bytes }
}
