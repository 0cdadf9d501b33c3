import HDF5
import Kernels

/// The layout of a checkpoint file: the names of its groups, datasets and attributes.
///
/// ```
/// /                        format, format_version, config, token_ids, lineage, content_hash
/// /weights/<Hugging Face name>   contiguous, aligned, own element type; sha256
/// /tokenizer               bytes; kind
/// /training                state (JSON)
/// /training/<group>/<name> float32 in chunks with fletcher32; sha256
/// ```
enum CheckpointLayout {
    static let format = "kvlab checkpoint"
    static let formatVersion = 1
    static let alignment = 64
    /// Elements of a chunk of training state: 1 MiB.
    static let chunk = 1 << 18

    static let weights = "/weights"
    static let tokenizer = "/tokenizer"
    static let training = "/training"

    static func weight(_ name: String) -> String { weights + "/" + name }

    /// Whether `name` can be a link's name.
    static func isValid(_ name: some StringProtocol) -> Bool {
        !name.isEmpty && name != "." && name != ".." && !name.utf8.contains(0) && !name.contains("/") && name.utf8.count <= 1024
    }
}

extension ElementType {
    var hdf5: HDF5Type {
        switch self {
        case .float32: .float32
        case .float16: .float16
        case .bfloat16: .bfloat16
        }
    }

    init?(_ type: HDF5Type) {
        switch type {
        case .float32: self = .float32
        case .float16: self = .float16
        case .bfloat16: self = .bfloat16
        case .uint8: return nil
        }
    }
}
