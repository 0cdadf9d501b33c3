/// A splitter: cuts text into adjacent pieces that are encoded separately.
enum Splitter: Sendable, Equatable {
    /// GPT-2's pattern.
    case gpt2
    /// Llama 3's and Qwen's patterns.
    case words(WordPattern)
    /// Digits separate from the rest: each by itself, or in runs.
    case digits(areSingle: Bool)
    /// No cut.
    case whole

    /// The end of the piece that starts at `start`.
    @inline(__always)
    func pieceEnd(in text: Span<UInt8>, from start: Int) -> Int {
        switch self {
        case .gpt2: return GPT2Pattern().pieceEnd(in: text, from: start)
        case .words(let pattern): return pattern.pieceEnd(in: text, from: start)
        case .digits(let areSingle): return Self.digitsEnd(text, from: start, areSingle: areSingle)
        case .whole: return text.count
        }
    }

    private static func digitsEnd(_ text: Span<UInt8>, from start: Int, areSingle: Bool) -> Int {
        var index = start
        var wasDigit: Bool?
        while index < text.count {
            let (scalar, length) = UTF8Scalar.decode(text, at: index)
            let isDigit = ScalarClass.of(scalar) == ScalarClass.number
            if let wasDigit, wasDigit != isDigit || areSingle && isDigit { return index }
            wasDigit = isDigit
            index += length
        }
        return index
    }

    /// The splitter of a `Split` pre-tokenizer's pattern, as models' files spell it; nil for any other pattern.
    static func named(byPattern pattern: String) -> Splitter? { patterns[pattern] }

    /// The `tokenizer.ggml.pre` of each list of splitters.
    static let ggufNames: [(name: String, splitters: [Splitter])] = [
        ("gpt-2", [.gpt2]), ("llama-bpe", [.words(WordPattern(digits: 3))]), ("qwen2", [.words(WordPattern(digits: 1))]),
        ("smollm", [.digits(areSingle: true), .gpt2]), ("qwen35", [.words(WordPattern(digits: 1, marksAreLetters: true))]),
    ]

    /// A pattern with the same pieces, for files.
    var pattern: String? {
        switch self {
        case .gpt2: Self.gpt2Pattern
        case .words(let pattern): Self.wordPattern(pattern)
        case .digits, .whole: nil
        }
    }

    private static let gpt2Pattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    private static func wordPattern(_ pattern: WordPattern) -> String {
        let letters = pattern.marksAreLetters ? #"[\p{L}\p{M}]+"# : #"\p{L}+"#
        let others = pattern.marksAreLetters ? #"[^\s\p{L}\p{M}\p{N}]+"# : #"[^\s\p{L}\p{N}]+"#
        let digits = pattern.digits == 1 ? #"\p{N}"# : #"\p{N}{1,\#(pattern.digits)}"#
        return #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?"# + letters + "|" + digits + "| ?" + others
            + #"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    private static let patterns: [String: Splitter] = {
        var patterns: [String: Splitter] = [
            gpt2Pattern: .gpt2,
            #"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: .gpt2,
            #"(?:'s|'t|'re|'ve|'m|'ll|'d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: .gpt2,
        ]
        for words in [
            WordPattern(digits: 1), WordPattern(digits: 3), WordPattern(digits: 1, marksAreLetters: true),
            WordPattern(digits: 3, marksAreLetters: true),
        ] {
            patterns[wordPattern(words)] = .words(words)
        }
        // tiktoken's later spelling of the same: its possessive quantifiers never needed to backtrack.
        for (digits, text) in [(1, #"\p{N}"#), (3, #"\p{N}{1,3}"#)] {
            let start = #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|"# + text
            patterns[start + #"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#] = .words(WordPattern(digits: digits))
        }
        return patterns
    }()
}

/// A splitter, and whether a space is put before each of its texts that begins without one.
struct SplitterStage: Sendable, Equatable {
    var splitter: Splitter
    var addsPrefixSpace = false
}
