import Files
import Kernels
import Models

/// A GGUF file of version 2 or 3, mapped into memory and checked. Source: ggml, `docs/gguf.md`.
///
/// Stricter than the format's own readers: a key or tensor given twice, tensors that overlap, and a last one that ends
/// past the file are refused.
/// ```
/// "GGUF" │ version u32 │ tensors u64 │ keys u64 │ key, type, value … │ name, dimensions, type, offset … │ padding │ data
/// ```
struct GGUFFile {
    /// One tensor in the file.
    struct Tensor: Equatable {
        var name: String
        /// The dimensions, outermost first, reversed from the file's order.
        var shape: [Int]
        var type: GGMLType
        /// The byte range in the file.
        var range: Range<Int>
    }

    static let magic = Array("GGUF".utf8)
    private static let keyLimit = 1 << 16
    private static let tensorLimit = 1 << 17
    private static let nameLimit = 1 << 10

    var path: String { file.path }
    /// All keys of the metadata.
    private(set) var metadata: [String: GGUFValue] = [:]
    /// All tensors, in the order listed.
    private(set) var tensors: [Tensor] = []
    private let file: MappedFile
    private var indices: [String: Int] = [:]

    /// Whether `file` starts with GGUF's magic.
    static func isOne(_ file: MappedFile) throws -> Bool {
        guard file.count >= 4 else { return false }
        return try file.bytes(in: 0..<4) == magic
    }

    /// Reads and checks the header of `file`; throws ``ImportError`` or `FileError`.
    init(_ file: MappedFile) throws {
        self.file = file
        let (tensors, dataStart) = try unsafe file.withUnsafeBytes { bytes in
            var reader = unsafe GGUFReader(bytes: bytes, path: file.path)
            let tensors = try readHeader(&reader)
            return (tensors, reader.offset)
        }
        try place(tensors, dataStart: dataStart)
    }

    /// The tensor `name`; nil without one.
    func tensor(_ name: String) -> Tensor? { indices[name].map { tensors[$0] } }

    /// The tensor `name` as a weight, mapped from the file or dequantised to Float32 whenever it is read.
    func weight(_ name: String) -> Weight? {
        guard let tensor = tensor(name) else { return nil }
        if let type = tensor.type.elementType {
            return Weight(elementType: type, shape: tensor.shape, file: file, byteOffset: tensor.range.lowerBound)
        }
        return Weight(elementType: .float32, shape: tensor.shape) { [file] in
            unsafe file.withUnsafeBytes {
                unsafe GGMLBlocks.dequantized(UnsafeRawBufferPointer(rebasing: $0[tensor.range]), tensor.type)
            }
        }
    }

    private func malformed(_ reason: String) -> ImportError { .malformed(path: file.path, format: "GGUF", reason: reason) }

    private mutating func readHeader(_ reader: inout GGUFReader) throws(ImportError) -> [(tensor: Tensor, offset: UInt64)] {
        guard try reader.bytes(4) == Self.magic else { throw malformed("it does not begin with 'GGUF'") }
        let version = try reader.uint32()
        guard version == 2 || version == 3 else {
            let isSwapped = version.byteSwapped == 2 || version.byteSwapped == 3
            throw malformed("its version is \(version), expected 2 or 3\(isSwapped ? "; it is big-endian" : "")")
        }
        let tensorCount = try reader.count(limit: Self.tensorLimit, bytesEach: 24, of: "tensors")
        let keyCount = try reader.count(limit: Self.keyLimit, bytesEach: 13, of: "keys")
        for _ in 0..<keyCount {
            let key = try reader.text(limit: Self.nameLimit, of: "a key")
            guard metadata.updateValue(try reader.value(key), forKey: key) == nil else { throw malformed("'\(key)' twice") }
        }
        var tensors: [(tensor: Tensor, offset: UInt64)] = []
        for _ in 0..<tensorCount { tensors.append(try readTensor(&reader)) }
        return tensors
    }

    private func readTensor(_ reader: inout GGUFReader) throws(ImportError) -> (tensor: Tensor, offset: UInt64) {
        let name = try reader.text(limit: Self.nameLimit, of: "a tensor's name")
        func wrong(_ reason: String) -> ImportError { .tensor(path: file.path, name: name, reason: reason) }
        let rank = try reader.uint32()
        guard (1...4).contains(rank) else { throw wrong("has \(rank) dimensions, expected 1 to 4") }
        var extents: [Int] = []
        var elements = 1
        for _ in 0..<rank {
            let extent = try reader.uint64()
            let (product, overflow) = elements.multipliedReportingOverflow(by: Int(clamping: extent))
            guard extent >= 1, !overflow, product < 1 << 48 else {
                throw wrong("has an extent of \(extent), which no file can hold")
            }
            elements = product
            extents.append(Int(extent))
        }
        let number = try reader.uint32()
        guard let type = GGMLType(rawValue: number) else {
            throw wrong("has elements of type \(number); known are \(GGMLType.names)")
        }
        guard extents[0] % type.block.elements == 0 else {
            throw wrong("has rows of \(extents[0]), no multiple of the \(type.block.elements) elements in a block of its type")
        }
        let bytes = elements / type.block.elements * type.block.bytes
        return (Tensor(name: name, shape: extents.reversed(), type: type, range: 0..<bytes), try reader.uint64())
    }

    /// Checks that the tensors lie in the file, aligned and disjoint, and turns ranges into the file's.
    private mutating func place(_ entries: [(tensor: Tensor, offset: UInt64)], dataStart: Int) throws(ImportError) {
        let key = "general.alignment"
        var alignment = 32
        if let value = metadata[key] {
            guard let found = value.int, (1...1 << 16).contains(found), found & (found - 1) == 0 else {
                throw .wrongValue(path: path, key: key, found: value.text, expected: "a power of two up to 65536")
            }
            alignment = found
        }
        let base = (dataStart + alignment - 1) / alignment * alignment
        for (tensor, offset) in entries {
            func wrong(_ reason: String) -> ImportError { .tensor(path: path, name: tensor.name, reason: reason) }
            guard offset % UInt64(alignment) == 0 else {
                throw wrong("begins at byte \(offset) of the data, no multiple of \(alignment)")
            }
            guard offset <= UInt64(file.count), base + Int(offset) + tensor.range.count <= file.count else {
                throw wrong(
                    "takes \(tensor.range.count) bytes from byte \(offset) of the data, but the file has \(max(file.count - base, 0)); "
                        + "the file is truncated")
            }
            guard indices.updateValue(tensors.count, forKey: tensor.name) == nil else { throw wrong("is there twice") }
            var placed = tensor
            placed.range = base + Int(offset)..<base + Int(offset) + tensor.range.count
            tensors.append(placed)
        }
        let sorted = tensors.sorted { $0.range.lowerBound < $1.range.lowerBound }
        for (one, next) in zip(sorted, sorted.dropFirst()) where next.range.lowerBound < one.range.upperBound {
            throw .tensor(path: path, name: next.name, reason: "overlaps '\(one.name)'")
        }
    }
}
