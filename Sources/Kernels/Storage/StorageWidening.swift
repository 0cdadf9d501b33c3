extension Storage {
    /// Concatenates runs of 16- or 32-bit floats, of any alignment, and widens them exactly.
    public convenience init(widening runs: [UnsafeRawBufferPointer], elementType: ElementType) {
        unsafe self.init(count: runs.reduce(0) { $0 + $1.count } / elementType.byteCount)
        var to = unsafe pointer
        for index in unsafe runs.indices {
            let run = unsafe runs[index]
            guard let from = run.baseAddress else { continue }
            let count = run.count / elementType.byteCount
            switch elementType {
            case .float32: unsafe UnsafeMutableRawPointer(to).copyMemory(from: from, byteCount: 4 * count)
            case .bfloat16:
                for i in 0..<count {
                    let bits = unsafe UInt16(littleEndian: from.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
                    unsafe to[i] = Float(bitPattern: UInt32(bits) << 16)
                }
            case .float16:
                for i in 0..<count {
                    let bits = unsafe UInt16(littleEndian: from.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
                    unsafe to[i] = Float(Float16(bitPattern: bits))
                }
            }
            unsafe to += count
        }
    }
}
