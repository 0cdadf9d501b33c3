import Foundation
import JSON
import Jinja

/// A document and its learnt ranges, where not all of it is learnt.
public struct ChatTranscript: Sendable, Equatable {
    /// The text in UTF-8.
    public var text: [UInt8]
    /// The assistant's turns as ranges of the text's bytes, ascending; nil for a text that is no chat.
    public var turns: [Range<Int>]?
}

/// The template of a corpus's chats, asked for at the first of them; it throws where there is none.
public typealias ChatRendering = () throws(ChatFault) -> ChatTemplateRenderer

/// The reason why a chat gives no text, to stand behind "a chat that".
public struct ChatFault: Error, Sendable {
    /// In words.
    public var reason: String

    /// A reason in words.
    public init(_ reason: String) { self.reason = reason }

    /// Chats where plain text is wanted.
    public static let asText = ChatFault(
        "is no text here: chats are for training, where 'kvlab train' writes them with the model's chat template; name a text's key"
    )
}

/// Writes chats as a model's chat template does, with the places of the assistant's turns.
///
/// Turns are what `{% generation %}` blocks write, as for `apply_chat_template` of transformers with `return_assistant_tokens_mask`. A
/// template without such blocks is rendered up to before and after each of the assistant's messages, and the turn is the difference:
///
///     before, with the generation prompt   <|im_start|>user↵Hi<|im_end|>↵<|im_start|>assistant↵
///     after                                <|im_start|>user↵Hi<|im_end|>↵<|im_start|>assistant↵Hello<|im_end|>↵
///     turn                                                                                    Hello<|im_end|>↵
public struct ChatTemplateRenderer: Sendable {
    private let template: JinjaTemplate
    private let specialTokens: [String: String]
    private let marksGeneration: Bool

    /// The day of templates that write one, so that the same chat is the same text on any day: the default of Llama 3.1's own.
    private static let day = Date(timeIntervalSince1970: 1_721_952_000)

    /// A renderer for a Jinja `template`.
    ///
    /// - Parameter specialTokens: the texts of special tokens by the names templates use, such as "bos_token".
    public init(_ template: String, specialTokens: [String: String]) throws(ChatFault) {
        do throws(JinjaError) { self.template = try JinjaTemplate(template) } catch {
            throw ChatFault("has a chat template that can't be read: \(error)")
        }
        self.specialTokens = specialTokens
        marksGeneration = template.contains(/\{%-?\s*generation\s*-?%\}/)
    }

    /// No template: chats are refused.
    public static func none() throws(ChatFault) -> ChatTemplateRenderer { throw .asText }

    /// The chat of `messages`, each an object with a role; `tools` are the functions that the assistant may call.
    func callAsFunction(_ messages: [JSONValue], tools: JSONValue?) throws(ChatFault) -> ChatTranscript {
        for (index, message) in messages.enumerated() where message["role"]?.string == nil {
            throw ChatFault("has no role in message \(index + 1)")
        }
        let answers = messages.indices.filter { messages[$0]["role"]?.string == "assistant" }
        guard !answers.isEmpty else { throw ChatFault("has no turn of the assistant, so nothing to learn") }
        let whole = try render(messages, tools, addsPrompt: false)
        let turns = marksGeneration ? whole.generated : try differences(Array(whole.text.utf8), messages, answers, tools)
        guard !turns.isEmpty else { throw ChatFault("has turns of the assistant that its template writes nothing of") }
        return ChatTranscript(text: Array(whole.text.utf8), turns: turns)
    }

    private func differences(_ whole: [UInt8], _ messages: [JSONValue], _ answers: [Int], _ tools: JSONValue?) throws(ChatFault)
        -> [Range<Int>]
    {
        var turns: [Range<Int>] = []
        for index in answers {
            let before = Array(try render(Array(messages[..<index]), tools, addsPrompt: true).text.utf8)
            let after = Array(try render(Array(messages[...index]), tools, addsPrompt: false).text.utf8)
            guard after.starts(with: before), whole.starts(with: after) else {
                throw ChatFault(
                    "is written by its template otherwise once it goes on, from message \(index + 1) on; mark the assistant's turns "
                        + "with {% generation %} in a copy of the template and name that with \"chatTemplate\"")
            }
            if before.count < after.count { turns.append(before.count..<after.count) }
        }
        return turns
    }

    private func render(_ messages: [JSONValue], _ tools: JSONValue?, addsPrompt: Bool) throws(ChatFault) -> (
        text: String, generated: [Range<Int>]
    ) {
        var variables = specialTokens.mapValues { JinjaValue.string($0) }
        variables["messages"] = .list(messages.map { JinjaValue($0) })
        variables["add_generation_prompt"] = .bool(addsPrompt)
        variables["tools"] = tools.map { JinjaValue($0) } ?? JinjaValue.none
        variables["documents"] = JinjaValue.none
        do throws(JinjaError) {
            return try template.renderMarkingGeneration(variables, now: Self.day, timeZone: .gmt)
        } catch {
            throw ChatFault(
                error.raisedMessage.map { "is refused by its template: \($0)" } ?? "can't be written by its template: \(error)")
        }
    }
}
