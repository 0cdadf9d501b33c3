import Autograd
import Kernels

/// A batch's view of the compressed cache that a training pass goes through: the encodings of keys and values, and the rows that see
/// each of them.
///
/// A row sees the slots of the serving cache at its position. Behind p tokens of its sequence the first
/// ``KVEncoding/sealedTokens(of:)`` of p are codes, later ones the unsealed values of the open block; evicted slots of both are masked.
/// Gradients go straight through: to the keys and values that were encoded, of the tokens that a row saw.
public struct CacheView: Sendable {
    /// The encoding of each layer's keys and values.
    public var encodings: [KVEncoding]
    /// The rows of each sequence in the cache, among the batch's [batch·seq].
    public var sequences: [Range<Int>]
    /// For each layer the first row of its sequence in the batch that no longer sees each key, [batch, kvHeads, seq]; nil for a layer that
    /// evicts none.
    public var rowEnds: [[Int32]?]

    /// A view of layers of these geometries in which every layer keeps every token.
    public init(_ layers: [KVGeometry], _ input: ModelInput) { self.init(layers.map(\.encoding), input) }

    /// A view of layers of these encodings in which every layer keeps every token.
    init(_ layers: [KVEncoding], _ input: ModelInput) {
        encodings = layers
        sequences = input.documents
        rowEnds = layers.map { _ in nil }
    }

    /// Attends with `kernel` to what the cache shows of the keys and values of `rows`, of which `stored` makes the kernel's rows in each
    /// form.
    func attend(
        _ kernel: AttentionKernel, layer: Int, _ rows: (_ form: StoredRows.Form) -> Tensor
    ) -> Tensor {
        .causalAttention(
            StoredRows.Form.all(of: encodings[layer]).map { form in
                var part = kernel
                (part.rowStarts, part.rowEnds) = visibleRows(layer, form, kernel)
                return (rows(form), part)
            })
    }

    /// The first row that sees each key in `form`, and the first that no longer does; nil for its own, and for none.
    private func visibleRows(
        _ layer: Int, _ form: StoredRows.Form, _ kernel: AttentionKernel
    ) -> (starts: [Int32]?, ends: [Int32]?) {
        let (seq, kvHeads) = (kernel.seq, kernel.kvHeads)
        // Latents are one head's in the cache, and every head's here.
        var ends = rowEnds[layer].map { ends in
            let copies = kernel.batch * kvHeads * seq / ends.count
            return stride(from: 0, to: ends.count, by: seq).flatMap { repeatElement(ends[$0..<$0 + seq], count: copies).joined() }
        }
        guard encodings[layer].blockTokens > 1 else { return (nil, ends) }
        let sealing = (0..<kernel.batch).flatMap { sequence in
            let rows = sealingRows(sequence * seq..<(sequence + 1) * seq, encodings[layer])
            return [[Int32]](repeating: rows, count: kvHeads).flatMap { $0 }
        }
        guard form == .open else { return (sealing, ends) }
        ends = ends.map { zip($0, sealing).map { min($0, $1) } } ?? sealing
        return (nil, ends)
    }

    /// The first row, numbered from `rows.lowerBound`, that sees the codes of each of `rows`.
    ///
    ///     blocks of 4, no residual, sequences of 6 and 3 rows:   4 4 4 4 8 8 | 10 10 10
    private func sealingRows(_ rows: Range<Int>, _ encoding: KVEncoding) -> [Int32] {
        var result = [Int32](repeating: 0, count: rows.count)
        for sequence in sequences where sequence.overlaps(rows) {
            for row in sequence {
                let block = (row - sequence.lowerBound) / encoding.blockTokens + 1
                let first = sequence.lowerBound + block * encoding.blockTokens + encoding.residual
                result[row - rows.lowerBound] = Int32(first - rows.lowerBound)
            }
        }
        return result
    }
}

extension ModelInput {
    /// The rows of each document among [batch·seq], by ``keyStarts``; whole sequences where these are nil.
    public var documents: [Range<Int>] {
        (0..<batch).flatMap { sequence in
            let first = sequence * seq
            // A document begins where a row sees nothing before itself.
            let starts = (0..<seq).filter { row in row == 0 || keyStarts.map { Int($0[first + row]) == row } ?? false }
            return starts.indices.map { index in
                first + starts[index]..<first + (index + 1 < starts.count ? starts[index + 1] : seq)
            }
        }
    }
}
