import JSON
import Models

/// A key of a recipe, declared once: the decoder, `kvlab help recipe`, the JSON Schema and the check of the documentation's page
/// are made from its declaration.
struct RecipeKey: Sendable {
    /// The key itself, without its path.
    let name: String
    /// The type of its value.
    let type: RecipeType
    /// The meaning of its absence.
    let absence: Absence
    /// The meaning of its value, in a phrase.
    let meaning: String
    /// A value that it takes.
    let example: JSONValue

    /// The meaning of a key's absence, or of its null.
    enum Absence: Sendable {
        /// The recipe is refused.
        case required
        /// The recipe is refused under this circumstance: "without `uptrain`".
        case requiredIf(String)
        /// This value.
        case fixed(JSONValue)
        /// A value that other keys give: "as `heads`".
        case derived(String)
        /// No value.
        case optional

        /// This value.
        static func `default`(_ value: some RecipeLiteral) -> Absence { .fixed(value.json) }
    }
}

/// The type of a recipe's value.
indirect enum RecipeType: Sendable {
    /// A string.
    case text
    /// A string that names a file or a folder.
    case path
    /// `true` or `false`.
    case boolean
    /// A whole number of this range.
    case integer(ClosedRange<Int>)
    /// A number of this range.
    case number(ClosedRange<Double>)
    /// One of these strings.
    case choice([String])
    /// One of these strings, or several of them in one such as this.
    case choices([String], String)
    /// A whole number, or a string such as this one.
    case integerOrText(String)
    /// A whole number of this range for all layers, or an array with one a layer.
    case perLayer(ClosedRange<Int>)
    /// An array.
    case list(RecipeType)
    /// An object with the keys of a section.
    case object(RecipeSection)
    /// A path, or an object with a path and more about it.
    case pathOrObject(RecipeSection)

    /// The section of the object, or of an array's objects.
    var section: RecipeSection? {
        switch self {
        case .object(let section), .pathOrObject(let section): section
        case .list(let element): element.section
        default: nil
        }
    }
}

/// The declared keys of one object of a recipe.
struct RecipeSection: Sendable {
    /// The path under which the keys are described, where several objects have them: `uptrain.distill`.
    let path: String
    /// Keys described here.
    let own: [RecipeKey]
    /// A section whose keys the object has as well.
    private let shared: [RecipeSection]
    /// Further keys by the value of `kind`.
    let kinds: [(name: String, keys: [RecipeKey])]

    init(
        _ path: String, _ own: [RecipeKey], with shared: RecipeSection? = nil, kinds: [(name: String, keys: [RecipeKey])] = []
    ) {
        (self.path, self.own, self.kinds) = (path, own, kinds)
        self.shared = shared.map { [$0] } ?? []
    }

    /// Every key, without those of a kind.
    var keys: [RecipeKey] { own + shared.flatMap(\.own) }

    /// The path under which further keys are described; nil where all are the section's own.
    var sharedPath: String? { shared.first?.path }

    /// This section with the keys of a kind.
    func of(kind: String) -> RecipeSection {
        RecipeSection(path, own + (kinds.first { $0.name == kind }?.keys ?? []), with: shared.first)
    }

    /// The key called `name`, nil where there is none.
    subscript(name: String) -> RecipeKey? { keys.first { $0.name == name } }
}

/// A Swift value that stands for a JSON one in declarations.
protocol RecipeLiteral {
    /// The value as JSON.
    var json: JSONValue { get }
}

extension String: RecipeLiteral { var json: JSONValue { .text(self) } }
extension Bool: RecipeLiteral { var json: JSONValue { .bool(self) } }
extension Int: RecipeLiteral { var json: JSONValue { .int(self) } }
extension Double: RecipeLiteral { var json: JSONValue { Int(exactly: self).map(JSONValue.int) ?? .number("\(self)") } }
extension Array: RecipeLiteral where Element: RecipeLiteral { var json: JSONValue { .array(map(\.json)) } }

extension RecipeKey {
    /// A key of any type.
    init(_ name: String, _ type: RecipeType, _ meaning: String, absence: Absence = .optional, example: some RecipeLiteral) {
        self.init(name: name, type: type, absence: absence, meaning: meaning, example: example.json)
    }

    /// A string.
    static func text(_ name: String, _ meaning: String, absence: Absence = .optional, example: String) -> RecipeKey {
        RecipeKey(name, .text, meaning, absence: absence, example: example)
    }

    /// The path of a file or a folder.
    static func path(_ name: String, _ meaning: String, absence: Absence = .optional, example: String) -> RecipeKey {
        RecipeKey(name, .path, meaning, absence: absence, example: example)
    }

    /// A flag.
    static func boolean(_ name: String, _ meaning: String, absence: Absence = .optional, example: Bool) -> RecipeKey {
        RecipeKey(name, .boolean, meaning, absence: absence, example: example)
    }

    /// A whole number from 1 to more than is of any use.
    static func integer(_ name: String, _ meaning: String, absence: Absence = .optional, example: Int) -> RecipeKey {
        integer(name, 1...(1 << 40), meaning, absence: absence, example: example)
    }

    /// A whole number of `range`.
    static func integer(
        _ name: String, _ range: ClosedRange<Int>, _ meaning: String, absence: Absence = .optional,
        example: Int
    ) -> RecipeKey {
        RecipeKey(name, .integer(range), meaning, absence: absence, example: example)
    }

    /// A number of `range`.
    static func number(
        _ name: String, _ range: ClosedRange<Double>, _ meaning: String, absence: Absence = .optional, example: Double
    ) -> RecipeKey {
        RecipeKey(name, .number(range), meaning, absence: absence, example: example)
    }

    /// A case of a string-valued enumeration.
    static func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ type: Choice.Type, _ meaning: String, absence: Absence = .optional, example: Choice
    ) -> RecipeKey where Choice.RawValue == String {
        RecipeKey(name, .choice(type.allCases.map(\.rawValue)), meaning, absence: absence, example: example.rawValue)
    }

    /// A whole number for all layers, or one a layer.
    static func perLayer(_ name: String, _ meaning: String, absence: Absence = .optional, example: Int) -> RecipeKey {
        RecipeKey(name, .perLayer(1...(1 << 20)), meaning, absence: absence, example: example)
    }

    /// An array of `element`s.
    static func list(
        _ name: String, of element: RecipeType, _ meaning: String, absence: Absence = .optional, example: [some RecipeLiteral]
    ) -> RecipeKey {
        RecipeKey(name, .list(element), meaning, absence: absence, example: example)
    }

    /// An object; its example has the keys that it needs, or else its first one.
    static func object(
        _ name: String, _ section: RecipeSection, _ meaning: String, absence: Absence = .optional, example: JSONValue? = nil
    ) -> RecipeKey {
        RecipeKey(
            name: name, type: .object(section), absence: absence, meaning: meaning, example: example ?? section.example)
    }

    /// An array of objects; its example is one of them.
    static func objects(
        _ name: String, _ section: RecipeSection, _ meaning: String, absence: Absence = .optional, example: JSONValue? = nil
    ) -> RecipeKey {
        RecipeKey(
            name: name, type: .list(.object(section)), absence: absence, meaning: meaning,
            example: .array([example ?? section.example]))
    }

    /// A setting of an attention or of a conversion, as a recipe's key.
    init(_ setting: DesignSetting) {
        let absence: Absence = setting.isRequired ? .required : .optional
        switch setting.kind {
        case .integer(let range):
            self.init(setting.key, .integer(range), setting.help, absence: absence, example: setting.example ?? range.lowerBound)
        case .flag:
            self.init(setting.key, .boolean, "`false`: \(setting.help)", absence: .default(true), example: false)
        case .choice(let names):
            self.init(setting.key, .choice(names), setting.help, absence: .default(names[0]), example: names[names.count - 1])
        }
    }
}

extension RecipeSection {
    /// An object with the keys that are needed, or else the first key.
    var example: JSONValue {
        let needed = keys.filter { key in
            switch key.absence {
            case .required, .requiredIf: true
            case .fixed, .derived, .optional: false
            }
        }
        return .object(of: (needed.isEmpty ? Array(keys.prefix(1)) : needed).map { ($0.name, $0.example) })
    }
}
