#!/bin/bash
# Page sizes of the KV cache: bytes allocated for each logical one with short sequences, and decode speed against 16 KiB.
# Usage: pages.sh FOLDER [ROUNDS [BATCH]], FOLDER with run.sh's models; KVLAB names the tool.
# Prints a Markdown table; speeds are medians of the rounds' own ratios, as the machine's speed moves between rounds.
set -euo pipefail
folder=$1 rounds=${2:-5} batch=${3:-8}
kvlab=${KVLAB:-.build/release/kvlab} python=${PYTHON:-python3}
results=$(mktemp)
trap 'rm -f "$results"' EXIT
for round in $(seq "$rounds"); do
    for kv in 8 2 1; do
        model=$folder/s2-kv$kv-bf16.h5
        [ -e "$model" ] || "$kvlab" import "${model%.h5}" --out "$model"
        for page in 1 2 4 8 16; do
            # A token of a layer with 8 KV heads takes 2 KiB.
            [ $((kv * 256)) -le $((page * 1024)) ] || continue
            speed=$("$kvlab" bench engine "$model" --batch "$batch" --kv-dtype fp16 --rounds 1 --json --page ${page}KiB)
            held=$("$kvlab" capacity "$model" --kv-memory 256MiB --context 100 --kv-dtype fp16 --page ${page}KiB --json)
            printf '%s\t%s\t%s\t%s\t%s\n' "$round" "$kv" "$page" "$speed" "$held" >> "$results"
        done
    done
done
"$python" - "$results" <<'END'
import collections, json, statistics, sys

speed, held = collections.defaultdict(dict), {}
for line in open(sys.argv[1]):
    round, kv, page, result, capacity = line.rstrip("\n").split("\t")
    speed[int(kv), int(page)][round] = json.loads(result)["result"]["decodeTokensPerSecond"]
    it = json.loads(capacity)[0]["capacity"]
    held[int(kv), int(page)] = it["allocatedBytes"] / it["logicalBytes"]
print("| page | 8 KV heads | 2 KV heads | 1 KV head |")
print("|---:|---:|---:|---:|")
for page in (1, 2, 4, 8, 16):
    cells = []
    for kv in (8, 2, 1):
        rounds, whole = speed[kv, page], speed[kv, 16]
        ratio = statistics.median(rounds[r] / whole[r] for r in rounds) if rounds else None
        cells.append(f"{held[kv, page]:.2f}, {ratio:.2f}" if rounds else "does not fit")
    print(f"| {page} KiB | " + " | ".join(cells) + " |")
for kv in (8, 2, 1):
    print(f"KV heads {kv}: {statistics.median(speed[kv, 16].values()):.0f} tokens/s at 16 KiB", file=sys.stderr)
END
