#!/bin/bash
# What conversions to other attention lose on parents beside Llama's: Qwen3's (norms of queries and keys), Qwen2's (biases), GPT-2's
# (learned positions) and GPT-NeoX's (partial rotary positions) layouts, 3 M parameters, made by transformers, trained for 300 steps on
# the King James Bible. Bits per byte before uptraining.
# Usage: designs.sh FOLDER; PYTHON has torch and transformers, data/bible.txt is there (make data/bible.txt), KVLAB names the tool.
set -euo pipefail
folder=${1:?a folder to work in} python=${PYTHON:-python3}
kvlab=$(realpath "${KVLAB:-.build/release/kvlab}") text=$(realpath data/bible.txt)
mkdir -p "$folder" && cd "$folder"
[ -e tokenizer.json ] || "$kvlab" tokenizer train --text "$text" --vocab-size 2048 --out tokenizer.json
tail -c 200000 "$text" > held-out.txt
"$python" - <<'END'
import shutil
import torch
from transformers import (
    GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

shape = dict(
    hidden_size=192, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=8, intermediate_size=512, vocab_size=2048,
    max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True, bos_token_id=None,
    eos_token_id=None)
gpt2 = GPT2Config(
    n_embd=192, n_layer=6, n_head=8, n_inner=768, vocab_size=2048, n_positions=512, bos_token_id=None, eos_token_id=None)
neox = {key: value for key, value in shape.items() if key not in ("num_key_value_heads", "rms_norm_eps", "intermediate_size")}
for name, config, model in [
    ("qwen3", Qwen3Config(head_dim=24, **shape), Qwen3ForCausalLM), ("qwen2", Qwen2Config(**shape), Qwen2ForCausalLM),
    ("gpt2", gpt2, GPT2LMHeadModel), ("neox", GPTNeoXConfig(rotary_pct=0.25, intermediate_size=768, **neox), GPTNeoXForCausalLM)]:
    torch.manual_seed(1)
    model(config).save_pretrained(name)
    shutil.copy("tokenizer.json", name)
END
score() { "$kvlab" eval ppl "$2" --text held-out.txt --window 256 --json | "$python" -c "
import json, sys
print('$1', round(json.load(sys.stdin)['bitsPerByte'], 4))"; }
# Parents, and the elements of a head that RoPE turns.
for pair in qwen3:24 qwen2:24 gpt2:0 neox:6; do
    parent=${pair%:*} turned=${pair#*:}
    if [ ! -e runs/$parent/model.h5 ]; then
        "$kvlab" import $parent --force --out $parent.h5
        cat > $parent.json <<END
{ "name": "$parent", "seed": 1, "init": { "checkpoint": "$parent.h5" },
  "data": { "files": ["$text"], "validation": { "fraction": 0.05, "by": "position" } },
  "train": { "steps": 300, "batch": 16, "seq": 256, "learningRate": 1.5e-3, "warmupSteps": 30, "schedule": "cosine", "validateEvery": 100,
             "dtype": "bf16" } }
END
        "$kvlab" train $parent.json
    fi
    score $parent runs/$parent/model.h5
    while read -r options; do
        # shellcheck disable=SC2086
        "$kvlab" convert runs/$parent/model.h5 $options --calibration "$text" --force --out child.h5 > /dev/null
        score "$parent $options" child.h5
        rm child.h5
    done <<END
--method mla --rank $((192 - turned)) --rope-head-dim $turned --no-refinement
--method mla --rank $((192 - turned)) --rope-head-dim $turned
--method mla --rank $((96 - turned)) --rope-head-dim $turned
--method cross-layer --share-layers 2 --no-refinement
--method cross-layer --share-layers 2
--method yoco --window 128
--method learned --kv-heads 2
END
done
