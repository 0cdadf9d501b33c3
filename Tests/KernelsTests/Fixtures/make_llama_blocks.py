"""Makes llama_blocks.json: vectors and the blocks that llama.cpp's own quantisers make of them.

Needs `pip install gguf numpy`; gguf is llama.cpp's Python package, whose quants.py follows ggml-quants.c bit for bit.
"""

import json
import os

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize

random = np.random.default_rng(26)
blocks = [random.uniform(-2, 2, 32) * 10.0 ** (index % 9 - 5) for index in range(60)]
blocks += [random.standard_normal(32) for _ in range(40)]
# Zeros; halves of steps; the largest magnitude twice, with either sign first; one element alone.
blocks += [np.zeros(32), np.concatenate([[127.0], np.arange(31) + 0.5]), np.concatenate([[127.0], -np.arange(31) - 0.5])]
blocks += [np.concatenate([[-8.0, 8.0], np.arange(30) / 2 - 7]), np.concatenate([[8.0, -8.0], np.arange(30) / 2 - 7])]
blocks += [np.eye(1, 32, 7)[0] * -3e-4]
values = np.stack(blocks).astype(np.float32)


def entry(kind):
    return [row.tobytes().hex() for row in quantize(values, kind)]


folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "llama_blocks.json"), "w") as file:
    fixture = {
        "values": values.view(np.uint32).tolist(),
        "q8_0": entry(GGMLQuantizationType.Q8_0),
        "q4_0": entry(GGMLQuantizationType.Q4_0),
    }
    file.write(json.dumps(fixture, separators=(",", ":")).replace('],[', '],\n[').replace('","', '",\n"') + "\n")
