/// Text to score, cut into documents that are encoded separately.
public struct EvaluationText: Sendable {
    /// The documents, none of them empty.
    public let documents: [String]

    /// The whole of `text` as one document or, with a separator, the pieces between separators, each stripped of
    /// surrounding white space; empty pieces are left out.
    public init(_ text: String, splitOn separator: String? = nil) {
        guard let separator, !separator.isEmpty else {
            documents = text.isEmpty ? [] : [text]
            return
        }
        documents = text.split(separator: separator, omittingEmptySubsequences: true).map(Self.stripped).filter { !$0.isEmpty }
    }

    /// Documents as given.
    public init(documents: [String]) { self.documents = documents.filter { !$0.isEmpty } }

    private static func stripped(_ piece: Substring) -> String {
        guard let first = piece.firstIndex(where: { !$0.isWhitespace }), let last = piece.lastIndex(where: { !$0.isWhitespace })
        else {
            return ""
        }
        return String(piece[first...last])
    }
}
