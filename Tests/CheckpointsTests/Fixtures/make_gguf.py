"""Writes blocks.gguf: random blocks of every type kvlab reads, each beside what gguf.quants makes of it, in Float32."""

import pathlib

import gguf
import numpy as np

Q = gguf.GGMLQuantizationType
TYPES = [Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q4_K, Q.Q5_K, Q.Q6_K]
# Where the half-precision numbers of a block are.
HALVES = {Q.Q8_0: [0], Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}

random = np.random.default_rng(5)
writer = gguf.GGUFWriter(pathlib.Path(__file__).parent / "blocks.gguf", "blocks")
for kind in TYPES:
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    rows, columns = 1, 512
    if kind in HALVES:
        blocks = random.integers(0, 256, (rows * columns // elements, size), dtype=np.uint8)
        for at in HALVES[kind]:
            blocks[:, at : at + 2] = random.normal(0, 0.1, (len(blocks), 1)).astype(np.float16).view(np.uint8)
        data = blocks.reshape(rows, -1)
    else:
        data = gguf.quants.quantize(random.normal(0, 1, (rows, columns)).astype(np.float32), kind)
    writer.add_tensor(kind.name, data, raw_dtype=kind)
    writer.add_tensor(kind.name + ".expected", gguf.quants.dequantize(data, kind).astype(np.float32))
values = random.normal(0, 1, (4, 96)).astype(np.float32)
values[0, :32] = 0
writer.add_tensor("values", values)
writer.add_tensor("values.q8_0", gguf.quants.quantize(values, Q.Q8_0), raw_dtype=Q.Q8_0)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
