#!/usr/bin/env bash
# Whole training steps of kvlab beside PyTorch's on the same machine: alternating runs, one JSON line a measurement.
#
#   Benchmarks/training/run.sh [SHAPE…]        default: T1
#   ROUNDS=3 THREADS=2 STEPS=7 MODES="eager compile" Benchmarks/training/run.sh T0 T1 T2
#   DTYPES="fp32 bf16" MODES="compile bf16-compile" Benchmarks/training/run.sh T2
#
# Needs python3 with torch (pip install torch==2.13.0+cpu) and nothing else running. Medians over ROUNDS are printed last.
set -euo pipefail
cd "$(dirname "$0")/../.."
shapes=("${@:-T1}")
rounds=${ROUNDS:-3} threads=${THREADS:-$(nproc)} steps=${STEPS:-7} modes=${MODES:-eager} dtypes=${DTYPES:-fp32}
swift build -c release --product kvlab >&2
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for shape in "${shapes[@]}"; do
    for _ in $(seq "$rounds"); do
        for dtype in $dtypes; do
            .build/release/kvlab bench train --shape "$shape" --dtype "$dtype" --steps "$steps" --threads "$threads" --step-only --json |
                tee -a "$lines"
        done
        for mode in $modes; do
            python3 Benchmarks/training/torch_step.py --shape "$shape" --mode "$mode" --steps "$steps" --threads "$threads" | tee -a "$lines"
        done
    done
done
python3 - "$lines" <<'END'
import collections, json, statistics, sys
groups = collections.defaultdict(list)
for line in open(sys.argv[1]):
    record = json.loads(line)
    groups[record["shape"], record["tool"], record.get("mode", record.get("dtype"))].append(record)
for (shape, tool, mode), records in sorted(groups.items()):
    speed = statistics.median(r["tokensPerSecond"] for r in records)
    memory = statistics.median(r["peakResidentMiB"] for r in records)
    print(f"{shape}  {tool} {mode}: {speed:.0f} tokens/s, peak {memory:.0f} MiB (median of {len(records)})", file=sys.stderr)
END
