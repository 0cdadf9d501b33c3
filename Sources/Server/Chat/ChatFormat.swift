import JSON
import Jinja
import Text

/// The chat format that turns messages into prompts: the template that came with the model, or one written out here.
public enum ChatFormat: Sendable {
    /// A format written out here.
    case named(ChatTemplate)
    /// The model's own template.
    case own(OwnChatTemplate)

    /// The stop strings of the assistant's turn, beside the model's end of sequence.
    public var stops: [String] {
        switch self {
        case .named(let format): format.stops
        case .own(let template): template.stops
        }
    }

    /// The model's own Jinja `template` where it has one, else the format whose markers `tokenizer` has as tokens of their own.
    ///
    /// Throws `JinjaError` where the template can't be read.
    ///
    /// - Parameter specialTokens: the texts of special tokens by the names templates use, such as "bos_token".
    public init(for tokenizer: some Tokenizer, template: String?, specialTokens: [String: String]) throws(JinjaError) {
        guard let template else {
            self = .named(ChatTemplate(for: tokenizer))
            return
        }
        let stops = ChatTemplate(marking: template)?.stops ?? []
        self = .own(OwnChatTemplate(try JinjaTemplate(template), specialTokens: specialTokens, stops: stops))
    }
}

extension ChatFormat {
    /// Whether the format has no markers of its own.
    public var isPlain: Bool {
        if case .named(.plain) = self { true } else { false }
    }

    /// The one text that an assistant's answer to `messages` follows, special tokens written out.
    ///
    /// Throws ``APIError`` where the template refuses the messages, or where the format needs tokens between several texts, as Llama 2's does.
    public func text(_ messages: [ChatTemplate.Message]) throws(APIError) -> String {
        let turns = try turns(messages)
        if case .named(let format) = self, turns.count != 1 {
            throw .parameter("messages", "are several texts in the format \(format.rawValue)")
        }
        return turns.joined()
    }

    /// The texts of a chat's turns, between which the text ends and begins anew; a template of the model's own writes one text.
    func turns(
        _ messages: [ChatTemplate.Message], addsGenerationPrompt: Bool = true, settings: [JSONValue.Member] = []
    ) throws(APIError) -> [String] {
        switch self {
        case .named(let format): format.turns(messages)
        case .own(let template):
            [try template.prompt(messages, addsGenerationPrompt: addsGenerationPrompt, settings: settings)]
        }
    }
}

/// The Jinja template that a model came with, rendered as `apply_chat_template` of transformers does.
public struct OwnChatTemplate: Sendable {
    private let template: JinjaTemplate
    private let specialTokens: [String: String]
    /// The stop strings of the assistant's turn, where the template writes known markers, beside the model's end of sequence.
    let stops: [String]

    init(_ template: JinjaTemplate, specialTokens: [String: String], stops: [String]) {
        (self.template, self.specialTokens, self.stops) = (template, specialTokens, stops)
    }

    /// The prompt, special tokens written out; `settings` are the request's variables for the template.
    ///
    /// Throws ``APIError`` where the template refuses the messages, or fails on them.
    func prompt(
        _ messages: [ChatTemplate.Message], addsGenerationPrompt: Bool, settings: [JSONValue.Member]
    ) throws(APIError) -> String {
        var variables = specialTokens.mapValues { JinjaValue.string($0) }
        for setting in settings { variables[setting.name] = JinjaValue(setting.value) }
        variables["messages"] = .list(
            messages.map { ["role": .string($0.role), "content": .string($0.content)] })
        variables["add_generation_prompt"] = .bool(addsGenerationPrompt)
        for name in ["tools", "documents"] where variables[name] == nil { variables[name] = JinjaValue.none }
        do {
            return try template.render(variables)
        } catch {
            throw .parameter(
                "messages",
                error.raisedMessage.map { "is refused by the model's chat template: \($0)" }
                    ?? "can't be written by the model's chat template, \(error)")
        }
    }
}
