import Kernels

extension PackedLinear {
    /// Packs `weights` [outᵢ, in] with concatenated outputs, in their element type where they share one, else as Float32.
    public init(_ weights: [Weight]) {
        let (type, inputs) = (weights.commonElementType, weights[0].shape[1])
        self = unsafe weights.withParts(type, []) { parts in
            unsafe PackedLinear(inputs: inputs, elementType: type, parts: parts)
        }
    }

    /// Packs the weights of a gated layer.
    public init(gate: Weight, up: Weight) {
        let weights = [gate, up]
        let (type, inputs) = (weights.commonElementType, gate.shape[1])
        self = unsafe weights.withParts(type, []) { parts in
            unsafe PackedLinear(inputs: inputs, elementType: type, gate: parts[0], up: parts[1])
        }
    }
}

extension PackedHeads {
    /// One layer a head: `weight` [.., inner] has its rows in `heads` equal groups, and each layer packs the rows `part` of its
    /// group, as [inner → part] or, transposed, as [part → inner].
    public init(_ weight: Weight, heads: Int, part: Range<Int>, isTransposed: Bool) {
        let (group, inner, size) = (weight.shape[0] / heads, weight.shape[1], weight.elementType.byteCount)
        let bytes = unsafe weight.withUnsafeBytes { unsafe [UInt8]($0) }
        self.init(
            (0..<heads).map { head in
                let start = head * group + part.lowerBound
                let own = Array(bytes[start * inner * size..<(start + part.count) * inner * size])
                guard isTransposed else {
                    return PackedLinear([Weight(elementType: weight.elementType, shape: [part.count, inner]) { own }])
                }
                var turned = [UInt8](repeating: 0, count: own.count)
                for row in 0..<part.count {
                    for column in 0..<inner {
                        for byte in 0..<size {
                            turned[(column * part.count + row) * size + byte] = own[(row * inner + column) * size + byte]
                        }
                    }
                }
                let columns = turned
                return PackedLinear([Weight(elementType: weight.elementType, shape: [inner, part.count]) { columns }])
            })
    }
}

extension [Weight] {
    fileprivate var commonElementType: ElementType {
        allSatisfy { $0.elementType == self[0].elementType } ? self[0].elementType : .float32
    }

    /// Calls `body` with all weights' bytes as `type`, their common element type or Float32.
    fileprivate func withParts<Result>(
        _ type: ElementType, _ done: [PackedLinear.Part], _ body: ([PackedLinear.Part]) -> Result
    ) -> Result {
        guard unsafe done.count < count else { return unsafe body(done) }
        let weight = unsafe self[done.count]
        let rows = weight.shape[0]
        if weight.elementType == type {
            return unsafe weight.withUnsafeBytes { bytes in
                unsafe withParts(type, done + [PackedLinear.Part(rows: rows, bytes: bytes)], body)
            }
        }
        return unsafe weight.float32().withUnsafeBytes { bytes in
            unsafe withParts(type, done + [PackedLinear.Part(rows: rows, bytes: bytes)], body)
        }
    }
}

/// Embedding rows, kept in memory in their stored element type.
public struct EmbeddingRows: Sendable {
    private let weight: Weight

    /// The rows of `weight` [vocab, width].
    public init(_ weight: Weight) { self.weight = weight.owned }

    /// The embeddings of `tokens`, widened: [tokens, width].
    public func rows(of tokens: [Int32]) -> Storage {
        let (count, width, type) = (weight.shape[0], weight.shape[1], weight.elementType)
        precondition(tokens.allSatisfy { $0 >= 0 && Int($0) < count }, "embedding: a token is outside 0..<\(count)")
        let rowBytes = width * type.byteCount
        return unsafe weight.withUnsafeBytes { bytes in
            unsafe Storage(
                widening: tokens.map {
                    unsafe UnsafeRawBufferPointer(rebasing: bytes[Int($0) * rowBytes..<(Int($0) + 1) * rowBytes])
                },
                elementType: type)
        }
    }
}
