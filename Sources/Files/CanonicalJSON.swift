import FoundationEssentials

/// Canonical JSON, the form of all of kvlab's results and files: sorted keys and plain slashes, so that equal values are equal
/// texts.
public enum CanonicalJSON {
    /// The treatment of infinite and NaN numbers.
    public enum NonFinite: Sendable {
        /// Encoding throws.
        case refused
        /// The strings "inf", "-inf" and "nan".
        case spelled
    }

    /// `value` as JSON on one line or, with `pretty`, over several lines.
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

    /// Decodes the output of ``text(of:pretty:nonFinite:)``, spelled numbers included.
    public static func value<Value: Decodable>(_ type: Value.Type, from data: Data) throws -> Value {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try decoder.decode(type, from: data)
    }
}
