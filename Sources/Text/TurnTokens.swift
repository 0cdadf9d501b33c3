/// The tokens of an encoded text that hold ranges of its bytes.
///
/// A range's tokens are those from the one with its first byte up to the one with its last, as `char_to_token` of `tokenizers` finds them.
struct TurnTokens {
    private let tokenizer: any Tokenizer
    private let text: [UInt8]
    private let ids: [Int32]
    /// The end of each token in the text; nil where tokens don't spell the text byte for byte, such as SentencePiece's.
    private let ends: [Int]?

    /// `ids` are those of `text` by `tokenizer`.
    init(_ tokenizer: any Tokenizer, _ text: String, _ ids: [Int32]) {
        (self.tokenizer, self.text, self.ids) = (tokenizer, Array(text.utf8), ids)
        var ends: [Int] = []
        var spelled: [UInt8] = []
        for id in ids {
            spelled += tokenizer.decode([id])
            ends.append(spelled.count)
        }
        self.ends = spelled == self.text ? ends : nil
    }

    /// The tokens of each of `turns`, ranges of bytes.
    func ranges(of turns: [Range<Int>]) -> [Range<Int>] {
        turns.map { turn in
            guard let ends else { return start(turn.lowerBound)..<max(start(turn.lowerBound), end(turn.upperBound)) }
            // The first token that ends behind the first byte, and the first that ends at or behind the last.
            let first = ends.firstIndex { $0 > turn.lowerBound } ?? ends.count
            let last = ends.firstIndex { $0 >= turn.upperBound } ?? ends.count - 1
            return first..<max(first, last + 1)
        }
    }

    // Where the text up to a place is encoded like the beginning of the whole, a token ends there. Elsewhere one reaches across the place,
    // and it is the first that differs.

    private func start(_ place: Int) -> Int { beginning(place).common }

    private func end(_ place: Int) -> Int {
        let (common, count) = beginning(place)
        return common == count ? common : min(common + 1, ids.count)
    }

    /// How many tokens of the text up to `place` are those of the whole, and how many it has.
    private func beginning(_ place: Int) -> (common: Int, count: Int) {
        let beginning = tokenizer.encode(String(decoding: text[..<place], as: UTF8.self))
        return (zip(beginning, ids).prefix { $0 == $1 }.count, beginning.count)
    }
}
