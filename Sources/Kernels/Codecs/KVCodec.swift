/// A codec of cached keys and values.
///
/// A codec is identified by its name. A codec whose stored form the attention kernels read has a number in their tables; any
/// other is computed on the portable path, which decodes a range of tokens at a time.
public protocol KVCodec: Sendable {
    /// The name in flags, recipes and reports.
    var name: String { get }
    /// The codec's number in the attention kernels' tables; nil for the portable path.
    var kernel: Int32? { get }
    /// Bytes of one head's vector of `dim` elements.
    func bytes(dim: Int) -> Int
    /// Encodes one head's vector into its ``bytes(dim:)``.
    func encode(_ vector: Span<Float>, into bytes: inout MutableRawSpan)
    /// Decodes one head's vector; a decoded vector encodes to the same bytes.
    func decode(_ bytes: RawSpan, into vector: inout MutableSpan<Float>)
}

/// The encoding of cached keys and values, independent of the element type of weights (``ElementType``).
///
/// A value that names one codec; its bytes are a function of tokens and of a layer's shape
/// (``tokenBytes(kvHeads:keyDim:valueDim:)``).
public struct KVEncoding: Sendable {
    /// The codec.
    public let codec: any KVCodec

    /// The encoding by `codec`.
    public init(_ codec: any KVCodec) { self.codec = codec }

    /// The encoding that stores each element as `type`.
    public init(_ type: ElementType) { codec = ElementCodec(type: type) }

    /// Unrounded elements, in 4 bytes.
    public static let float32 = KVEncoding(.float32)
    /// Elements rounded to nearest, in 2 bytes.
    public static let float16 = KVEncoding(.float16), bfloat16 = KVEncoding(.bfloat16)

    /// Every encoding that flags and recipes can name. New codecs are listed here.
    public static let all: [KVEncoding] = [.float32, .float16, .bfloat16]

    /// The encoding called `name`; nil where there is none.
    public init?(name: String) {
        guard let found = Self.all.first(where: { $0.name == name }) else { return nil }
        self = found
    }

    /// The name in flags, recipes and reports.
    public var name: String { codec.name }

    /// Bytes of one token in a layer; a `valueDim` of nil where values are the beginning of their keys.
    public func tokenBytes(kvHeads: Int, keyDim: Int, valueDim: Int?) -> Int {
        kvHeads * (codec.bytes(dim: keyDim) + (valueDim.map { codec.bytes(dim: $0) } ?? 0))
    }

    /// One head's vector as it is decoded once it was stored.
    public func rounded(_ vector: ArraySlice<Float>) -> [Float] {
        var (bytes, result) = ([UInt8](repeating: 0, count: codec.bytes(dim: vector.count)), Array(vector))
        do {
            let source = result
            var target = bytes.mutableSpan
            var raw = unsafe target.mutableBytes
            codec.encode(source.span, into: &raw)
        }
        var target = result.mutableSpan
        unsafe codec.decode(bytes.span.bytes, into: &target)
        return result
    }

    /// Elements of the widest vector of at most `bytes`.
    public func widestVector(bytes: Int) -> Int {
        var dim = 0
        while codec.bytes(dim: dim + 1) <= bytes { dim += 1 }
        return dim
    }
}

extension KVEncoding: Hashable {
    public static func == (left: KVEncoding, right: KVEncoding) -> Bool { left.name == right.name }
    public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}
