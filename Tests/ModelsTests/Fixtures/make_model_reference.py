#!/usr/bin/env python3
"""Makes the fixtures beside it: tiny Llama models with their loss, logits and gradients by PyTorch.

    python3 make_model_reference.py        (made with torch 2.13.0+cpu, transformers 5.23)

Each safetensors file holds weight.NAME, gradient.NAME and logits in Float32; its metadata the configuration
(Hugging Face's config.json), the token ids and targets [batch, seq], keyStarts (the first position each position may attend
to) and the loss. Products are computed in Float64; norms, softmax and rotary angles in Float32, as transformers does always.
The latent model is transformers' DeepseekV2 with dense layers, its rotated rows put from interleaved into half-split order; for
layers that share keys and values, windows and sinks there is no such model, so a plain one is written out here in Float64.
"""

import json
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, LlamaConfig, LlamaForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = {
    # Head dim × heads ≠ hidden size, GQA, an output projection of its own.
    "gqa_untied": dict(vocab_size=37, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=6,
                       num_key_value_heads=2, head_dim=8, tie_word_embeddings=False, rms_norm_eps=1e-5, rope_theta=10000.0),
    # MQA, tied, another RoPE base, documents that do not see each other.
    "mqa_tied_packed": dict(vocab_size=41, hidden_size=21, intermediate_size=28, num_hidden_layers=2, num_attention_heads=3,
                            num_key_value_heads=1, head_dim=10, tie_word_embeddings=True, rms_norm_eps=1e-6, rope_theta=500.0),
}


def make(name, settings, seed):
    torch.manual_seed(seed)
    theta = settings["rope_theta"]
    keywords = {key: value for key, value in settings.items() if key != "rope_theta"}
    config = LlamaConfig(**keywords, rope_parameters={"rope_type": "default", "rope_theta": theta}, max_position_embeddings=32,
                         attention_bias=False, mlp_bias=False)
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 if parameter.dim() > 1 else 1 + 0.2 * torch.randn_like(parameter))
    model = model.double()
    batch, seq = 2, 13
    tokens = torch.randint(0, config.vocab_size, (batch, seq))
    targets = torch.randint(0, config.vocab_size, (batch, seq))
    targets[0, 3] = targets[0, 12] = targets[1, 0] = -100
    starts = torch.zeros(batch, seq, dtype=torch.long)
    if name.endswith("packed"):
        starts[0, 5:], starts[1, 2:], starts[1, 9:] = 5, 2, 9
    position = torch.arange(seq)
    seen = (position[None, None, :] <= position[None, :, None]) & (position[None, None, :] >= starts[:, :, None])
    mask = torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, torch.finfo(torch.float64).min)[:, None]
    logits = model(input_ids=tokens, attention_mask=mask).logits
    loss = F.cross_entropy(logits.view(-1, config.vocab_size), targets.view(-1), ignore_index=-100)
    loss.backward()
    tensors = {"logits": logits.detach().float().contiguous()}
    for parameter_name, parameter in model.named_parameters():
        tensors["weight." + parameter_name] = parameter.detach().float().contiguous()
        tensors["gradient." + parameter_name] = parameter.grad.float().contiguous()
    figures = dict(config=dict(settings, max_position_embeddings=32), tokens=tokens.flatten().tolist(), batch=batch, seq=seq,
                   targets=targets.flatten().tolist(), keyStarts=starts.flatten().tolist(), loss=loss.item())
    save_file(tensors, os.path.join(HERE, name + ".safetensors"), metadata={"reference": json.dumps(figures)})
    print(name, loss.item(), sum(p.numel() for p in model.parameters()))




def inputs(name, vocabulary, seed):
    """Tokens, targets and, for each position, the first one it may attend to, as above."""
    torch.manual_seed(seed)
    batch, seq = 2, 13
    tokens, targets = torch.randint(0, vocabulary, (batch, seq)), torch.randint(0, vocabulary, (batch, seq))
    targets[0, 3] = targets[0, 12] = targets[1, 0] = -100
    starts = torch.zeros(batch, seq, dtype=torch.long)
    if name.endswith("packed"):
        starts[0, 5:], starts[1, 2:], starts[1, 9:] = 5, 2, 9
    return tokens, targets, starts


def save(name, config, tokens, targets, starts, logits, loss, weights, gradients):
    tensors = {"logits": logits.detach().float().reshape(-1, logits.shape[-1]).contiguous()}
    for key in weights:
        tensors["weight." + key] = weights[key].detach().float().contiguous()
        tensors["gradient." + key] = gradients[key].float().contiguous()
    figures = dict(config=config, tokens=tokens.flatten().tolist(), batch=tokens.shape[0], seq=tokens.shape[1],
                   targets=targets.flatten().tolist(), keyStarts=starts.flatten().tolist(), loss=loss.item())
    save_file(tensors, os.path.join(HERE, name + ".safetensors"), metadata={"reference": json.dumps(figures)})
    print(name, loss.item(), sum(w.numel() for w in weights.values()))


def make_latent(name, seed):
    shape = dict(kv_lora_rank=10, qk_rope_head_dim=4, v_head_dim=6)
    sizes = dict(vocab_size=37, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
                 num_key_value_heads=3, rms_norm_eps=1e-6)
    heads, plain = sizes["num_attention_heads"], 8
    config = DeepseekV2Config(**sizes, **shape, qk_nope_head_dim=plain, q_lora_rank=None, first_k_dense_replace=2,
                              tie_word_embeddings=False, max_position_embeddings=32, attention_bias=False, mlp_bias=False,
                              rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = DeepseekV2ForCausalLM(config)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 if parameter.dim() > 1 else 1 + 0.2 * torch.randn_like(parameter))
    model = model.double()
    tokens, targets, starts = inputs(name, config.vocab_size, seed)
    logits = model(input_ids=tokens).logits
    loss = F.cross_entropy(logits.view(-1, config.vocab_size), targets.view(-1), ignore_index=-100)
    loss.backward()
    rope = shape["qk_rope_head_dim"]
    order = torch.cat([torch.arange(0, rope, 2), torch.arange(1, rope, 2)])

    def half_split(key, tensor):
        if key.endswith("q_proj.weight"):
            rows = tensor.view(heads, plain + rope, -1)
            return torch.cat([rows[:, :plain], rows[:, plain:][:, order]], 1).reshape(tensor.shape)
        if key.endswith("kv_a_proj_with_mqa.weight"):
            return torch.cat([tensor[:shape["kv_lora_rank"]], tensor[shape["kv_lora_rank"]:][order]])
        return tensor

    weights = {key: half_split(key, p) for key, p in model.named_parameters()}
    gradients = {key: half_split(key, p.grad) for key, p in model.named_parameters()}
    settings = dict(sizes, head_dim=plain + rope, latent_attention=shape, tie_word_embeddings=False, rope_theta=10000.0,
                    max_position_embeddings=32)
    save(name, settings, tokens, targets, starts, logits, loss, weights, gradients)


def norm(x, gain, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * gain


def rotated(x, theta):
    """x [batch, heads, seq, d], halves paired."""
    d = x.shape[-1]
    angles = torch.outer(torch.arange(x.shape[2]).double(), theta ** (-torch.arange(0, d, 2).double() / d))
    a, b = x[..., :d // 2], x[..., d // 2:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def make_plain(name, settings, seed):
    """A Llama written out, whose layers read the keys and values of kv_source_layers and see windows and sinks."""
    c = settings
    hidden, heads, kv, d = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        shapes |= {p + "input_layernorm.weight": (hidden,), p + "self_attn.q_proj.weight": (heads * d, hidden),
                   p + "self_attn.o_proj.weight": (hidden, heads * d), p + "post_attention_layernorm.weight": (hidden,),
                   p + "mlp.gate_proj.weight": (c["intermediate_size"], hidden), p + "mlp.up_proj.weight": (c["intermediate_size"], hidden),
                   p + "mlp.down_proj.weight": (hidden, c["intermediate_size"])}
        if c["kv_source_layers"][layer] == layer:
            shapes |= {p + "self_attn.k_proj.weight": (kv * d, hidden), p + "self_attn.v_proj.weight": (kv * d, hidden)}
    torch.manual_seed(seed)
    weights = {key: (torch.randn(shape) * 0.3 if len(shape) > 1 else 1 + 0.2 * torch.randn(shape)).float().double().requires_grad_()
               for key, shape in shapes.items()}
    tokens, targets, starts = inputs(name, c["vocab_size"], seed)
    batch, seq = tokens.shape
    position, epsilon = torch.arange(seq), c["rms_norm_eps"]
    x, made = weights["model.embed_tokens.weight"][tokens], {}
    split = lambda y, count: y.view(batch, seq, count, d).transpose(1, 2)
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        y = norm(x, weights[p + "input_layernorm.weight"], epsilon)
        if c["kv_source_layers"][layer] == layer:
            made[layer] = [split(y @ weights[p + f"self_attn.{n}_proj.weight"].T, kv) for n in "kv"]
        q = rotated(split(y @ weights[p + "self_attn.q_proj.weight"].T, heads), c["rope_theta"])
        keys, values = made[c["kv_source_layers"][layer]]
        keys = rotated(keys, c["rope_theta"]).repeat_interleave(heads // kv, 1)
        values = values.repeat_interleave(heads // kv, 1)
        i, j = position[None, :, None], position[None, None, :]
        window, start = c["sliding_window"][layer] or seq, starts[:, :, None]
        seen = (j <= i) & (j >= start) & ((i - j < window) | (j < start + c["attention_sinks"]))
        scores = (q @ keys.transpose(2, 3) / d ** 0.5).masked_fill(~seen[:, None], float("-inf"))
        attended = (scores.softmax(-1) @ values).transpose(1, 2).reshape(batch, seq, heads * d)
        x = x + attended @ weights[p + "self_attn.o_proj.weight"].T
        y = norm(x, weights[p + "post_attention_layernorm.weight"], epsilon)
        gated = F.silu(y @ weights[p + "mlp.gate_proj.weight"].T) * (y @ weights[p + "mlp.up_proj.weight"].T)
        x = x + gated @ weights[p + "mlp.down_proj.weight"].T
    logits = norm(x, weights["model.norm.weight"], epsilon) @ weights["model.embed_tokens.weight"].T
    loss = F.cross_entropy(logits.view(-1, c["vocab_size"]), targets.view(-1), ignore_index=-100)
    loss.backward()
    save(name, dict(c, max_position_embeddings=32), tokens, targets, starts, logits, loss, weights,
         {key: w.grad for key, w in weights.items()})


PLAIN = dict(vocab_size=37, hidden_size=24, intermediate_size=32, num_hidden_layers=4, num_attention_heads=4, head_dim=8,
             num_key_value_heads=2, tie_word_embeddings=True, rms_norm_eps=1e-5, rope_theta=1000.0)
for seed, (name, settings) in enumerate(CASES.items(), 1):
    make(name, settings, seed)
make_latent("latent", 3)
make_plain("cross_layer_packed", dict(PLAIN, kv_source_layers=[0, 0, 2, 2], sliding_window=[0, 0, 0, 0], attention_sinks=0), 4)
make_plain("yoco", dict(PLAIN, kv_source_layers=[0, 1, 2, 2], sliding_window=[5, 5, 0, 0], attention_sinks=0), 5)
make_plain("sinks_packed", dict(PLAIN, kv_source_layers=[0, 1, 2, 3], sliding_window=[4, 0, 3, 0], attention_sinks=2), 6)
