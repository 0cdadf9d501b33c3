import Kernels
import Models

/// The conversion of a set of layers to cross-layer attention, sharing the keys and values of the first layer.
///
/// The keys and values of each later layer are first predicted linearly from the first layer's input, over the calibration
/// activations; then, head by head, the layers' versions are merged as ``SVDMethod`` merges the heads of a group: each layer's
/// queries absorb one complex factor per RoPE plane, its output projection one matrix per head. Exact if the versions differ by
/// these alone.
///
/// Under QK-norm keys are merged as in ``AlignedMethod``, in the planes whose rotation commutes with all layers' norms, and
/// each layer's queries absorb the gains of its keys: exact if their ratio to the first layer's is one number per plane.
struct CrossLayerConversion {
    /// The converted layers, with the first one's keys and values.
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
                        // A zero gain of the first layer's keys cannot be compensated.
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
