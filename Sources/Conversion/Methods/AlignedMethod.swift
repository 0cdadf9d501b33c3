import Kernels

/// Heads of a group turned towards each other before they are averaged (after "align before merge", arXiv 2412.20677).
///
/// Keys are turned plane by plane, which RoPE commutes with, and the queries with them; values by an orthogonal Procrustes
/// rotation that the output projection undoes. Both leave the logits as they were. The mean that follows gets the norm of the
/// heads that went into it. Similarity is measured over calibration activations where there are any, else over weights.
public struct AlignedMethod: ConversionMethod {
    /// What `--method` and recipes call it.
    public static let name = "aligned"
    /// Its line in `--help`.
    public static let summary = "heads turned towards each other (RoPE planes, Procrustes), then averaged at their own norm"

    /// Similarity and errors are measured over activations where there are any.
    public static let usesActivations = true

    /// The method has no settings.
    public init() {}

    /// The pooled layer, and the layer as it was after the turns alone.
    public func convert(_ layer: AttentionWeights, to kvHeads: Int, _ context: LayerContext) throws -> LayerConversion {
        var rewritten = layer
        for group in HeadGroup.all(of: layer, into: kvHeads) {
            try alignKeys(group, &rewritten, context)
            try alignValues(group, &rewritten, context)
        }
        var child = rewritten
        child.kvHeads = kvHeads
        var (key, value): ([Double], [Double]) = ([], [])
        for group in HeadGroup.all(of: layer, into: kvHeads) {
            key += pooledKeys(rewritten.key.rows(group.rows), heads: group.heads.count, layer.headDim, context).values
            value += pooledValues(rewritten.value.rows(group.rows), heads: group.heads.count, layer.headDim, context).values
        }
        let width = layer.key.columns
        child.key = DenseMatrix(rows: kvHeads * layer.headDim, columns: width, values: key)
        child.value = DenseMatrix(rows: kvHeads * layer.headDim, columns: width, values: value)
        return LayerConversion(child: child, rewritten: rewritten)
    }

    private func alignKeys(_ group: HeadGroup, _ layer: inout AttentionWeights, _ context: LayerContext) throws {
        let gram = context.gram(layer.key.rows(group.rows))
        let count = group.heads.count
        for plane in 0..<layer.headDim / 2 where layer.turnable?[plane] ?? true {
            let products = HeadPlanes.products(
                gram, heads: count, headDim: layer.headDim, plane: plane, weights: [Double](repeating: 1, count: count))
            for (head, factor) in zip(group.heads, try HeadPlanes.leading(products)) where factor.magnitude > 0 {
                let turn = factor.scaled(by: 1 / factor.magnitude).conjugate
                HeadPlanes.multiply(
                    &layer.key, start: head * layer.headDim, headDim: layer.headDim, plane: plane, by: turn)
                for query in layer.queryHeads(of: head) {
                    HeadPlanes.multiply(
                        &layer.query, start: query * layer.headDim, headDim: layer.headDim, plane: plane, by: turn)
                }
            }
        }
    }

    private func alignValues(_ group: HeadGroup, _ layer: inout AttentionWeights, _ context: LayerContext) throws {
        let d = layer.headDim
        let heads = group.heads.map { layer.value.rows(layer.range(of: $0)) }
        // Blocks of V S Vᵀ: every product the iteration needs.
        let gram = context.gram(layer.value.rows(group.rows))
        func product(_ i: Int, _ j: Int) -> DenseMatrix { gram.rows(i * d..<(i + 1) * d).columns(j * d..<(j + 1) * d) }
        var turns = heads.map { _ in DenseMatrix(identity: d) }
        for _ in 0..<20 {
            var moved = 0.0
            for j in heads.indices {
                // Σ over the other heads of R_i V_i S V_jᵀ.
                var target = DenseMatrix(rows: d, columns: d)
                for i in heads.indices where i != j { target = target + turns[i] * product(i, j) }
                let (u, _, vt) = try target.svd()
                let turn = u * vt
                moved = max(moved, (turn + turns[j].scaled(by: -1)).norm)
                turns[j] = turn
            }
            if moved < 1e-10 { break }
        }
        for (index, head) in group.heads.enumerated() {
            layer.value.replace(layer.range(of: head).lowerBound, 0, with: turns[index] * heads[index])
            for query in layer.queryHeads(of: head) {
                let range = layer.range(of: query)
                layer.output.replace(0, range.lowerBound, with: layer.output.columns(range).timesTransposed(turns[index]))
            }
        }
    }

    /// The mean of aligned heads, each plane at the root mean square of its heads' norms.
    private func pooledKeys(_ rows: DenseMatrix, heads: Int, _ d: Int, _ context: LayerContext) -> DenseMatrix {
        var mean = HeadGroup.mean(rows, heads: heads)
        let (before, after) = (context.gram(rows), context.gram(mean))
        for plane in 0..<d / 2 {
            let pair = [plane, plane + d / 2]
            let typical =
                (0..<heads).reduce(0) { sum, head in
                    sum + pair.reduce(0) { $0 + before[head * d + $1, head * d + $1] }
                } / Double(heads)
            let left = pair.reduce(0) { $0 + after[$1, $1] }
            guard left > 0 else { continue }
            HeadPlanes.multiply(
                &mean, start: 0, headDim: d, plane: plane, by: .init(re: (typical / left).squareRoot(), im: 0))
        }
        return mean
    }

    private func pooledValues(_ rows: DenseMatrix, heads: Int, _ d: Int, _ context: LayerContext) -> DenseMatrix {
        let mean = HeadGroup.mean(rows, heads: heads)
        let typical = context.gram(rows).trace / Double(heads)
        let left = context.gram(mean).trace
        return left > 0 ? mean.scaled(by: (typical / left).squareRoot()) : mean
    }
}
