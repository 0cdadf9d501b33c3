import Kernels
import Models

/// Where a family's files keep kvlab's weights: under which names, several in one tensor, or transposed.
enum HuggingFaceLayout {
    /// Names are kvlab's own.
    case llama
    /// Names are kvlab's own, rotated elements are neighbours.
    case latent
    /// Names behind `prefix`; matrices are [in, out] and queries, keys and values one.
    case gpt2(prefix: String)
    /// Queries, keys and values are one, head by head.
    case neox

    init(_ family: HuggingFaceFamily, has: (String) throws -> Bool) rethrows {
        switch family {
        case .gpt2: self = .gpt2(prefix: try has("transformer.wte.weight") ? "transformer." : "")
        case .neox: self = .neox
        case .deepseek: self = .latent
        case .llama, .mistral, .qwen2, .qwen3: self = .llama
        }
    }

    /// Where the weight called `name`, of shape `shape`, is.
    func place(_ name: String, shape: [Int], _ config: ModelConfig) -> StoredWeight {
        switch self {
        case .llama: return StoredWeight(name: name, shape: shape)
        case .latent: return Self.latentPlace(name, shape: shape, config)
        case .gpt2(let prefix):
            if name == "lm_head.weight" { return StoredWeight(name: name, shape: shape) }
            let stored = Self.renamed(name, Self.gpt2Names, layers: "h")
            let isMatrix = shape.count == 2 && name.hasPrefix("model.layers.")
            var place = StoredWeight(name: prefix + stored, shape: shape)
            if let part = Self.part(of: name) {
                place.rows = [part * shape[0]..<(part + 1) * shape[0]]
                place.shape[0] = 3 * shape[0]
            }
            if isMatrix {
                place.isTransposed = true
                place.shape.reverse()
            }
            return place
        case .neox:
            if name == "lm_head.weight" { return StoredWeight(name: "embed_out.weight", shape: shape) }
            var place = StoredWeight(name: "gpt_neox." + Self.renamed(name, Self.neoxNames, layers: "layers"), shape: shape)
            if let part = Self.part(of: name) {
                let d = config.headDim[0]
                place.rows = (0..<shape[0] / d).map { (3 * $0 + part) * d..<(3 * $0 + part + 1) * d }
                place.shape[0] = 3 * shape[0]
            }
            return place
        }
    }

    /// Whether `name` is of a tensor that older files keep and that follows from the configuration: masks, RoPE's frequencies.
    func isBuffer(_ name: String) -> Bool {
        if name.hasSuffix(".rotary_emb.inv_freq") { return true }
        switch self {
        case .llama, .latent: return false
        case .gpt2: return name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias")
        case .neox: return name.hasSuffix(".attention.bias") || name.hasSuffix(".attention.masked_bias")
        }
    }

    /// Which third of the joint projection a weight is.
    private static func part(of name: String) -> Int? {
        ["q_proj", "k_proj", "v_proj"].firstIndex { name.contains(".self_attn.\($0).") }
    }

    private static let gpt2Names = [
        "model.embed_tokens": "wte", "model.embed_positions": "wpe", "model.norm": "ln_f", "input_layernorm": "ln_1",
        "post_attention_layernorm": "ln_2", "self_attn.q_proj": "attn.c_attn", "self_attn.k_proj": "attn.c_attn",
        "self_attn.v_proj": "attn.c_attn", "self_attn.o_proj": "attn.c_proj", "mlp.up_proj": "mlp.c_fc",
        "mlp.down_proj": "mlp.c_proj",
    ]
    private static let neoxNames = [
        "model.embed_tokens": "embed_in", "model.norm": "final_layer_norm", "self_attn.q_proj": "attention.query_key_value",
        "self_attn.k_proj": "attention.query_key_value", "self_attn.v_proj": "attention.query_key_value",
        "self_attn.o_proj": "attention.dense", "mlp.up_proj": "mlp.dense_h_to_4h", "mlp.down_proj": "mlp.dense_4h_to_h",
    ]

    /// `name` with the part between its layer and its last component looked up in `names`.
    private static func renamed(_ name: String, _ names: [String: String], layers: String) -> String {
        var stem = Substring(name)
        var layer = ""
        if name.hasPrefix("model.layers.") {
            let rest = name.dropFirst("model.layers.".count)
            let number = rest.prefix { $0 != "." }
            layer = "\(layers).\(number)."
            stem = rest.dropFirst(number.count + 1)
        }
        guard let dot = stem.lastIndex(of: ".") else { return name }
        let middle = String(stem[..<dot])
        return layer + (names[middle] ?? middle) + stem[dot...]
    }
}

/// A weight's place in a file.
struct StoredWeight {
    /// The tensor's name.
    var name: String
    /// The tensor's shape as stored.
    var shape: [Int]
    /// Whether it is [in, out].
    var isTransposed = false
    /// Which of its outputs are the weight's, in order; nil for all.
    var rows: [Range<Int>]?

    /// The weight, read out of `stored` whenever it is needed.
    func taken(from stored: Weight) -> Weight {
        guard isTransposed || rows != nil else { return stored }
        let (inputs, outputs) = extents
        let rows = rows ?? [0..<outputs]
        let count = rows.reduce(0) { $0 + $1.count }
        let (size, isTransposed) = (stored.elementType.byteCount, isTransposed)
        let shape = shape.count == 1 ? [count] : [count, inputs]
        return Weight(elementType: stored.elementType, shape: shape) {
            unsafe stored.withUnsafeBytes { from in
                unsafe [UInt8](unsafeUninitializedCapacity: count * inputs * size) { to, initialized in
                    guard let base = from.baseAddress, let into = UnsafeMutableRawPointer(to.baseAddress) else { return }
                    var row = 0
                    for source in rows.joined() {
                        unsafe Self.copy(
                            base, source, outputs: outputs, isTransposed, to: into + row * inputs * size, inputs, size)
                        row += 1
                    }
                    initialized = count * inputs * size
                }
            }
        }
    }

    /// Puts the bytes of `weight` where they belong in those of the whole tensor.
    func put(_ weight: Weight, into bytes: inout [UInt8]) {
        let (inputs, outputs) = extents
        let size = weight.elementType.byteCount
        let rows = rows ?? [0..<outputs]
        unsafe weight.withUnsafeBytes { from in
            unsafe bytes.withUnsafeMutableBytes { to in
                for (index, row) in rows.joined().enumerated() {
                    for input in 0..<inputs {
                        let source = (index * inputs + input) * size
                        let target = (isTransposed ? input * outputs + row : row * inputs + input) * size
                        for byte in 0..<size { unsafe to[target + byte] = from[source + byte] }
                    }
                }
            }
        }
    }

    private var extents: (inputs: Int, outputs: Int) {
        guard shape.count == 2 else { return (1, shape[0]) }
        return isTransposed ? (shape[0], shape[1]) : (shape[1], shape[0])
    }

    /// One output's row.
    private static func copy(
        _ base: UnsafeRawPointer, _ row: Int, outputs: Int, _ isTransposed: Bool, to: UnsafeMutableRawPointer, _ inputs: Int,
        _ size: Int
    ) {
        guard isTransposed else { return unsafe to.copyMemory(from: base + row * inputs * size, byteCount: inputs * size) }
        for input in 0..<inputs {
            unsafe (to + input * size).copyMemory(from: base + (input * outputs + row) * size, byteCount: size)
        }
    }
}

extension HuggingFaceLayout {
    /// The tensors of a file that holds `parameters`, in their order.
    func tensors(_ config: ModelConfig, _ parameters: Parameters) -> [(String, Weight)] {
        var order: [String] = []
        var parts: [String: [(StoredWeight, Weight)]] = [:]
        for name in parameters.names {
            guard let weight = parameters[name] else { continue }
            let place = place(name, shape: weight.shape, config)
            if parts[place.name] == nil { order.append(place.name) }
            parts[place.name, default: []].append((place, weight))
        }
        return order.compactMap { name in parts[name].map { (name, Self.joined($0)) } }
    }

    private static func joined(_ parts: [(StoredWeight, Weight)]) -> Weight {
        let (place, first) = parts[0]
        guard place.isTransposed || place.rows != nil else { return first }
        // Parts converted and parts kept may differ in element type.
        let isUniform = parts.allSatisfy { $0.1.elementType == first.elementType }
        return Weight(elementType: isUniform ? first.elementType : .float32, shape: place.shape) {
            let type = isUniform ? first.elementType : ElementType.float32
            var bytes = [UInt8](repeating: 0, count: place.shape.reduce(type.byteCount, *))
            for (place, weight) in parts {
                place.put(isUniform ? weight : Weight(shape: weight.shape, storage: weight.float32()), into: &bytes)
            }
            return bytes
        }
    }
}
