#!/bin/bash
# Decode and prefill of kvlab and llama.cpp on the same weights, alternating. Usage: run.sh FOLDER [ROUNDS]
# FOLDER gets the models of make_models.py; PYTHON needs torch, safetensors, gguf, numpy and llama-cpp-python==0.3.36.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:?a folder for the models}; rounds=${2:-3}; python=${PYTHON:-python3}; kvlab=${KVLAB:-.build/release/kvlab}
[ -e "$folder/s2-kv8-fp32.gguf" ] || "$python" Benchmarks/serving/make_models.py "$folder" --gguf
for kv in 8 2 1; do for type in fp32 bf16; do
    name=s2-kv$kv-$type
    [ -e "$folder/$name.h5" ] || "$kvlab" import "$folder/$name" --out "$folder/$name.h5"
done; done
for round in $(seq "$rounds"); do
    for kv in 8 2 1; do for type in fp32 bf16; do for batch in 1 8 32; do
        name=s2-kv$kv-$type
        echo "kvlab $("$kvlab" bench engine "$folder/$name.h5" --batch $batch --kv-dtype fp16 --rounds 1 --json)"
        if "$python" -c 'import llama_cpp' 2>/dev/null; then
            echo "llama.cpp $("$python" Benchmarks/serving/llama_step.py "$folder/$name.gguf" $batch 2>"$folder/llama.log")"
        fi
    done; done; done
done | tee "$folder/rounds.txt"
"$python" - "$folder/rounds.txt" <<'PY'
import collections, json, statistics, sys
figures = collections.defaultdict(list)
for line in open(sys.argv[1]):
    who, _, text = line.partition(" ")
    row = json.loads(text)
    result = row.get("result", row)
    name = row["model"].removesuffix(".gguf")
    for key in ("decodeTokensPerSecond", "prefillTokensPerSecond"):
        figures[name, row["batch"], key, who].append(result[key])
for (name, batch, key, who), values in sorted(figures.items()):
    print(f"{name:14} batch {batch:2} {key:24} {who:10} {statistics.median(values):8.0f}")
PY
