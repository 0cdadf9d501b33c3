extension FixedWidthInteger {
    /// The bytes in little-endian order.
    @inlinable public var littleEndianBytes: [UInt8] {
        (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> (8 * $0)) }
    }

    /// The integer of `bytes` in little-endian order; absent ones are 0.
    @inlinable public init(littleEndianBytes bytes: some Sequence<UInt8>) {
        self = bytes.reversed().reduce(0) { $0 << 8 | Self(truncatingIfNeeded: $1) }
    }
}
