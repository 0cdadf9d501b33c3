import Kernels
import Models

/// A setting of a cache, declared once: a key of `--cache`, an option of commands and a key of recipes are made from its declaration.
public struct CacheSetting: Sendable {
    /// The values of a setting.
    public enum Kind: Sendable {
        /// One of these names.
        case choice([String])
        /// One of these names, or several of them in a text such as `example`.
        case choices([String], example: String)
        /// A whole number of this range.
        case integer(ClosedRange<Int>)
        /// A whole number, or a text such as `example`; `expected` says so in words.
        case text(example: String, expected: String)
    }

    /// Its key in `--cache` and in recipes: "budget".
    public let key: String
    /// Its values.
    public let kind: Kind
    /// The type of its value, whose texts stand in `--cache` and behind the option.
    public let type: any (LosslessStringConvertible & Sendable).Type
    /// Its meaning, in a phrase.
    public let meaning: String
    /// A usual value.
    public let example: String
    /// The sentence about its option in `--help`, which says the policies' defaults.
    public let help: String
    /// The placeholder of its value in `--help`; nil for the option's name.
    public let valueName: String?
    /// Its value in settings as text; nil where none was given.
    public let text: @Sendable (EvictionSettings) -> String?
    /// Sets its value in settings from a text, to nil where the text is none of its values.
    public let set: @Sendable (inout EvictionSettings, String) -> Void

    /// A setting of an eviction, which stands in `property`.
    private init<Value: LosslessStringConvertible & Sendable>(
        _ key: String, _ property: WritableKeyPath<EvictionSettings, Value?> & Sendable, _ kind: Kind, _ meaning: String,
        example: String, valueName: String? = nil, help: String
    ) {
        (self.key, self.kind, self.meaning, self.example) = (key, kind, meaning, example)
        (self.help, self.valueName, type) = (help, valueName, Value.self)
        text = { $0[keyPath: property]?.description }
        set = { $0[keyPath: property] = Value($1) }
    }

    /// A setting of an encoding, which ``CacheSpec`` applies.
    private init<Value: LosslessStringConvertible & Sendable>(
        _ key: String, of type: Value.Type, _ kind: Kind, _ meaning: String, example: String, help: String? = nil
    ) {
        (self.key, self.kind, self.meaning, self.example) = (key, kind, meaning, example)
        (self.help, valueName, self.type) = (help ?? "\(meaning.prefix(1).uppercased())\(meaning.dropFirst()).", nil, type)
        (text, set) = ({ _ in nil }, { _, _ in })
    }

    /// Its command-line option without dashes: "kv-budget".
    public var option: String { key == "evict" ? key : "kv-" + key }

    /// Whether its value is a measurement of one model, which no recipe can name: a recipe makes its models, and labs measure them.
    public var isOfOneModel: Bool { key == EvictionOption.scores.rawValue }

    /// Its values in words.
    public var expected: String {
        switch kind {
        case .choice(let names): names.joined(separator: ", ")
        case .choices(let names, let example): names.joined(separator: ", ") + ", or such as \(example)"
        case .integer: "a whole number"
        case .text(_, let expected): expected
        }
    }

    /// Whether `text` is one of its values; ``EvictionSettings/retention()`` checks the ranges of numbers.
    public func takes(_ text: String) -> Bool {
        if case .choice(let names) = kind { return names.contains(text) }
        return type.init(text) != nil
    }

    /// The sentence that refuses a text.
    public func refusal(of text: String) -> String {
        if case .choices = kind, text.contains("+") {
            do { _ = try CacheEncoding(name: text) } catch { return "\(error)" }
        }
        return "'\(text)' is no \(key), expected \(expected)"
    }
}

/// The table of settings. New ones are listed here.
extension CacheSetting {
    /// Every setting, the encoding's first.
    public static let all = encoding + eviction

    /// The settings of the encoding of keys and values.
    public static let encoding = [dtype, residual]

    /// The encoding's name.
    public static let dtype = CacheSetting(
        "dtype", of: CacheEncoding.self, .choices(KVEncoding.all.map(\.name), example: CacheEncoding.example),
        "encoding of keys and values, or several by layer", example: "int8")

    /// The residual of an encoding of blocks of tokens.
    public static let residual = CacheSetting(
        "residual", of: Int.self, .integer(0...most), "newest tokens that an encoding of blocks of tokens leaves unrounded",
        example: "64",
        help: """
            Newest tokens that an encoding of blocks of tokens leaves unrounded before the block being filled: a multiple of the \
            block's. Default: 0.
            """)

    /// The settings of the eviction of slots.
    public static let eviction = [
        CacheSetting(
            "evict", \.policy, .choice(EvictionPolicies.names), "the eviction policy; all tokens are kept without one",
            example: "h2o", valueName: "name",
            help: "Evict slots by a policy: \(EvictionPolicies.names.joined(separator: ", "))."),
        CacheSetting(
            "budget", \.budget, .text(example: "25%", expected: "slots, such as 512 or 25%"),
            "slots that a layer keeps, or a share of the prompt", example: "64", valueName: "slots",
            help: "Slots that a layer keeps: 512, or 25% of the prompt."),
        CacheSetting(
            "sinks", \.sinks, .integer(0...most), "first tokens that are always kept; the policy's own unless given",
            example: "4",
            help: """
                First tokens that are always kept. Default: 4 for streaming-llm, expected-attention, kvzip and razor-attention, \
                128 for duo-attention, else 0.
                """),
        CacheSetting(
            "recent", \.recent, .integer(0...most), "newest tokens that are always kept; the policy's own unless given",
            example: "16",
            help: """
                Newest tokens that are always kept. Default: half the budget for h2o, 30% of it for keyformer, 10 for scissorhands, \
                1 for tova, 256 for duo-attention and razor-attention, else 0.
                """),
        CacheSetting(
            "window", \.window, .integer(1...most), "last tokens of the prompt, or last queries, which score the others",
            example: "16",
            help: """
                snapkv, pyramidkv, adakv: last tokens of the prompt, which score the others and are kept; scissorhands: last queries \
                that count. Default: 32; 400.
                """),
        CacheSetting(
            "pool", \.pool, .text(example: "max7", expected: "an odd width, or such as max7"),
            "the pooling of scores: an average over an odd width, or its maximum", example: "5",
            help: """
                snapkv, pyramidkv, adakv: how scores are pooled, an average over an odd width or such as max7. Default: 5; max7 for \
                adakv.
                """),
        CacheSetting(
            "interval", \.interval, .integer(1...most), "tokens between decisions behind the prompt", example: "32",
            help: """
                Tokens between decisions behind the prompt. Default: \(EvictionRetention.interval), the budget for scissorhands.
                """),
        CacheSetting(
            "future", \.future, .integer(1...most), "positions behind the prompt that queries are expected at", example: "256",
            help: "expected-attention: positions behind the prompt that queries are expected at. Default: 512."),
        CacheSetting(
            "allocate", \.allocation, .choice(BudgetAllocation.allCases.map(\.rawValue)),
            "the division of the budget among layers and heads", example: "pyramid",
            help: """
                How the budget is divided among layers and heads: ada and ada-authors among the heads of each layer, global among all \
                heads. Default: pyramid for pyramidkv, ada for adakv, global for kvzip, else uniform.
                """),
        CacheSetting(
            "merge", \.merge, .choice(SlotMerges.names),
            "the merge of evicted slots into kept ones; they are dropped without one", example: "cam", valueName: "name",
            help: "Merge evicted slots' values into kept ones: \(SlotMerges.names.joined(separator: ", "))."),
        CacheSetting(
            EvictionOption.scores.rawValue, \.scores, .text(example: "heads.json", expected: "a file that kvlab heads wrote"),
            "the file of the scores that rank the heads of one model", example: "heads.json", valueName: "file",
            help: """
                \(EvictionPolicies.namesOfHeads.joined(separator: ", ")): the file in which kvlab heads ranked the model's heads.
                """),
        CacheSetting(
            EvictionOption.recovery.rawValue, \.recovery, .text(example: "95%", expected: "a share such as 95%"),
            "the share of its attention that a head's kept slots recover", example: "95%", valueName: "share",
            help: "fastgen: the share of its attention that a head's kept slots recover. Default: 95%."),
        CacheSetting(
            "seed", \.seed, .integer(0...Int.max), "seed of random draws", example: "1",
            help: "random, keyformer, --kv-merge cam: seed of the draws."),
    ]

    /// More tokens than is of any use.
    private static let most = 1 << 40
}
