import Files
import JSON

/// A record of a suite's data file, a JSON object, with its place for errors.
struct DataRecord {
    /// The file.
    let path: String
    /// The record's first line, from 1.
    let line: Int
    let json: JSONValue

    /// The records of a file of JSON Lines; blank lines are skipped.
    ///
    /// Throws `FileError`, or ``ScoringError/file(_:line:reason:)``, also for a file without records.
    static func lines(_ path: String) throws -> [DataRecord] {
        let bytes = try RegularFile.contents(path, links: .followed)
        var records: [DataRecord] = []
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            if line.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) { continue }
            do throws(JSONError) {
                records.append(DataRecord(path: path, line: index + 1, json: try JSONValue(parsing: Array(line))))
            } catch { throw ScoringError.file(path, line: index + 1, reason: "not valid JSON: \(error)") }
        }
        return try checked(records, path, expected: "a JSON object a line")
    }

    /// The records of a file that is a JSON list of objects.
    ///
    /// Throws as ``lines(_:)`` does.
    static func elements(_ path: String) throws -> [DataRecord] {
        let bytes = try RegularFile.contents(path, links: .followed)
        let document: JSONDocument
        do throws(JSONError) { document = try JSONDocument(parsing: bytes) } catch {
            throw ScoringError.file(path, line: error.position(in: bytes).line, reason: "not valid JSON: \(error.reason)")
        }
        guard let elements = document.value.array else {
            throw ScoringError.file(path, line: 1, reason: "expected a JSON list of objects")
        }
        var lines = LineCounter(bytes)
        // The list's own offset is the first.
        var place = 1
        let records = elements.map { element in
            let line = lines.position(of: document.offsets[place]).line
            place += element.places
            return DataRecord(path: path, line: line, json: element)
        }
        return try checked(records, path, expected: "a JSON list of objects")
    }

    private static func checked(
        _ records: [DataRecord], _ path: String, expected: String
    ) throws(ScoringError) -> [DataRecord] {
        if let other = records.first(where: { $0.json.members == nil }) { throw other.refused("expected a JSON object") }
        guard !records.isEmpty else { throw .file(path, line: 1, reason: "no records; \(expected) is expected") }
        return records
    }

    /// An error about the record.
    func refused(_ reason: String) -> ScoringError { .file(path, line: line, reason: reason) }

    /// The string at `key`.
    func text(_ key: String) throws(ScoringError) -> String {
        guard let text = json[key]?.string else {
            throw refused(json[key] == nil ? "'\(key)' is missing" : "'\(key)' is no string")
        }
        return text
    }

    /// The list of strings at `key`.
    func texts(_ key: String) throws(ScoringError) -> [String] {
        guard let texts = json[key]?.array?.map(\.string) as? [String] else {
            throw refused(json[key] == nil ? "'\(key)' is missing" : "'\(key)' is no list of strings")
        }
        return texts
    }
}

extension JSONValue {
    /// The JSON of the file at `path`, of at most `limit` bytes.
    ///
    /// Throws `FileError`, or ``ScoringError/file(_:line:reason:)``.
    init(path: String, limit: Int = .max) throws {
        let bytes = try RegularFile.contents(path, links: .followed, limit: limit)
        do throws(JSONError) { self = try JSONValue(parsing: bytes) } catch {
            throw ScoringError.file(path, line: error.position(in: bytes).line, reason: "not valid JSON: \(error.reason)")
        }
    }

    /// The places that a document keeps of this value and its parts.
    fileprivate var places: Int {
        switch self {
        case .array(let elements): elements.reduce(1) { $0 + $1.places }
        case .object(let members): members.reduce(1) { $0 + 1 + $1.value.places }
        default: 1
        }
    }
}
