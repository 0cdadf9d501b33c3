/// The storage type of one number, named as in safetensors.
public enum ElementType: String, Sendable, Codable {
    /// IEEE 754 binary32, 4 bytes: 8 bits of exponent, 23 of fraction.
    case float32 = "F32"
    /// IEEE 754 binary16, 2 bytes: 5 bits of exponent, 10 of fraction.
    case float16 = "F16"
    /// The upper half of a binary32, 2 bytes: 8 bits of exponent, 7 of fraction.
    case bfloat16 = "BF16"

    /// Every type. Not by `CaseIterable`: for such types a command's help shows the raw value, not the flag.
    public static let allCases: [ElementType] = [.float32, .float16, .bfloat16]

    /// Bytes one element takes.
    public var byteCount: Int { self == .float32 ? 4 : 2 }

    /// The short name used by flags and recipes: fp32, fp16, bf16.
    public var flag: String {
        switch self {
        case .float32: "fp32"
        case .float16: "fp16"
        case .bfloat16: "bf16"
        }
    }

    /// The type of a flag, or nil.
    public init?(flag: String) {
        guard let match = Self.allCases.first(where: { $0.flag == flag }) else { return nil }
        self = match
    }
}
