/// Working memory of an encoder, kept between texts, with a cache of the ids of words already merged.
struct EncodingWorkspace: Sendable {
    var merger = Merger()
    private var words = WordTable()
    private var starts: [Int] = [0]
    private var ids: [Int32] = []

    /// Longer words are not cached: they seldom recur, and a text of noise would fill the memory with them.
    private static let maximumWordBytes = 64
    private static let maximumWords = 1 << 20

    /// Appends the cached ids of `text[range]`; false where there are none.
    mutating func appendKnown(_ text: Span<UInt8>, _ range: Range<Int>, to output: inout [Int32]) -> Bool {
        guard range.count <= Self.maximumWordBytes, let word = words.find(text, range) else { return false }
        for index in starts[word]..<starts[word + 1] { output.append(ids[index]) }
        return true
    }

    /// Caches the merger's symbols as the ids of `text[range]`, which is not cached yet.
    mutating func remember(_ text: Span<UInt8>, _ range: Range<Int>) {
        guard range.count <= Self.maximumWordBytes, words.count < Self.maximumWords else { return }
        _ = words.insert(text, range)
        ids += merger.symbols
        starts.append(ids.count)
    }
}

/// A tokenizer that encodes UTF-8 in place.
protocol UTF8Tokenizer: Tokenizer {
    /// Appends the ids of `text`, which is valid UTF-8, to `ids`.
    func encode(_ text: Span<UInt8>, workspace: inout EncodingWorkspace, into ids: inout [Int32])

    /// A position at or after `index` where `text` may be cut into two parts whose ids, concatenated, are those of the whole; nil
    /// where none is known.
    func cut(_ text: Span<UInt8>, atOrAfter index: Int) -> Int?
}

extension UTF8Tokenizer {
    public func encode(_ text: String) -> [Int32] {
        var ids: [Int32] = []
        var workspace = EncodingWorkspace()
        ids.reserveCapacity(text.utf8.count / 3)
        encode(text.utf8.span, workspace: &workspace, into: &ids)
        return ids
    }

    func cut(_ text: Span<UInt8>, atOrAfter index: Int) -> Int? { nil }
}
