/// The dequantisation of ggml's blocks, each product and difference rounded once as in ggml's reference code.
///
/// Source: ggml, `ggml-quants.c`, `dequantize_row_*`; equal bit for bit to `gguf.quants`.
enum GGMLBlocks {
    /// The Float32 values, little-endian, of `bytes`, whole blocks of `type`.
    static func dequantized(_ bytes: UnsafeRawBufferPointer, _ type: GGMLType) -> [UInt8] {
        let block = type.block
        let blocks = bytes.count / block.bytes
        return unsafe [UInt8](unsafeUninitializedCapacity: blocks * block.elements * 4) { output, initialized in
            for index in 0..<blocks {
                let input = unsafe BlockInput(
                    bytes: UnsafeRawBufferPointer(rebasing: bytes[index * block.bytes..<(index + 1) * block.bytes]))
                let target = unsafe BlockOutput(
                    bytes: UnsafeMutableRawBufferPointer(
                        start: output.baseAddress! + index * block.elements * 4, count: block.elements * 4))
                decode(type, input, target)
            }
            initialized = blocks * block.elements * 4
        }
    }

    @inline(__always)
    private static func decode(_ type: GGMLType, _ input: BlockInput, _ output: BlockOutput) {
        switch type {
        case .f32: output[0] = Float(bitPattern: input.word(0))
        case .f16: output[0] = input.half(0)
        case .bf16: output[0] = Float(bitPattern: UInt32(input.short(0)) << 16)
        case .q8_0:
            let scale = input.half(0)
            for i in 0..<32 { output[i] = Float(Int8(bitPattern: input[2 + i])) * scale }
        case .q4_0:
            let scale = input.half(0)
            for i in 0..<32 { output[i] = scale * Float(Int(input.nibble(2, i)) - 8) }
        case .q4_1:
            let (scale, minimum) = (input.half(0), input.half(2))
            for i in 0..<32 { output[i] = scale * Float(input.nibble(4, i)) + minimum }
        case .q5_0:
            let scale = input.half(0)
            let high = input.word(2)
            for i in 0..<32 { output[i] = scale * Float(Int(input.nibble(6, i) | UInt8(high >> UInt32(i) & 1) << 4) - 16) }
        case .q5_1:
            let (scale, minimum) = (input.half(0), input.half(2))
            let high = input.word(4)
            for i in 0..<32 { output[i] = scale * Float(input.nibble(8, i) | UInt8(high >> UInt32(i) & 1) << 4) + minimum }
        case .q4_K, .q5_K: decodeWithMinima(type == .q5_K, input, output)
        case .q6_K: decode6(input, output)
        }
    }

    /// Decodes eight groups of 32 with 6-bit scales and minima; q5_K has a separate fifth bit.
    @inline(__always)
    private static func decodeWithMinima(_ hasFifthBit: Bool, _ input: BlockInput, _ output: BlockOutput) {
        let (scale, minimum) = (input.half(0), input.half(2))
        let low = hasFifthBit ? 48 : 16
        for group in 0..<8 {
            let (groupScale, groupMinimum) = scaleAndMinimum(input, group)
            let factor = scale * Float(groupScale)
            let offset = minimum * Float(groupMinimum)
            for i in 0..<32 {
                var value = input[low + group / 2 * 32 + i] >> UInt8(group % 2 * 4) & 15
                if hasFifthBit { value |= (input[16 + i] >> UInt8(group) & 1) << 4 }
                output[group * 32 + i] = factor * Float(value) - offset
            }
        }
    }

    /// The 6-bit scale and minimum of a group, packed with those of the other seven into twelve bytes.
    @inline(__always)
    private static func scaleAndMinimum(_ input: BlockInput, _ group: Int) -> (UInt8, UInt8) {
        if group < 4 { return (input[4 + group] & 63, input[8 + group] & 63) }
        let low = input[8 + group]
        return (low & 15 | (input[group] >> 2) & 0x30, low >> 4 | (input[4 + group] >> 2) & 0x30)
    }

    @inline(__always)
    private static func decode6(_ input: BlockInput, _ output: BlockOutput) {
        let scale = input.half(208)
        for group in 0..<16 {
            let factor = scale * Float(Int8(bitPattern: input[192 + group]))
            for i in group * 16..<group * 16 + 16 {
                let (half, rest) = (i / 128, i % 128)
                let low = input[half * 64 + rest % 64] >> UInt8(rest / 64 * 4) & 15
                let high = input[128 + half * 32 + rest % 32] >> UInt8(rest / 32 * 2) & 3
                output[i] = factor * Float(Int(low | high << 4) - 32)
            }
        }
    }

    /// Quantises `values`, whole blocks of 32, to Q8_0: a half-precision scale, then 32 signed bytes.
    ///
    /// Rounds halves away from zero, as ggml's reference does.
    static func q8_0(_ values: ArraySlice<Float>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(values.count / 32 * 34)
        for start in stride(from: values.startIndex, to: values.endIndex, by: 32) {
            let block = values[start..<start + 32]
            let scale = block.reduce(0) { max($0, abs($1)) } / 127
            let inverse = scale == 0 ? 0 : 1 / scale
            let half = Float16(scale).bitPattern
            bytes += [UInt8(truncatingIfNeeded: half), UInt8(half >> 8)]
            for value in block {
                let rounded = (value * inverse).rounded(.toNearestOrAwayFromZero)
                bytes.append(UInt8(bitPattern: Int8(max(-127, min(127, rounded.isNaN ? 0 : rounded)))))
            }
        }
        return bytes
    }
}

/// The bytes of one block.
@safe private struct BlockInput {
    let bytes: UnsafeRawBufferPointer

    @unsafe @inline(__always) init(bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }
    @inline(__always) subscript(index: Int) -> UInt8 { unsafe bytes[index] }
    @inline(__always) func short(_ at: Int) -> UInt16 {
        unsafe UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self))
    }
    @inline(__always) func word(_ at: Int) -> UInt32 {
        unsafe UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
    }
    @inline(__always) func half(_ at: Int) -> Float { Float(Float16(bitPattern: short(at))) }
    /// Element `index` of 32: the low halves of 16 bytes, then the high ones.
    @inline(__always) func nibble(_ at: Int, _ index: Int) -> UInt8 { self[at + index % 16] >> UInt8(index / 16 * 4) & 15 }
}

/// The values of one block.
@safe private struct BlockOutput {
    let bytes: UnsafeMutableRawBufferPointer

    @unsafe @inline(__always) init(bytes: UnsafeMutableRawBufferPointer) { unsafe self.bytes = bytes }
    @inline(__always) subscript(index: Int) -> Float {
        get { unsafe bytes.load(fromByteOffset: 4 * index, as: Float.self) }
        nonmutating set {
            unsafe bytes.storeBytes(of: newValue.bitPattern.littleEndian, toByteOffset: 4 * index, as: UInt32.self)
        }
    }
}
