#!/usr/bin/env python3
"""A subject of MMLU as a task file of lm-evaluation-harness, and the timing of commands that evaluate it.

    python3 mmlu_task.py make MMLU SUBJECT FOLDER --shots 5     FOLDER/mmlu_local.yaml with its data
    python3 mmlu_task.py time TOOL LIMIT -- COMMAND …           runs it, one JSON line
    python3 mmlu_task.py summary LINES                          medians of questions/s, and ratios

Loading is left out: questions/s are the difference of two limits over the difference of their seconds.
"""

import argparse
import collections
import csv
import glob
import json
import statistics
import subprocess
import sys
import time

LETTERS = "ABCD"


def make(arguments):
    for split in ["dev", "test"]:
        path = f"{arguments.data}/{split}/{arguments.subject}_{split}.csv"
        with open(path, encoding="utf-8", newline="") as file, open(f"{arguments.out}/{split}.jsonl", "w") as out:
            for question, *choices, answer in csv.reader(file):
                out.write(json.dumps({"question": question, "choices": choices, "answer": LETTERS.index(answer)}) + "\n")
    choices = "".join(f"\\n{letter}. {{{{choices[{index}]}}}}" for index, letter in enumerate(LETTERS))
    with open(f"{arguments.out}/mmlu_local.yaml", "w") as out:
        out.write(f"""\
task: mmlu_local
dataset_path: json
dataset_kwargs:
  data_files: {{test: {arguments.out}/test.jsonl, dev: {arguments.out}/dev.jsonl}}
output_type: multiple_choice
test_split: test
fewshot_split: dev
num_fewshot: {arguments.shots}
fewshot_config: {{sampler: first_n}}
description: "The following are multiple choice questions (with answers) about {arguments.subject.replace("_", " ")}.\\n\\n"
doc_to_text: "{{{{question.strip()}}}}{choices}\\nAnswer:"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: answer
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
""")


def timed(arguments):
    start = time.perf_counter()
    run = subprocess.run(arguments.command, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    if run.returncode != 0:
        sys.exit(f"{arguments.tool} ended with status {run.returncode}")
    if arguments.tool == "kvlab":
        score = json.loads(run.stdout)["models"][0]["scores"]["acc"]
    else:
        folder = arguments.command[arguments.command.index("--output_path") + 1]
        newest = max(glob.glob(f"{folder}/**/results_*.json", recursive=True))
        score = json.load(open(newest))["results"]["mmlu_local"]["acc,none"]
    print(json.dumps({"tool": arguments.tool, "limit": arguments.limit, "seconds": seconds, "acc": score}), flush=True)


def summary(arguments):
    runs = collections.defaultdict(lambda: collections.defaultdict(list))
    scores = {}
    for line in open(arguments.lines):
        record = json.loads(line)
        runs[record["tool"]][record["limit"]].append(record["seconds"])
        scores[record["tool"], record["limit"]] = record["acc"]
    speeds = {}
    for tool, limits in runs.items():
        few, many = min(limits), max(limits)
        seconds = statistics.median(limits[many]) - statistics.median(limits[few])
        if seconds <= 0:
            sys.exit(f"{tool}: {many} questions took no longer than {few}; time more of them")
        speeds[tool] = (many - few) / seconds
        ratio = "" if tool == "kvlab" else f", kvlab's ratio {speeds['kvlab'] / speeds[tool]:.2f}"
        print(
            f"{tool}: {speeds[tool]:.2f} questions/s, acc {scores[tool, many]:.4f} of {many} "
            f"(medians of {len(limits[many])}){ratio}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("make")
    command.set_defaults(function=make)
    command.add_argument("data")
    command.add_argument("subject")
    command.add_argument("out")
    command.add_argument("--shots", type=int, default=5)
    command = commands.add_parser("time")
    command.set_defaults(function=timed)
    command.add_argument("tool")
    command.add_argument("limit", type=int)
    command.add_argument("command", nargs="+")
    command = commands.add_parser("summary")
    command.set_defaults(function=summary)
    command.add_argument("lines")
    arguments = parser.parse_args()
    arguments.function(arguments)
