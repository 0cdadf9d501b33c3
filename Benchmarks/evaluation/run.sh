#!/usr/bin/env bash
# `kvlab eval ppl` beside a batched transformers loop: the same random weights, text and windows, alternating runs.
#
#   [ROUNDS=3] [THREADS=2] [DTYPES="fp32 bf16"] Benchmarks/evaluation/run.sh [T1] [T2]
#
# Needs data/bible.txt (make data/bible.txt), python3 with torch, transformers and tokenizers, and nothing else running.
# Medians over ROUNDS are printed last.
set -euo pipefail
cd "$(dirname "$0")/../.."
shapes=("${@:-T1}")
rounds=${ROUNDS:-3} threads=${THREADS:-$(nproc)} dtypes=${DTYPES:-fp32 bf16}
swift build -c release --product kvlab >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TRANSFORMERS_VERBOSITY=error HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1
# About 120,000 tokens: long enough to time, short enough to repeat.
head -c 500000 data/bible.txt >"$work/text.txt"
for shape in "${shapes[@]}"; do
    case $shape in T1) batch=16 window=256 ;; T2) batch=8 window=512 ;; *) echo "$0: no shape $shape, only T1 and T2" >&2; exit 2 ;; esac
    python3 Benchmarks/evaluation/transformers_ppl.py make --shape "$shape" --text data/bible.txt --out "$work/$shape" >&2
    .build/release/kvlab import "$work/$shape" --out "$work/$shape.h5" >&2
    for _ in $(seq "$rounds"); do
        for dtype in $dtypes; do
            .build/release/kvlab eval ppl "$work/$shape.h5" --text "$work/text.txt" --window "$window" --dtype "$dtype" \
                --threads "$threads" --json | python3 -c '
import json, sys
record = json.load(sys.stdin)
print(json.dumps({"shape": sys.argv[1], "tool": "kvlab", "dtype": sys.argv[2], "perplexity": record["perplexity"],
                  "tokensPerSecond": record["tokensPerSecond"]}))' "$shape" "$dtype"
            python3 Benchmarks/evaluation/transformers_ppl.py run "$work/$shape" --text "$work/text.txt" --batch "$batch" \
                --dtype "$dtype" --threads "$threads" | sed "s/^{/{\"shape\": \"$shape\", /"
        done
    done | tee -a "$work/lines"
done
python3 - "$work/lines" <<'END'
import collections, json, statistics, sys
groups = collections.defaultdict(list)
for line in open(sys.argv[1]):
    record = json.loads(line)
    groups[record["shape"], record["dtype"], record["tool"]].append(record)
for (shape, dtype, tool), records in sorted(groups.items()):
    speed = statistics.median(r["tokensPerSecond"] for r in records)
    print(f"{shape}  {dtype} {tool}: {speed:.0f} tokens/s, perplexity {records[0]['perplexity']:.4f} (median of {len(records)})",
          file=sys.stderr)
END
