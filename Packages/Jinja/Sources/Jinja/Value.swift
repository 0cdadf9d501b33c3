/// A value while a template renders: Python's types as far as templates see them.
///
/// Values that can refer to themselves (namespaces, macros) are numbers of a table that the renderer owns, so that no cycle of
/// references forms; nested values know their depth, so that no walk over them, their release included, runs out of stack.
enum Value {
    case undefined(Undefined)
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case list(Items)
    case tuple(Items)
    case dictionary(OrderedDictionary)
    case view(DictionaryView)
    case range(PythonRange)
    case iterator(ValueIterator)
    case namespace(Int)
    case loop(LoopState)
    case macro(Int)
    case method(BoundMethod)
    case function(GlobalFunction)
}

/// Why a value is undefined, in the words that jinja2 uses once it is needed.
enum Undefined {
    case variable(String)
    /// An attribute of a value of the type.
    case attribute(type: String, name: String)
    /// An element, as Python writes it, of a value of the type.
    case element(type: String, name: String)
    case hint(String)

    var message: String {
        switch self {
        case .variable(let name): "'\(name)' is undefined"
        case .attribute(let type, let name): "'\(type)' has no attribute '\(name)'"
        case .element(let type, let name): "\(type) has no element \(name)"
        case .hint(let hint): hint
        }
    }
}

/// The elements of a list or a tuple.
struct Items {
    let elements: [Value]
    /// Lists within this one, itself included.
    let depth: Int

    static var empty: Items { Items([]) }

    init(_ elements: [Value]) {
        self.elements = elements
        var depth = 0
        for element in elements { depth = max(depth, element.depth) }
        self.depth = depth + 1
    }

    var count: Int { elements.count }
}

/// A dictionary in the order of insertion.
final class OrderedDictionary {
    let keys: [Value]
    let values: [Value]
    let depth: Int
    /// Only where a search from the front would be slow.
    private let index: [DictionaryKey: Int]?

    /// Later values of a key replace earlier ones, in the place of the first.
    init(_ members: [(key: DictionaryKey, value: Value)]) {
        var keys: [DictionaryKey] = []
        var values: [Value] = []
        if members.count <= 8 {
            for member in members {
                if let place = keys.firstIndex(of: member.key) {
                    values[place] = member.value
                } else {
                    keys.append(member.key)
                    values.append(member.value)
                }
            }
            index = nil
        } else {
            var index: [DictionaryKey: Int] = [:]
            for member in members {
                if let place = index[member.key] {
                    values[place] = member.value
                } else {
                    index[member.key] = keys.count
                    keys.append(member.key)
                    values.append(member.value)
                }
            }
            self.index = index
        }
        self.keys = keys.map(\.value)
        self.values = values
        depth = 1 + (values.map(\.depth).max() ?? 0)
    }

    subscript(key: DictionaryKey) -> Value? {
        if let index { return index[key].map { values[$0] } }
        return keys.firstIndex { DictionaryKey($0) == key }.map { values[$0] }
    }

    subscript(name: String) -> Value? {
        if let index { return index[.string(name)].map { values[$0] } }
        for (place, key) in keys.enumerated() {
            if case .string(let text) = key, text.isSame(as: name) { return values[place] }
        }
        return nil
    }

    /// The members as tuples.
    var items: [Value] { zip(keys, values).map { .tuple(Items([$0, $1])) } }
}

/// A dictionary's key as it was given: numbers that are equal are one key, strings are compared character by character.
enum DictionaryKey: Hashable {
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)

    /// nil for a value that cannot be a key here: lists and dictionaries as in Python, and tuples too.
    init?(_ value: Value) {
        switch value {
        case .none: self = .none
        case .bool(let flag): self = .bool(flag)
        case .int(let number): self = .int(number)
        case .double(let number): self = .double(number)
        case .string(let text): self = .string(text)
        default: return nil
        }
    }

    /// The key as a value again.
    var value: Value {
        switch self {
        case .none: .none
        case .bool(let flag): .bool(flag)
        case .int(let number): .int(number)
        case .double(let number): .double(number)
        case .string(let text): .string(text)
        }
    }

    /// The key as an integer, where it equals one.
    private var integer: Int? {
        switch self {
        case .bool(let flag): flag ? 1 : 0
        case .int(let number): number
        case .double(let number): Int(exactly: number)
        default: nil
        }
    }

    static func == (left: DictionaryKey, right: DictionaryKey) -> Bool {
        switch (left, right) {
        case (.none, .none): true
        case (.string(let left), .string(let right)): left.isSame(as: right)
        case (.double(let left), .double(let right)): left == right
        default: left.integer.map { $0 == right.integer } ?? false
        }
    }

    func hash(into hasher: inout Hasher) {
        if case .string(let text) = self { return hasher.combine(text) }
        if case .double(let number) = self, integer == nil { return hasher.combine(number) }
        hasher.combine(integer)
    }
}

/// The views that `keys()`, `values()` and `items()` of a dictionary give.
final class DictionaryView {
    /// Python's name of the type.
    let type: String
    let items: Items

    init(type: String, items: Items) {
        self.type = type
        self.items = items
    }
}

/// Python's `range`.
final class PythonRange {
    let start: Int
    let stop: Int
    let step: Int
    let count: Int

    /// `step` is not 0, and there are no more elements than ``JinjaLimits/rangeCount``, or the range is nil.
    init?(start: Int, stop: Int, step: Int) {
        self.start = start
        self.stop = stop
        self.step = step
        guard step > 0 ? start < stop : start > stop else {
            count = 0
            return
        }
        let distance = (step > 0 ? stop : start).subtractingReportingOverflow(step > 0 ? start : stop)
        guard !distance.overflow else { return nil }
        let magnitude = step.magnitude
        let count = (UInt(distance.partialValue) - 1) / magnitude + 1
        guard count <= JinjaLimits.rangeCount else { return nil }
        self.count = Int(count)
    }

    var elements: [Value] { (0..<count).map { .int(start &+ $0 &* step) } }
}

/// The result of a filter that is a generator in Python: it can be walked once, has no length, and is always true.
final class ValueIterator {
    /// Python's name of the type.
    let type: String
    private var items: Items
    private var position = 0
    let depth: Int

    init(_ items: Items, type: String = "generator") {
        self.type = type
        self.items = items
        depth = items.depth
    }

    /// Takes the rest of the elements.
    func rest() -> [Value] {
        defer { (items, position) = (.empty, 0) }
        return position == 0 ? items.elements : Array(items.elements[position...])
    }

    /// The next element.
    func next() -> Value? {
        guard position < items.count else { return nil }
        position += 1
        return items.elements[position - 1]
    }
}

/// The variable `loop` of a loop's body.
final class LoopState {
    let items: Items
    var index = 0
    /// Loops of the same recursion around this one.
    let level: Int
    /// The loop to run when this one is called, by the renderer's table.
    let recursion: Int?
    /// Where the renderer keeps what `loop.changed` saw last.
    var memory: Int?

    init(_ items: Items, level: Int, recursion: Int?) {
        self.items = items
        self.level = level
        self.recursion = recursion
    }
}

/// A method of a value, not yet called.
final class BoundMethod {
    let receiver: Value
    let name: String

    init(_ receiver: Value, _ name: String) {
        self.receiver = receiver
        self.name = name
    }
}

/// Functions that every template has.
enum GlobalFunction: String {
    case range, dict, namespace
    case raiseException = "raise_exception"
    case strftimeNow = "strftime_now"
}

/// Variables of a block, and of the blocks around it.
final class Scope {
    let parent: Scope?
    var variables: [String: Value] = [:]

    init(_ parent: Scope?) { self.parent = parent }

    subscript(name: String) -> Value? {
        var scope: Scope? = self
        while let current = scope {
            if let value = current.variables[name] { return value }
            scope = current.parent
        }
        return nil
    }
}
