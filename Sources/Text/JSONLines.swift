import Files
import JSON

/// The documents of a file of JSON Lines, read as a stream: of each line's object one string, or a chat's messages as its template writes
/// them.
///
/// Blank lines and empty strings are passed over. The first thing wrong is thrown with the file and the line.
struct JSONLines {
    private let path: String
    private let field: String?
    private let chats: ChatRendering
    private var line = 0

    /// The longest line: what is held in memory.
    private static let longestLine = 64 << 20
    private static let newline = UInt8(ascii: "\n")

    /// Documents of the file at `path`, from `field` or else from ``TextFormat/defaultField`` or ``TextFormat/chatField``.
    init(path: String, field: String?, chats: @escaping ChatRendering) {
        (self.path, self.field, self.chats) = (path, field, chats)
    }

    /// Calls `body` with each document of `stream`.
    mutating func read(_ stream: ByteStream, _ body: (ChatTranscript) throws -> Void) throws {
        var partial: [UInt8] = []
        while true {
            let bytes = try stream.next()
            if bytes.isEmpty { break }
            var start = 0
            while let end = bytes[start...].firstIndex(of: Self.newline) {
                partial += bytes[start..<end]
                try take(partial, body)
                partial.removeAll(keepingCapacity: true)
                start = end + 1
            }
            partial += bytes[start...]
            guard partial.count <= Self.longestLine else {
                line += 1
                throw fault("is longer than \(Self.longestLine >> 20) MiB")
            }
        }
        try take(partial, body)
    }

    private mutating func take(_ bytes: [UInt8], _ body: (ChatTranscript) throws -> Void) throws {
        line += 1
        // A byte order mark, which some editors begin a file with.
        let bytes = line == 1 && bytes.starts(with: [0xef, 0xbb, 0xbf]) ? Array(bytes.dropFirst(3)) : bytes
        guard !bytes.allSatisfy(TextFormat.isSpace) else { return }
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: bytes) } catch {
            throw TextError.malformedJSON(
                file: path, line: line, column: error.position(in: bytes).column, reason: error.reason)
        }
        let document = try document(in: value)
        if !document.text.isEmpty { try body(document) }
    }

    private func document(in value: JSONValue) throws -> ChatTranscript {
        guard let members = value.members else {
            throw fault(
                value.array == nil
                    ? "is no object" : "is an array, expected an object a line; jq -c '.[]' makes lines of an array")
        }
        let name = try field ?? defaultField(value)
        guard let member = members.first(where: { $0.key.elementsEqual(name.utf8) }) else {
            let found = members.prefix(8).map { "'\($0.name)'" }.joined(separator: ", ")
            throw fault(
                "has no '\(name)', but \(found.isEmpty ? "nothing" : found); name the text's key with "
                    + "\"field\" in a recipe or --text-field")
        }
        switch member.value {
        case .string(let text): return ChatTranscript(text: text, turns: nil)
        case .array(let messages):
            do throws(ChatFault) { return try chats()(messages, tools: value["tools"]) } catch {
                throw fault("has a chat in '\(name)' that \(error.reason)")
            }
        default: throw fault("has a '\(name)' that is neither a string nor an array of messages")
        }
    }

    private func defaultField(_ value: JSONValue) throws -> String {
        let hasChat = value[TextFormat.chatField] != nil
        guard value.has(TextFormat.defaultField) else { return hasChat ? TextFormat.chatField : TextFormat.defaultField }
        guard !hasChat else {
            throw fault("has both a 'text' and 'messages'; name one of them with \"field\" in a recipe or --text-field")
        }
        return TextFormat.defaultField
    }

    private func fault(_ reason: String) -> TextError { .badLine(file: path, line: line, reason: reason) }
}
