import JSON
import Testing

/// A check of values against a JSON Schema, of the keywords that recipes' schema has; another keyword is an issue.
struct SchemaCheck {
    let root: JSONValue

    /// The first thing in `value` that `schema` refuses, with its path; nil for none.
    func fault(_ value: JSONValue, _ schema: JSONValue, at path: String = "") -> String? {
        for member in schema.members ?? [] {
            if let fault = fault(value, keyword: member.name, member.value, of: schema, at: path) { return fault }
        }
        return nil
    }

    func fault(_ value: JSONValue) -> String? { fault(value, root) }

    private func fault(_ value: JSONValue, keyword: String, _ rule: JSONValue, of schema: JSONValue, at path: String) -> String? {
        switch keyword {
        case "$schema", "title", "$defs", "description", "default", "examples", "then": return nil
        case "$ref":
            let name = (rule.string ?? "").dropFirst("#/$defs/".count)
            guard let target = root["$defs"]?[String(name)] else { return "\(path): no definition \(name)" }
            return fault(value, target, at: path)
        case "type":
            let names = rule.array?.compactMap(\.string) ?? [rule.string ?? ""]
            return names.contains { isOf($0, value) } ? nil : "\(path) is no \(names)"
        case "enum": return rule.array?.contains(value) == true ? nil : "\(path) is none of \(rule.text)"
        case "const": return rule == value ? nil : "\(path) is not \(rule.text)"
        case "minimum": return value.double.map { $0 >= rule.double ?? .nan } ?? true ? nil : "\(path) is below \(rule.text)"
        case "maximum": return value.double.map { $0 <= rule.double ?? .nan } ?? true ? nil : "\(path) is above \(rule.text)"
        case "items":
            return (value.array ?? []).enumerated().lazy.compactMap { fault($1, rule, at: "\(path)[\($0)]") }.first
        case "properties":
            return (rule.members ?? []).lazy.compactMap { property in
                value.members?.first { $0.name == property.name }.flatMap {
                    fault($0.value, property.value, at: "\(path)/\(property.name)")
                }
            }.first
        case "additionalProperties":
            let known = schema["properties"]?.members?.map(\.name) ?? []
            return value.members?.first { !known.contains($0.name) }.map { "\(path)/\($0.name) is unknown" }
        case "required":
            guard let members = value.members else { return nil }
            return rule.array?.compactMap(\.string).first { name in !members.contains { $0.name == name } }
                .map { "\(path)/\($0) is missing" }
        case "allOf": return (rule.array ?? []).lazy.compactMap { fault(value, $0, at: path) }.first
        case "not": return fault(value, rule, at: path) == nil ? "\(path) is what it must not be" : nil
        case "if": return fault(value, rule, at: path) == nil ? schema["then"].flatMap { fault(value, $0, at: path) } : nil
        default:
            Issue.record("the check knows no keyword '\(keyword)'")
            return nil
        }
    }

    private func isOf(_ type: String, _ value: JSONValue) -> Bool {
        switch (type, value) {
        case ("null", .null), ("boolean", .bool), ("string", .string), ("array", .array), ("object", .object): true
        case ("number", .number): value.double != nil
        case ("integer", .number): value.int != nil
        default: false
        }
    }
}
