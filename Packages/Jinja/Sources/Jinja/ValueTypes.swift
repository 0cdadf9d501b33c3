/// The types of values as Python has them.
extension Value {
    /// Levels of lists in the value.
    var depth: Int {
        switch self {
        case .list(let items), .tuple(let items): items.depth
        case .dictionary(let dictionary): dictionary.depth
        case .view(let view): view.items.depth + 1
        case .iterator(let iterator): iterator.depth + 1
        case .loop(let loop): loop.items.depth + 1
        case .method(let method): method.receiver.depth + 1
        default: 0
        }
    }

    /// Python's truth.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .double(let value): value != 0
        case .string(let text): !text.isEmpty
        case .list(let items), .tuple(let items): items.count > 0
        case .dictionary(let dictionary): !dictionary.keys.isEmpty
        case .view(let view): view.items.count > 0
        case .range(let range): range.count > 0
        default: true
        }
    }

    var isUndefined: Bool {
        if case .undefined = self { true } else { false }
    }

    var isNone: Bool {
        if case .none = self { true } else { false }
    }

    /// An integer, or a truth value as one.
    var integer: Int? {
        switch self {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    /// A number of any type.
    var number: Double? {
        if case .double(let value) = self { return value }
        return integer.map(Double.init)
    }

    var text: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// Python's name of the type.
    var type: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .int: "int"
        case .double: "float"
        case .string: "str"
        case .list: "list"
        case .tuple: "tuple"
        case .dictionary: "dict"
        case .view(let view): view.type
        case .range: "range"
        case .iterator(let iterator): iterator.type
        case .namespace: "Namespace"
        case .loop: "LoopContext"
        case .macro: "Macro"
        case .method: "builtin_function_or_method"
        case .function: "function"
        }
    }

    /// The type as jinja2 names it in errors.
    var objectType: String {
        switch self {
        case .none: "None"
        case .namespace: "transformers.utils.chat_template_utils.TemplateNamespace object"
        case .loop: "jinja2.runtime.LoopContext object"
        case .macro: "jinja2.runtime.Macro object"
        default: "\(type) object"
        }
    }

    /// The elements of a value that has a length; nil for anything else.
    var count: Int? {
        switch self {
        case .undefined: 0
        case .string(let text): text.scalarCount
        case .list(let items), .tuple(let items): items.count
        case .dictionary(let dictionary): dictionary.keys.count
        case .view(let view): view.items.count
        case .range(let range): range.count
        case .loop(let loop): loop.items.count
        default: nil
        }
    }

    /// Whether it can be called.
    var isCallable: Bool {
        switch self {
        case .macro, .method, .function, .loop: true
        // jinja2's Undefined has `__call__`, if only to throw.
        case .undefined: true
        default: false
        }
    }

    /// Whether it can be walked.
    var isIterable: Bool {
        switch self {
        case .undefined, .string, .list, .tuple, .dictionary, .view, .range, .iterator, .loop: true
        default: false
        }
    }

    /// The value that a caller gave; nil where it nests deeper than `levels`.
    init?(_ value: JinjaValue, name: String, levels: Int = JinjaLimits.valueDepth) {
        guard levels > 0 else { return nil }
        switch value {
        case .undefined: self = .undefined(.variable(name))
        case .none: self = .none
        case .bool(let value): self = .bool(value)
        case .int(let value): self = .int(value)
        case .double(let value): self = .double(value)
        case .string(let text): self = .string(text)
        case .list(let elements):
            var items: [Value] = []
            items.reserveCapacity(elements.count)
            for element in elements {
                guard let item = Value(element, name: name, levels: levels - 1) else { return nil }
                items.append(item)
            }
            self = .list(Items(items))
        case .dictionary(let members):
            var items: [(key: DictionaryKey, value: Value)] = []
            items.reserveCapacity(members.count)
            for member in members {
                guard let item = Value(member.value, name: member.key, levels: levels - 1) else { return nil }
                items.append((.string(member.key), item))
            }
            self = .dictionary(OrderedDictionary(items))
        }
    }
}
