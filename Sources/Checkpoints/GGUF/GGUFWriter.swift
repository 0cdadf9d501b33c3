import Files
import Kernels
import Models

/// A key of the metadata to write, with its value.
typealias GGUFKey = (name: String, value: GGUFKeyValue)

/// A value of the metadata to write.
enum GGUFKeyValue {
    case uint32(Int)
    case float(Double)
    case bool(Bool)
    case string(String)
    case strings([[UInt8]])
    case floats([Float])
    case int32s([Int32])
    case uint32s([Int])
}

/// A writer of GGUF files of version 3, tensors aligned to 32 bytes.
struct GGUFWriter {
    private static let alignment = 32
    private var keys: [UInt8] = []
    private var keyCount = 0
    private var tensors: [(name: String, weight: Weight, type: GGMLType)] = []

    mutating func add(_ key: GGUFKey) {
        Self.append(key.name, &keys)
        func kind(_ kind: GGUFValue.Kind) { Self.append(kind.rawValue, &keys) }
        func list(_ element: GGUFValue.Kind, _ count: Int) {
            kind(.array)
            kind(element)
            Self.append(UInt64(count), &keys)
        }
        switch key.value {
        case .uint32(let value):
            kind(.uint32)
            Self.append(UInt32(truncatingIfNeeded: value), &keys)
        case .float(let value):
            kind(.float32)
            Self.append(Float(value).bitPattern, &keys)
        case .bool(let value):
            kind(.bool)
            keys.append(value ? 1 : 0)
        case .string(let text):
            kind(.string)
            Self.append(text, &keys)
        case .strings(let texts):
            list(.string, texts.count)
            for text in texts { Self.append(text, &keys) }
        case .floats(let values):
            list(.float32, values.count)
            for value in values { Self.append(value.bitPattern, &keys) }
        case .int32s(let values):
            list(.int32, values.count)
            for value in values { Self.append(value, &keys) }
        case .uint32s(let values):
            list(.uint32, values.count)
            for value in values { Self.append(UInt32(truncatingIfNeeded: value), &keys) }
        }
        keyCount += 1
    }

    /// Adds a tensor. Precondition: `type` is unquantised, or Q8_0 with whole blocks in each row.
    mutating func add(_ name: String, _ weight: Weight, as type: GGMLType) { tensors.append((name, weight, type)) }

    /// Writes the file, atomically.
    func write(to path: String) throws {
        var header = GGUFFile.magic
        Self.append(UInt32(3), &header)
        Self.append(UInt64(tensors.count), &header)
        Self.append(UInt64(keyCount), &header)
        header += keys
        var offset = 0
        var offsets: [Int] = []
        for (name, weight, type) in tensors {
            Self.append(name, &header)
            Self.append(UInt32(weight.shape.count), &header)
            for extent in weight.shape.reversed() { Self.append(UInt64(extent), &header) }
            Self.append(type.rawValue, &header)
            Self.append(UInt64(offset), &header)
            offsets.append(offset)
            offset = Self.aligned(offset + weight.count / type.block.elements * type.block.bytes)
        }
        let start = Self.aligned(header.count)
        var file = try AtomicFile(path: path)
        try file.reserve(start + offset)
        try file.append(header)
        for ((_, weight, type), offset) in zip(tensors, offsets) {
            var position = start + offset
            if let element = type.elementType {
                try unsafe weight.forEachPiece(as: element) { piece in
                    try unsafe file.write(piece, at: position)
                    position += piece.count
                }
            } else {
                let values = weight.float32()
                let step = 1 << 20
                for first in stride(from: 0, to: weight.count, by: step) {
                    let bytes = GGMLBlocks.q8_0(values.array(first..<min(weight.count, first + step))[...])
                    try file.write(bytes, at: position)
                    position += bytes.count
                }
            }
        }
        try file.truncate(to: start + offset)
        try file.commit()
    }

    private static func aligned(_ offset: Int) -> Int { (offset + alignment - 1) / alignment * alignment }

    private static func append(_ value: some FixedWidthInteger, _ bytes: inout [UInt8]) {
        bytes += value.littleEndianBytes
    }

    private static func append(_ text: some Collection<UInt8>, _ bytes: inout [UInt8]) {
        append(UInt64(text.count), &bytes)
        bytes += text
    }

    private static func append(_ text: String, _ bytes: inout [UInt8]) { append(Array(text.utf8), &bytes) }
}
