import Kernels

/// The mean of a group's heads after alignment (after "align before merge", arXiv 2412.20677).
///
/// Keys are rotated plane by plane, which commutes with RoPE, and outside the planes by an orthogonal Procrustes rotation, the
/// queries with them; values by an orthogonal Procrustes rotation that the output projection undoes. Both leave the logits
/// unchanged. The mean is rescaled to its heads' norm. Similarity is measured over calibration activations if given, else over
/// weights.
struct AlignedMethod: HeadMerge {
    static let name = "aligned"
    static let summary = "heads turned towards each other (RoPE planes, Procrustes), then averaged at their own norm"

    /// Similarity and errors are measured over activations if given.
    static let usesActivations = true

    /// The pooled layer, and the layer after the rotations alone.
    func convert(_ layer: AttentionWeights, to kvHeads: Int, _ context: LayerContext) throws -> LayerConversion {
        var rewritten = layer
        for group in HeadGroup.all(of: layer, into: kvHeads) {
            try alignKeys(group, &rewritten, context)
            try alignValues(group, &rewritten, context)
        }
        var child = rewritten
        child.kvHeads = kvHeads
        // Of keys each plane, and the rows outside the planes; of values all rows together.
        let half = layer.rotaryDim / 2
        let keyParts = (0..<half).map { [$0, $0 + half] } + [Array(layer.plainRows)]
        var (key, value): ([Double], [Double]) = ([], [])
        for group in HeadGroup.all(of: layer, into: kvHeads) {
            let heads = group.heads.count
            key += pooled(rewritten.key.rows(group.rows), heads: heads, parts: keyParts, context).values
            value += pooled(rewritten.value.rows(group.rows), heads: heads, parts: [Array(0..<layer.headDim)], context).values
        }
        let width = layer.key.columns
        child.key = DenseMatrix(rows: kvHeads * layer.headDim, columns: width, values: key)
        child.value = DenseMatrix(rows: kvHeads * layer.headDim, columns: width, values: value)
        return LayerConversion(child: child, rewritten: rewritten)
    }

    private func alignKeys(_ group: HeadGroup, _ layer: inout AttentionWeights, _ context: LayerContext) throws {
        let gram = context.gram(layer.key.rows(group.rows))
        let count = group.heads.count
        for plane in 0..<layer.rotaryDim / 2 where layer.turnable?[plane] ?? true {
            let products = HeadPlanes.products(
                gram, heads: count, headDim: layer.headDim, rotaryDim: layer.rotaryDim, plane: plane,
                weights: [Double](repeating: 1, count: count))
            for (head, factor) in zip(group.heads, try HeadPlanes.leading(products)) where factor.magnitude > 0 {
                let turn = factor.scaled(by: 1 / factor.magnitude).conjugate
                HeadPlanes.multiply(
                    &layer.key, start: head * layer.headDim, rotaryDim: layer.rotaryDim, plane: plane, by: turn)
                for query in layer.queryHeads(of: head) {
                    HeadPlanes.multiply(
                        &layer.query, start: query * layer.headDim, rotaryDim: layer.rotaryDim, plane: plane, by: turn)
                }
            }
        }
        // No other rotation commutes with QK-norm.
        let plain = layer.plainRows
        guard !plain.isEmpty, layer.turnable == nil else { return }
        for (head, turn) in zip(group.heads, try Self.turns(gram, heads: count, headDim: layer.headDim, rows: plain)) {
            func rotate(_ matrix: inout DenseMatrix, _ head: Int) {
                let start = head * layer.headDim
                let rows = matrix.rows(start + plain.lowerBound..<start + plain.upperBound)
                matrix.replace(start + plain.lowerBound, 0, with: turn * rows)
            }
            rotate(&layer.key, head)
            for query in layer.queryHeads(of: head) { rotate(&layer.query, query) }
        }
    }

    /// The orthogonal maps of the heads' `rows` that minimise their distances (generalised Procrustes); `gram` is H S Hᵀ over
    /// the heads.
    private static func turns(
        _ gram: DenseMatrix, heads: Int, headDim: Int, rows: Range<Int>
    ) throws -> [DenseMatrix] {
        // Every product the iteration needs.
        func range(_ head: Int) -> Range<Int> { head * headDim + rows.lowerBound..<head * headDim + rows.upperBound }
        func product(_ i: Int, _ j: Int) -> DenseMatrix { gram.rows(range(i)).columns(range(j)) }
        var turns = (0..<heads).map { _ in DenseMatrix(identity: rows.count) }
        for _ in 0..<20 {
            var moved = 0.0
            for j in 0..<heads {
                // Σ over the other heads of R_i H_i S H_jᵀ.
                var target = DenseMatrix(rows: rows.count, columns: rows.count)
                for i in 0..<heads where i != j { target = target + turns[i] * product(i, j) }
                let (u, _, vt) = try target.svd()
                let turn = u * vt
                moved = max(moved, (turn + turns[j].scaled(by: -1)).norm)
                turns[j] = turn
            }
            if moved < 1e-10 { break }
        }
        return turns
    }

    private func alignValues(_ group: HeadGroup, _ layer: inout AttentionWeights, _ context: LayerContext) throws {
        let d = layer.headDim
        let heads = group.heads.map { layer.value.rows(layer.range(of: $0)) }
        let turns = try Self.turns(
            context.gram(layer.value.rows(group.rows)), heads: heads.count, headDim: d, rows: 0..<d)
        for (index, head) in group.heads.enumerated() {
            layer.value.replace(layer.range(of: head).lowerBound, 0, with: turns[index] * heads[index])
            for query in layer.queryHeads(of: head) {
                let range = layer.range(of: query)
                layer.output.replace(0, range.lowerBound, with: layer.output.columns(range).timesTransposed(turns[index]))
            }
        }
    }

    /// The mean of aligned heads, each of `parts`, rows of a head, rescaled to the root mean square of the heads' norms.
    private func pooled(_ rows: DenseMatrix, heads: Int, parts: [[Int]], _ context: LayerContext) -> DenseMatrix {
        var mean = HeadGroup.mean(rows, heads: heads)
        let (d, before, after) = (mean.rows, context.gram(rows), context.gram(mean))
        for part in parts {
            let typical =
                (0..<heads).reduce(0) { sum, head in part.reduce(sum) { $0 + before[head * d + $1, head * d + $1] } }
                / Double(heads)
            let left = part.reduce(0) { $0 + after[$1, $1] }
            guard left > 0 else { continue }
            let scale = (typical / left).squareRoot()
            for row in part { mean.replace(row, 0, with: mean.rows(row..<row + 1).scaled(by: scale)) }
        }
        return mean
    }
}
