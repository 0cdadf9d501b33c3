import ArgumentParser
import Experiments
import Files
import Foundation
import Server

/// The format that turns chats into prompts.
struct ChatTemplateOption: ParsableArguments {
    @Option(
        help: """
            How chats become prompts: plain, chatml, llama3, llama2, gemma or a file with a Jinja template; by default the \
            checkpoint's own template, else as the tokenizer's markers say.
            """,
        completion: .file(extensions: ["jinja"]))
    var chatTemplate: String?

    /// The format asked for, else the checkpoint's own; where that can't be read a warning says why.
    func format(_ loaded: ServableModel, name model: String) throws -> ChatFormat {
        if let name = chatTemplate, let format = ChatTemplate(rawValue: name) { return .named(format) }
        let special = loaded.specialTokens
        if let path = chatTemplate {
            let names = ChatTemplate.allCases.map(\.rawValue).joined(separator: ", ")
            guard FileManager.default.fileExists(atPath: path) else {
                throw ValidationError("--chat-template '\(path)' is no file and none of \(names)")
            }
            let file = try MappedFile(path: path)
            guard file.count <= 1 << 20, let text = String(validating: try file.bytes(in: 0..<file.count), as: UTF8.self) else {
                throw ValidationError("--chat-template \(path) is not a text of at most 1 MiB")
            }
            do { return try ChatFormat(for: loaded.tokenizer, template: text, specialTokens: special) } catch {
                throw ValidationError("--chat-template \(path), \(error)")
            }
        }
        do {
            return try ChatFormat(
                for: loaded.tokenizer, template: loaded.tokenIDs.chatTemplate, specialTokens: special)
        } catch {
            let format = ChatTemplate(for: loaded.tokenizer)
            note("warning: \(model)'s chat template can't be read, \(error); its chats are written as '\(format)'")
            return .named(format)
        }
    }
}
