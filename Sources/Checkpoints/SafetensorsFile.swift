import Files
import JSON
import Kernels
import Models

/// A safetensors file, mapped into memory and checked.
///
/// Stricter than the format's own reader: a key given twice, bytes before the header's brace, tensors that overlap or
/// leave gaps, and bytes after the last are refused. Any alignment of the data is accepted.
/// ```
/// N: u64 little-endian │ header: N bytes of JSON, padded with spaces │ data
/// ```
public struct SafetensorsFile: Sendable {
    /// One tensor of the file.
    public struct Tensor: Sendable, Hashable {
        /// The tensor's name.
        public var name: String
        /// The element type as spelled in the file, such as `F32` or `I64`.
        public var type: String
        /// The dimensions, outermost first.
        public var shape: [Int]
        /// The byte range in the file.
        public var range: Range<Int>
    }

    /// The largest header the format allows.
    static let headerLimit = 100_000_000
    private static let tensorLimit = 100_000
    private static let metadataLimit = 100_000
    private static let rankLimit = 16

    /// Bytes of each element type; sub-byte types are left out on purpose.
    private static let byteCounts: [String: Int] = [
        "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4,
        "F32": 4, "F64": 8, "I64": 8, "U64": 8,
    ]

    /// The file's path.
    public var path: String { file.path }
    /// The writer's metadata, free text.
    public private(set) var metadata: [String: String] = [:]
    /// The tensors, in the order of their bytes.
    public private(set) var tensors: [Tensor] = []
    private let file: MappedFile
    private var indices: [String: Int] = [:]

    /// Maps and checks the file at `path`; throws ``ImportError`` or `FileError`.
    public init(path: String) throws {
        file = try MappedFile(path: path)
        func malformed(_ reason: String) -> ImportError { .malformed(path: path, format: "safetensors", reason: reason) }
        guard file.count >= 8 else { throw malformed("\(file.count) bytes are too few for a header's length") }
        let length = UInt64(littleEndianBytes: try file.bytes(in: 0..<8))
        guard length <= UInt64(Self.headerLimit) else {
            throw malformed("the header's length is \(length), above the limit of \(Self.headerLimit)")
        }
        let dataStart = 8 + Int(length)
        guard dataStart <= file.count else {
            throw malformed("the header's length is \(length), but only \(file.count - 8) bytes follow; the file is truncated")
        }
        let header = try file.bytes(in: 8..<dataStart)
        guard header.first == UInt8(ascii: "{") else { throw malformed("the header does not begin with '{'") }
        do throws(JSONError) { try parse(header) } catch { throw malformed("the header is not valid: \(error)") }
        try place(from: dataStart)
    }

    /// The tensor `name`; nil without one.
    public func tensor(_ name: String) -> Tensor? { indices[name].map { tensors[$0] } }

    /// The tensor `name` as a weight, mapped from the file; nil without one.
    ///
    /// Throws if its element type is not a weight's.
    public func weight(_ name: String) throws(ImportError) -> Weight? {
        guard let tensor = tensor(name) else { return nil }
        guard let type = ElementType(rawValue: tensor.type) else {
            throw .tensor(path: path, name: name, reason: "has elements of type \(tensor.type); expected F32, F16 or BF16")
        }
        return Weight(elementType: type, shape: tensor.shape, file: file, byteOffset: tensor.range.lowerBound)
    }

    private mutating func parse(_ header: [UInt8]) throws(JSONError) {
        var scanner = JSONScanner(header)
        var found: [Tensor] = []
        var names: Set<String> = []
        var metadata: [String: String] = [:]
        try scanner.object { scanner, key throws(JSONError) in
            guard names.insert(key).inserted else { throw scanner.error("'\(key)' twice") }
            if key == "__metadata__" {
                try scanner.object { scanner, key throws(JSONError) in
                    guard metadata.count < Self.metadataLimit else { throw scanner.error("too much metadata") }
                    guard metadata.updateValue(try scanner.string(), forKey: key) == nil else {
                        throw scanner.error("'\(key)' twice")
                    }
                }
            } else {
                guard found.count < Self.tensorLimit else { throw scanner.error("more than \(Self.tensorLimit) tensors") }
                found.append(try Self.tensor(key, &scanner))
            }
        }
        try scanner.end()
        self.metadata = metadata
        // Empty tensors before the one that begins where they lie.
        tensors = found.sorted {
            ($0.range.lowerBound, $0.range.upperBound, $0.name) < ($1.range.lowerBound, $1.range.upperBound, $1.name)
        }
    }

    /// One tensor's entry, its range relative to the data.
    private static func tensor(_ name: String, _ scanner: inout JSONScanner) throws(JSONError) -> Tensor {
        var type: String?
        var shape: [Int]?
        var offsets: [Int]?
        try scanner.object { scanner, key throws(JSONError) in
            var numbers: [Int] = []
            func list(_ scanner: inout JSONScanner) throws(JSONError) -> [Int] {
                try scanner.array { scanner throws(JSONError) in
                    guard numbers.count < rankLimit else { throw scanner.error("'\(key)' has more than \(rankLimit) numbers") }
                    numbers.append(try scanner.count())
                }
                return numbers
            }
            switch key {
            case "dtype" where type == nil: type = try scanner.string()
            case "shape" where shape == nil: shape = try list(&scanner)
            case "data_offsets" where offsets == nil: offsets = try list(&scanner)
            default: throw scanner.error("'\(name)' has '\(key)' twice or should not have it")
            }
        }
        guard let type, let shape, let offsets, offsets.count == 2 else {
            throw scanner.error("'\(name)' needs dtype, shape and two data_offsets")
        }
        guard offsets[0] <= offsets[1] else { throw scanner.error("'\(name)' ends before it begins") }
        return Tensor(name: name, type: type, shape: shape, range: offsets[0]..<offsets[1])
    }

    /// Checks the tensors' sizes and that they fill the data exactly, and turns ranges into the file's.
    private mutating func place(from dataStart: Int) throws(ImportError) {
        var end = 0
        let dataCount = file.count - dataStart
        for index in tensors.indices {
            let tensor = tensors[index]
            func wrong(_ reason: String) -> ImportError { .tensor(path: path, name: tensor.name, reason: reason) }
            guard let elementBytes = Self.byteCounts[tensor.type] else {
                throw wrong("has elements of an unknown type '\(tensor.type)'")
            }
            guard let bytes = tensor.shape.byteCount(elementBytes: elementBytes) else {
                throw wrong("is \(tensor.shape), too large for any file")
            }
            guard tensor.range.count == bytes else {
                throw wrong("takes \(tensor.range.count) bytes, but \(tensor.shape) of \(tensor.type) are \(bytes)")
            }
            guard tensor.range.lowerBound == end else {
                throw wrong("begins at byte \(tensor.range.lowerBound) of the data, but the one before it ends at \(end)")
            }
            end = tensor.range.upperBound
            guard end <= dataCount else {
                throw wrong("ends at byte \(end) of the data, but the file has \(dataCount); the file is truncated")
            }
            tensors[index].range = dataStart + tensor.range.lowerBound..<dataStart + end
            indices[tensor.name] = index
        }
        guard end == dataCount else {
            throw .malformed(path: path, format: "safetensors", reason: "\(dataCount - end) bytes follow the last tensor")
        }
    }
}
