import CKernels

/// The layout of one layer's keys and values in a page, which holds as many tokens as fit.
///
/// A page holds keys [kvHeads, tokensPerPage, keyDim], then values [kvHeads, tokensPerPage, valueDim], unless a value is the
/// first valueDim elements of its key.
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
    /// Bytes of one head's key and of its value.
    let keyBytes: Int, valueBytes: Int

    /// The layout of pages of `pageBytes`; nil where not even one token fits.
    public init?(
        kvHeads: Int, keyDim: Int, valueDim: Int, valuesAreKeys: Bool = false, encoding: KVEncoding, pageBytes: Int
    ) {
        let token = encoding.tokenBytes(kvHeads: kvHeads, keyDim: keyDim, valueDim: valuesAreKeys ? nil : valueDim)
        guard token > 0, pageBytes >= token, !valuesAreKeys || valueDim <= keyDim else { return nil }
        self.kvHeads = kvHeads
        self.keyDim = keyDim
        self.valueDim = valueDim
        self.valuesAreKeys = valuesAreKeys
        self.encoding = encoding
        self.pageBytes = pageBytes
        tokensPerPage = pageBytes / token
        (keyBytes, valueBytes) = (encoding.codec.bytes(dim: keyDim), valuesAreKeys ? 0 : encoding.codec.bytes(dim: valueDim))
    }

    /// Pages of `tokens` tokens.
    public func pages(tokens: Int) -> Int { (tokens + tokensPerPage - 1) / tokensPerPage }

    /// The byte offset in its page of a head's key in a slot.
    func keyOffset(head: Int, slot: Int) -> Int { (head * tokensPerPage + slot) * keyBytes }

    /// The byte offset in its page of a head's value in a slot: behind all keys.
    func valueOffset(head: Int, slot: Int) -> Int {
        kvHeads * tokensPerPage * keyBytes + (head * tokensPerPage + slot) * valueBytes
    }

    func job(_ memory: UnsafeMutablePointer<UInt8>, pages: UnsafePointer<Int32>) -> kk_pages {
        unsafe kk_pages(
            memory: memory, pageBytes: Int64(pageBytes), tokensPerPage: Int64(tokensPerPage), kvHeads: Int64(kvHeads),
            keyDim: Int64(keyDim), valueDim: Int64(valueDim), element: encoding.codec.kernel ?? 0,
            valuesAreKeys: valuesAreKeys ? 1 : 0, pages: pages)
    }
}
