/// A setting that may differ between layers, or one value for all of them.
///
/// In JSON it is a plain value, or an array with one element a layer.
public enum PerLayer<Value: Codable & Sendable & Hashable>: Sendable, Hashable, Codable {
    /// One value, whatever the number of layers.
    case all(Value)
    /// One value for each layer, the first layer's first.
    case each([Value])

    /// The value for `layer`.
    public subscript(layer: Int) -> Value {
        switch self {
        case .all(let value): value
        case .each(let values): values[layer]
        }
    }

    /// One value where all of `values` are equal, else one a layer.
    public init(_ values: [Value]) {
        if let first = values.first, values.allSatisfy({ $0 == first }) {
            self = .all(first)
        } else {
            self = .each(values)
        }
    }

    /// The value where it is the same for every layer.
    public var uniform: Value? {
        switch self {
        case .all(let value): value
        case .each(let values): Set(values).count == 1 ? values[0] : nil
        }
    }

    /// Reads a plain value, or else an array; throws `DecodingError` where it is neither.
    ///
    /// An array stays ``each(_:)`` even where its values agree, and its length is checked by the configuration.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Value.self) {
            self = .all(value)
        } else {
            self = .each(try container.decode([Value].self))
        }
    }

    /// Writes a plain value for ``all(_:)``, an array for ``each(_:)``.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .all(let value): try container.encode(value)
        case .each(let values): try container.encode(values)
        }
    }
}
