import Kernels

/// A storage type of GGUF tensors; the raw value is its number in the file. Source: ggml, `ggml.h`.
enum GGMLType: UInt32, CaseIterable, Sendable {
    case f32 = 0
    case f16 = 1
    case q4_0 = 2
    case q4_1 = 3
    case q5_0 = 6
    case q5_1 = 7
    case q8_0 = 8
    case q4_K = 12
    case q5_K = 13
    case q6_K = 14
    case bf16 = 30

    init(_ type: ElementType) {
        switch type {
        case .float32: self = .f32
        case .float16: self = .f16
        case .bfloat16: self = .bf16
        }
    }

    /// The element type of an unquantised tensor; nil for quantised blocks.
    var elementType: ElementType? {
        switch self {
        case .f32: .float32
        case .f16: .float16
        case .bf16: .bfloat16
        default: nil
        }
    }

    /// The elements and the bytes of a block.
    var block: (elements: Int, bytes: Int) {
        switch self {
        case .f32: (1, 4)
        case .f16, .bf16: (1, 2)
        case .q4_0: (32, 2 + 16)
        case .q4_1: (32, 4 + 16)
        case .q5_0: (32, 2 + 4 + 16)
        case .q5_1: (32, 4 + 4 + 16)
        case .q8_0: (32, 2 + 32)
        case .q4_K: (256, 4 + 12 + 128)
        case .q5_K: (256, 4 + 12 + 32 + 128)
        case .q6_K: (256, 128 + 64 + 16 + 2)
        }
    }

    /// The types' names, for messages.
    static let names = allCases.map { "\($0)".uppercased() }.joined(separator: ", ")
}
