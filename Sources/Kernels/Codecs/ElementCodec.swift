import CKernels

/// The codec of an element type: stores each element by itself, rounded to nearest.
struct ElementCodec: KVCodec {
    let type: ElementType

    var name: String { type.flag }
    var kernel: Int32? { type.kernel }

    func bytes(dim: Int) -> Int { dim * type.byteCount }

    func encode(_ vector: Span<Float>, into bytes: inout MutableRawSpan) {
        for index in vector.indices {
            let offset = index * type.byteCount
            switch type {
            case .float32: bytes.storeBytes(of: vector[index].bitPattern, toByteOffset: offset, as: UInt32.self)
            case .float16: bytes.storeBytes(of: Float16(vector[index]).bitPattern, toByteOffset: offset, as: UInt16.self)
            case .bfloat16: bytes.storeBytes(of: Self.bfloat16(vector[index]), toByteOffset: offset, as: UInt16.self)
            }
        }
    }

    func decode(_ bytes: RawSpan, into vector: inout MutableSpan<Float>) {
        for index in vector.indices {
            let offset = index * type.byteCount
            switch type {
            case .float32:
                vector[index] = unsafe Float(bitPattern: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
            case .float16:
                vector[index] = unsafe Float(
                    Float16(bitPattern: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self)))
            case .bfloat16:
                vector[index] = Float(
                    bitPattern: UInt32(unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self)) << 16)
            }
        }
    }

    /// The upper half of a number, rounded to nearest, ties to even.
    private static func bfloat16(_ value: Float) -> UInt16 {
        guard !value.isNaN else { return UInt16(value.bitPattern >> 16) | 0x40 }
        return UInt16(truncatingIfNeeded: (value.bitPattern &+ 0x7FFF &+ (value.bitPattern >> 16 & 1)) >> 16)
    }
}

extension ElementType {
    /// The type's number in the kernels' tables.
    var kernel: Int32 {
        switch self {
        case .float32: Int32(KK_ELEMENT_FP32.rawValue)
        case .bfloat16: Int32(KK_ELEMENT_BF16.rawValue)
        case .float16: Int32(KK_ELEMENT_FP16.rawValue)
        }
    }
}
