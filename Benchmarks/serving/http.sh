#!/bin/bash
# kvlab serve and llama-server under the same load through HTTP, alternating: 32 requests at a time that share a prefix.
# Usage: http.sh FOLDER [ROUNDS]; FOLDER has the models that run.sh made, data/bible.txt is there (make data/bible.txt), LLAMA_SERVER is llama.cpp's server (built from the
# sources in llama-cpp-python 0.3.36's sdist: cmake -DCMAKE_BUILD_TYPE=Release, target llama-server).
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:?the folder with the models}; rounds=${2:-3}; kvlab=${KVLAB:-.build/release/kvlab}; llama=${LLAMA_SERVER:?llama-server}
[ -e "$folder/tokenizer.json" ] || "$kvlab" tokenizer train --text data/bible.txt --vocab-size 8192 --out "$folder/tokenizer.json" >&2
load=(--requests 32 --concurrency 32 --prompt 320 --shared 256 --tokens 64 --vocabulary 8000 --json)
wait_for() { for _ in $(seq 100); do curl -sf "localhost:$1/health" >/dev/null && return; sleep 0.1; done; echo "no server" >&2; exit 1; }
measure() { # who model port: one load to wake the server, one that counts
    "$kvlab" bench load "$2" --port "$3" "${load[@]}" --seed $((round + 100)) --requests 4 >/dev/null
    echo "$1 $("$kvlab" bench load "$2" --port "$3" "${load[@]}" --seed "$round")"
}
for round in $(seq "$rounds"); do
    for kv in 8 2 1; do for type in fp32 bf16; do
        name=s2-kv$kv-$type
        "$kvlab" serve "$folder/$name.h5" --port 8131 --kv-dtype fp16 --kv-memory 1GiB --tokenizer "$folder/tokenizer.json" >/dev/null 2>&1 & server=$!
        wait_for 8131; measure kvlab "$name" 8131; kill $server; wait $server 2>/dev/null || true
        "$llama" -m "$folder/$name.gguf" --port 8132 -np 32 -c $((32 * 384)) -t 2 -tb 2 --alias "$name" --no-webui >/dev/null 2>&1 & server=$!
        wait_for 8132; measure llama-server "$name" 8132; kill $server; wait $server 2>/dev/null || true
    done; done
done | tee "$folder/http.txt"
python3 - "$folder/http.txt" <<'PY'
import collections, json, statistics, sys
figures = collections.defaultdict(list)
for line in open(sys.argv[1]):
    who, _, text = line.partition(" ")
    row = json.loads(text)
    figures[row["model"], who].append((row["result"]["tokensPerSecond"], row["result"]["firstToken"]["p99"], row["result"]["failed"]))
for (name, who), values in sorted(figures.items()):
    speed, first = (statistics.median(v[i] for v in values) for i in (0, 1))
    print(f"{name:14} {who:13} {speed:6.0f} tokens/s, first token p99 {first * 1e3:6.0f} ms, {sum(v[2] for v in values)} failed")
PY
