#!/usr/bin/env python3
"""Prompts/s of a passkey grid: kvlab, and its peers on the prompts that kvlab recorded.

    python3 passkey_peers.py kvlab OUT -- kvlab eval passkey … --out OUT      runs it, one JSON line
    python3 passkey_peers.py prompts OUT --model FOLDER                       checks that the prompts are kvlab's, by their SHA-256
    python3 passkey_peers.py transformers OUT --model FOLDER --threads 2      one JSON line
    python3 passkey_peers.py llama OUT --gguf FILE --threads 2                one JSON line
    python3 passkey_peers.py summary LINES                                    medians and ratios

Seconds are those of the prompts alone, in the order of kvlab's records, without loading. The transformers loop is the one that a good user
writes: it keeps the cache of the prompt before, cut to the tokens that both begin with, and computes the others. llama-cpp-python does
that by itself. Needs torch and transformers, tokenizers, llama-cpp-python for the peers.
"""

import argparse
import collections
import hashlib
import json
import math
import re
import resource
import statistics
import subprocess
import sys
import time

TASK = (
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important "
    "information there.")
GARBAGE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
QUESTION = "What is the pass key? The pass key is"
NEW_TOKENS = 10


def records(folder):
    return [json.loads(line) for line in open(f"{folder}/records.jsonl", encoding="utf-8")]


def prompt(key, characters, depth):
    # Swift rounds halves away from zero.
    before = math.floor(characters * depth + 0.5)
    garbage = [((GARBAGE + " ") * (count // (len(GARBAGE) + 1) + 1))[:count] for count in (before, characters - before)]
    return "\n".join([TASK, garbage[0], f"The pass key is {key}. Remember it. {key} is the pass key.", garbage[1], QUESTION])


def prompts(folder, tokenizer):
    """The prompts of kvlab's records: the most garbage with which they have at most their length in tokens."""
    def count(text):
        return len(tokenizer.encode(text).ids)

    found = []
    for record in records(folder):
        length, depth, key = record["group"]["length"], record["group"]["depth"], int(record["references"][0])
        low, high = 0, 2 * length
        while count(prompt(50_000, high, depth)) <= length:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if count(prompt(50_000, middle, depth)) <= length else (low, middle)
        while count(prompt(key, low, depth)) > length:
            low -= 1
        text = prompt(key, low, depth)
        if hashlib.sha256(text.encode()).hexdigest() != record["promptSHA256"]:
            sys.exit(f"{record['id']}: the prompt is not the one that kvlab recorded")
        if count(text) != record["promptTokens"]:
            sys.exit(f"{record['id']}: {count(text)} tokens, kvlab recorded {record['promptTokens']}")
        found.append((record, text))
    return found


def line(tool, seconds, right, count, peak):
    print(json.dumps({
        "tool": tool, "promptsPerSecond": count / seconds, "right": right, "prompts": count, "peakMiB": round(peak / 1024)}))


def kvlab(arguments):
    subprocess.run(arguments.command, check=True, stdout=subprocess.DEVNULL)
    made = records(arguments.out)
    seconds = sum(record["prefillSeconds"] + record["decodeSeconds"] for record in made)
    right = sum(record["scores"]["accuracy"] == 1 for record in made)
    line("kvlab", seconds, right, len(made), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def is_right(text, record):
    digits = re.search(r"\d+", text)
    return digits is not None and digits.group() == record["references"][0]


def shared(left, right):
    count = 0
    for one, other in zip(left, right):
        if one != other:
            break
        count += 1
    return count


def transformers(arguments):
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM, DynamicCache

    torch.set_num_threads(arguments.threads)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.bfloat16).eval()
    tokenizer = Tokenizer.from_file(f"{arguments.model}/tokenizer.json")
    tasks = [(record, tokenizer.encode(text).ids) for record, text in prompts(arguments.out, tokenizer)]
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    with torch.inference_mode():
        model(torch.tensor([tasks[0][1][:64]]))
        right, cache, held = 0, None, []
        start = time.perf_counter()
        for record, ids in tasks:
            # At least the last token is computed, for its logits.
            keep = min(shared(held, ids), len(ids) - 1)
            if keep:
                # A negative number is one of tokens to remove, in all versions.
                cache.crop(keep - cache.get_seq_length())
            else:
                cache = DynamicCache(config=model.config)
            step, output = torch.tensor([ids[keep:]]), []
            while len(output) < NEW_TOKENS:
                token = model(step, past_key_values=cache, logits_to_keep=1).logits[0, -1].argmax().item()
                if token in ends:
                    break
                output.append(token)
                step = torch.tensor([[token]])
            held = ids
            right += is_right(tokenizer.decode(output), record)
        seconds = time.perf_counter() - start
    line("transformers", seconds, right, len(tasks), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def llama(arguments):
    from llama_cpp import Llama

    longest = max(record["promptTokens"] for record in records(arguments.out)) + NEW_TOKENS
    model = Llama(
        arguments.gguf, n_ctx=longest + 64, n_batch=512, n_threads=arguments.threads, n_threads_batch=arguments.threads,
        verbose=False)

    class Encoding:
        def __init__(self, ids):
            self.ids = ids

    class Encoder:
        def encode(self, text):
            return Encoding(model.tokenize(text.encode(), add_bos=False, special=False))

    tasks = [(record, Encoder().encode(text).ids) for record, text in prompts(arguments.out, Encoder())]
    model.create_completion(tasks[0][1][:64], max_tokens=1, temperature=0)
    right, start = 0, time.perf_counter()
    for record, ids in tasks:
        made = model.create_completion(ids, max_tokens=NEW_TOKENS, temperature=0)
        right += is_right(made["choices"][0]["text"], record)
    seconds = time.perf_counter() - start
    line("llama.cpp", seconds, right, len(tasks), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def check(arguments):
    from tokenizers import Tokenizer

    found = prompts(arguments.out, Tokenizer.from_file(f"{arguments.model}/tokenizer.json"))
    print(f"{len(found)} prompts are kvlab's")


def summary(arguments):
    groups = collections.defaultdict(list)
    for text in open(arguments.out, encoding="utf-8"):
        record = json.loads(text)
        groups[record["tool"]].append(record)
    speeds = {tool: statistics.median(one["promptsPerSecond"] for one in runs) for tool, runs in groups.items()}
    for tool, runs in groups.items():
        ratio = "" if tool == "kvlab" else f", kvlab's ratio {speeds['kvlab'] / speeds[tool]:.2f}"
        print(
            f"{tool}: {speeds[tool]:.2f} prompts/s, {runs[0]['right']} of {runs[0]['prompts']} right, "
            f"{max(one['peakMiB'] for one in runs)} MiB at most (median of {len(runs)}){ratio}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function in [
        ("kvlab", kvlab), ("prompts", check), ("transformers", transformers), ("llama", llama), ("summary", summary),
    ]:
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("out")
        if name == "kvlab":
            command.add_argument("command", nargs="+")
        else:
            command.add_argument("--model")
            command.add_argument("--gguf")
            command.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    arguments.function(arguments)
