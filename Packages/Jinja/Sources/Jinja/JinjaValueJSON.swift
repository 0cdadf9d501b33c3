import JSON

extension JinjaValue {
    /// A JSON value as Python reads it; whole numbers beyond 64 bits become floating-point ones.
    public init(_ json: JSONValue) {
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .number(let text):
            let isWhole = !text.contains { ".eE".contains($0) }
            self = isWhole ? Int(text).map { .int($0) } ?? .double(Double(text) ?? 0) : .double(Double(text) ?? 0)
        case .string(let bytes): self = .string(String(decoding: bytes, as: UTF8.self))
        case .array(let values): self = .list(values.map { JinjaValue($0) })
        case .object(let members):
            self = .dictionary(members.map { Member(key: $0.name, value: JinjaValue($0.value)) })
        }
    }
}
