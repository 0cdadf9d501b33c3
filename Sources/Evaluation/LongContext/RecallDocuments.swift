import Random

/// Documents from which small models learn retrieval: lists to repeat, facts and questions about them, passkeys and needles.
///
/// Retrieval appears after a plateau whose length grows with the square of the context (Musat et al. 2025), so that documents are dense
/// in answers and short at first; stages lengthen them. A document depends on the seed, its stage and its number alone.
public struct RecallDocuments: Sendable {
    /// A kind of document.
    public enum Kind: String, Sendable, CaseIterable {
        /// A list of words, again in the same order.
        case words
        /// A list of pairs of words, once to three times again in other orders.
        case wordPairs
        /// A list of words with numbers of 1 to 3 digits, as often in other orders.
        case digitPairs
        /// A list of words with numbers of 1 to 7 digits, as often in other orders.
        case pairs
        /// Sentences that give a number to each of some names, of one form in a document, filler between them where there is room; then
        /// the same sentences once or, in short documents, twice in other orders, behind their questions in a third of the documents.
        case facts
        /// A prompt of ``PasskeyGrid`` with its answer.
        case passkey
        /// A prompt of ``NeedleGrid`` with one, two, four or eight needles in a book, then the questions and answers of the others.
        case needle
        /// Sentences of a book.
        case text
        /// A passage or numbers, filler, and the same again.
        case copy
    }

    /// A stage of training: the documents' lengths, and the share of each kind.
    public struct Stage: Sendable {
        /// Characters that a document is aimed at.
        public var characters: ClosedRange<Int>
        /// Documents of a training, unless said otherwise.
        public var documents: Int
        /// The share of documents whose filler is the haystack as it stands, with its digits and line ends.
        public var verbatim = 0.0
        /// Kinds by their weights, which need not sum to 1.
        public var mixture: KeyValuePairs<Kind, Double>
    }

    /// The stages, in their order.
    public static let stages = [
        Stage(characters: 48...120, documents: 43_000, mixture: [.words: 0.5, .wordPairs: 1, .digitPairs: 2]),
        Stage(
            characters: 100...260, documents: 40_000,
            mixture: [
                .facts: 4, .pairs: 2, .digitPairs: 1, .passkey: 0.5, .words: 0.5, .wordPairs: 0.5, .copy: 0.2, .text: 0.2,
            ]),
        Stage(
            characters: 280...700, documents: 30_000,
            mixture: [
                .facts: 5, .passkey: 2, .needle: 2, .pairs: 1, .digitPairs: 0.5, .words: 1.0 / 3, .copy: 1.0 / 3, .text: 1.0 / 3,
            ]),
        Stage(
            characters: 640...1_600, documents: 22_000, verbatim: 0.5,
            mixture: [.facts: 4, .passkey: 2, .needle: 4, .text: 0.5, .pairs: 0.5, .copy: 1.0 / 3]),
        Stage(
            characters: 1_300...3_300, documents: 14_000, verbatim: 0.5,
            mixture: [.facts: 4, .passkey: 3, .needle: 4, .text: 0.5, .pairs: 0.5, .copy: 1.0 / 3]),
    ]

    /// The least sentences of a haystack.
    static let leastSentences = 20

    /// A haystack with too few sentences.
    public struct ShortHaystackError: Error, CustomStringConvertible, Equatable {
        /// Sentences of 20 to 300 characters.
        public var sentences: Int

        /// The sentence for the user.
        public var description: String {
            "the haystack has \(sentences) sentences of 20 to 300 characters, expected at least \(RecallDocuments.leastSentences); name more with --haystack"
        }
    }

    private let sentences: [String]
    private let stretches: [String]
    private let seed: UInt64

    /// Documents with filler from `haystack`, at first without its digits: a digit is then always part of an answer.
    public init(haystack: String, seed: UInt64) throws(ShortHaystackError) {
        let text = String(String.UnicodeScalarView(haystack.unicodeScalars.filter { $0.properties.numericType == nil }))
        sentences = NeedleGrid.sentences(text).filter { (20...300).contains($0.count) }
        let scalars = Array(haystack.unicodeScalars)
        var start = 0
        stretches = NeedleGrid.sentenceEnds(scalars).map { end in
            defer { start = end }
            return String(String.UnicodeScalarView(scalars[start..<end]))
        }
        self.seed = seed
        guard sentences.count >= Self.leastSentences else { throw ShortHaystackError(sentences: sentences.count) }
    }

    /// The document of a `number` from 0 in the stage of a `stage` from 1.
    public func document(stage: Int, number: Int) -> String {
        let plan = Self.stages[stage - 1]
        var draw = Draw(sentences: sentences, generator: SeededGenerator(seed: seed, stream: UInt64(stage), UInt64(number)))
        let characters = draw.number(plan.characters)
        if draw.generator.uniform() < plan.verbatim { draw.stretches = stretches }
        var rest = draw.generator.uniform() * plan.mixture.reduce(0) { $0 + $1.value }
        let kind = plan.mixture.first { _, weight in
            rest -= weight
            return rest < 0
        }?.key
        return draw.document(kind ?? plan.mixture[0].key, characters)
    }

    /// A text with `count` passkeys at places between a twentieth and 19 twentieths of it, and the questions about them with their
    /// answers, in another order.
    ///
    /// - Parameters:
    ///   - number: the document's number from 0.
    ///   - characters: the characters that text and questions are aimed at.
    ///   - count: at most as many as there are names.
    public func passkeys(
        number: Int, characters: Int, count: Int
    ) -> (context: String, answers: [(question: String, answer: String)]) {
        var draw = Draw(
            sentences: sentences, generator: SeededGenerator(seed: seed, stream: UInt64(Self.stages.count + 1), UInt64(number)))
        return draw.passkeys(characters, count)
    }

    /// Text to train a tokenizer on: sentences of the haystack, the words and sentences of the documents, and digits one by one.
    ///
    /// No number has two digits, so that the tokenizer learns no merge of digits: each digit of a document is a token, the first one with
    /// the space before it. Were that space a token of its own, the token before a number would tell nothing of the number's name, and
    /// what a model has learned to find is a number, not its name's: it does with one needle, and guesses among four. Half of the lines
    /// are a word twice, bare and behind a space, so often that most words are two tokens of a vocabulary of 1,024, the second alike in
    /// both places. With words of one token a model learned to copy lists in their order, not to find a word's partner.
    public func vocabularyText(lines count: Int) -> String {
        var draw = Draw(sentences: sentences, generator: SeededGenerator(seed: seed, stream: 0))
        return (0..<count).map { index in
            switch index % 40 {
            case 0: draw.document(.facts, 300).filter { !$0.isNumber }
            case 10: draw.document(.passkey, 300).filter { !$0.isNumber }
            case 20: draw.document(.needle, 300).filter { !$0.isNumber }
            case 30: NeedleGrid.things.joined(separator: " ")
            case 35: (0...9).map(String.init).joined(separator: " ")
            case let place where place % 5 < 3: Array(repeating: draw.word(), count: 2).joined(separator: " ")
            default: draw.sentence()
            }
        }.joined(separator: "\n")
    }
}

/// A key under a name.
private struct NamedKey {
    var name: String
    var key: Int

    var fact: String { "The pass key of the \(name) is \(key)." }
    var question: String { "What is the pass key of the \(name)? The pass key of the \(name) is" }
    var answer: String { " \(key)." }
}

/// The draws of one document.
private struct Draw {
    let sentences: [String]
    /// The haystack's sentences as they stand, if they are the filler.
    var stretches: [String] = []
    var generator: SeededGenerator

    private static let adjectives = """
        quiet brown silver rapid gentle narrow bright hollow frozen golden humble lively misty noble orange patient purple rough royal rusty \
        sandy scarlet silent simple slow smooth solid spare steep still strange sunny tall tame tidy tiny vast velvet wild windy wooden \
        yellow young zesty ancient bold calm dusty eager faint
        """.split(separator: " ").map(String.init)
    private static let nouns = """
        anchor badger barrel basket beacon bridge bucket candle canyon castle cedar chapel cherry clock cloud comet copper cradle desert \
        dragon eagle ember engine falcon feather ferry forest garden glacier hammer harbor island jacket kettle ladder lantern lemon market \
        meadow mirror mountain needle ocean orchard palace parrot pebble pepper pillow pocket rabbit ribbon river saddle shadow spider \
        statue temple thunder timber tunnel turtle valley violin wagon walnut window winter
        """.split(separator: " ").map(String.init)

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }

    /// A number of so many digits.
    private mutating func number(of digits: Int) -> Int {
        let least = (1..<digits).reduce(1) { least, _ in least * 10 }
        return number(least...least * 10 - 1)
    }

    mutating func word() -> String { number(0...1) == 0 ? pick(Self.adjectives) : pick(Self.nouns) }

    private mutating func pick(_ words: [String]) -> String { words[number(0...words.count - 1)] }

    /// `count` different words.
    private mutating func words(_ count: Int) -> [String] {
        Array((Self.adjectives + Self.nouns).shuffled(using: &generator).prefix(count))
    }

    mutating func sentence() -> String { pick(sentences) }

    /// At least `characters` of filler, in whole sentences of the book or of the passkey's garbage; nothing for none.
    private mutating func filler(_ characters: Int, isBook: Bool) -> String {
        guard characters > 0 else { return "" }
        guard isBook else { return PasskeyGrid.Stretches(.garbage).cut(characters, 0).0 }
        let (source, separator) = stretches.isEmpty ? (sentences, " ") : (stretches, "")
        var (parts, length, next) = ([String](), 0, number(0...source.count - 1))
        while length < characters {
            parts.append(source[next])
            length += source[next].count + separator.count
            next = (next + 1) % source.count
        }
        return String(parts.joined(separator: separator).drop(while: \.isWhitespace))
    }

    mutating func document(_ kind: RecallDocuments.Kind, _ characters: Int) -> String {
        switch kind {
        case .words:
            let list = (0..<max(4, characters / 15)).map { _ in word() }.joined(separator: " ")
            return list + "\n" + list
        case .wordPairs: return pairs(characters, 14) { $0.word() }
        case .digitPairs:
            let digits = [1, 1, 1, 2, 3][number(0...4)]
            return pairs(characters, 11) { "\($0.number(of: digits))" }
        case .pairs: return pairs(characters, 14) { "\($0.number(of: $0.number(1...7)))" }
        case .facts: return facts(characters)
        case .passkey: return passkey(characters)
        case .needle: return needle(characters)
        case .text: return filler(characters, isBook: true)
        case .copy:
            let passage =
                number(0...1) == 0
                ? filler(min(characters / 3, 250), isBook: true)
                : (0..<number(2...8)).map { _ in "\(number(0...99_999))" }.joined(separator: " ")
            let between = filler(max(0, characters - 2 * passage.count), isBook: number(0...1) == 0)
            return [passage, between, passage].filter { !$0.isEmpty }.joined(separator: " ")
        }
    }

    /// Words with a value each, some `size` characters a pair, and the same in one to three other orders.
    private mutating func pairs(_ characters: Int, _ size: Int, _ value: (inout Draw) -> String) -> String {
        let repeats = number(1...3)
        let most = max(3, characters / (size * (1 + repeats)))
        let list = words(min(number(max(2, most / 2)...most), 100)).map { "\($0) \(value(&self))" }
        let orders = [list] + (0..<repeats).map { _ in list.shuffled(using: &generator) }
        return orders.map { $0.joined(separator: " ") }.joined(separator: "\n")
    }

    private mutating func facts(_ characters: Int) -> String {
        let form = number(0...2)
        let digits = [1, 3, 5, 7, 7][number(0...4)]
        let isAsked = number(0...1) == 0
        func fact(_ name: String, _ value: Int) -> (statement: String, answer: String) {
            switch form {
            case 0: return ("The \(name) is \(value).", "The \(name) is \(value).")
            case 1:
                let key = NamedKey(name: name, key: value)
                return (key.fact, isAsked ? key.question + key.answer : key.fact)
            default:
                let needle = NeedleGrid.Needle(thing: name, number: value)
                return (needle.text, isAsked ? needle.question + " \(value)." : needle.text)
            }
        }
        let example = fact("silver walnut", number(of: digits))
        let repeats = characters < 800 && number(0...2) == 0 ? 2 : 1
        let size = example.statement.count + repeats * example.answer.count + 2
        let most = max(2, min(16, characters / size))
        let count = number(max(2, most / 2)...most)
        let names: [String]
        switch number(0...2) {
        case 0: names = Self.nouns.shuffled(using: &generator).prefix(count).map { pick(Self.adjectives) + " " + $0 }
        case 1: names = words(count)
        default: names = Array(Set(Self.nouns + NeedleGrid.things).sorted().shuffled(using: &generator).prefix(count))
        }
        let facts = names.map { fact($0, number(of: digits)) }
        let room = max(0, characters - count * size)
        var parts: [String] = []
        for fact in facts {
            parts.append(fact.statement)
            if room > 60, number(1...5) <= 3 { parts.append(filler(max(20, room / count), isBook: number(1...10) <= 7)) }
        }
        let answers = (0..<repeats).flatMap { _ in facts.shuffled(using: &generator) }
        return parts.joined(separator: " ") + "\n" + answers.map(\.answer).joined(separator: "\n")
    }

    mutating func passkeys(
        _ characters: Int, _ count: Int
    ) -> (context: String, answers: [(question: String, answer: String)]) {
        let nouns = Self.nouns.shuffled(using: &generator).prefix(count)
        let keys = nouns.map { NamedKey(name: pick(Self.adjectives) + " " + $0, key: number(1...50_000)) }
        let room = max(0, characters - keys.reduce(0) { $0 + $1.fact.count + $1.question.count + $1.answer.count + 2 })
        let cuts = keys.map { _ in number(room / 20...max(room / 20, room * 19 / 20)) }.sorted()
        var (parts, last) = ([String](), 0)
        for (key, cut) in zip(keys, cuts) {
            parts += [filler(cut - last, isBook: true), key.fact]
            last = cut
        }
        parts.append(filler(room - last, isBook: true))
        let answers = keys.shuffled(using: &generator).map { (question: "\n" + $0.question, answer: $0.answer) }
        return (parts.filter { !$0.isEmpty }.joined(separator: " "), answers)
    }

    private mutating func passkey(_ characters: Int) -> String {
        let key = number(1...50_000)
        let room = max(0, characters - PasskeyGrid.prompt(key: key, characters: 0, depth: 0).count)
        let filler: PasskeyGrid.Filler = number(0...1) == 0 ? .garbage : .text(filler(room, isBook: true))
        let prompt = PasskeyGrid.prompt(
            key: key, characters: room, depth: generator.uniform(), filler: PasskeyGrid.Stretches(filler))
        return prompt + " \(key)."
    }

    private mutating func needle(_ characters: Int) -> String {
        let count = min([1, 2, 4, 8][number(0...3)], max(1, characters / 200))
        let needles = NeedleGrid.things.shuffled(using: &generator).prefix(count).map {
            NeedleGrid.Needle(thing: $0, number: number(of: 7))
        }
        let room = max(0, characters - needles.reduce(0) { $0 + $1.text.count + $1.question.count + 13 })
        let cuts = needles.map { _ in number(0...room) }.sorted()
        var (parts, last) = ([String](), 0)
        for (needle, cut) in zip(needles, cuts) {
            parts += [filler(cut - last, isBook: true), needle.text]
            last = cut
        }
        parts.append(filler(room - last, isBook: true))
        let answers = needles.shuffled(using: &generator).map { $0.question + " \($0.answer)." }
        return ([parts.filter { !$0.isEmpty }.joined(separator: " ")] + answers).joined(separator: "\n\n")
    }
}
