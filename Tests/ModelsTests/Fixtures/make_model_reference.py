#!/usr/bin/env python3
"""Makes the fixtures beside it: tiny Llama models with their loss, logits and gradients by PyTorch.

    python3 make_model_reference.py        (made with torch 2.13.0+cpu, transformers 5.23)

Each safetensors file holds weight.NAME, gradient.NAME and logits in Float32; its metadata the configuration
(Hugging Face's config.json), the token ids and targets [batch, seq], keyStarts (the first position each position may attend
to) and the loss. Products are computed in Float64; norms, softmax and rotary angles in Float32, as transformers does always.
"""

import json
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

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


for seed, (name, settings) in enumerate(CASES.items(), 1):
    make(name, settings, seed)
