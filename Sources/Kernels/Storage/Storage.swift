import Files

/// The storage of tensors: Float32 values on the heap or in a mapped file.
///
/// Fresh storage comes from ``StoragePool``, aligned to 64 bytes and recycled by size; its contents are undefined until a kernel
/// writes them. Only this module accesses the memory: everything else goes through kernels, ``init(copying:)`` and ``array()``.
/// By convention a storage is written only by the op that creates it, before it is shared.
@safe public final class Storage: @unchecked Sendable {
    // Sendable: memory is written only before the storage is shared (the rule above), and freed once, in deinit.

    /// Number of Float32 elements.
    public let count: Int
    let pointer: UnsafeMutablePointer<Float>
    private let owner: Owner

    private enum Owner {
        case pool(StoragePool.Block)
        case file(MappedFile)
    }

    /// `count` elements of undefined contents.
    public init(count: Int) {
        precondition(count >= 0, "Storage: count \(count) is negative")
        let block = StoragePool.shared.take(count: count)
        self.count = count
        unsafe pointer = block.pointer
        owner = .pool(block)
    }

    /// A copy of `values`.
    public convenience init(copying values: [Float]) {
        self.init(count: values.count)
        unsafe values.withUnsafeBufferPointer { source in
            if let base = source.baseAddress { unsafe pointer.update(from: base, count: source.count) }
        }
    }

    /// `count` values equal to `value`.
    public convenience init(repeating value: Float, count: Int) {
        self.init(count: count)
        unsafe pointer.update(repeating: value, count: count)
    }

    /// `count` little-endian Float32 values at `byteOffset` of a mapped file, read in place and never written.
    ///
    /// The caller has checked that the range lies inside the file; the offset must be a multiple of four.
    public init(mapping file: MappedFile, byteOffset: Int, count: Int) {
        precondition(
            byteOffset >= 0 && byteOffset % 4 == 0 && byteOffset + 4 * count <= file.count, "Storage: range outside \(file.path)")
        self.count = count
        owner = .file(file)
        unsafe pointer = file.withUnsafeBytes { bytes in
            guard count > 0, let base = bytes.baseAddress else { return unsafe StoragePool.empty.pointer }
            return unsafe UnsafeMutablePointer(mutating: (base + byteOffset).assumingMemoryBound(to: Float.self))
        }
    }

    deinit {
        if case .pool(let block) = owner { StoragePool.shared.give(block) }
    }

    /// A copy of the values.
    public func array() -> [Float] { array(0..<count) }

    /// A copy of the values of `range`.
    public func array(_ range: Range<Int>) -> [Float] {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "Storage: \(range) outside 0..<\(count)")
        return unsafe [Float](UnsafeBufferPointer(start: pointer + range.lowerBound, count: range.count))
    }

    /// One value.
    public subscript(index: Int) -> Float {
        precondition(index >= 0 && index < count, "Storage: index \(index) outside 0..<\(count)")
        return unsafe pointer[index]
    }
}

extension Storage {
    /// The Float32 bytes, for writing to a file.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        defer { extendLifetime(self) }
        return try unsafe body(UnsafeRawBufferPointer(start: pointer, count: 4 * count))
    }
}
