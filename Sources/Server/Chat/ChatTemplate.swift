import Foundation
import Text

/// Formats of chats that are known here, for models without a template of their own.
public enum ChatTemplate: String, Sendable, CaseIterable {
    /// "User: …\nAssistant: …", for models without markers of their own.
    case plain
    /// <|im_start|>role … <|im_end|> (ChatML; Qwen, SmolLM).
    case chatml
    /// <|start_header_id|>role<|end_header_id|> … <|eot_id|> (Llama 3).
    case llama3
    /// [INST] … [/INST] (Llama 2, Mistral).
    case llama2
    /// <start_of_turn>role … <end_of_turn> (Gemma).
    case gemma

    private static let markers: [(format: ChatTemplate, marker: String)] = [
        (.chatml, "<|im_start|>"), (.llama3, "<|start_header_id|>"), (.gemma, "<start_of_turn>"), (.llama2, "[INST]"),
    ]

    /// The format whose markers `tokenizer` has as tokens of their own, else plain.
    public init(for tokenizer: some Tokenizer) {
        self = Self.markers.first { tokenizer.encode($0.marker).count == 1 }?.format ?? .plain
    }

    /// The format whose markers a Jinja `template` writes.
    init?(marking template: String) {
        guard let known = Self.markers.first(where: { template.contains($0.marker) }) else { return nil }
        self = known.format
    }

    /// One message.
    public struct Message: Sendable {
        /// system, user or assistant.
        public var role: String
        /// Its text.
        public var content: String

        /// A message of the role.
        public init(role: String, content: String) { (self.role, self.content) = (role, content) }

        /// The text as most templates write it, without white space around it.
        var trimmed: String { content.trimmingCharacters(in: .whitespacesAndNewlines) }
    }

    /// The prompt that an assistant's answer follows, in the turns between which the text ends and begins anew: Llama 2's
    /// answers are each the end of a text, whose tokens stand between the turns; other formats are one text.
    func turns(_ messages: [Message]) -> [String] {
        switch self {
        case .plain:
            let names = ["system": "System", "user": "User", "assistant": "Assistant"]
            return [messages.map { "\(names[$0.role] ?? $0.role): \($0.content)\n" }.joined() + "Assistant:"]
        case .chatml:
            return [messages.map { "<|im_start|>\($0.role)\n\($0.content)<|im_end|>\n" }.joined() + "<|im_start|>assistant\n"]
        case .llama3:
            return [
                messages.map { "<|start_header_id|>\($0.role)<|end_header_id|>\n\n\($0.trimmed)<|eot_id|>" }.joined()
                    + "<|start_header_id|>assistant<|end_header_id|>\n\n"
            ]
        case .gemma:
            // Gemma has no role for the system: its text begins the first turn of the user.
            var (text, system) = ("", "")
            for message in messages {
                switch message.role {
                case "system": system += message.content + "\n\n"
                case "assistant": text += "<start_of_turn>model\n\(message.trimmed)<end_of_turn>\n"
                default:
                    text += "<start_of_turn>user\n\(system)\(message.trimmed)<end_of_turn>\n"
                    system = ""
                }
            }
            return [text + "<start_of_turn>model\n"]
        case .llama2:
            var (turns, text, system) = ([String](), "", "")
            for message in messages {
                switch message.role {
                case "system": system += "<<SYS>>\n\(message.content)\n<</SYS>>\n\n"
                case "assistant":
                    turns.append(text + " \(message.trimmed) ")
                    text = ""
                default:
                    text += "[INST] \(system)\(message.trimmed) [/INST]"
                    system = ""
                }
            }
            return text.isEmpty ? turns : turns + [text]
        }
    }

    /// The stop strings of the assistant's turn, beside the model's end of sequence.
    var stops: [String] {
        switch self {
        case .plain: ["\nUser:", "\nSystem:"]
        case .chatml: ["<|im_end|>"]
        case .llama3: ["<|eot_id|>"]
        case .gemma: ["<end_of_turn>"]
        case .llama2: []
        }
    }
}
