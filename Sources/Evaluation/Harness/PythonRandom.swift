import Glibc

/// Python's `random.Random`: the Mersenne Twister MT19937 (Matsumoto & Nishimura 1998), with CPython's seeding and sampling.
struct PythonRandom {
    private var state: [UInt32]
    private var index = 624

    /// The generator of `random.Random(seed)`.
    init(seed: UInt32) {
        // init_by_array([seed]) of the reference implementation.
        var state: [UInt32] = [19_650_218]
        for index in 1..<624 {
            let last = state[index - 1]
            state.append(1_812_433_253 &* (last ^ (last >> 30)) &+ UInt32(index))
        }
        var place = 1
        func step() {
            place += 1
            if place >= 624 {
                state[0] = state[623]
                place = 1
            }
        }
        for _ in 0..<624 {
            let last = state[place - 1]
            state[place] = (state[place] ^ ((last ^ (last >> 30)) &* 1_664_525)) &+ seed
            step()
        }
        for _ in 0..<623 {
            let last = state[place - 1]
            state[place] = (state[place] ^ ((last ^ (last >> 30)) &* 1_566_083_941)) &- UInt32(place)
            step()
        }
        state[0] = 0x8000_0000
        self.state = state
    }

    /// The next 32 bits.
    private mutating func next() -> UInt32 {
        if index == 624 {
            for place in 0..<624 {
                let bits = (state[place] & 0x8000_0000) | (state[(place + 1) % 624] & 0x7FFF_FFFF)
                state[place] = state[(place + 397) % 624] ^ (bits >> 1) ^ (bits & 1 == 0 ? 0 : 0x9908_B0DF)
            }
            index = 0
        }
        var bits = state[index]
        index += 1
        bits ^= bits >> 11
        bits ^= (bits << 7) & 0x9D2C_5680
        bits ^= (bits << 15) & 0xEFC6_0000
        return bits ^ (bits >> 18)
    }

    /// A number from 0 to `bound` − 1 (`_randbelow_with_getrandbits`).
    private mutating func below(_ bound: Int) -> Int {
        let width = Int.bitWidth - bound.leadingZeroBitCount
        while true {
            let drawn = Int(next() >> UInt32(32 - width))
            if drawn < bound { return drawn }
        }
    }

    /// `sample(range(count), k)`: `k` different numbers below `count`, which is at least `k` and less than 2³¹.
    mutating func sample(_ count: Int, _ k: Int) -> [Int] {
        precondition((0...count).contains(k) && count < 1 << 31, "PythonRandom.sample: \(k) of \(count)")
        // A set takes more memory than a list of as many: the list is used up to a size that CPython estimates.
        let setSize = 21 + (k > 5 ? Int(pow(4, ceil(log(Double(k * 3)) / log(4.0)))) : 0)
        if count <= setSize {
            var pool = Array(0..<count)
            return (0..<k).map { drawn in
                let place = below(count - drawn)
                defer { pool[place] = pool[count - drawn - 1] }
                return pool[place]
            }
        }
        var seen: Set<Int> = []
        return (0..<k).map { _ in
            var drawn = below(count)
            while !seen.insert(drawn).inserted { drawn = below(count) }
            return drawn
        }
    }
}
