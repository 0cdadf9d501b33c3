/// A turn of a chat: a role, such as user or assistant, and its text.
public struct ChatTurn: Sendable, Equatable {
    /// The role: system, user or assistant.
    public var role: String
    /// The text.
    public var content: String
}

/// A model's chat template.
public struct ChatWriter: Sendable {
    /// The prompt that an assistant's answer to the turns follows, special tokens written out.
    public var text: @Sendable (_ turns: [ChatTurn]) throws -> String
    /// Strings that end the assistant's turn, beside the model's end of sequence.
    public var stops: [String]

    /// A template whose prompts `text` writes.
    public init(stops: [String], text: @escaping @Sendable (_ turns: [ChatTurn]) throws -> String) {
        (self.stops, self.text) = (stops, text)
    }
}

/// A chat template that loses the text of a prompt's question.
public struct ChatTemplateError: Error, CustomStringConvertible, Equatable {
    /// The example.
    public var id: String

    /// The sentence for the user.
    public var description: String {
        "\(id): the chat template does not write the user's text as it is, so that the question's place is unknown; use --chat never"
    }
}
