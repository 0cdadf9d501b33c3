"""Decode and prefill speed of llama.cpp (llama-cpp-python 0.3.36) on a GGUF file of make_models.py, a KV stream per
sequence, as kvlab bench engine measures them. Usage: llama_step.py FILE.gguf BATCH [PROMPT [OUTPUT [SHARED [KV]]]]; prints a JSON line.
With SHARED tokens the prompts begin with the same ones, computed once and held once, in one stream for all sequences. KV is the type of
keys and values: f16 (the default), or q8_0 or q4_0 with flash attention.
"""
import json
import sys
import time

import numpy as np
import llama_cpp as l

path, batch = sys.argv[1], int(sys.argv[2])
prompt = int(sys.argv[3]) if len(sys.argv) > 3 else 512
output = int(sys.argv[4]) if len(sys.argv) > 4 else 64
shared = int(sys.argv[5]) if len(sys.argv) > 5 else 0
kv = sys.argv[6] if len(sys.argv) > 6 else "f16"
l.llama_backend_init()
model = l.llama_model_load_from_file(path.encode(), l.llama_model_default_params())
params = l.llama_context_default_params()
params.n_ctx = batch * (prompt + output)
params.n_batch = max(512, batch)
params.n_ubatch = 512
params.n_seq_max = batch
params.n_threads = params.n_threads_batch = 2
if kv != "f16":
    params.type_k = params.type_v = {"q8_0": l.GGML_TYPE_Q8_0, "q4_0": l.GGML_TYPE_Q4_0}[kv]
    params.flash_attn_type = l.LLAMA_FLASH_ATTN_TYPE_ENABLED
if hasattr(params, "kv_unified"):
    params.kv_unified = shared > 0
context = l.llama_init_from_model(model, params)
random = np.random.default_rng(1)


def decode(tokens):
    """tokens: (id, position, sequence, wants logits) each."""
    b = l.llama_batch_init(len(tokens), 0, 1)
    b.n_tokens = len(tokens)
    for i, (token, position, sequence, logits) in enumerate(tokens):
        b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = token, position, 1, logits
        b.seq_id[i][0] = sequence
    if l.llama_decode(context, b) != 0:
        raise SystemExit("llama_decode failed")
    l.llama_synchronize(context)
    l.llama_batch_free(b)


def prefill(sequence, begin, end):
    """Random tokens for positions [begin, end)."""
    ids = random.integers(3, 8000, end - begin)
    for first in range(begin, end, 512):
        part = ids[first - begin : first - begin + 512]
        decode([(int(t), first + i, sequence, first + i == prompt - 1) for i, t in enumerate(part)])


if shared:
    prefill(0, 0, shared)
    for sequence in range(1, batch):
        l.llama_memory_seq_cp(l.llama_get_memory(context), 0, sequence, 0, shared)
start = time.perf_counter()
for sequence in range(batch):
    prefill(sequence, shared, prompt)
filled = time.perf_counter()
for step in range(output):
    decode([(int(random.integers(3, 8000)), prompt + step, sequence, True) for sequence in range(batch)])
end = time.perf_counter()
print(json.dumps({
    "model": path.split("/")[-1], "batch": batch, "kv": kv, "prefillTokensPerSecond": batch * (prompt - shared) / (filled - start),
    "decodeTokensPerSecond": batch * output / (end - filled),
}))
