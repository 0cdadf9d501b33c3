import CKernels

/// The layout of one layer's keys and values in a page, which holds as many tokens as fit.
///
/// A page holds keys [kvHeads, tokensPerPage, keyDim], then values [kvHeads, tokensPerPage, valueDim], unless a value is the
/// first valueDim elements of its key. Scales of a codec follow behind all codes: those of the keys, then those of the values.
///
///     codes of keys | codes of values | scales of keys | scales of values        each [kvHeads, tokensPerPage, bytes]
public struct PagedLayout: Sendable, Hashable {
    /// Heads with keys and values of their own.
    public let kvHeads: Int
    /// Width of a key.
    public let keyDim: Int
    /// Width of a value.
    public let valueDim: Int
    /// Whether a value is the beginning of its key and not stored separately.
    public let valuesAreKeys: Bool
    /// The encoding of keys and values.
    public let encoding: KVEncoding
    /// Bytes of a page.
    public let pageBytes: Int
    /// Tokens (slots) of a page.
    public let tokensPerPage: Int
    /// Bytes of the codes of one head's key and of its value, and of their scales.
    let keyBytes: Int, valueBytes: Int, keyScaleBytes: Int, valueScaleBytes: Int

    /// The layout of pages of `pageBytes`; nil where not even one token fits, or a width is no multiple of its codec's block.
    public init?(
        kvHeads: Int, keyDim: Int, valueDim: Int, valuesAreKeys: Bool = false, encoding: KVEncoding, pageBytes: Int
    ) {
        let token = encoding.tokenBytes(kvHeads: kvHeads, keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys)
        guard token > 0, pageBytes >= token, !valuesAreKeys || valueDim <= keyDim,
            encoding.misfit(keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys) == nil
        else { return nil }
        self.kvHeads = kvHeads
        self.keyDim = keyDim
        self.valueDim = valueDim
        self.valuesAreKeys = valuesAreKeys
        self.encoding = encoding
        self.pageBytes = pageBytes
        tokensPerPage = pageBytes / token
        let widths = KVEncoding.keyWidths(keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys)
        keyScaleBytes = widths.reduce(0) { $0 + encoding.keys.scaleBytes(dim: $1) }
        keyBytes = widths.reduce(0) { $0 + encoding.keys.bytes(dim: $1) } - keyScaleBytes
        valueScaleBytes = valuesAreKeys ? 0 : encoding.values.scaleBytes(dim: valueDim)
        valueBytes = valuesAreKeys ? 0 : encoding.values.bytes(dim: valueDim) - valueScaleBytes
    }

    /// Pages of `tokens` tokens.
    public func pages(tokens: Int) -> Int { (tokens + tokensPerPage - 1) / tokensPerPage }

    /// The byte offset in its page of a head's key in a slot.
    func keyOffset(head: Int, slot: Int) -> Int { (head * tokensPerPage + slot) * keyBytes }

    /// The byte offset in its page of a head's value in a slot: behind all keys.
    func valueOffset(head: Int, slot: Int) -> Int {
        kvHeads * tokensPerPage * keyBytes + (head * tokensPerPage + slot) * valueBytes
    }

    /// The byte offset in its page of the scales of a head's key in a slot: behind all codes.
    func keyScaleOffset(head: Int, slot: Int) -> Int {
        kvHeads * tokensPerPage * (keyBytes + valueBytes) + (head * tokensPerPage + slot) * keyScaleBytes
    }

    /// The byte offset in its page of the scales of a head's value in a slot.
    func valueScaleOffset(head: Int, slot: Int) -> Int {
        kvHeads * tokensPerPage * (keyBytes + valueBytes + keyScaleBytes) + (head * tokensPerPage + slot) * valueScaleBytes
    }

    func job(_ memory: UnsafeMutablePointer<UInt8>, pages: UnsafePointer<Int32>) -> kk_pages {
        unsafe kk_pages(
            memory: memory, pageBytes: Int64(pageBytes), tokensPerPage: Int64(tokensPerPage), kvHeads: Int64(kvHeads),
            keyDim: Int64(keyDim), valueDim: Int64(valueDim), keyElement: encoding.keys.kernel ?? 0,
            valueElement: (valuesAreKeys ? encoding.keys : encoding.values).kernel ?? 0, valuesAreKeys: valuesAreKeys ? 1 : 0,
            pages: pages)
    }
}

/// One vector as it lies in a page: the elements [start, start + width) of a head's key or value.
struct StoredVector {
    let codec: any KVCodec
    let start: Int, width: Int
    /// Byte offsets in the page of its codes and of its scales, and their numbers.
    let codes: Int, codeBytes: Int, scales: Int, scaleBytes: Int

    /// Encodes its share of `elements`, a head's key or value, into `page`.
    func encode(_ elements: UnsafeMutablePointer<Float>, into page: UnsafeMutablePointer<UInt8>) {
        var record = [UInt8](repeating: 0, count: codeBytes + scaleBytes)
        var span = record.mutableSpan
        var bytes = unsafe span.mutableBytes
        unsafe codec.encode(Span(_unsafeStart: elements + start, count: width), into: &bytes)
        unsafe record.withUnsafeBufferPointer { record in
            guard let first = record.baseAddress else { return }
            unsafe (page + codes).update(from: first, count: codeBytes)
            unsafe (page + scales).update(from: first + codeBytes, count: scaleBytes)
        }
    }

    /// Decodes its share of a head's key or value in `page` into `elements`.
    func decode(from page: UnsafeMutablePointer<UInt8>, into elements: UnsafeMutablePointer<Float>) {
        let stored = unsafe UnsafeBufferPointer(start: page + codes, count: codeBytes)
        let record = unsafe Array(stored) + Array(UnsafeBufferPointer(start: page + scales, count: scaleBytes))
        var target = unsafe MutableSpan(_unsafeStart: elements + start, count: width)
        unsafe codec.decode(record.span.bytes, into: &target)
    }
}

extension PagedLayout {
    /// The vectors of a head's key in a slot.
    func keyVectors(head: Int, slot: Int) -> [StoredVector] {
        var (start, codes, scales) = (0, keyOffset(head: head, slot: slot), keyScaleOffset(head: head, slot: slot))
        return KVEncoding.keyWidths(keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys).map { width in
            let scaleBytes = encoding.keys.scaleBytes(dim: width)
            let vector = StoredVector(
                codec: encoding.keys, start: start, width: width, codes: codes,
                codeBytes: encoding.keys.bytes(dim: width) - scaleBytes, scales: scales, scaleBytes: scaleBytes)
            (start, codes, scales) = (start + width, codes + vector.codeBytes, scales + scaleBytes)
            return vector
        }
    }

    /// The vector of a head's value in a slot; nil where it is the beginning of its key.
    func valueVector(head: Int, slot: Int) -> StoredVector? {
        guard !valuesAreKeys else { return nil }
        return StoredVector(
            codec: encoding.values, start: 0, width: valueDim, codes: valueOffset(head: head, slot: slot), codeBytes: valueBytes,
            scales: valueScaleOffset(head: head, slot: slot), scaleBytes: valueScaleBytes)
    }
}
