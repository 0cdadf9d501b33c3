#!/usr/bin/env python3
"""Makes questions.jsonl, dev.jsonl and expected.json: prompts and scores of lm-evaluation-harness for the tasks here.

Run in this folder with lm-eval 0.4.13 from PyPI: python3 make_harness.py
"""
import json
import random

from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

random.seed(5)


def doc(number):
    a, b = random.randint(2, 90), random.randint(2, 2000)
    return {
        "question": f" What is {a} and {b}, said “Ann” ({number})? ",
        "answer": f"{a} + {b} makes <<{a + b}>>.\n#### {a + b:,}",
        "topic": ["sheep", "naïve ships", "wolves"][number % 3],
        "hint": ["", "count\nslowly"][number % 2],
        "kinds": {"text": ["even it's", "odd"], "label": ["e", "o"]},
        "key": "eo"[(a + b) % 2],
        "names": [f"Ann {number}", "Bob's", "Ç."],
    }


docs, dev = [doc(n) for n in range(9)], [doc(n) for n in range(100, 140)]
for name, lines in [("questions", docs), ("dev", dev)]:
    with open(name + ".jsonl", "w") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def task(name):
    made = ConfigurableTask(config=load_yaml(name + ".yaml"))
    # What simple_evaluate does by default.
    made.set_fewshot_seed(1234)
    made.build_all_requests(rank=0, world_size=1)
    return made


def outputs(doc):
    total = doc["answer"].split("#### ")[1]
    return random.choice(
        [f"So it is {total}.", f"It is {total}, I think 3", "none", f"${total}", f"it is {total}. Is that -7?", "", "is 5,", f"X is {total}"]
    )


expected = {}
generate = task("generate")
expected["generate"] = []
for instance in generate.instances:
    instance.resps = [outputs(instance.doc)]
generate.apply_filters()
for instance in generate.instances:
    scores = {
        name: float(generate.process_results(instance.doc, [response])["exact_match"])
        for name, response in instance.filtered_resps.items()
    }
    expected["generate"].append(
        {
            "prompt": instance.args[0],
            "until": instance.args[1]["until"],
            "output": instance.resps[0],
            "extracted": dict(instance.filtered_resps),
            "scores": scores,
        }
    )

choice = task("choice")
expected["choice"] = []
for number, doc in enumerate(docs):
    own = [instance for instance in choice.instances if instance.doc_id == number]
    sums = [round(random.uniform(-20, -1), 2) for _ in own]
    result = choice.process_results(doc, [(value, False) for value in sums])
    expected["choice"].append(
        {
            "context": own[0].args[0],
            "continuations": [instance.args[1] for instance in own],
            "sums": sums,
            "acc": result["acc"],
            "acc_norm": result["acc_norm"],
            "f1": [int(value) for value in result["f1"]],
        }
    )
expected["f1"] = float(choice.aggregation()["f1"]([tuple(one["f1"]) for one in expected["choice"]]))

same = task("same")
expected["same"] = []
for instance in same.instances:
    instance.resps = [random.choice(["Ann", "Bobs", "Bob", "Ç", f"Ann {instance.doc_id}", " Ann 1"])]
same.apply_filters()
for instance in same.instances:
    score = same.process_results(instance.doc, [instance.filtered_resps["none"]])["exact_match"]
    expected["same"].append({"prompt": instance.args[0], "output": instance.resps[0], "score": float(score)})

with open("expected.json", "w") as file:
    json.dump(expected, file, ensure_ascii=False, indent=1)
    file.write("\n")
