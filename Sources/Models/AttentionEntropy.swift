import Autograd
import Glibc
import Kernels

extension DecoderLM {
    /// The mean entropy in nats of each head's attention in block `layer`, over all queries of x [batch·seq, hidden]: 0 for
    /// attention to a single key, ln of the number of visible keys for uniform attention. Empty for a layer without per-head keys
    /// of its own.
    public func attentionEntropies(_ x: Tensor, _ input: ModelInput, layer: Int) -> [Double] {
        guard let attention = block(layer).attention as? GroupedQueryAttention, attention.geometry.source == nil else {
            return []
        }
        let (heads, d, seq) = (attention.heads, attention.headDim, input.seq)
        let width = (heads + 2 * attention.kvHeads) * d
        let qkv = attention.prepared(attentionInput(x, layer: layer).linear(attention.weights.inputs)).storage
        let positions = (0..<input.batch).flatMap { _ in (0..<seq).map { Int32($0) } }
        attention.rotary?.rotate(
            qkv, positions: positions, rows: positions.count, stride: width, heads: heads + attention.kvHeads, headDim: d)
        let scores = Storage(count: seq * seq)
        return (0..<heads).map { head in
            let keyColumn = (heads + head * attention.kvHeads / heads) * d
            var sum = 0.0
            for sequence in 0..<input.batch {
                let start = sequence * seq * width
                MatMul.multiply(
                    Matrix(qkv, offset: start + head * d, rows: seq, columns: d, stride: width),
                    Matrix(qkv, offset: start + keyColumn, rows: seq, columns: d, stride: width).transpose,
                    into: Matrix(scores, rows: seq, columns: seq), alpha: 1 / Float(d).squareRoot())
                let values = scores.array()
                for query in 0..<seq { sum += Self.entropy(values[query * seq...query * seq + query]) }
            }
            return sum / Double(input.batch * seq)
        }
    }

    /// The entropy of the softmax of `scores`.
    private static func entropy(_ scores: ArraySlice<Float>) -> Double {
        let top = Double(scores.max() ?? 0)
        var (total, weighted) = (0.0, 0.0)
        for score in scores {
            let shifted = Double(score) - top
            let weight = exp(shifted)
            total += weight
            weighted += weight * shifted
        }
        return log(total) - weighted / total
    }
}
