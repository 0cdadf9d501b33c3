import Models
import Text

/// Context reconstruction: a second pass over a prompt, in which the model repeats it behind its own cache (Kim et al. 2025, KVzip, section 3.2).
///
/// The prompt is repeated chunk by chunk, each behind the whole prompt and an instruction:
///
///     prompt  c0 c1   passes  prompt + [instruction c0],  prompt + [instruction, the last 8 tokens of c0, c1]
///
/// A slot of a chunk is scored by the pass that repeats the chunk: by the greatest of its attention weights, softmaxes over the chunk's
/// slots, the attention sinks before it and the pass's own tokens up to the query.
public struct Reconstruction: Sendable {
    /// Tokens of a chunk at most.
    var chunk: Int
    /// First tokens of the prompt in the softmaxes of later chunks.
    var sinks: Int
    /// The instruction in the model's tokens; nil as long as no tokenizer is known.
    var instruction: RepeatInstruction?

    /// The least number of tokens of a chunk, where the prompt has as many.
    static let leastChunk = 32
    /// Tokens of the chunk before that a later chunk's instruction ends with.
    static let overlap = 8

    /// A pass of the reconstruction.
    struct Pass {
        /// The prompt's tokens that it repeats and scores.
        var chunk: Range<Int>
        /// Its tokens, the instruction's and the chunk's.
        var tokens: [Int32]
    }

    /// Tokens of a chunk of a prompt of `prompt` tokens in a model of `positions`: as many as these leave; nil where they leave too few.
    func room(prompt: Int, positions: Int) -> Int? {
        let room = min(chunk, positions - prompt - (instruction?.longest ?? 0))
        return room >= min(prompt, Self.leastChunk, chunk) ? room : nil
    }

    /// The passes over `prompt` in a model of `positions`.
    ///
    /// Precondition: the instruction is known, and ``room(prompt:positions:)`` finds some.
    func passes(over prompt: [Int32], positions: Int) -> [Pass] {
        guard let instruction, let size = room(prompt: prompt.count, positions: positions) else {
            preconditionFailure(
                "Reconstruction: no instruction, or no room behind \(prompt.count) tokens of \(positions) positions")
        }
        return stride(from: 0, to: prompt.count, by: size).map { start in
            let chunk = start..<min(start + size, prompt.count)
            let before = prompt[..<start].suffix(Self.overlap)
            let head = before.isEmpty ? instruction.first : instruction.later + before
            return Pass(chunk: chunk, tokens: head + instruction.end + prompt[chunk])
        }
    }
}

/// The instruction to repeat a context, in a model's tokens.
struct RepeatInstruction: Sendable {
    /// Before the first chunk, and before the tokens that a later one starts with.
    var first: [Int32], later: [Int32]
    /// Between the instruction and the repetition.
    var end: [Int32]

    /// The most tokens before a chunk.
    var longest: Int { max(first.count, later.count + Reconstruction.overlap) + end.count }
}

extension RepeatInstruction {
    /// The instruction in the tokens of `tokenizer`, in kvpress's words; a chat template's end of a turn is not among them.
    init(_ tokenizer: any Tokenizer) {
        first = tokenizer.encode("\n\nRepeat the previous context exactly.")
        later = tokenizer.encode("\n\nRepeat the part of the previous context exactly, starting with")
        end = tokenizer.encode("\n")
    }
}
