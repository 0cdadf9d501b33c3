#!/usr/bin/env bash
# `kvlab eval passkey` beside a transformers loop that keeps the cache of the prompt before, and llama.cpp through llama-cpp-python:
# the same weights and prompts (by their SHA-256), greedily, alternating runs.
#
#   [ROUNDS=3] [THREADS=2] [LENGTHS=512,1024,2048,4096] [DEPTHS=10] Benchmarks/evaluation/passkey.sh MODEL [GGUF]
#
# MODEL is a Hugging Face folder, such as SmolLM2-135M-Instruct's; GGUF the same model for llama.cpp, by default kvlab's export of it.
# PEERS="transformers llama" names the peers. Needs python3 with torch, transformers, tokenizers and llama-cpp-python, and nothing else
# running. Medians over ROUNDS are printed last.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ $# -ge 1 ]] || { sed -n 2,10p "$0" >&2; exit 2; }
model=$1 gguf=${2:-}
rounds=${ROUNDS:-3} threads=${THREADS:-$(nproc)} lengths=${LENGTHS:-512,1024,2048,4096} depths=${DEPTHS:-10}
peers=${PEERS-transformers llama}
kvlab=${KVLAB:-.build/release/kvlab}
[[ -n ${KVLAB:-} ]] || swift build -c release --product kvlab >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TRANSFORMERS_VERBOSITY=error HF_HUB_OFFLINE=1
"$kvlab" import "$model" --out "$work/model.h5" >&2
if [[ $peers == *llama* && -z $gguf ]]; then
    gguf=$work/model.gguf
    "$kvlab" export "$work/model.h5" --format gguf --out "$gguf" >&2
fi
for _ in $(seq "$rounds"); do
    rm -rf "$work/out"
    python3 Benchmarks/evaluation/passkey_peers.py kvlab "$work/out" -- "$kvlab" eval passkey "$work/model.h5" --lengths "$lengths" \
        --depths "$depths" --trials 1 --kv-dtype bf16 --threads "$threads" --out "$work/out" --json
    for peer in $peers; do
        python3 Benchmarks/evaluation/passkey_peers.py "$peer" "$work/out" --model "$model" --gguf "$gguf" --threads "$threads"
    done
done | tee "$work/lines"
python3 Benchmarks/evaluation/passkey_peers.py summary "$work/lines" >&2
