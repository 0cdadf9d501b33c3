import Foundation
import JSON

/// The members that every answer to one request begins with.
struct AnswerHead: Sendable {
    let id: String
    let object: String
    let created = Int(Date().timeIntervalSince1970)
    let model: String

    /// The head of answers of the kind `object` with an id of their own, which the request's record gets as well.
    init(_ object: String, id prefix: String, model: ServedModel, prompts: [[Int32]], _ record: RequestRecord) {
        let id = prefix + UUID().uuidString.lowercased()
        (self.id, self.object, self.model) = (id, object, model.id)
        record.update { summary in
            (summary.id, summary.model) = (id, model.id)
            summary.promptTokens = prompts.reduce(0) { $0 + $1.count }
        }
    }

    func object(_ rest: [(String, JSONValue)], as kind: String? = nil) -> JSONValue {
        let head: [(String, JSONValue)] = [
            ("id", .text(id)), ("object", .text(kind ?? object)), ("created", .int(created)), ("model", .text(model)),
        ]
        return .object(of: head + rest)
    }
}
