import Text

/// Text offsets of one output's tokens, its text decoded from left to right as the engine does.
///
/// A token reads differently at the start of a text, where some tokenizers strip its space, and the bytes of one character may
/// come in several tokens, all of which stand where the character does: " 👍" in three tokens after "Hi" is at 2, 3 and 3.
struct TextPosition: Sendable {
    private let model: ServedModel
    private var decoder: TokenStreamDecoder
    /// Unicode scalars of the text so far, which Python counts in strings.
    private var offset = 0

    /// The start of a text that follows `context`, whose own text is not part of it.
    init(_ model: ServedModel, after context: [Int32] = []) {
        self.model = model
        decoder = TokenStreamDecoder(model.tokenizer, after: context)
    }

    /// The bytes of `id` at this position.
    func bytes(of id: Int32) -> [UInt8] { decoder.bytes(of: id) }

    /// The text of `id` at this position; bytes that are no text are spelled out.
    func text(of id: Int32) -> String { ServedModel.text(bytes(of: id)) }

    /// Advances past `id` and returns its offset.
    mutating func append(_ id: Int32) -> Int {
        defer { offset += decoder.append(id).unicodeScalars.count }
        return offset
    }

    /// Advances past a prompt that is part of the text; a later token doesn't complete its last character.
    mutating func endPrompt(_ prompt: [Int32]) {
        offset += decoder.finish().unicodeScalars.count
        decoder = TokenStreamDecoder(model.tokenizer, after: prompt)
    }
}
