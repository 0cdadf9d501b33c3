#!/usr/bin/env python3
"""PyTorch's side of the training benchmark: whole training steps of the shapes `kvlab bench train` times.

A tied Llama-style decoder: RMSNorm, RoPE in half-split order, SwiGLU, grouped causal attention, cross-entropy; a step is
forward, backward, clipping to norm 1 and a fused AdamW update. Needs torch alone (CPU). Prints one JSON line a measurement.

    python3 torch_step.py --shape T1 --mode compile --threads 2 --steps 5
"""

import argparse
import json
import os
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

# dim, layers, heads, kv heads, ffn, vocab, seq, batch
SHAPES = {
    "T0": (128, 4, 4, 4, 344, 2048, 256, 16),
    "T1": (256, 6, 8, 8, 688, 4096, 256, 16),
    "T2": (512, 8, 8, 8, 1376, 8192, 512, 8),
    "T3": (512, 8, 8, 2, 1376, 8192, 512, 8),
    "T4": (512, 8, 8, 1, 1376, 8192, 512, 8),
}
MODES = {"eager": "fp32", "compile": "fp32", "bf16-compile": "bf16", "bf16-eager": "bf16"}


def rotate(x, cosine, sine):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cosine - b * sine, b * cosine + a * sine), dim=-1)


class Block(nn.Module):
    def __init__(self, dim, heads, kv_heads, ffn):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, dim // heads
        kv_width = kv_heads * self.head_dim
        self.attention_norm = nn.Parameter(torch.ones(dim))
        self.qkv = nn.Linear(dim, dim + 2 * kv_width, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.ffn_norm = nn.Parameter(torch.ones(dim))
        self.gate_up = nn.Linear(dim, 2 * ffn, bias=False)
        self.down = nn.Linear(ffn, dim, bias=False)

    def forward(self, x, cosine, sine):
        batch, seq, dim = x.shape
        h = F.rms_norm(x, (dim,), self.attention_norm, 1e-5)
        heads = self.heads, self.kv_heads, self.kv_heads
        q, k, v = self.qkv(h).view(batch, seq, sum(heads), self.head_dim).transpose(1, 2).split(heads, dim=1)
        q, k = rotate(q, cosine, sine).to(v.dtype), rotate(k, cosine, sine).to(v.dtype)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.heads != self.kv_heads)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, seq, dim))
        gate, up = self.gate_up(F.rms_norm(x, (dim,), self.ffn_norm, 1e-5)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, dim, layers, heads, kv_heads, ffn, vocab, seq):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, kv_heads, ffn) for _ in range(layers))
        self.norm = nn.Parameter(torch.ones(dim))
        half = dim // heads // 2
        angles = torch.outer(torch.arange(seq).float(), 10000.0 ** (-torch.arange(half).float() / half))
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cosine, self.sine)
        logits = F.linear(F.rms_norm(x, x.shape[-1:], self.norm, 1e-5), self.embedding.weight)
        return F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.view(-1))


def measure(shape, mode, threads, steps, warmup, forward_only):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    dim, layers, heads, kv_heads, ffn, vocab, seq, batch = SHAPES[shape]
    model = Decoder(dim, layers, heads, kv_heads, ffn, vocab, seq)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
    run = torch.compile(model) if mode.endswith("compile") else model
    data = torch.randint(0, vocab, (batch, seq + 1))
    tokens, targets = data[:, :-1].contiguous(), data[:, 1:].contiguous()
    low = torch.autocast("cpu", dtype=torch.bfloat16, enabled=MODES[mode] == "bf16")

    def step():
        with low:
            loss = run(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    @torch.no_grad()
    def forward():
        with low:
            return run(tokens, targets)

    seconds, loss = [], 0.0
    for index in range(warmup + steps):
        start = time.perf_counter()
        loss = (forward if forward_only else step)().item()
        if index >= warmup:
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    return {
        "tool": "pytorch", "version": torch.__version__, "shape": shape, "mode": mode, "dtype": MODES[mode],
        "pass": "forward" if forward_only else "step", "threads": threads, "steps": steps, "stepSeconds": round(median, 5),
        "tokensPerSecond": round(batch * seq / median, 1), "loss": round(loss, 4),
        "peakResidentMiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="T1")
    parser.add_argument("--mode", choices=MODES, default="eager", help="eager and compile are fp32; bf16-* is autocast")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=5, help="timed steps; the median counts")
    parser.add_argument("--warmup", type=int, default=3, help="untimed steps before, compilation among them")
    parser.add_argument("--forward-only", action="store_true", help="time the forward pass and the loss alone, without gradients")
    a = parser.parse_args()
    print(json.dumps(measure(a.shape, a.mode, a.threads, a.steps, a.warmup, a.forward_only)))


if __name__ == "__main__":
    main()
