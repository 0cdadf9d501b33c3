import Kernels
import Models

extension Weight {
    /// Calls `body` with the weight's bytes in element type `target`, in order, in bounded pieces; rounds to nearest, ties to
    /// even.
    func forEachPiece(as target: ElementType, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let pieceElements = 1 << 20
        if target == elementType {
            try unsafe withUnsafeBytes { bytes in
                for start in stride(from: 0, to: bytes.count, by: pieceElements * 4) {
                    let end = min(bytes.count, start + pieceElements * 4)
                    try unsafe body(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
                }
            }
            return
        }
        let values = float32()
        for start in stride(from: 0, to: count, by: pieceElements) {
            let piece = values.array(start..<min(count, start + pieceElements))
            switch target {
            case .float32: try unsafe piece.withUnsafeBytes(body)
            case .float16: try unsafe piece.map { Float16($0).bitPattern.littleEndian }.withUnsafeBytes(body)
            case .bfloat16: try unsafe piece.map { Self.bfloat16(rounding: $0).littleEndian }.withUnsafeBytes(body)
            }
        }
    }

    /// The upper half of the float nearest to `value`; ties go to even, NaN stays NaN.
    static func bfloat16(rounding value: Float) -> UInt16 {
        let bits = value.bitPattern
        if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
        return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ (bits >> 16 & 1)) >> 16)
    }
}

extension [Int] {
    /// The bytes of a tensor of this shape, of `elementBytes` each element; nil on overflow, or if an extent is negative.
    func byteCount(elementBytes: Int) -> Int? {
        var bytes = elementBytes
        for extent in self {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: extent)
            guard extent >= 0, !overflow else { return nil }
            bytes = product
        }
        return bytes
    }
}
