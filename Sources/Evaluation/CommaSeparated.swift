import Files

/// A file of comma-separated values, as Python's `csv` reads it by default (RFC 4180).
enum CommaSeparated {
    /// A row and its first line in the file, from 1.
    struct Row: Equatable {
        var line: Int
        var cells: [String]
    }

    /// The rows of the file at `path`; rows without a cell are skipped.
    ///
    /// Throws `FileError`, or ``ScoringError/file(_:line:reason:)`` for a quotation mark that is never closed and for bytes that are not UTF-8.
    static func rows(_ path: String) throws -> [Row] {
        let bytes = try RegularFile.contents(path, links: .followed)
        var (rows, cells, cell): ([Row], [String], [UInt8]) = ([], [], [])
        var (line, first, isQuoted, opened) = (1, 1, false, 0)
        func text() throws(ScoringError) -> String {
            guard let text = String(validating: cell, as: UTF8.self) else { throw .file(path, line: line, reason: "not UTF-8") }
            return text
        }
        var index = 0
        func next() -> UInt8? { index + 1 < bytes.count ? bytes[index + 1] : nil }
        while index < bytes.count {
            let byte = bytes[index]
            if isQuoted {
                if byte == UInt8(ascii: "\""), next() == UInt8(ascii: "\"") {
                    cell.append(byte)
                    index += 1
                } else if byte == UInt8(ascii: "\"") {
                    isQuoted = false
                } else {
                    if byte == UInt8(ascii: "\n") { line += 1 }
                    cell.append(byte)
                }
            } else if byte == UInt8(ascii: "\""), cell.isEmpty {
                (isQuoted, opened) = (true, line)
            } else if byte == UInt8(ascii: ",") {
                cells.append(try text())
                cell = []
            } else if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
                if byte == UInt8(ascii: "\r"), next() == UInt8(ascii: "\n") { index += 1 }
                if !cells.isEmpty || !cell.isEmpty { rows.append(Row(line: first, cells: cells + [try text()])) }
                (cells, cell, line) = ([], [], line + 1)
                first = line
            } else {
                cell.append(byte)
            }
            index += 1
        }
        guard !isQuoted else { throw ScoringError.file(path, line: opened, reason: "a quotation mark that is never closed") }
        if !cells.isEmpty || !cell.isEmpty { rows.append(Row(line: first, cells: cells + [try text()])) }
        return rows
    }
}
