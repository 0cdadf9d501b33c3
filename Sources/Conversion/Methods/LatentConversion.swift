import Glibc
import Kernels
import Models

/// One layer of MHA or GQA turned into multi-head latent attention (after TransMLA, arXiv 2502.07864, and MHA2MLA, 2502.14837).
///
/// Keys: in each RoPE plane that stays rotated, the complex rows of the KV heads are split into their leading direction over
/// the calibration activations, which becomes the rotated key shared by all heads, and a remainder. The rotated planes are
/// every rotaryDim/ropeHeadDim-th one, with the frequencies of a rotated part of that width. The remainder and the planes
/// that are not rotated lose their position: queries absorb the mean of their rotation over the distances of a window.
/// Elements that the parent does not rotate (partial rotary or learned positions) have no position to lose. Keys without
/// position and values then share one latent: the best approximation of its rank for both together, keys in the metric of
/// their queries, values in the metric of the output projection, each by its share of the whole.
///
/// Exact if the keys of all heads are complex multiples of each other in each plane, all planes stay rotated, and the rank is
/// that of the stacked values and unrotated keys; so for MQA at rank headDim, and without rotary positions at the rank of all
/// keys and values. Biases of keys and values are part of the latent and the rotated key.
///
/// A latent has no QK-norm, as its keys are never materialised: each head's norm is first replaced by its root mean square over
/// the calibration tokens (``AttentionWeights/normsFolded(epsilon:_:)``), exact if all tokens have the same norm.
struct LatentConversion {
    let shape: LatentShape
    /// The frequency of each of the parent's planes, in radians per position.
    let frequencies: [Float]
    /// The number of distances over which the mean rotation is taken.
    let distances: Int

    /// The weights of the latent layer.
    func convert(_ layer: AttentionWeights, _ context: LayerContext) throws -> [(module: WeightName.Module, matrix: DenseMatrix)]
    {
        let (d, turned, rope, hidden) = (layer.headDim, layer.rotaryDim, shape.ropeHeadDim, layer.key.columns)
        let keyGram = context.gram(layer.key)
        let queryGram = (0..<layer.heads).map { context.gram(layer.query.rows(layer.range(of: $0))) }
        var left = layer.key
        var rotatedKey = DenseMatrix(rows: rope, columns: hidden)
        let group = HeadGroup(heads: 0..<layer.kvHeads, headDim: d)
        // Each KV head's share in the rotated key of each rotated plane.
        var shares: [[HeadPlanes.Factor]] = []
        for index in 0..<rope / 2 {
            let plane = index * (turned / rope)
            let merged = try HeadPlanes.merged(layer, group, gram: keyGram, queryGram: queryGram, plane: plane, context)
            // Rescaled to the typical norm of the merged keys: the parts of a latent should be of one size.
            let scale = merged.norm > 0 && merged.typical > 0 ? (merged.typical / merged.norm).squareRoot() : 1
            rotatedKey.replace(index, 0, with: merged.rows.rows(0..<1).scaled(by: scale))
            rotatedKey.replace(index + rope / 2, 0, with: merged.rows.rows(1..<2).scaled(by: scale))
            let share = zip(merged.direction, merged.weights).map { $0.scaled(by: 1 / ($1.squareRoot() * scale)) }
            shares.append(share)
            for head in 0..<layer.kvHeads {
                let (a, b) = (head * d + plane, head * d + plane + turned / 2)
                for column in 0..<hidden {
                    let (x, y) = (rotatedKey[index, column], rotatedKey[index + rope / 2, column])
                    left[a, column] -= share[head].re * x - share[head].im * y
                    left[b, column] -= share[head].re * y + share[head].im * x
                }
            }
        }
        let (down, keyUp, valueUp) = try latent(left, layer, queryGram, context)
        let expand = (0..<layer.heads).map { head in
            let rows = layer.range(of: head / layer.queriesPerHead)
            return keyUp.rows(rows).values + valueUp.rows(rows).values
        }
        return [
            (.query, queries(layer, shares)),
            (
                .compress,
                DenseMatrix(rows: shape.rank + rope, columns: hidden, values: down.values + rotatedKey.values)
            ),
            (.expand, DenseMatrix(rows: layer.heads * 2 * d, columns: shape.rank, values: expand.flatMap { $0 })),
            (.output, layer.output),
        ]
    }

    /// The queries of each head: for keys without position, then for the rotated key, rescaled as scores are divided by a
    /// larger root.
    private func queries(_ layer: AttentionWeights, _ shares: [[HeadPlanes.Factor]]) -> DenseMatrix {
        let (d, turned, rope) = (layer.headDim, layer.rotaryDim, shape.ropeHeadDim)
        let scale = (Double(d + rope) / Double(d)).squareRoot()
        var result = DenseMatrix(rows: layer.heads * (d + rope), columns: layer.query.columns)
        for head in 0..<layer.heads {
            var plain = layer.query.rows(layer.range(of: head)).scaled(by: scale)
            let start = head * (d + rope)
            for (index, share) in shares.enumerated() {
                let plane = index * (turned / rope)
                var rows = DenseMatrix(
                    rows: 2, columns: plain.columns,
                    values: plain.rows(plane..<plane + 1).values
                        + plain.rows(plane + turned / 2..<plane + turned / 2 + 1).values)
                HeadPlanes.multiply(&rows, start: 0, rotaryDim: 2, plane: 0, by: share[head / layer.queriesPerHead].conjugate)
                result.replace(start + d + index, 0, with: rows.rows(0..<1))
                result.replace(start + d + index + rope / 2, 0, with: rows.rows(1..<2))
            }
            for plane in 0..<turned / 2 {
                HeadPlanes.multiply(&plain, start: 0, rotaryDim: turned, plane: plane, by: meanRotation(plane))
            }
            result.replace(start, 0, with: plain)
        }
        return result
    }

    /// The mean of e^{iθΔ} over the distances.
    private func meanRotation(_ plane: Int) -> HeadPlanes.Factor {
        var mean = HeadPlanes.Factor(re: 0, im: 0)
        for distance in 0..<distances {
            let angle = Double(frequencies[plane]) * Double(distance)
            mean.re += cos(angle)
            mean.im += sin(angle)
        }
        return mean.scaled(by: 1 / Double(distances))
    }

    /// The latent's rows [rank, hidden], and the expansions to keys and values [kvHeads·headDim, rank].
    private func latent(
        _ keys: DenseMatrix, _ layer: AttentionWeights, _ queryGram: [DenseMatrix], _ context: LayerContext
    ) throws -> (down: DenseMatrix, keyUp: DenseMatrix, valueUp: DenseMatrix) {
        let (d, count) = (layer.headDim, layer.kvHeads * layer.headDim)
        var weighted = DenseMatrix(rows: 2 * count, columns: keys.columns)
        var inverse: [DenseMatrix] = []
        var whole = 0.0
        for head in 0..<layer.kvHeads {
            // E[(q·k)²] over the head's queries is kᵀ E[q qᵀ] k.
            let reads = layer.queryHeads(of: head).map { queryGram[$0] }
            let (root, undo) = try reads.dropFirst().reduce(reads[0], +).roots()
            weighted.replace(head * d, 0, with: root * keys.rows(layer.range(of: head)))
            whole += context.gram(root * layer.key.rows(layer.range(of: head))).trace
            inverse.append(undo)
        }
        for head in 0..<layer.kvHeads {
            let reads = layer.queryHeads(of: head).map { layer.output.columns(layer.range(of: $0)) }
            let metric = reads.dropFirst().reduce(reads[0].transposedTimes(reads[0])) { $0 + $1.transposedTimes($1) }
            let (root, undo) = try metric.roots()
            weighted.replace(count + head * d, 0, with: root * layer.value.rows(layer.range(of: head)))
            inverse.append(undo)
        }
        // Errors count as shares of all keys and of all values; the rounding error of wholly rotated keys is left out.
        let balance = [whole, context.gram(weighted.rows(count..<2 * count)).trace].map { $0 > 0 ? 1 / $0.squareRoot() : 1 }
        weighted = DenseMatrix(
            rows: 2 * count, columns: weighted.columns,
            values: weighted.rows(0..<count).scaled(by: balance[0]).values
                + weighted.rows(count..<2 * count).scaled(by: balance[1]).values)
        let leading = try context.gram(weighted).symmetricEigen().vectors.rows(0..<shape.rank)
        var down = leading * weighted
        // The latent is rescaled to the keys and values, with which it is stored.
        let (norm, typical) = (context.gram(down).trace / Double(shape.rank), context.gram(layer.value).trace / Double(count))
        let scale = norm > 0 && typical > 0 ? (typical / norm).squareRoot() : 1
        down = down.scaled(by: scale)
        var ups = [DenseMatrix(rows: count, columns: shape.rank), DenseMatrix(rows: count, columns: shape.rank)]
        for (index, undo) in inverse.enumerated() {
            let (part, head) = (index / layer.kvHeads, index % layer.kvHeads)
            let columns = index * d..<(index + 1) * d
            ups[part].replace(
                head * d, 0, with: undo.timesTransposed(leading.columns(columns)).scaled(by: 1 / (balance[part] * scale)))
        }
        return (down, ups[0], ups[1])
    }
}
