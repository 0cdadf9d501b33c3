extension JSONValue {
    /// The value as JSON on one line.
    public var text: String {
        var output: [UInt8] = []
        write(to: &output, comma: ", ", colon: ": ")
        return String(decoding: output, as: UTF8.self)
    }

    /// The value as JSON without spaces.
    public var compact: [UInt8] {
        var output: [UInt8] = []
        write(to: &output, comma: ",", colon: ":")
        return output
    }

    /// The value as JSON over several lines, two spaces deeper in each array and object.
    public var indented: String {
        var output: [UInt8] = []
        write(to: &output, margin: "\n")
        return String(decoding: output, as: UTF8.self)
    }

    /// Appends the value; `margin` begins a line as deep as the value stands.
    private func write(to output: inout [UInt8], margin: String) {
        func each<Part>(_ parts: [Part], _ ends: (String, String), _ body: (Part) -> Void) {
            output += Array(ends.0.utf8)
            for (index, part) in parts.enumerated() {
                output += Array(((index > 0 ? "," : "") + margin + "  ").utf8)
                body(part)
            }
            output += Array(((parts.isEmpty ? "" : margin) + ends.1).utf8)
        }
        switch self {
        case .array(let items): each(items, ("[", "]")) { $0.write(to: &output, margin: margin + "  ") }
        case .object(let members):
            each(members, ("{", "}")) { member in
                Self.write(member.key, to: &output)
                output += Array(": ".utf8)
                member.value.write(to: &output, margin: margin + "  ")
            }
        default: write(to: &output, comma: ", ", colon: ": ")
        }
    }

    private func write(to output: inout [UInt8], comma: String, colon: String) {
        switch self {
        case .null: output += Array("null".utf8)
        case .bool(let value): output += Array((value ? "true" : "false").utf8)
        case .number(let text): output += Array(text.utf8)
        case .string(let bytes): Self.write(bytes, to: &output)
        case .array(let items):
            output.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { output += Array(comma.utf8) }
                item.write(to: &output, comma: comma, colon: colon)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let members):
            output.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { output += Array(comma.utf8) }
                Self.write(member.key, to: &output)
                output += Array(colon.utf8)
                member.value.write(to: &output, comma: comma, colon: colon)
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    /// Appends a quoted string; `bytes` are UTF-8.
    public static func write(_ bytes: [UInt8], to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): output += [UInt8(ascii: "\\"), byte]
            case UInt8(ascii: "\n"): output += Array("\\n".utf8)
            case UInt8(ascii: "\r"): output += Array("\\r".utf8)
            case UInt8(ascii: "\t"): output += Array("\\t".utf8)
            case 0..<0x20: output += Array(escape(byte).utf8)
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }

    /// A control character as JSON writes it.
    static func escape(_ byte: UInt8) -> String { "\\u00" + (byte < 16 ? "0" : "") + String(byte, radix: 16) }

    /// `text` as JSON writes it, with its quotes.
    public static func quoted(_ text: String) -> String {
        var output: [UInt8] = []
        write(Array(text.utf8), to: &output)
        return String(decoding: output, as: UTF8.self)
    }
}
