import Glibc

/// A small deterministic random number generator: SplitMix64 (Steele, Lea and Flood 2014).
///
/// Its whole state is one number, so that a checkpoint can hold it and a resumed run draws what the uninterrupted one
/// would have drawn.
public struct SeededGenerator: RandomNumberGenerator, Codable, Sendable, Hashable {
    /// The state: save it, restore it.
    public var state: UInt64

    /// A generator for `seed` and any number of stream keys; different keys give unrelated streams.
    public init(seed: UInt64, stream: UInt64...) {
        state = seed
        for key in stream { state = next() ^ (key &* 0xD6E8_FEB8_6659_FD93) }
    }

    /// A generator for `seed` and the stream called `name` (FNV-1a of its UTF-8).
    public init(seed: UInt64, name: String) {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0100_0000_01b3 }
        self.init(seed: seed, stream: hash)
    }

    /// The next 64 random bits; the state moves on by 2⁶⁴/φ, so that it comes back only after 2⁶⁴ draws.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Uniform in [0, 1), 53 random bits.
    public mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// `count` draws from the normal distribution (Box and Muller 1958, in Float64).
    public mutating func normals(_ count: Int, deviation: Double = 1) -> [Float] {
        var values: [Float] = []
        values.reserveCapacity(count + 1)
        while values.count < count {
            let radius = (-2 * log(1 - uniform())).squareRoot() * deviation
            let angle = 2 * Double.pi * uniform()
            values.append(Float(radius * cos(angle)))
            values.append(Float(radius * sin(angle)))
        }
        return Array(values.prefix(count))
    }
}
