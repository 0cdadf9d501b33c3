"""Makes the seeds that the fuzz tests damage: one tiny model in every format, made with safetensors, gguf and kvlab.

Run in this folder: python3 make_corpus.py PATH-OF-KVLAB
"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import save_file

kvlab = sys.argv[1]
fixtures = pathlib.Path("../../TextTests/Fixtures")
random = np.random.default_rng(5)
HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCABULARY = 8, 2, 2, 1, 4, 12, 300

config = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "intermediate_size": FFN,
    "vocab_size": VOCABULARY, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": [2, 3],
}


def tensor(*shape):
    return random.standard_normal(shape, dtype=np.float32)


tensors = {"model.embed_tokens.weight": tensor(VOCABULARY, HIDDEN), "model.norm.weight": tensor(HIDDEN)}
for layer in range(LAYERS):
    prefix = f"model.layers.{layer}."
    tensors |= {
        prefix + "input_layernorm.weight": tensor(HIDDEN), prefix + "post_attention_layernorm.weight": tensor(HIDDEN),
        prefix + "self_attn.q_proj.weight": tensor(HEADS * HEAD_DIM, HIDDEN),
        prefix + "self_attn.k_proj.weight": tensor(KV_HEADS * HEAD_DIM, HIDDEN),
        prefix + "self_attn.v_proj.weight": tensor(KV_HEADS * HEAD_DIM, HIDDEN),
        prefix + "self_attn.o_proj.weight": tensor(HIDDEN, HEADS * HEAD_DIM),
        prefix + "mlp.gate_proj.weight": tensor(FFN, HIDDEN), prefix + "mlp.up_proj.weight": tensor(FFN, HIDDEN),
        prefix + "mlp.down_proj.weight": tensor(HIDDEN, FFN),
    }

folder = pathlib.Path("folder")
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir()
(folder / "config.json").write_text(json.dumps(config, indent=2))
(folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": [2, 3], "temperature": 0.7}))
(folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}))
(folder / "README.md").write_text("---\nlicense: mit\nlanguage:\n- en\n---\n# A model\n")
(folder / "chat_template.jinja").write_text(
    '{% for message in messages %}{{ "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" }}{% endfor %}')
shutil.copy(fixtures / "byte-level.json", folder / "tokenizer.json")
first = {name: tensors[name] for name in list(tensors)[:9]}
second = {name: tensors[name] for name in list(tensors)[9:]}
weight_map = {}
for number, shard in enumerate([first, second], 1):
    name = f"model-0000{number}-of-00002.safetensors"
    save_file(shard, folder / name, metadata={"format": "pt"})
    (folder / name).chmod(0o644)
    weight_map |= {tensor: name for tensor in shard}
total = sum(t.nbytes for t in tensors.values())
(folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}))


def run(*arguments):
    subprocess.run([kvlab, *arguments], check=True)


# llama2.c's own tokenizer: <unk>, BOS, EOS, 256 bytes, then pieces; the longest token's length first.
pieces = ["<unk>", "\n<s>\n", "\n</s>\n"] + [f"<0x{byte:02X}>" for byte in range(256)]
pieces += [" ", "t", "h", "e", "a", "c", "th", " the", "ca", "cat"] + [chr(0x100 + i) for i in range(VOCABULARY - 269)]
with open("tokenizer.bin", "wb") as file:
    file.write(struct.pack("<i", max(len(piece.encode()) for piece in pieces)))
    for score, piece in enumerate(pieces):
        file.write(struct.pack("<fi", -float(score), len(piece.encode())) + piece.encode())

for name in ["model.h5", "bpe.gguf", "sentencepiece.gguf"]:
    pathlib.Path(name).unlink(missing_ok=True)
with tempfile.TemporaryDirectory() as scratch:
    run("import", "folder", "--out", "model.h5")
    run("export", "model.h5", "--format", "gguf", "--dtype", "fp16", "--out", "bpe.gguf")
    run("import", "folder", "--tokenizer", "tokenizer.bin", "--out", scratch + "/model.h5")
    run("export", scratch + "/model.h5", "--format", "gguf", "--out", "sentencepiece.gguf")
    run("export", scratch + "/model.h5", "--format", "llama2c", "--out", scratch + "/llama2c")
    shutil.copy(scratch + "/llama2c/model.bin", "model.bin")
