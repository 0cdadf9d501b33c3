import Models

/// Caches in codecs, for tests.
extension CacheEncoding {
    public static let int8 = CacheEncoding(.int8), k8v4 = CacheEncoding(.k8v4)
    public static let q8 = CacheEncoding(.q8), q4 = CacheEncoding(.q4)
    public static let kivi4 = CacheEncoding(.kivi4), kivi2 = CacheEncoding(.kivi2), int4 = CacheEncoding(.int4)

    /// Caches with an encoding of its own in layer 0, which is no other layer's: of single tokens, and of blocks.
    public static let mixed = ["bf16+int8:0", "int8+kivi4:0", "int4+k8v4:0"].compactMap { CacheEncoding($0) }
}
