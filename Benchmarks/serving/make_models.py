"""Writes Hugging Face folders of random weights: model S2 (dim 512, 8 layers, 8 heads, ffn 1376, vocabulary 8192, untied)
with 8, 2 and 1 KV heads, in fp32 and bf16. Usage: make_models.py FOLDER [--gguf]

With --gguf the same weights are also written as GGUF files for llama.cpp (rows of q and k permuted to its order).
"""
import json
import os
import sys

import numpy as np
import torch
from safetensors.torch import save_file

DIM, LAYERS, HEADS, FFN, VOCAB, CONTEXT = 512, 8, 8, 1376, 8192, 4096
HEAD = DIM // HEADS


def weights(kv_heads):
    generator = torch.Generator().manual_seed(1)
    result = {}

    def normal(name, rows, columns):
        result[name] = torch.randn(rows, columns, generator=generator) * 0.02

    normal("model.embed_tokens.weight", VOCAB, DIM)
    for layer in range(LAYERS):
        p = f"model.layers.{layer}."
        normal(p + "self_attn.q_proj.weight", DIM, DIM)
        normal(p + "self_attn.k_proj.weight", kv_heads * HEAD, DIM)
        normal(p + "self_attn.v_proj.weight", kv_heads * HEAD, DIM)
        normal(p + "self_attn.o_proj.weight", DIM, DIM)
        normal(p + "mlp.gate_proj.weight", FFN, DIM)
        normal(p + "mlp.up_proj.weight", FFN, DIM)
        normal(p + "mlp.down_proj.weight", DIM, FFN)
        result[p + "input_layernorm.weight"] = torch.ones(DIM)
        result[p + "post_attention_layernorm.weight"] = torch.ones(DIM)
    result["model.norm.weight"] = torch.ones(DIM)
    normal("lm_head.weight", VOCAB, DIM)
    return result


def write(folder, kv_heads, dtype, gguf):
    name = f"s2-kv{kv_heads}-{'bf16' if dtype == torch.bfloat16 else 'fp32'}"
    path = os.path.join(folder, name)
    os.makedirs(path, exist_ok=True)
    tensors = {k: v.to(dtype).contiguous() for k, v in weights(kv_heads).items()}
    save_file(tensors, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": DIM, "intermediate_size": FFN,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": kv_heads, "head_dim": HEAD,
        "vocab_size": VOCAB, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "hidden_act": "silu", "torch_dtype": str(dtype).split(".")[1],
        "bos_token_id": 1, "eos_token_id": 2,
    }
    with open(os.path.join(path, "config.json"), "w") as file:
        json.dump(config, file, indent=2)
    if gguf:
        write_gguf(os.path.join(folder, name + ".gguf"), tensors, kv_heads, dtype)


def write_gguf(path, tensors, kv_heads, dtype):
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(DIM)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HEAD)
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("llama")
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + [f"t{i}" for i in range(VOCAB - 259)]
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * VOCAB)
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (VOCAB - 259))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = {
        "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight",
    }
    parts = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    for name, tensor in tensors.items():
        target = names.get(name)
        if target is None:
            layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
            target = f"blk.{layer}.{parts[part]}.weight"
            if part.endswith(("q_proj", "k_proj")):
                heads = tensor.shape[0] // HEAD
                tensor = tensor.reshape(heads, 2, HEAD // 2, DIM).swapaxes(1, 2).reshape(-1, DIM)
        if tensor.ndim == 1 or dtype == torch.float32:
            writer.add_tensor(target, tensor.float().numpy())
        else:
            raw = tensor.contiguous().view(torch.int16).numpy().view(np.uint8).reshape(tensor.shape[0], -1)
            writer.add_tensor(target, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    for kv_heads in (8, 2, 1):
        for dtype in (torch.float32, torch.bfloat16):
            write(sys.argv[1], kv_heads, dtype, "--gguf" in sys.argv)
