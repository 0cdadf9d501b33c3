/// A file of lines that grows by whole lines.
public final class LineFile: Sendable {
    private let file: AppendedFile

    /// Opens the file at `path`, which must exist and end with a newline or be empty.
    public init(path: String) throws { file = try AppendedFile(path: path) }

    /// Appends `line` and a newline, or nothing; throws `FileError`.
    public func append(_ line: String) throws { try file.append(Array((line + "\n").utf8)) }
}
