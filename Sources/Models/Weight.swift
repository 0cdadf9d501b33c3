import Files
import Kernels

/// One named tensor of a model in its own element type, owned or memory-mapped.
public struct Weight: Sendable {
    /// How the elements are stored.
    public let elementType: ElementType
    /// Dimensions, outermost first.
    public let shape: [Int]

    private enum Backing: Sendable {
        case storage(Storage)
        case file(MappedFile, byteOffset: Int)
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

    /// Number of elements.
    public var count: Int { shape.reduce(1, *) }

    /// Bytes in the weight's own element type.
    public var byteCount: Int { count * elementType.byteCount }

    /// The values as Float32: in place where they are stored so, else widened (exactly) into fresh storage.
    public func float32() -> Storage {
        switch backing {
        case .storage(let storage):
            return storage
        case .file(let file, let offset):
            if elementType == .float32, offset % 4 == 0 { return Storage(mapping: file, byteOffset: offset, count: count) }
            return Storage(widening: file, byteOffset: offset, elementType: elementType, count: count)
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
        }
    }
}
