import CKernels

/// The layout of one layer's keys and values in a page, which holds as many tokens as fit.
///
/// A page holds keys [kvHeads, tokensPerPage, keyDim], then values [kvHeads, tokensPerPage, valueDim], unless a value is the
/// first valueDim elements of its key. Scales of a codec follow behind all codes: those of the keys, then those of the values, of
/// each token or of each block of tokens that are encoded together, of which a page holds whole ones.
///
///     codes of keys | codes of values | scales of keys | scales of values        each [kvHeads, tokensPerPage, bytes],
///                                                                  scales of blocks [kvHeads, tokensPerPage / block, bytes]
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
    /// Bytes of the codes of one head's key and of its value in a slot, and of their scales, a block's at a time.
    let keyBytes: Int, valueBytes: Int, keyScaleBytes: Int, valueScaleBytes: Int

    /// The layout of pages of `pageBytes`, with as many tokens as fit, or where `part` is given the greatest power of two of them
    /// up to it; nil where not even one token or block of tokens fits, or a width is no multiple of its codec's block.
    public init?(
        kvHeads: Int, keyDim: Int, valueDim: Int, valuesAreKeys: Bool = false, encoding: KVEncoding, pageBytes: Int,
        part: Int? = nil
    ) {
        let block = encoding.blockBytes(kvHeads: kvHeads, keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys)
        guard block > 0, pageBytes >= block, !valuesAreKeys || valueDim <= keyDim,
            encoding.misfit(keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys) == nil
        else { return nil }
        self.kvHeads = kvHeads
        self.keyDim = keyDim
        self.valueDim = valueDim
        self.valuesAreKeys = valuesAreKeys
        self.encoding = encoding
        self.pageBytes = pageBytes
        var tokens = pageBytes / block * encoding.blockTokens
        if let part {
            tokens = min(tokens, part)
            while tokens & (tokens - 1) != 0 { tokens &= tokens - 1 }
        }
        tokensPerPage = tokens
        let widths = KVEncoding.keyWidths(keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys)
        keyScaleBytes = widths.reduce(0) { $0 + encoding.keys.scaleBytes(dim: $1) }
        keyBytes = widths.reduce(0) { $0 + encoding.keys.codeBytes(dim: $1) }
        valueScaleBytes = valuesAreKeys ? 0 : encoding.values.scaleBytes(dim: valueDim)
        valueBytes = valuesAreKeys ? 0 : encoding.values.codeBytes(dim: valueDim)
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
        kvHeads * tokensPerPage * (keyBytes + valueBytes)
            + (head * tokensPerPage + slot) / encoding.keys.blockTokens * keyScaleBytes
    }

    /// The byte offset in its page of the scales of a head's value in a slot.
    func valueScaleOffset(head: Int, slot: Int) -> Int {
        keyScaleOffset(head: kvHeads, slot: 0)
            + (head * tokensPerPage + slot) / encoding.values.blockTokens * valueScaleBytes
    }

    func job(_ memory: UnsafeMutablePointer<UInt8>, pages: UnsafePointer<Int32>) -> kk_pages {
        unsafe kk_pages(
            memory: memory, pageBytes: Int64(pageBytes), tokensPerPage: Int64(tokensPerPage), kvHeads: Int64(kvHeads),
            keyDim: Int64(keyDim), valueDim: Int64(valueDim), keyElement: encoding.keys.kernel ?? 0,
            valueElement: (valuesAreKeys ? encoding.keys : encoding.values).kernel ?? 0, valuesAreKeys: valuesAreKeys ? 1 : 0,
            pages: pages)
    }
}
