/// Vectors as they lie in a page: the elements [start, start + width) of a head's key or value, of the tokens that are encoded
/// together.
struct StoredVectors {
    let codec: any KVCodec
    let start: Int, width: Int
    /// The byte offset in the page of the first token's codes, the bytes from a token's to the next one's, and their number.
    let codes: Int, stride: Int, codeBytes: Int
    /// The byte offset in the page of the scales, and their number.
    let scales: Int, scaleBytes: Int

    /// Encodes the elements [start, start + width) of a head's keys or values `elements` [tokens, `pitch`] into `page`.
    func encode(_ elements: UnsafeMutablePointer<Float>, pitch: Int = 0, into page: UnsafeMutablePointer<UInt8>) {
        let tokens = codec.blockTokens
        var record = [UInt8](repeating: 0, count: tokens * codeBytes + scaleBytes)
        var span = record.mutableSpan
        var bytes = unsafe span.mutableBytes
        if tokens == 1 {
            unsafe codec.encode(Span(_unsafeStart: elements + start, count: width), into: &bytes)
        } else {
            var vectors: [Float] = []
            for token in 0..<tokens {
                unsafe vectors += UnsafeBufferPointer(start: elements + token * pitch + start, count: width)
            }
            codec.encode(vectors.span, into: &bytes)
        }
        unsafe record.withUnsafeBufferPointer { record in
            guard let first = record.baseAddress else { return }
            for token in 0..<tokens {
                unsafe (page + codes + token * stride).update(from: first + token * codeBytes, count: codeBytes)
            }
            unsafe (page + scales).update(from: first + tokens * codeBytes, count: scaleBytes)
        }
    }

    /// Decodes `tokens`, numbered among those encoded together, into their elements of `elements` [tokens, `pitch`].
    func decode(
        from page: UnsafeMutablePointer<UInt8>, _ tokens: Range<Int> = 0..<1, into elements: UnsafeMutablePointer<Float>,
        pitch: Int = 0
    ) {
        var record: [UInt8] = []
        record.reserveCapacity(codec.blockTokens * codeBytes + scaleBytes)
        for token in 0..<codec.blockTokens {
            unsafe record += UnsafeBufferPointer(start: page + codes + token * stride, count: codeBytes)
        }
        unsafe record += UnsafeBufferPointer(start: page + scales, count: scaleBytes)
        if codec.blockTokens == 1 {
            var target = unsafe MutableSpan(_unsafeStart: elements + start, count: width)
            unsafe codec.decode(record.span.bytes, into: &target)
            return
        }
        var vectors = [Float](repeating: 0, count: codec.blockTokens * width)
        var target = vectors.mutableSpan
        unsafe codec.decode(record.span.bytes, into: &target)
        for (row, token) in tokens.enumerated() {
            for index in 0..<width { unsafe elements[row * pitch + start + index] = vectors[token * width + index] }
        }
    }
}

extension PagedLayout {
    /// The vectors of a head's key in a slot, with those of the tokens encoded together with it.
    func keyVectors(head: Int, slot: Int) -> [StoredVectors] {
        let first = slot / encoding.keys.blockTokens * encoding.keys.blockTokens
        var (start, codes, scales) = (0, keyOffset(head: head, slot: first), keyScaleOffset(head: head, slot: first))
        return KVEncoding.keyWidths(keyDim: keyDim, valueDim: valueDim, valuesAreKeys: valuesAreKeys).map { width in
            let vectors = StoredVectors(
                codec: encoding.keys, start: start, width: width, codes: codes, stride: keyBytes,
                codeBytes: encoding.keys.codeBytes(dim: width), scales: scales,
                scaleBytes: encoding.keys.scaleBytes(dim: width))
            (start, codes, scales) = (start + width, codes + vectors.codeBytes, scales + vectors.scaleBytes)
            return vectors
        }
    }

    /// The vectors of a head's value in a slot, with those of the tokens encoded together with it; none where a value is the
    /// beginning of its key.
    func valueVectors(head: Int, slot: Int) -> [StoredVectors] {
        guard !valuesAreKeys else { return [] }
        let first = slot / encoding.values.blockTokens * encoding.values.blockTokens
        return [
            StoredVectors(
                codec: encoding.values, start: 0, width: valueDim, codes: valueOffset(head: head, slot: first),
                stride: valueBytes, codeBytes: valueBytes, scales: valueScaleOffset(head: head, slot: first),
                scaleBytes: valueScaleBytes)
        ]
    }

    /// Decodes a head's keys in `slots` of a page into [slots, keyDim].
    func decodeKeys(
        head: Int, _ slots: Range<Int>, from page: UnsafeMutablePointer<UInt8>, into elements: UnsafeMutablePointer<Float>
    ) {
        Self.forBlocks(of: encoding.keys.blockTokens, slots) { slot, tokens in
            for vectors in keyVectors(head: head, slot: slot) {
                unsafe vectors.decode(
                    from: page, tokens, into: elements + (slot - slots.lowerBound) * keyDim, pitch: keyDim)
            }
        }
    }

    /// Decodes a head's values in `slots` of a page, which are not the beginnings of its keys, into [slots, valueDim].
    func decodeValues(
        head: Int, _ slots: Range<Int>, from page: UnsafeMutablePointer<UInt8>, into elements: UnsafeMutablePointer<Float>
    ) {
        Self.forBlocks(of: encoding.values.blockTokens, slots) { slot, tokens in
            for vectors in valueVectors(head: head, slot: slot) {
                unsafe vectors.decode(
                    from: page, tokens, into: elements + (slot - slots.lowerBound) * valueDim, pitch: valueDim)
            }
        }
    }

    /// Calls `body` with the first of `slots` in each block of `size`, and the numbers of its slots among the block's.
    private static func forBlocks(of size: Int, _ slots: Range<Int>, _ body: (_ slot: Int, _ tokens: Range<Int>) -> Void) {
        var slot = slots.lowerBound
        while slot < slots.upperBound {
            let end = min((slot / size + 1) * size, slots.upperBound)
            body(slot, slot % size..<slot % size + end - slot)
            slot = end
        }
    }
}
