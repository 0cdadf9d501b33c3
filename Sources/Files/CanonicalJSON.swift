import FoundationEssentials

/// JSON as every result and file of kvlab has it: sorted keys and plain slashes, so that equal values are equal texts.
public enum CanonicalJSON {
    /// The text of numbers that JSON cannot say.
    public enum NonFinite: Sendable {
        /// None: encoding throws.
        case refused
        /// The strings "inf", "-inf" and "nan".
        case spelled
    }

    /// `value` as JSON on one line or, `pretty`, over many for people to read too.
    public static func text(of value: some Encodable, pretty: Bool = false, nonFinite: NonFinite = .refused) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
        if nonFinite == .spelled {
            encoder.nonConformingFloatEncodingStrategy = .convertToString(
                positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        }
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// Decodes what ``text(of:pretty:nonFinite:)`` gave, spelled numbers included.
    public static func value<Value: Decodable>(_ type: Value.Type, from data: Data) throws -> Value {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try decoder.decode(type, from: data)
    }
}
