/// A fault of an input without its place, which the reader of the file adds.
struct Fault: Error { var reason: String }

/// A fault of predictions or of the data they are scored with.
public enum ScoringError: Error, CustomStringConvertible, Equatable {
    /// A line of predictions is not of the form that its task has.
    case line(Int, reason: String)
    /// The file of predictions has no lines.
    case empty
    /// A data file, such as one of jieba's tables, has another form at a line.
    case file(String, line: Int, reason: String)

    /// The sentence for the user; where it has no file, that of the predictions belongs before it.
    public var description: String {
        switch self {
        case .line(let number, let reason): "line \(number): \(reason)"
        case .empty: "no predictions; a JSON object a line is expected"
        case .file(let file, let line, let reason): "\(file): line \(line): \(reason)"
        }
    }
}
