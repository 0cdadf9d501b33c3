import JSON

extension Recipe {
    /// The JSON Schema (2020-12) of recipes, for editors.
    ///
    /// Limits that depend on other keys, such as heads that have to divide each other, are beyond a schema and left to the decoder.
    public static func schema() -> JSONValue {
        let root = RecipeSection.recipe
        var definitions: [(String, JSONValue)] = []
        for (_, section) in root.allObjects.dropFirst() where !definitions.contains(where: { $0.0 == section.name }) {
            definitions.append((section.name, section.schema))
        }
        // Keys that another recipe gives are not needed.
        return .object(
            of: [
                ("$schema", .text("https://json-schema.org/draft/2020-12/schema")), ("title", .text("kvlab recipe")),
            ] + (root.schema.setting("type", .text("object")).members ?? []).map { ($0.name, $0.value) } + [
                ("if", .object(["not": .object(["required": ["extends"].json])])), ("then", root.requirements),
                ("$defs", .object(of: definitions)),
            ])
    }
}

extension RecipeSection {
    /// The name of its definition.
    fileprivate var name: String { path.replacing("[]", with: "") }

    /// The object's keys, and no others; null stands for its absence.
    fileprivate var schema: JSONValue {
        let properties = JSONValue.object(of: keys.map { ($0.name, $0.schema) })
        let object: [(String, JSONValue)] = [("type", ["object", "null"].json), ("properties", properties)]
        guard !kinds.isEmpty else { return .object(of: object + [("additionalProperties", .bool(false))]) }
        let alternatives = kinds.map { kind in
            let isKind = JSONValue.object([
                "properties": .object(["kind": .object(["const": .text(kind.name)])]), "required": ["kind"].json,
            ])
            let all = JSONValue.object([
                "properties": .object(of: [("kind", .bool(true))] + kind.keys.map { ($0.name, $0.schema) }),
                "required": kind.keys.filter(\.isRequired).map(\.name).json, "additionalProperties": .bool(false),
            ])
            return JSONValue.object(["if": isKind, "then": all])
        }
        return .object(of: object + [("required", ["kind"].json), ("allOf", .array(alternatives))])
    }

    /// The keys that are required in any case, of nested objects where these are present.
    fileprivate var requirements: JSONValue {
        let names = keys.filter(\.isRequired).map(\.name)
        let inner = keys.compactMap { key -> (String, JSONValue)? in
            guard let section = key.type.section else { return nil }
            let requirements = section.requirements
            guard requirements != .object([:]) else { return nil }
            if case .list = key.type { return (key.name, .object(["items": requirements])) }
            return (key.name, requirements)
        }
        return .object(
            of: (names.isEmpty ? [] : [("required", names.json)]) + (inner.isEmpty ? [] : [("properties", .object(of: inner))]))
    }
}

extension RecipeKey {
    /// Whether the key is required in any case.
    fileprivate var isRequired: Bool {
        if case .required = absence { true } else { false }
    }

    /// The type of the key's values, or null for its absence, with the description, default and example for editors.
    fileprivate var schema: JSONValue {
        var members = type.schema(orNull: !isRequired)
        members.append(("description", .text(meaning.replacing("`", with: "'"))))
        if case .fixed(let value) = absence { members.append(("default", value)) }
        members.append(("examples", .array([example])))
        return .object(of: members)
    }
}

extension RecipeType {
    fileprivate func schema(orNull isNullable: Bool) -> [(String, JSONValue)] {
        func type(_ names: String...) -> (String, JSONValue) {
            let all = names + (isNullable ? ["null"] : [])
            return ("type", all.count == 1 ? .text(all[0]) : all.json)
        }
        switch self {
        case .text, .path, .choices: return [type("string")]
        case .boolean: return [type("boolean")]
        case .integer(let range): return [type("integer")] + Self.limits(range)
        case .number(let range): return [type("number"), ("minimum", range.lowerBound.json), ("maximum", range.upperBound.json)]
        case .choice(let names): return [("enum", .array(names.map(\.json) + (isNullable ? [.null] : [])))]
        case .integerOrText: return [type("integer", "string")]
        case .perLayer(let range):
            let one: [(String, JSONValue)] = [("type", .text("integer"))] + Self.limits(range)
            return [type("integer", "array")] + Self.limits(range) + [("items", .object(of: one))]
        case .list(let element): return [type("array"), ("items", .object(of: element.schema(orNull: false)))]
        case .pathOrObject(let section):
            let properties = JSONValue.object(of: section.keys.map { ($0.name, $0.schema) })
            return [type("string", "object"), ("properties", properties), ("additionalProperties", .bool(false))]
        case .object(let section):
            let reference: (String, JSONValue) = ("$ref", .text("#/$defs/\(section.name)"))
            return isNullable ? [reference] : [reference, type("object")]
        }
    }

    private static func limits(_ range: ClosedRange<Int>) -> [(String, JSONValue)] {
        let upper: [(String, JSONValue)] = range.upperBound == .max ? [] : [("maximum", range.upperBound.json)]
        return [("minimum", range.lowerBound.json)] + upper
    }
}
