import CKernels

/// How one layer's keys and values lie in a page: as many tokens as fit.
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
    /// Whether a value is the beginning of its key, and not stored again.
    public let valuesAreKeys: Bool
    /// How an element is stored.
    public let elementType: ElementType
    /// Bytes of a page.
    public let pageBytes: Int
    /// Tokens a page has room for.
    public let tokensPerPage: Int

    /// The layout of pages of `pageBytes`; nil where not even one token fits.
    public init?(
        kvHeads: Int, keyDim: Int, valueDim: Int, valuesAreKeys: Bool = false, elementType: ElementType, pageBytes: Int
    ) {
        let token = kvHeads * (keyDim + (valuesAreKeys ? 0 : valueDim)) * elementType.byteCount
        guard token > 0, pageBytes >= token, !valuesAreKeys || valueDim <= keyDim else { return nil }
        self.kvHeads = kvHeads
        self.keyDim = keyDim
        self.valueDim = valueDim
        self.valuesAreKeys = valuesAreKeys
        self.elementType = elementType
        self.pageBytes = pageBytes
        tokensPerPage = pageBytes / token
    }

    /// Pages that `tokens` take.
    public func pages(tokens: Int) -> Int { (tokens + tokensPerPage - 1) / tokensPerPage }

    var element: Int32 {
        switch elementType {
        case .float32: Int32(KK_ELEMENT_FP32.rawValue)
        case .bfloat16: Int32(KK_ELEMENT_BF16.rawValue)
        case .float16: Int32(KK_ELEMENT_FP16.rawValue)
        }
    }

    func job(_ memory: PageMemory, pages: UnsafePointer<Int32>) -> kk_pages {
        unsafe kk_pages(
            memory: memory.base, pageBytes: Int64(pageBytes), tokensPerPage: Int64(tokensPerPage), kvHeads: Int64(kvHeads),
            keyDim: Int64(keyDim), valueDim: Int64(valueDim), element: element,
            valuesAreKeys: valuesAreKeys ? 1 : 0, pages: pages)
    }
}
