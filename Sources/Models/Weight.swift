import Files
import Kernels

/// One tensor of a model in its own element type: owned, memory-mapped, or computed anew at each reading.
public struct Weight: Sendable {
    /// The element type.
    public let elementType: ElementType
    /// Dimensions, outermost first.
    public let shape: [Int]

    private enum Backing: Sendable {
        case storage(Storage)
        case file(MappedFile, byteOffset: Int)
        case computed(@Sendable () -> [UInt8])
    }

    private let backing: Backing

    /// An owned Float32 weight; the storage holds exactly the shape's elements.
    public init(shape: [Int], storage: Storage) {
        precondition(storage.count == shape.reduce(1, *), "Weight: \(storage.count) elements for shape \(shape)")
        elementType = .float32
        self.shape = shape
        backing = .storage(storage)
    }

    /// A weight read in place from a mapped file; the caller has checked that it lies inside the file.
    public init(elementType: ElementType, shape: [Int], file: MappedFile, byteOffset: Int) {
        precondition(
            byteOffset >= 0 && byteOffset + shape.reduce(1, *) * elementType.byteCount <= file.count,
            "Weight: \(shape) at \(byteOffset) outside \(file.path)")
        self.elementType = elementType
        self.shape = shape
        backing = .file(file, byteOffset: byteOffset)
    }

    /// A weight whose little-endian bytes `compute` returns at each reading, such as one stored in another order or in quantised
    /// blocks: nothing is kept between readings.
    public init(elementType: ElementType, shape: [Int], computing compute: @escaping @Sendable () -> [UInt8]) {
        self.elementType = elementType
        self.shape = shape
        backing = .computed(compute)
    }

    /// This weight with computed bytes evaluated once and kept, for repeated reading.
    public var evaluated: Weight {
        guard case .computed(let compute) = backing else { return self }
        let bytes = compute()
        return Weight(elementType: elementType, shape: shape) { bytes }
    }

    /// This weight with its bytes copied into memory of the process, so that no change of a file reaches them.
    public var owned: Weight {
        switch backing {
        case .storage: return self
        case .file(let file, _) where file.isCopy: return self
        case .file, .computed:
            let bytes = unsafe withUnsafeBytes { unsafe [UInt8]($0) }
            return Weight(elementType: elementType, shape: shape) { bytes }
        }
    }

    /// Number of elements.
    public var count: Int { shape.reduce(1, *) }

    /// Bytes in the weight's own element type.
    public var byteCount: Int { count * elementType.byteCount }

    /// Bytes of memory that the weight's values take: its storage's, or its part of a mapped file as far as it has been read; 0 where
    /// they are computed.
    public var residentBytes: Int {
        if case .computed = backing { 0 } else { byteCount }
    }

    /// The values as Float32: in place where they are Float32, else widened (exactly) into fresh storage.
    public func float32() -> Storage {
        switch backing {
        case .storage(let storage): storage
        case .file(let file, let offset) where elementType == .float32 && offset % 4 == 0:
            Storage(mapping: file, byteOffset: offset, count: count)
        case .file, .computed:
            unsafe withUnsafeBytes { unsafe Storage(widening: [$0], elementType: elementType) }
        }
    }

    /// The stored little-endian bytes.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        switch backing {
        case .storage(let storage):
            return try unsafe storage.withUnsafeBytes(body)
        case .file(let file, let offset):
            return try unsafe file.withUnsafeBytes { bytes in
                try unsafe body(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + byteCount]))
            }
        case .computed(let compute):
            let bytes = compute()
            precondition(bytes.count == byteCount, "Weight: \(bytes.count) computed bytes for shape \(shape)")
            return try unsafe bytes.withUnsafeBytes(body)
        }
    }
}
