#!/bin/bash
# Decode of kvlab and llama.cpp with the same type of keys and values, alternating: 4,032 tokens of prompt and 64 new ones.
# Usage: kv_types.sh FOLDER [ROUNDS [BATCHES [TYPES]]], FOLDER with run.sh's models; KVLAB names the tool, PYTHON what llama_step.py needs.
# Prints medians and the ratio of both.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$1 rounds=${2:-3} batches=${3:-8} types=${4:-fp16 q8_0 q4_0}
kvlab=${KVLAB:-.build/release/kvlab} python=${PYTHON:-python3}
for round in $(seq "$rounds"); do
    for type in $types; do for batch in $batches; do
        ours=$("$kvlab" bench engine "$folder/s2-kv8-bf16.h5" --batch "$batch" --prompt 4032 --tokens 64 --kv-memory 2500MiB --rounds 1 \
            --kv-dtype "$type" --json)
        theirs=$("$python" Benchmarks/serving/llama_step.py "$folder/s2-kv8-bf16.gguf" "$batch" 4032 64 0 "${type/fp16/f16}" 2> "$folder/llama.log")
        printf '%s\t%s\t%s\t%s\n' "$type" "$batch" "$ours" "$theirs"
    done; done
done | tee "$folder/kv_types.txt" | cut -f 1,2 >&2
"$python" - "$folder/kv_types.txt" <<'END'
import collections, json, statistics, sys

speeds = collections.defaultdict(list)
for line in open(sys.argv[1]):
    type, batch, ours, theirs = line.rstrip("\n").split("\t")
    speeds[type, int(batch)].append((json.loads(ours)["result"]["decodeTokensPerSecond"], json.loads(theirs)["decodeTokensPerSecond"]))
print("| keys and values | batch | kvlab | llama.cpp | ratio |")
print("|---|---:|---:|---:|---:|")
for (type, batch), pairs in speeds.items():
    ours, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    print(f"| `{type}` | {batch} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} |")
END
