import Kernels

/// The grouping of a layer's KV heads. The model allows any partition into equal groups, since queries and output columns move
/// with their KV head.
public enum HeadGrouping: String, Sendable, CaseIterable {
    /// Neighbours in the checkpoint's order.
    case contiguous
    /// Heads whose aligned weights are similar.
    case similarity
    /// Heads that are similar, once aligned, over calibration activations.
    case activation

    /// The order of KV heads in which every `size` neighbours form a group.
    func order(_ layer: AttentionWeights, groupSize size: Int, _ context: LayerContext) throws -> [Int] {
        let heads = Array(0..<layer.kvHeads)
        guard self != .contiguous, size > 1, size < layer.kvHeads else { return heads }
        var context = context
        if self == .similarity { context.moment = nil }
        let likeness = try Self.likeness(layer, context)
        // Groups are grown one head at a time around the most similar pair, then improved by exchanging heads.
        var free = heads
        var groups: [[Int]] = []
        while !free.isEmpty {
            var group: [Int] = []
            while group.count < size {
                let next = free.max { a, b in
                    func gain(_ head: Int) -> Double {
                        group.isEmpty
                            ? free.reduce(-.infinity) { $1 == head ? $0 : max($0, likeness[head, $1]) }
                            : group.reduce(0) { $0 + likeness[head, $1] }
                    }
                    return gain(a) < gain(b)
                }
                guard let next else { break }
                group.append(next)
                free.removeAll { $0 == next }
            }
            groups.append(group)
        }
        Self.exchange(&groups, likeness)
        return groups.map { $0.sorted() }.sorted { $0[0] < $1[0] }.flatMap { $0 }
    }

    private static func exchange(_ groups: inout [[Int]], _ likeness: DenseMatrix) {
        func pull(_ head: Int, _ group: [Int], without other: Int) -> Double {
            group.reduce(0) { $0 + ($1 == other || $1 == head ? 0 : likeness[head, $1]) }
        }
        var improved = true
        while improved {
            improved = false
            for a in groups.indices {
                for b in groups.indices where b > a {
                    for i in groups[a].indices {
                        for j in groups[b].indices {
                            let (x, y) = (groups[a][i], groups[b][j])
                            let now = pull(x, groups[a], without: x) + pull(y, groups[b], without: y)
                            let then = pull(x, groups[b], without: y) + pull(y, groups[a], without: x)
                            if then > now + 1e-12 {
                                groups[a][i] = y
                                groups[b][j] = x
                                improved = true
                            }
                        }
                    }
                }
            }
        }
    }

    /// The similarity of each pair of heads after the best alignment, keys and values averaged; 1 on the diagonal.
    static func likeness(_ layer: AttentionWeights, _ context: LayerContext) throws -> DenseMatrix {
        let (keys, values) = try alignedCosines(layer, context)
        return (keys + values).scaled(by: 0.5)
    }

    /// The cosine of each pair of key heads after the best rotation of each RoPE plane and the best orthogonal map of the other
    /// rows, and of each pair of value heads after the best orthogonal map; 1 on the diagonal.
    static func alignedCosines(
        _ layer: AttentionWeights, _ context: LayerContext
    ) throws -> (keys: DenseMatrix, values: DenseMatrix) {
        let (count, d) = (layer.kvHeads, layer.headDim)
        let (keys, values) = (context.gram(layer.key), context.gram(layer.value))
        func norm(_ gram: DenseMatrix, _ head: Int) -> Double {
            layer.range(of: head).reduce(0) { $0 + gram[$1, $1] }.squareRoot()
        }
        var result = (keys: DenseMatrix(identity: count), values: DenseMatrix(identity: count))
        for i in 0..<count {
            for j in 0..<i {
                var turned = 0.0
                for plane in 0..<layer.rotaryDim / 2 {
                    let (ri, rj) = (i * d + plane, j * d + plane)
                    let (ii, ij) = (ri + layer.rotaryDim / 2, rj + layer.rotaryDim / 2)
                    let re = keys[ri, rj] + keys[ii, ij]
                    let im = keys[ii, rj] - keys[ri, ij]
                    turned += (re * re + im * im).squareRoot()
                }
                if !layer.plainRows.isEmpty {
                    func rows(_ head: Int) -> Range<Int> { head * d + layer.rotaryDim..<(head + 1) * d }
                    turned += try keys.rows(rows(i)).columns(rows(j)).svd().values.reduce(0, +)
                }
                let block = values.rows(layer.range(of: i)).columns(layer.range(of: j))
                let rotated = try block.svd().values.reduce(0, +)
                let (k, v) = (norm(keys, i) * norm(keys, j), norm(values, i) * norm(values, j))
                result.keys[i, j] = k > 0 ? turned / k : 0
                result.values[i, j] = v > 0 ? rotated / v : 0
                result.keys[j, i] = result.keys[i, j]
                result.values[j, i] = result.values[i, j]
            }
        }
        return result
    }
}

extension AttentionWeights {
    /// The layer with its KV heads, their queries and their output columns reordered, which leaves the logits unchanged.
    func reordered(_ order: [Int]) -> AttentionWeights {
        guard order != Array(0..<kvHeads) else { return self }
        var result = self
        for (new, old) in order.enumerated() {
            result.key.replace(new * headDim, 0, with: key.rows(range(of: old)))
            result.value.replace(new * headDim, 0, with: value.rows(range(of: old)))
            for (to, from) in zip(queryHeads(of: new), queryHeads(of: old)) {
                result.query.replace(to * headDim, 0, with: query.rows(range(of: from)))
                result.output.replace(0, to * headDim, with: output.columns(range(of: from)))
            }
        }
        return result
    }
}
