import Checkpoints
import Kernels
import Models
import Testing

@Suite struct HuggingFaceConfigTests {
    /// A Llama configuration with `changes` made to its text.
    private func config(_ extra: String = "") throws -> HuggingFaceConfig {
        let json = """
            {"model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2,
             "num_attention_heads": 4, "rms_norm_eps": 1e-05\(extra.isEmpty ? "" : ", " + extra)}
            """
        return try HuggingFaceConfig(Array(json.utf8))
    }

    @Test func `absent keys mean what transformers takes them for`() throws {
        let model = try config().modelConfig()
        #expect(model.kvHeads == .all(4))
        #expect(model.headDim == .all(4))
        #expect(model.ropeTheta == 10_000)
        #expect(!model.tiedEmbeddings)
        #expect(try config(#""num_key_value_heads": null, "head_dim": null"#).modelConfig() == model)
    }

    @Test func `both ways to write RoPE are read`() throws {
        let new = try config(
            #""rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}, "dtype": "bfloat16", "head_dim": 8"#)
        let old = try config(#""rope_theta": 500000, "rope_scaling": null, "torch_dtype": "bfloat16", "head_dim": 8"#)
        #expect(try new.modelConfig() == old.modelConfig())
        #expect(try new.modelConfig().ropeTheta == 500_000)
        #expect(try new.modelConfig().headDim == .all(8))
    }

    @Test(arguments: [
        (#""hidden_act": "gelu"#, ""),
        (#""hidden_act": "gelu""#, "hidden_act"), (#""sliding_window": 4096"#, "sliding_window"),
        (#""rope_scaling": {"type": "longrope", "factor": 2.0}"#, "rope_scaling.type"),
        (#""rope_parameters": {"rope_type": "yarn", "factor": 2, "short_factor": [1]}"#, "rope_parameters.short_factor"),
        (#""rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}"#, "rope_parameters.partial_rotary_factor"),
        (#""quantization_config": {"bits": 4}"#, "quantization_config"), (#""pretraining_tp": 2"#, "pretraining_tp"),
        (#""layer_types": ["full_attention", "sliding_attention"]"#, "layer_types"),
        (#""architectures": ["LlamaForSequenceClassification"]"#, "architectures"),
        (#""num_local_experts": 8"#, "num_local_experts"), (#""is_causal": false"#, "is_causal"),
    ])
    func `a key that changes the mathematics is refused by name`(extra: String, key: String) throws {
        let error = #expect(throws: ImportError.self) { try config(extra).modelConfig() }
        if case .unsupported(_, let found, _, _) = error { #expect(found == key) } else { #expect(key.isEmpty) }
    }

    private func family(_ name: String, _ extra: String) throws -> ModelConfig {
        let json = """
            {"model_type": "\(name)", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2\(extra)}
            """
        return try HuggingFaceConfig(Array(json.utf8)).modelConfig()
    }

    @Test func `RoPE is what transformers takes: rope_scaling before rope_parameters, a base inside either before one outside`()
        throws
    {
        let linear = #"{"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}"#
        let scaled = try config(#""rope_scaling": \#(linear)"#).modelConfig()
        #expect(scaled.ropeTheta == 500 && scaled.ropeScaling == RopeScaling(kind: .linear, factor: 2))
        #expect(try config(#""rope_scaling": \#(linear), "rope_parameters": \#(linear)"#).modelConfig() == scaled)
        #expect(try config(#""rope_scaling": {}, "rope_parameters": \#(linear)"#).modelConfig() == scaled)
        for contrary in [
            #""rope_scaling": \#(linear), "rope_parameters": {"rope_type": "linear", "factor": 4.0}"#,
            #""rope_scaling": \#(linear), "rope_theta": 10000"#,
        ] { #expect(throws: ImportError.self) { try config(contrary).modelConfig() } }
    }

    private func neox(_ extra: String) throws -> ModelConfig {
        let json = """
            {"model_type": "gpt_neox", "vocab_size": 32, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2,
             "num_attention_heads": 4\(extra)}
            """
        return try HuggingFaceConfig(Array(json.utf8)).modelConfig()
    }

    @Test func `GPT-NeoX's positions go by its own keys, and others' are refused where they say otherwise`() throws {
        let own = try neox(#", "rotary_pct": 0.5, "rotary_emb_base": 500"#)
        #expect(own.rotaryWidth == 4 && own.ropeTheta == 500)
        #expect(try neox(#", "rope_parameters": {"rope_theta": 500, "partial_rotary_factor": 0.5}"#) == own)
        #expect(try neox(#", "rotary_pct": 0.5, "rotary_emb_base": 500, "rope_theta": 500"#) == own)
        #expect(throws: ImportError.self) { try neox(#", "rope_theta": 500"#) }
        #expect(throws: ImportError.self) { try neox(#", "partial_rotary_factor": 0.5"#) }
    }

    @Test func `Mistral's layers see all where they say so`() throws {
        let windowed = try family("mistral", #", "sliding_window": 8"#)
        #expect(windowed.slidingWindow == .all(8))
        let full = #", "sliding_window": 8, "layer_types": ["full_attention", "full_attention"]"#
        #expect(try family("mistral", full).slidingWindow == nil)
        let sliding = #", "sliding_window": 8, "layer_types": ["sliding_attention", "sliding_attention"]"#
        #expect(try family("mistral", sliding) == windowed)
    }

    @Test func `other families are refused by name`() throws {
        for name in ["gpt2", "gpt_neox", "gemma", "qwen2_moe"] { #expect(throws: ImportError.self) { try family(name, "") } }
        for (name, extra) in [("mistral", #", "attention_bias": true"#), ("qwen2", #", "mlp_bias": true"#)] {
            #expect(throws: ImportError.self) { try family(name, extra) }
        }
    }

    @Test func `each family has its own defaults and parts`() throws {
        #expect(try family("mistral", #", "sliding_window": null"#).slidingWindow == nil)
        #expect(try family("mistral", "").slidingWindow == .all(4096))
        #expect(try family("mistral", #", "sliding_window": 9"#).slidingWindow == .all(9))
        let qwen2 = try family("qwen2", #", "use_sliding_window": false, "sliding_window": 9"#)
        #expect(qwen2.hasQueryKeyValueBias == true && qwen2.hasOutputBias == nil && qwen2.slidingWindow == nil)
        let windowed = try family("qwen2", #", "use_sliding_window": true, "sliding_window": 9, "max_window_layers": 1"#)
        #expect(windowed.slidingWindow == .each([0, 9]))
        let qwen3 = try family("qwen3", "")
        #expect(qwen3.hasQueryKeyNorm == true && qwen3.headDim == .all(128) && qwen3.hasQueryKeyValueBias == nil)
        let types = #", "use_sliding_window": true, "sliding_window": 9, "layer_types": ["sliding_attention", "full_attention"]"#
        #expect(try family("qwen3", types).slidingWindow == .each([9, 0]))
    }

    @Test func `dynamic RoPE is plain up to the original length`() throws {
        let text =
            #""max_position_embeddings": 128, "rope_scaling": {"type": "dynamic", "factor": 4, "original_max_position_embeddings": 32}"#
        let model = try config(text).modelConfig()
        #expect(model.maxSequence == 32 && model.ropeScaling == nil)
    }

    @Test func `scaled RoPE without its settings is refused`() throws {
        for text in [
            #"{"rope_type": "linear"}"#, #"{"rope_type": "linear", "factor": 0}"#, #"{"rope_type": "llama3", "factor": 2}"#,
            #"{"rope_type": "yarn", "factor": "2"}"#, #"{"rope_type": "yarn", "factor": 2, "beta_fast": -1}"#,
        ] { #expect(throws: ImportError.self, "\(text)") { try config(#""rope_scaling": "# + text).modelConfig() } }
    }

    @Test func `impossible and hostile values are errors`() throws {
        for extra in [
            #""num_key_value_heads": 3"#, #""num_key_value_heads": 0"#, #""num_key_value_heads": -4"#,
            #""num_key_value_heads": "4""#,
            #""head_dim": 3"#, #""head_dim": 1e300"#, #""vocab_size": 5"#, #""max_position_embeddings": 9223372036854775807"#,
            #""rope_theta": 0"#, #""rope_theta": 1e999"#, #""tie_word_embeddings": "yes""#, #""rope_scaling": 3"#,
        ] {
            #expect(throws: ImportError.self, "\(extra)") { try config(extra).modelConfig() }
        }
        for text in [
            "", "{", "[]", "{}", "null", #"{"model_type": 3}"#, String(repeating: "[", count: 100_000), "{\"a\": \u{1}}",
        ] {
            #expect(throws: ImportError.self) { try HuggingFaceConfig(Array(text.utf8)) }
        }
    }

    /// From the models' own configuration files; expected bytes worked out in `design/exactness.md`'s formulas.
    static let geometries: [(name: String, json: String, bytesPerToken: Int)] = [
        ("LLaMA-2-7B", #"{"model_type":"llama","hidden_size":4096,"num_attention_heads":32,"num_hidden_layers":32}"#, 524_288),
        (
            "LLaMA-2-70B",
            #"{"model_type":"llama","hidden_size":8192,"num_attention_heads":64,"num_hidden_layers":80,"num_key_value_heads":8}"#,
            320 * 1024
        ),
        (
            "Llama-3-8B",
            #"{"model_type":"llama","hidden_size":4096,"num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":8}"#,
            128 * 1024
        ),
        (
            "DeepSeek-V2",
            #"{"model_type":"deepseek_v2","hidden_size":5120,"num_attention_heads":128,"num_key_value_heads":128,"num_hidden_layers":60,"kv_lora_rank":512,"qk_rope_head_dim":64}"#,
            60 * 576 * 2
        ),
        ("GPT-2", #"{"model_type":"gpt2","n_embd":768,"n_head":12,"n_layer":12}"#, 2 * 12 * 768 * 2),
        (
            "Qwen2-0.5B",
            #"{"model_type":"qwen2","hidden_size":896,"num_attention_heads":14,"num_hidden_layers":24,"num_key_value_heads":2,"sliding_window":32768,"use_sliding_window":false,"max_window_layers":24}"#,
            2 * 24 * 2 * 64 * 2
        ),
        (
            "Qwen3-0.6B",
            #"{"model_type":"qwen3","hidden_size":1024,"num_attention_heads":16,"num_hidden_layers":28,"num_key_value_heads":8,"head_dim":128}"#,
            2 * 28 * 8 * 128 * 2
        ),
        (
            "Falcon-7B",
            #"{"model_type":"falcon","hidden_size":4544,"num_attention_heads":71,"num_hidden_layers":32,"multi_query":true}"#,
            2 * 32 * 64 * 2
        ),
        (
            "per layer",
            #"{"model_type":"x","hidden_size":64,"num_attention_heads":4,"num_hidden_layers":2,"num_key_value_heads":[4,1]}"#,
            2 * 5 * 16 * 2
        ),
    ]

    @Test(arguments: geometries)
    func `cache bytes of known models are exact`(name: String, json: String, bytesPerToken: Int) throws {
        let estimate = try HuggingFaceConfig(Array(json.utf8)).kvGeometry(.float16)
        #expect(estimate.bytesPerToken == bytesPerToken)
        #expect(estimate.bytes(context: 4096, batch: 3) == 3 * 4096 * bytesPerToken)
        #expect(estimate.bytes(context: .max, batch: 2) == nil)
    }

    @Test func `a window bounds what its layers hold`() throws {
        let json =
            #"{"model_type":"mistral","hidden_size":64,"num_attention_heads":4,"num_hidden_layers":2,"num_key_value_heads":2,"sliding_window":10}"#
        let all = try HuggingFaceConfig(Array(json.utf8)).kvGeometry(.float16)
        #expect(all.bytes(context: 100, batch: 1) == 2 * 10 * 2 * 32 * 2)
        let half = try HuggingFaceConfig(
            Array(json.replacing("mistral", with: "gemma2").replacing("{", with: #"{"head_dim":16,"#).utf8)
        )
        .kvGeometry(.float16)
        // Gemma 2: every second layer sees everything.
        #expect(half.bytes(context: 100, batch: 1) == (10 + 100) * 2 * 32 * 2)
    }
}
