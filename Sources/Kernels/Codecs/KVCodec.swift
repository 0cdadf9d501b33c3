/// A codec of cached vectors: one head's keys or values, token by token or a block of tokens at a time.
///
/// A codec is identified by its name. A codec whose stored form the attention kernels read has a number in their tables; any
/// other is computed on the portable path, which decodes a range of tokens at a time.
public protocol KVCodec: Sendable {
    /// The name in flags, recipes and reports.
    var name: String { get }
    /// The codec's number in the attention kernels' tables; nil for the portable path.
    var kernel: Int32? { get }
    /// The number of elements whose multiples a vector's width must be; 1 unless the codec says otherwise.
    var blockElements: Int { get }
    /// Tokens whose vectors are encoded together; 1 unless the codec says otherwise.
    var blockTokens: Int { get }
    /// A bound in nats on the mean KL divergence from predictions over unrounded values that small models keep to; 0.01 unless the
    /// codec says otherwise.
    var divergenceBound: Double { get }
    /// Bytes of one head's vectors of `dim` elements of ``blockTokens`` tokens, scales included.
    func bytes(dim: Int) -> Int
    /// The last of these ``bytes(dim:)``, which pages keep apart from the codes: scales and offsets; 0 unless the codec says
    /// otherwise.
    func scaleBytes(dim: Int) -> Int
    /// Encodes one head's vectors [blockTokens, dim] into their ``bytes(dim:)``: codes [blockTokens, …], then scales.
    func encode(_ vector: Span<Float>, into bytes: inout MutableRawSpan)
    /// Decodes one head's vectors [blockTokens, dim]; decoded vectors encode to the same bytes, unless the codec says otherwise.
    func decode(_ bytes: RawSpan, into vector: inout MutableSpan<Float>)
}

extension KVCodec {
    public var blockElements: Int { 1 }
    public var blockTokens: Int { 1 }
    public var divergenceBound: Double { 0.01 }
    public func scaleBytes(dim: Int) -> Int { 0 }

    /// Bytes of a token's codes among ``bytes(dim:)``.
    func codeBytes(dim: Int) -> Int { (bytes(dim: dim) - scaleBytes(dim: dim)) / blockTokens }

    /// One head's vectors [blockTokens, dim] as they are decoded once they were stored.
    public func rounded(_ vector: ArraySlice<Float>) -> [Float] {
        var (bytes, result) = ([UInt8](repeating: 0, count: bytes(dim: vector.count / blockTokens)), Array(vector))
        do {
            let source = result
            var target = bytes.mutableSpan
            var raw = unsafe target.mutableBytes
            encode(source.span, into: &raw)
        }
        var target = result.mutableSpan
        unsafe decode(bytes.span.bytes, into: &target)
        return result
    }
}

/// The encoding of cached keys and values, independent of the element type of weights (``ElementType``).
///
/// A value that names the codecs of keys and of values; its bytes are a function of tokens and of a layer's shape
/// (``tokenBytes(kvHeads:keyDim:valueDim:valuesAreKeys:)``).
public struct KVEncoding: Sendable {
    /// The name in flags, recipes and reports.
    public private(set) var name: String
    /// The codec of keys.
    public let keys: any KVCodec
    /// The codec of values that are not the beginning of their keys.
    public let values: any KVCodec
    /// Tokens that stay unrounded before the block that is filled at present; 0 where tokens are encoded one by one.
    public private(set) var residual = 0
    /// Whether the codecs store vectors that a Hadamard transform rotated, to which queries are rotated too.
    public let isRotated: Bool
    /// Whether attention takes the portable path even where the kernels read the codes in place.
    private var isPortable = false

    /// The encoding of keys and of values by codecs of their own.
    ///
    /// Precondition: rotated vectors are encoded in blocks of tokens. Eviction, which goes by keys and values themselves, takes
    /// encodings of single tokens alone.
    public init(name: String, keys: any KVCodec, values: any KVCodec, isRotated: Bool = false) {
        (self.name, self.keys, self.values, self.isRotated) = (name, keys, values, isRotated)
        precondition(!isRotated || blockTokens > 1, "KVEncoding: '\(name)' rotates vectors of single tokens")
    }

    /// The encoding of keys and values by `codec`, under its name.
    public init(_ codec: any KVCodec) { self.init(name: codec.name, keys: codec, values: codec) }

    /// The encoding that stores each element as `type`.
    public init(_ type: ElementType) { self.init(ElementCodec(type: type)) }

    /// Unrounded elements, in 4 bytes.
    public static let float32 = KVEncoding(.float32)
    /// Elements rounded to nearest, in 2 bytes.
    public static let float16 = KVEncoding(.float16), bfloat16 = KVEncoding(.bfloat16)

    /// Codes of 8 bits with a scale a vector.
    public static let int8 = KVEncoding(SymmetricCodec())
    /// Keys in codes of 8 bits with a scale a vector, values in codes of 4 bits with a scale and an offset; of latents, which are
    /// keys, as ``int8``.
    public static let k8v4 = KVEncoding(name: "k8v4", keys: SymmetricCodec(), values: AsymmetricCodec())
    /// llama.cpp's blocks of 32 codes of 8 bits and of 4 bits, each with a scale.
    public static let q8 = KVEncoding(LlamaQ8Codec()), q4 = KVEncoding(LlamaQ4Codec())

    /// Keys in codes of 4 bits with a scale and an offset a channel over 32 tokens, values as those of ``k8v4``.
    public static let kivi4 = KVEncoding(name: "kivi4", keys: ChannelCodec(bits: 4), values: AsymmetricCodec())
    /// The same in codes of 2 bits.
    public static let kivi2 = KVEncoding(name: "kivi2", keys: ChannelCodec(bits: 2), values: AsymmetricCodec(bits: 2))

    /// Rotated vectors in codes of 4 bits with a scale and an offset a vector, keys less the mean of 32 tokens.
    public static let int4 = KVEncoding(name: "int4", keys: CentredCodec(), values: AsymmetricCodec(), isRotated: true)

    /// The encoding of a cache where none is named: fp16, as llama.cpp's.
    public static let standard = float16

    /// Every encoding that flags and recipes can name. New codecs are listed here.
    public static let all: [KVEncoding] = [
        .float32, .float16, .bfloat16, .int8, .k8v4, .q8, .q4, .kivi4, .kivi2, .int4,
    ]

    /// The encoding called `name`; nil where there is none.
    public init?(name: String) {
        guard let found = Self.all.first(where: { $0.name == name }) else { return nil }
        self = found
    }

    /// The same encoding on the portable path: decoded before attention, whether or not the kernels read it in place.
    public var portable: KVEncoding {
        var portable = self
        (portable.name, portable.isPortable) = (name + ", decoded", true)
        return portable
    }

    /// Tokens that are encoded together; 1 where each is encoded as it comes.
    public var blockTokens: Int { max(keys.blockTokens, values.blockTokens) }

    /// The same encoding with `residual` unrounded tokens before the block that is filled at present (Liu et al. 2024, KIVI,
    /// section 4: the residual length).
    ///
    /// Throws ``ResidualMismatch`` unless that is a multiple of ``blockTokens``, or 0 where tokens are encoded one by one.
    public func with(residual: Int) throws(ResidualMismatch) -> KVEncoding {
        guard residual >= 0, blockTokens > 1 ? residual % blockTokens == 0 : residual == 0 else {
            throw ResidualMismatch(encoding: name, blockTokens: blockTokens, residual: residual)
        }
        var copy = self
        copy.residual = residual
        return copy
    }

    /// Tokens of a sequence of `tokens` that are encoded: those of the whole blocks before the ``residual``, or all where each is
    /// encoded as it comes.
    ///
    /// The row of token p, which is behind p tokens, sees the codes of `sealedTokens(of: p)` of them.
    public func sealedTokens(of tokens: Int) -> Int {
        blockTokens == 1 ? tokens : max(0, tokens - residual) / blockTokens * blockTokens
    }

    /// The encoding of tokens that wait for their block to be full.
    public var open: KVEncoding { blockTokens == 1 ? self : .bfloat16 }

    /// A bound in nats on the mean KL divergence from predictions over unrounded values that small models keep to.
    public var divergenceBound: Double { max(keys.divergenceBound, values.divergenceBound) }

    /// Whether it is an element type's, which stores each element by itself.
    public var isElementwise: Bool { keys is ElementCodec }

    /// Whether the attention kernels read codes in place; otherwise attention takes the portable path.
    var isReadInPlace: Bool { !isPortable && keys.kernel != nil && values.kernel != nil }

    /// Widths of the vectors that a key is encoded as: one, or a latent and its rotary part by themselves, whose magnitudes differ.
    static func keyWidths(keyDim: Int, valueDim: Int, valuesAreKeys: Bool) -> [Int] {
        valuesAreKeys && valueDim < keyDim ? [valueDim, keyDim - valueDim] : [keyDim]
    }

    /// One head's key as it is decoded once it was stored; `valuesAreKeys` where its first `valueDim` elements are the value.
    public func roundedKey(_ key: ArraySlice<Float>, valueDim: Int, valuesAreKeys: Bool) -> [Float] {
        let widths = Self.keyWidths(keyDim: key.count, valueDim: valueDim, valuesAreKeys: valuesAreKeys)
        var (result, rest) = ([Float](), key)
        for width in widths {
            result += keys.rounded(rest.prefix(width))
            rest = rest.dropFirst(width)
        }
        return result
    }

    /// Bytes of one token in a layer, scales included; `valuesAreKeys` where a value is the beginning of its key. Of tokens that are
    /// encoded together, the mean, rounded up.
    public func tokenBytes(kvHeads: Int, keyDim: Int, valueDim: Int, valuesAreKeys: Bool = false) -> Int {
        let block = blockBytes(kvHeads: kvHeads, keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys)
        return (block + blockTokens - 1) / blockTokens
    }

    /// Bytes of ``blockTokens`` tokens in a layer, scales included.
    func blockBytes(kvHeads: Int, keyDim: Int, valueDim: Int, valuesAreKeys: Bool = false) -> Int {
        let widths = Self.keyWidths(keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys)
        let key = widths.reduce(0) { $0 + keys.bytes(dim: $1) } * (blockTokens / keys.blockTokens)
        return kvHeads * (key + (valuesAreKeys ? 0 : values.bytes(dim: valueDim) * (blockTokens / values.blockTokens)))
    }

    /// The first width among a layer's vectors that is no multiple of its codec's block, and the block; nil where all fit.
    public func misfit(keyDim: Int, valueDim: Int, valuesAreKeys: Bool = false) -> (width: Int, block: Int)? {
        let widths = Self.keyWidths(keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys)
        if let width = widths.first(where: { $0 % keys.blockElements != 0 }) { return (width, keys.blockElements) }
        guard !valuesAreKeys, valueDim % values.blockElements != 0 else { return nil }
        return (valueDim, values.blockElements)
    }

    /// The widest latent that fits `bytes` a token beside a rotary part of `rotaryDim` elements; nil where none does.
    public func widestLatent(bytes: Int, rotaryDim: Int) -> Int? {
        guard rotaryDim % keys.blockElements == 0 else { return nil }
        let block = keys.blockElements
        func bytesOfLatent(_ width: Int) -> Int {
            tokenBytes(kvHeads: 1, keyDim: width + rotaryDim, valueDim: width, valuesAreKeys: true)
        }
        var width = 0
        while bytesOfLatent(width + block) <= bytes { width += block }
        return width > 0 ? width : nil
    }
}

extension KVEncoding: Hashable {
    public static func == (left: KVEncoding, right: KVEncoding) -> Bool {
        left.name == right.name && left.residual == right.residual
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(name)
        hasher.combine(residual)
    }
}

/// The refusal of a residual that an encoding cannot have.
public struct ResidualMismatch: Error, Hashable, CustomStringConvertible {
    /// The encoding's name.
    public var encoding: String
    /// Tokens that it encodes together, and the residual asked for.
    public var blockTokens: Int, residual: Int

    /// The sentence for the user.
    public var description: String {
        blockTokens > 1
            ? "a residual of \(residual) tokens does not fit \(encoding), which encodes \(blockTokens) together; use a multiple"
            : "a residual means nothing for \(encoding), which encodes each token as it comes; leave it out"
    }
}
