import Kernels

/// The best low-rank merge in the metric of the calibration activations (after "Effectively Compress KV Heads", arXiv
/// 2406.07056).
///
/// Keys: in each RoPE plane a group's heads are complex rows; their best rank-1 approximation, weighted by the queries'
/// energy, is the merged row, and the queries absorb its coefficients; rows outside the planes are merged as values are, in
/// the metric of the queries. Values: the best rank-headDim approximation of the group's stacked heads in the metric of the
/// output projection, which absorbs the coefficients. Exact for groups of one, for keys that are complex multiples of each
/// other in each plane, and for values that share one headDim-dimensional row space. Without calibration the activations
/// count as white.
struct SVDMethod: HeadMerge {
    static let name = "svd"
    static let summary = "best low-rank merge of keys per RoPE plane and of values, folded into queries and output"

    /// Similarity and errors are measured over activations if given.
    static let usesActivations = true

    /// The merged layer; queries and output projection absorb the coefficients.
    func convert(_ layer: AttentionWeights, to kvHeads: Int, _ context: LayerContext) throws -> LayerConversion {
        var child = layer
        // QK-norm undoes the sizes that a rank-1 merge folds into the queries: keys are turned and pooled then.
        let aligned = layer.turnable == nil ? nil : try AlignedMethod().convert(layer, to: kvHeads, context).child
        child.kvHeads = kvHeads
        let width = layer.key.columns
        child.key = DenseMatrix(rows: kvHeads * layer.headDim, columns: width)
        child.value = child.key
        let queryGram = (0..<layer.heads).map { context.gram(layer.query.rows(layer.range(of: $0))) }
        for (index, group) in HeadGroup.all(of: layer, into: kvHeads).enumerated() {
            if aligned == nil { try mergeKeys(group, at: index * layer.headDim, layer, &child, queryGram, context) }
            try mergeValues(group, at: index * layer.headDim, layer, &child, context)
        }
        if let aligned { (child.query, child.key) = (aligned.query, aligned.key) }
        return LayerConversion(child: child)
    }

    private func mergeKeys(
        _ group: HeadGroup, at start: Int, _ layer: AttentionWeights, _ child: inout AttentionWeights,
        _ queryGram: [DenseMatrix], _ context: LayerContext
    ) throws {
        let (d, rotaryDim) = (layer.headDim, layer.rotaryDim)
        let gram = context.gram(layer.key.rows(group.rows))
        try mergePlainKeys(group, at: start, layer, &child, queryGram, context)
        for plane in 0..<rotaryDim / 2 {
            let merged = try HeadPlanes.merged(layer, group, gram: gram, queryGram: queryGram, plane: plane, context)
            // The shared row is rescaled to the typical norm of the merged rows.
            let scale = merged.norm > 0 && merged.typical > 0 ? (merged.norm / merged.typical).squareRoot() : 1
            child.key.replace(start + plane, 0, with: merged.rows.rows(0..<1).scaled(by: 1 / scale))
            child.key.replace(start + plane + rotaryDim / 2, 0, with: merged.rows.rows(1..<2).scaled(by: 1 / scale))
            for (j, head) in group.heads.enumerated() {
                let factor = merged.direction[j].scaled(by: scale / merged.weights[j].squareRoot()).conjugate
                for query in layer.queryHeads(of: head) {
                    HeadPlanes.multiply(&child.query, start: query * d, rotaryDim: rotaryDim, plane: plane, by: factor)
                }
            }
        }
    }

    /// Merges the key rows outside the RoPE planes: their joint low-rank approximation in the metric of the queries.
    private func mergePlainKeys(
        _ group: HeadGroup, at start: Int, _ layer: AttentionWeights, _ child: inout AttentionWeights,
        _ queryGram: [DenseMatrix], _ context: LayerContext
    ) throws {
        let plain = layer.plainRows
        guard !plain.isEmpty else { return }
        func rows(_ head: Int) -> Range<Int> { head * layer.headDim + plain.lowerBound..<head * layer.headDim + plain.upperBound }
        let metrics = group.heads.map { head in
            layer.queryHeads(of: head).map { queryGram[$0].rows(plain).columns(plain) }.reduce(
                DenseMatrix(rows: plain.count, columns: plain.count), +)
        }
        let (merged, coefficients) = try merge(group.heads.map { layer.key.rows(rows($0)) }, metrics: metrics, context)
        child.key.replace(start + plain.lowerBound, 0, with: merged)
        for (head, coefficient) in zip(group.heads, coefficients) {
            for query in layer.queryHeads(of: head) {
                let range = rows(query)
                child.query.replace(range.lowerBound, 0, with: coefficient.transposedTimes(layer.query.rows(range)))
            }
        }
    }

    private func mergeValues(
        _ group: HeadGroup, at start: Int, _ layer: AttentionWeights, _ child: inout AttentionWeights, _ context: LayerContext
    ) throws {
        // Each head's rows in the metric of the output projection.
        let metrics = group.heads.map { head in
            let reads = layer.queryHeads(of: head).map { layer.output.columns(layer.range(of: $0)) }
            return reads.dropFirst().reduce(reads[0].transposedTimes(reads[0])) { $0 + $1.transposedTimes($1) }
        }
        let (merged, coefficients) = try merge(
            group.heads.map { layer.value.rows(layer.range(of: $0)) }, metrics: metrics, context)
        child.value.replace(start, 0, with: merged)
        for (head, coefficient) in zip(group.heads, coefficients) {
            for query in layer.queryHeads(of: head) {
                let range = layer.range(of: query)
                child.output.replace(0, range.lowerBound, with: layer.output.columns(range) * coefficient)
            }
        }
    }

    /// The shared rows M, as many as each of `heads` has, and each head's coefficients C with C·M near the head: the sum over
    /// the heads of the squared errors in their metrics P is least, by the leading eigenvectors of the stacked P^½·head. M is
    /// rescaled to the heads' norm.
    private func merge(
        _ heads: [DenseMatrix], metrics: [DenseMatrix], _ context: LayerContext
    ) throws -> (merged: DenseMatrix, coefficients: [DenseMatrix]) {
        let d = heads[0].rows
        var weighted = DenseMatrix(rows: heads.count * d, columns: heads[0].columns)
        var stacked = weighted
        var inverses: [DenseMatrix] = []
        for (j, head) in heads.enumerated() {
            let (root, inverse) = try metrics[j].roots()
            inverses.append(inverse)
            weighted.replace(j * d, 0, with: root * head)
            stacked.replace(j * d, 0, with: head)
        }
        let leading = try context.gram(weighted).symmetricEigen().vectors.rows(0..<d)
        let merged = leading * weighted
        let norm = context.gram(merged).trace
        let typical = context.gram(stacked).trace / Double(heads.count)
        let scale = norm > 0 && typical > 0 ? (norm / typical).squareRoot() : 1
        return (
            merged.scaled(by: 1 / scale),
            inverses.enumerated().map { j, inverse in
                inverse.timesTransposed(leading.columns(j * d..<(j + 1) * d)).scaled(by: scale)
            }
        )
    }
}
