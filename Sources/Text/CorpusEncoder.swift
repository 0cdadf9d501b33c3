import Threads

/// Encodes a corpus in parallel; the result does not depend on the number of threads.
struct CorpusEncoder {
    /// Ids of some consecutive documents, or of a part of one.
    struct Part: Sendable {
        var ids: [Int32] = []
        /// The ids of chats that are not learnt, as ranges of `ids`.
        var unlearnt: [Range<Int>] = []
        /// The starts of documents in `ids`.
        var documentStarts: [Int] = []
        var bytes = 0

        /// The ids, those that are not learnt as their complements.
        var marked: [Int32] {
            var marked = ids
            for range in unlearnt { for index in range { marked[index] = ~marked[index] } }
            return marked
        }
    }

    /// Consecutive bytes of one document.
    private struct Piece: Sendable {
        var document: Corpus.Document
        var range: Range<Int>
        var isFirst: Bool
        var isLast: Bool
    }

    private let tokenizer: any Tokenizer

    /// Bytes a thread encodes at a time: enough to use its word cache, few enough to report progress.
    private static let batchBytes = 1 << 20

    init(_ tokenizer: any Tokenizer) {
        self.tokenizer = tokenizer
    }

    /// Calls `body` with the parts in the corpus's order; memory does not grow with the corpus.
    func encode(
        _ corpus: Corpus, progress: (_ bytes: Int, _ of: Int) throws -> Void, body: (Part) throws -> Void
    ) throws {
        let total = corpus.byteCount
        var done = 0
        let threads = Parallel.threads
        let workspaces = (0..<threads).map { _ in Lock(EncodingWorkspace()) }
        func run(_ group: [[Piece]]) throws {
            let parts = Lock([Part?](repeating: nil, count: group.count))
            Parallel.forEach(group.count) { index in
                let part = workspaces[index].withLock { encode(group[index], of: corpus, &$0) }
                parts.withLock { $0[index] = part }
            }
            for case let part? in parts.withLock({ $0 }) {
                try body(part)
                done += part.bytes
            }
            corpus.release(group.joined().map { Corpus.Document(file: $0.document.file, bytes: $0.range) })
            try progress(done, total)
        }
        var group: [[Piece]] = [[]]
        var size = 0
        for document in corpus.documents {
            for piece in pieces(document, of: corpus) {
                group[group.count - 1].append(piece)
                size += piece.range.count
                guard size >= Self.batchBytes else { continue }
                size = 0
                if group.count == threads {
                    try run(group)
                    group = [[]]
                } else {
                    group.append([])
                }
            }
        }
        group.removeAll(where: \.isEmpty)
        if !group.isEmpty { try run(group) }
    }

    private func encode(_ pieces: [Piece], of corpus: Corpus, _ workspace: inout EncodingWorkspace) -> Part {
        var part = Part()
        for piece in pieces {
            if let turns = piece.document.turns {
                part.documentStarts.append(part.ids.count)
                let ids = tokenizer.encode(corpus.text(piece.document))
                let learnt = TurnTokens(tokenizer, corpus.text(piece.document), ids).ranges(of: turns)
                var end = 0
                for range in learnt + [ids.count..<ids.count] {
                    if end < range.lowerBound { part.unlearnt.append(part.ids.count + end..<part.ids.count + range.lowerBound) }
                    end = max(end, range.upperBound)
                }
                part.ids += ids
                part.bytes += piece.range.count
                continue
            }
            if piece.isFirst {
                part.documentStarts.append(part.ids.count)
                if let bos = tokenizer.bosID, bos != tokenizer.eosID { part.ids.append(bos) }
            }
            let bytes = Corpus.Document(file: piece.document.file, bytes: piece.range)
            if let tokenizer = tokenizer as? any UTF8Tokenizer {
                corpus.withUTF8(bytes) { tokenizer.encode($0, workspace: &workspace, into: &part.ids) }
            } else {
                part.ids += tokenizer.encode(corpus.text(bytes))
            }
            if piece.isLast, let eos = tokenizer.eosID { part.ids.append(eos) }
            part.bytes += piece.range.count
        }
        return part
    }

    /// A document, cut where the tokenizer allows it if it is long.
    private func pieces(_ document: Corpus.Document, of corpus: Corpus) -> [Piece] {
        let offset = document.bytes.lowerBound
        // The turns of a chat have places in the whole.
        guard document.turns == nil else {
            return [Piece(document: document, range: document.bytes, isFirst: true, isLast: true)]
        }
        var cuts = [0]
        if let tokenizer = tokenizer as? any UTF8Tokenizer {
            corpus.withUTF8(document) { text in
                while let cut = tokenizer.cut(text, atOrAfter: cuts.last! + Self.batchBytes) { cuts.append(cut) }
            }
        }
        cuts.append(document.bytes.count)
        return zip(cuts, cuts.dropFirst()).enumerated().map { index, range in
            Piece(
                document: document, range: offset + range.0..<offset + range.1, isFirst: index == 0,
                isLast: index == cuts.count - 2)
        }
    }
}
