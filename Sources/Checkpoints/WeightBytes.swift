import Kernels
import Models

extension Weight {
    /// Calls `body` with the weight's bytes in element type `target`, in order, in bounded pieces; rounds to nearest, ties to
    /// even.
    func forEachPiece(as target: ElementType, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let pieceElements = 1 << 20
        if target == elementType {
            try unsafe withUnsafeBytes { bytes in
                var start = 0
                while start < bytes.count {
                    let end = min(bytes.count, start + pieceElements * 4)
                    try unsafe body(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
                    start = end
                }
            }
            return
        }
        let values = float32()
        var start = 0
        while start < count {
            let end = min(count, start + pieceElements)
            let piece = values.array(start..<end)
            switch target {
            case .float32: try unsafe piece.withUnsafeBytes(body)
            case .float16: try unsafe piece.map { Float16($0).bitPattern.littleEndian }.withUnsafeBytes(body)
            case .bfloat16: try unsafe piece.map { Self.bfloat16(rounding: $0).littleEndian }.withUnsafeBytes(body)
            }
            start = end
        }
    }

    /// The upper half of the float nearest to `value`; ties go to even, NaN stays NaN.
    static func bfloat16(rounding value: Float) -> UInt16 {
        let bits = value.bitPattern
        if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
        return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ (bits >> 16 & 1)) >> 16)
    }
}
