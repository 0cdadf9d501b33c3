#!/usr/bin/env python3
"""What RULER's own generators make of a book and of small files of questions: prompts' SHA-256 with the draws behind them.

    python3 make_ruler.py RULER_CHECKOUT alice.txt >expected.json

RULER_CHECKOUT is github.com/NVIDIA/RULER at c3f5e3b; the programs run up to their search for a size, with a book in place of the essays, words of
our own in place of wonderwords', and sentences that end where kvlab ends them in place of NLTK's.
"""

import hashlib
import json
import os
import random
import re
import sys
import tempfile
import types

checkout, book = sys.argv[1:3]
fixtures = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../suites")
folder = os.path.join(checkout, "scripts/data/synthetic")
sys.path.insert(0, folder)
from constants import TASKS  # noqa: E402


def module(name, **members):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(members)


def sentences(text):
    found, start, words = [], 0, text.split(" ")
    for end, word in enumerate(words, 1):
        if re.search("[.!?][\"'”’)\\]]*$", word) or end == len(words):
            found.append(" ".join(words[start:end]))
            start = end
    return found


module("wonderwords", random_word=types.SimpleNamespace(
    _get_words_from_text_file=lambda name: ["quiet", "brown"] if name.startswith("adj") else ["anchor", "badger", "cedar"]))
module("nltk")
module("nltk.tokenize", sent_tokenize=sentences)
module("tokenizer", select_tokenizer=lambda kind, path: None)
module("manifest_utils", write_manifest=None)
module("tqdm", tqdm=None)


def program(name, stop, data, *arguments):
    """The definitions of a program before `stop`, with its files in a folder of their own."""
    source = open(os.path.join(folder, name), encoding="utf-8").read().split(f"def {stop}(")[0]
    with tempfile.TemporaryDirectory() as work:
        os.mkdir(f"{work}/json")
        for file, text in data.items():
            open(f"{work}/json/{file}", "w", encoding="utf-8").write(text)
        sys.argv = [name, "--save_dir", work, "--save_name", "x", "--tokenizer_path", "", "--max_seq_length", "1024",
                    "--tokens_to_generate", "1", "--num_samples", "1", *arguments]
        space = {"__file__": f"{work}/{name}", "__name__": "program"}
        exec(compile(source, name, "exec"), space)
        return space


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


cases = []
essay = json.dumps({"text": open(book, encoding="utf-8").read()})
niah = TASKS["niah"]["template"] + TASKS["niah"]["answer_prefix"]
for task, options in {
    "niah_single_2": [], "niah_single_3": ["--type_needle_v", "uuids"], "niah_multikey_1": ["--num_needle_k", "4"],
    "niah_multivalue": ["--num_needle_v", "4"], "niah_multiquery": ["--num_needle_q", "4"],
}.items():
    for words in [37, 411, 1500]:
        made = program("niah.py", "generate_samples", {"PaulGrahamEssays.json": essay}, "--template", niah, *options)
        random.seed(words)
        draws, sample = [], random.sample
        random.sample = lambda population, count: draws.append(sample(population, count)) or draws[-1]
        prompt, outputs = made["generate_input_output"](words)
        random.sample = sample
        value = r"(?:[0-9a-f-]{36}|\d{7})"
        needles = re.findall(f"One of the special magic \\w+ for [a-z-]+ is: {value}\\.", prompt)
        query = re.search(r"\nWhat (?:is|are all) the special magic \w+ for (.*?) mentioned", prompt).group(1)
        cases.append({
            "task": task, "words": words, "needles": needles, "depths": sorted(int(depth) for depth in draws[0]),
            "queries": re.split(", and |, ", query), "outputs": outputs, "sha256": digest(prompt)})

qa = TASKS["qa"]["template"] + TASKS["qa"]["answer_prefix"]
for task, dataset in [("qa_1", "squad"), ("qa_2", "hotpotqa")]:
    file = open(f"{fixtures}/{dataset}.json", encoding="utf-8").read()
    made = program("qa.py", "generate_samples", {f"{dataset}.json": file}, "--template", qa, "--dataset", dataset)
    for number in range(len(made["QAS"])):
        for size in [2, 4, 5]:
            prompt, outputs = made["generate_input_output"](number, size)
            context = prompt.split("The following are given documents.\n\n")[1].split("\n\nAnswer the question")[0]
            documents = re.split(r"(?:^|\n\n)Document \d+:\n", context)[1:]
            cases.append({
                "task": task, "number": number, "documents": documents, "query": made["QAS"][number]["query"],
                "outputs": outputs, "sha256": digest(prompt)})
print("[" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "]")
