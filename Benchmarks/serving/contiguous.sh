#!/bin/bash
# Decode in pages of the default size against pages that hold a whole sequence's layer, alternating: what paging costs.
# Usage: contiguous.sh FOLDER [ROUNDS], FOLDER with run.sh's models; KVLAB names the tool. Prints a Markdown table of the medians of
# the rounds' own ratios, as the machine's speed moves between rounds.
set -euo pipefail
folder=${1:?the folder with the models} rounds=${2:-5}
kvlab=${KVLAB:-.build/release/kvlab} python=${PYTHON:-python3}
results=$(mktemp)
trap 'rm -f "$results"' EXIT
for round in $(seq "$rounds"); do
    for kv in 8 2 1; do
        for batch in 1 8 32; do
            # 576 tokens of a layer with 8 KV heads take 1.1 MiB.
            for page in default 2MiB; do
                set -- "$folder/s2-kv$kv-bf16.h5" --batch "$batch" --kv-dtype fp16 --rounds 1 --json
                [ $page = default ] || set -- "$@" --page $page
                printf '%s\t%s\t%s\t%s\t%s\n' "$round" "$kv" "$batch" "$page" "$("$kvlab" bench engine "$@")" >> "$results"
            done
        done
    done
done
"$python" - "$results" <<'END'
import collections, json, statistics, sys

speed = collections.defaultdict(dict)
for line in open(sys.argv[1]):
    round, kv, batch, page, result = line.rstrip("\n").split("\t")
    speed[int(kv), int(batch), page][round] = json.loads(result)["result"]["decodeTokensPerSecond"]
print("| KV heads | batch 1 | batch 8 | batch 32 |")
print("|---:|---:|---:|---:|")
for kv in (8, 2, 1):
    cells = []
    for batch in (1, 8, 32):
        paged, whole = speed[kv, batch, "default"], speed[kv, batch, "2MiB"]
        ratios = sorted(paged[r] / whole[r] for r in paged)
        cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(f"| {kv} | " + " | ".join(cells) + " |")
END
