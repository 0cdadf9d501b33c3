#!/usr/bin/env bash
# `kvlab eval task` beside lm-evaluation-harness on transformers: one subject of MMLU by likelihood, the same task file, weights and questions.
#
#   [ROUNDS=3] [THREADS=2] [SHOTS=5] [QUESTIONS=100] Benchmarks/evaluation/mmlu.sh MODEL MMLU SUBJECT
#
# MODEL is a Hugging Face folder, MMLU a folder with dev/SUBJECT_dev.csv and test/SUBJECT_test.csv. Questions/s come from the difference of
# two runs, of a tenth and of all QUESTIONS, so that loading does not count. Needs python3 with lm_eval 0.4.13, torch and transformers, and
# nothing else running. Medians over ROUNDS are printed last.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ $# -eq 3 ]] || { sed -n 2,9p "$0" >&2; exit 2; }
model=$1 data=$2 subject=$3
rounds=${ROUNDS:-3} threads=${THREADS:-$(nproc)} shots=${SHOTS:-5} questions=${QUESTIONS:-100}
peers=${PEERS-harness}
kvlab=${KVLAB:-.build/release/kvlab}
[[ -n ${KVLAB:-} ]] || swift build -c release --product kvlab >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TRANSFORMERS_VERBOSITY=error HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 OMP_NUM_THREADS=$threads
"$kvlab" import "$model" --out "$work/model.h5" >&2
python3 Benchmarks/evaluation/mmlu_task.py make "$data" "$subject" "$work" --shots "$shots"
for _ in $(seq "$rounds"); do
    for limit in $((questions / 10)) "$questions"; do
        python3 Benchmarks/evaluation/mmlu_task.py time kvlab "$limit" -- "$kvlab" eval task "$work/mmlu_local.yaml" "$work/model.h5" \
            --limit "$limit" --threads "$threads" --json
        for peer in $peers; do
            python3 Benchmarks/evaluation/mmlu_task.py time "$peer" "$limit" -- python3 -m lm_eval --model hf \
                --model_args "pretrained=$model,dtype=float32" --tasks mmlu_local --include_path "$work" --limit "$limit" \
                --device cpu --batch_size 8 --output_path "$work/harness"
        done
    done
done | tee "$work/lines"
python3 Benchmarks/evaluation/mmlu_task.py summary "$work/lines" >&2
