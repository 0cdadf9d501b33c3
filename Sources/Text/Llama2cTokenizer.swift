/// llama2.c's tokenizer: SentencePiece BPE in a `tokenizer.bin`. Of all adjacent pairs that merge, the one whose result has the
/// highest score merges first.
///
/// The file is an int32, the longest token's bytes, and for each token a float32 score, an int32 length and the bytes; the number
/// of tokens is not in it. Ids 0, 1, 2 are `<unk>`, BOS and EOS, 3 to 258 the bytes. Encoding adds a space before a text;
/// `decode` removes it after BOS, and returns nothing for BOS and EOS. Source: karpathy/llama2.c, `run.c`.
public struct Llama2cTokenizer: UTF8Tokenizer {
    public let vocabularySize: Int
    public let bosID: Int32? = 1
    public let eosID: Int32? = 2
    public let serialized: SerializedTokenizer

    private let bytes: TokenBytes
    private let symbols: CharacterSymbols
    private let merges: MergeTable
    private let prefixID: Int32?

    private static let firstByteID = 3
    /// The most tokens accepted; 128k are usual today.
    private static let maximumTokens = 4_000_000

    /// Reads the content of a `tokenizer.bin`; `file` names it in errors.
    init(_ content: [UInt8], file: String) throws(TextError) {
        let (tokens, scores) = try Self.read(content, file: file)
        vocabularySize = tokens.count
        serialized = SerializedTokenizer(kind: "llama2.c", bytes: content)
        var vocabulary: [[UInt8]: Int32] = [:]
        // Of two ids with the same bytes the lower one is used.
        for id in stride(from: tokens.count - 1, through: 0, by: -1) { vocabulary[tokens[id]] = Int32(id) }
        symbols = CharacterSymbols(vocabulary, hasByteFallback: true, unknown: nil)
        prefixID = vocabulary[[0x20]]
        merges = Self.mergeTable(tokens, scores, vocabulary)
        bytes = TokenBytes(
            tokens.enumerated().map { id, token in id == 1 || id == 2 ? [] : ByteName.parse(token).map { [$0] } ?? token })
    }

    public func decode(_ ids: [Int32]) -> [UInt8] {
        var result: [UInt8] = []
        var previous: Int32?
        for id in ids {
            let piece = bytes[id]
            result += previous == bosID && piece.first == 0x20 ? piece.dropFirst() : piece
            previous = id
        }
        return result
    }

    func encode(_ text: Span<UInt8>, workspace: inout EncodingWorkspace, into ids: inout [Int32]) {
        guard !text.isEmpty else { return }
        workspace.merger.symbols.removeAll(keepingCapacity: true)
        workspace.merger.symbols.append(prefixID ?? Int32(Self.firstByteID + 0x20))
        symbols.append(text, 0..<text.count, to: &workspace.merger.symbols)
        workspace.merger.merge(merges)
        ids += workspace.merger.symbols
    }

    /// Every split of a token into two others, ranked by the token's score; equal scores share a rank.
    private static func mergeTable(_ tokens: [[UInt8]], _ scores: [Float], _ vocabulary: [[UInt8]: Int32]) -> MergeTable {
        let order = tokens.indices.sorted { (scores[$0], $1) > (scores[$1], $0) }
        var table = MergeTable(capacity: tokens.count * 4)
        var rank: Int32 = 0
        for (position, id) in order.enumerated() {
            if position > 0, scores[order[position - 1]] != scores[id] { rank += 1 }
            let token = tokens[id]
            guard vocabulary[token] == Int32(id), token.count > 1 else { continue }
            for cut in 1..<token.count {
                if let left = vocabulary[Array(token[..<cut])], let right = vocabulary[Array(token[cut...])] {
                    table.add(left, right, rank: rank, id: Int32(id))
                }
            }
        }
        return table
    }

    /// The tokens and scores of a `tokenizer.bin`.
    static func read(_ content: [UInt8], file: String) throws(TextError) -> (tokens: [[UInt8]], scores: [Float]) {
        var index = 0
        func integer() -> UInt32? {
            guard content.count - index >= 4 else { return nil }
            defer { index += 4 }
            return (0..<4).reduce(0) { $0 | UInt32(content[index + $1]) << (8 * UInt32($1)) }
        }
        func malformed(_ reason: String) -> TextError { .malformedTokenizer(file: file, reason: reason) }

        guard let maximum = integer(), (1...4096).contains(maximum) else {
            throw malformed("its longest token is not of 1 to 4096 bytes")
        }
        var tokens: [[UInt8]] = []
        var scores: [Float] = []
        while index < content.count {
            let start = index
            guard let score = integer().map(Float.init(bitPattern:)), let length = integer() else {
                throw malformed("it ends inside token \(tokens.count) at byte \(start)")
            }
            guard length <= maximum, Int(length) <= content.count - index else {
                throw malformed("token \(tokens.count) at byte \(start) claims \(length) bytes")
            }
            guard score.isFinite else { throw malformed("token \(tokens.count) has the score \(score)") }
            guard tokens.count < maximumTokens else { throw malformed("it has more than \(maximumTokens) tokens") }
            tokens.append(Array(content[index..<index + Int(length)]))
            scores.append(score)
            index += Int(length)
        }
        for byte in 0..<256 {
            let id = firstByteID + byte
            guard id < tokens.count, ByteName.parse(tokens[id]) == UInt8(byte) else {
                throw malformed("token \(id) is not the byte token \(String(decoding: ByteName.of(UInt8(byte)), as: UTF8.self))")
            }
        }
        return (tokens, scores)
    }
}
