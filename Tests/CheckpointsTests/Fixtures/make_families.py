"""Writes families/NAME: tiny random models of each family as transformers saves them, and what it computes with them.

NAME/reference.safetensors has the logits of two sequences, the loss of predicting each next token, and the loss's gradients.
"""

import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from transformers import (
    DeepseekV2Config, DeepseekV2ForCausalLM, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
)

COMMON = dict(
    vocab_size=20, hidden_size=16, intermediate_size=12, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, bos_token_id=1, eos_token_id=2, attention_dropout=0.0,
)


def rope(**settings):
    return dict(COMMON, rope_parameters=dict(rope_theta=100.0, **settings))


CASES = {
    "qwen2": (Qwen2Config(**COMMON, tie_word_embeddings=True), Qwen2ForCausalLM),
    "qwen2-window": (
        Qwen2Config(**COMMON, use_sliding_window=True, sliding_window=5, max_window_layers=1, tie_word_embeddings=True), Qwen2ForCausalLM),
    "qwen3": (Qwen3Config(**COMMON, head_dim=6), Qwen3ForCausalLM),
    "qwen3-bias": (Qwen3Config(**COMMON, head_dim=4, attention_bias=True, tie_word_embeddings=True), Qwen3ForCausalLM),
    "mistral": (MistralConfig(**COMMON, sliding_window=4, tie_word_embeddings=True), MistralForCausalLM),
    "llama-bias": (LlamaConfig(**COMMON, attention_bias=True, mlp_bias=True, tie_word_embeddings=True), LlamaForCausalLM),
    "llama-linear": (LlamaConfig(**rope(rope_type="linear", factor=3.0), tie_word_embeddings=True), LlamaForCausalLM),
    "llama-llama3": (
        LlamaConfig(
            **rope(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16),
            head_dim=12, tie_word_embeddings=True), LlamaForCausalLM),
    "llama-yarn": (
        LlamaConfig(
            **rope(rope_type="yarn", factor=4.0, beta_fast=4.0, original_max_position_embeddings=16), head_dim=12,
            tie_word_embeddings=True), LlamaForCausalLM),
}

# GPT-2 has names of its own and no KV heads.
SMALL = dict(vocab_size=20, hidden_size=16, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
             max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
CASES |= {
    "gpt2": (
        GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=4, n_positions=32, bos_token_id=1, eos_token_id=2, resid_pdrop=0.0,
                   embd_pdrop=0.0, attn_pdrop=0.0), GPT2LMHeadModel),
    "gpt2-relu": (
        GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_inner=12, n_positions=64, bos_token_id=1, eos_token_id=2,
                   activation_function="relu", tie_word_embeddings=False, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
        GPT2LMHeadModel),
    "neox": (GPTNeoXConfig(**SMALL, rotary_pct=0.25), GPTNeoXForCausalLM),
    "neox-sequential": (
        GPTNeoXConfig(**SMALL, rotary_pct=1.0, use_parallel_residual=False, hidden_act="gelu_new", rotary_emb_base=100,
                      tie_word_embeddings=True), GPTNeoXForCausalLM),
    "neox-unbiased": (GPTNeoXConfig(**SMALL, rotary_pct=0.5, attention_bias=False), GPTNeoXForCausalLM),
}

# Experts in no layer; the latent's norm has an epsilon of its own.
LATENT = dict(COMMON, num_key_value_heads=4, first_k_dense_replace=2, q_lora_rank=None, kv_lora_rank=8, qk_nope_head_dim=4,
              qk_rope_head_dim=4, v_head_dim=6, rms_norm_eps=1e-5)
CASES |= {
    "deepseek": (DeepseekV2Config(**LATENT), DeepseekV2ForCausalLM),
    "deepseek-linear": (
        DeepseekV2Config(**LATENT, mlp_bias=True, tie_word_embeddings=True,
                         rope_parameters=dict(rope_theta=100.0, rope_type="linear", factor=3.0)), DeepseekV2ForCausalLM),
}

root = pathlib.Path(__file__).parent / "families"
for seed, (name, (config, model_class)) in enumerate(CASES.items()):
    torch.manual_seed(seed)
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4 + (1.0 if parameter.dim() == 1 else 0.0) * 0.8)
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokens = torch.randint(0, config.vocab_size, (2, 24))
    logits = model(tokens).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, config.vocab_size), tokens[:, 1:].reshape(-1))
    loss.backward()
    # GPT-NeoX's head has another name in files than in the module.
    names = {"lm_head.weight": "embed_out.weight"} if isinstance(config, GPTNeoXConfig) else {}
    tensors = {"gradient." + names.get(key, key): value.grad for key, value in model.named_parameters()}
    tensors |= {"logits": logits.detach(), "loss": loss.detach().reshape(1), "tokens": tokens.float()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "reference.safetensors")
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors", "reference.safetensors"):
            file.unlink()
