import Kernels
import Models

/// Layers that come to share the keys and values of the first of them.
///
/// What each later layer would have as keys and values is first predicted, linearly, from what the first layer reads, over the
/// calibration activations; then, head by head, all the layers' versions are merged as ``SVDMethod`` merges heads of a group: one
/// complex factor a RoPE plane goes into each layer's queries, one matrix a head into its output projection. Exact where the
/// versions differ by no more than these.
///
/// Under QK-norm keys are merged as ``AlignedMethod`` merges them, in planes that all layers' norms let turn, and the gains of
/// each layer's keys go into its queries' gains: exact where the ratio to the first layer's is one number a plane.
struct CrossLayerConversion {
    /// The layers as they come to be: keys and values are the first one's.
    func convert(
        _ layers: [AttentionWeights], moment: DenseMatrix, crossMoments: [DenseMatrix], seed: UInt64
    ) throws -> [AttentionWeights] {
        let first = layers[0]
        let (count, d, each) = (layers.count, first.headDim, first.queriesPerHead)
        let inverse = try moment.ridgeInverse()
        let predicted = zip(layers, crossMoments).enumerated().map { index, pair -> (key: DenseMatrix, value: DenseMatrix) in
            guard index > 0 else { return (pair.0.key, pair.0.value) }
            let regression = pair.1 * inverse
            return (pair.0.key * regression, pair.0.value * regression)
        }
        // One layer whose KV head g·count + l is head g of layer l, with that layer's queries.
        var joint = first
        (joint.heads, joint.kvHeads) = (count * first.heads, count * first.kvHeads)
        joint.query = DenseMatrix(rows: joint.heads * d, columns: first.query.columns)
        joint.output = DenseMatrix(rows: first.output.rows, columns: joint.heads * d)
        joint.key = DenseMatrix(rows: joint.kvHeads * d, columns: first.key.columns)
        joint.value = joint.key
        joint.turnable = first.turnable.map { planes in
            planes.indices.map { plane in layers.allSatisfy { $0.turnable?[plane] ?? true } }
        }
        func place(_ head: Int, _ layer: Int) -> Int { head * count + layer }
        for (index, layer) in layers.enumerated() {
            for head in 0..<first.kvHeads {
                joint.key.replace(place(head, index) * d, 0, with: predicted[index].key.rows(layer.range(of: head)))
                joint.value.replace(place(head, index) * d, 0, with: predicted[index].value.rows(layer.range(of: head)))
                let rows = head * each * d..<(head + 1) * each * d
                joint.query.replace(place(head, index) * each * d, 0, with: layer.query.rows(rows))
                joint.output.replace(0, place(head, index) * each * d, with: layer.output.columns(rows))
            }
        }
        let merged = try SVDMethod().convert(
            joint, to: first.kvHeads, LayerContext(layer: 0, moment: moment, seed: seed)
        ).child
        return layers.enumerated().map { index, layer in
            var child = layer
            (child.key, child.value) = (merged.key, merged.value)
            if layer.gains.count == 2 {
                child.gains = [
                    zip(layer.gains[0], zip(layer.gains[1], first.gains[1])).map { query, keys in
                        // Where the first layer's keys have nothing, queries have nothing to make up for.
                        keys.1 == 0 ? query : query * keys.0 / keys.1
                    }, first.gains[1],
                ]
            }
            for head in 0..<first.kvHeads {
                let from = place(head, index) * each * d..<(place(head, index) + 1) * each * d
                child.query.replace(head * each * d, 0, with: merged.query.rows(from))
                child.output.replace(0, head * each * d, with: merged.output.columns(from))
            }
            return child
        }
    }
}
