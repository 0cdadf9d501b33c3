import Foundation
import TestSupport

@testable import Checkpoints

extension CheckpointSeal {
    /// `bytes` of a damaged checkpoint with the seal that belongs to them, as far as they still have a place for one.
    package static func forged(_ bytes: [UInt8]) -> [UInt8] {
        func number(_ offset: Int, _ width: Int) -> Int {
            Int(truncatingIfNeeded: (0..<width).reduce(UInt64(0)) { $0 | UInt64(bytes[offset + $1]) << (8 * $1) })
        }
        guard bytes.count > 1024 else { return bytes }
        let count = min(max(number(20, 4), 0), 1000)
        let block = userBlock(ranges: count)
        guard bytes.count > block else { return bytes }
        var ranges: [Range<Int>] = []
        for index in 0..<count {
            let (offset, length) = (number(104 + 16 * index, 8), number(112 + 16 * index, 8))
            guard offset >= ranges.last?.upperBound ?? block, offset <= bytes.count, length >= 0, length <= bytes.count - offset
            else { continue }
            ranges.append(offset..<offset + length)
        }
        let scratch = ScratchDirectory()
        guard (try? scratch.write(bytes, to: "f")) != nil,
            let seal = try? CheckpointSeal(sealing: scratch["f"], userBlock: userBlock(ranges: ranges.count), weights: ranges)
        else { return bytes }
        return seal.encoded + bytes.dropFirst(seal.userBlock)
    }
}
