import Foundation

/// A regular expression written for Python's `re`, matched by ICU.
///
/// Named groups and `\Z` are rewritten. "." stops at newlines alone, as in Python. Known difference: ICU reads a set inside a set and
/// `&&`, where Python has plain characters.
struct PythonRegex: Sendable, Equatable {
    private let pattern: String

    /// Throws where ICU cannot read the pattern.
    init(_ pattern: String) throws(Fault) {
        self.pattern = pattern.replacing("(?P<", with: "(?<").replacing(/\(\?P=(\w+)\)/) { "\\k<\($0.1)>" }.replacing(
            "\\Z", with: "\\z")
        guard compiled != nil else { throw Fault(reason: "'\(pattern.prefix(80))' is no regular expression") }
    }

    private var compiled: NSRegularExpression? {
        try? NSRegularExpression(pattern: pattern, options: [.useUnixLineSeparators])
    }

    /// `re.findall`: of each match its groups, "" for one that took no part, or the whole match of a pattern without groups.
    func findAll(_ text: String) -> [[String]] {
        guard let compiled else { return [] }
        let text = NSString(string: text)
        return compiled.matches(in: text as String, options: [], range: NSRange(location: 0, length: text.length)).map { match in
            let groups = match.numberOfRanges == 1 ? 0..<1 : 1..<match.numberOfRanges
            return groups.map { group in
                let range = match.range(at: group)
                return range.location == NSNotFound ? "" : text.substring(with: range)
            }
        }
    }

    /// `re.sub(pattern, "", text)`.
    func removed(from text: String) -> String {
        guard let compiled else { return text }
        let length = NSString(string: text).length
        return compiled.stringByReplacingMatches(
            in: text, options: [], range: NSRange(location: 0, length: length), withTemplate: "")
    }
}
