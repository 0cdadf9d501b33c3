"""Makes items for hellaswag and lambada, and what lm-evaluation-harness 0.4.13 scores them on the shared tinystories-656k.

Run in this folder: HF_HUB_OFFLINE=1 python3 make_choices.py PATH-OF-SHARED-DATA
"""
import json
import pathlib
import random
import sys
import tempfile

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import PreTrainedTokenizerFast

data = pathlib.Path(sys.argv[1])
random.seed(7)
stories = [s.strip() for s in (data / "text/tinystories-4mb.txt").read_text().split("<|endoftext|>")]
sentences = [s.strip() for story in stories[:300] for s in story.replace("\n", " ").split(".") if 40 < len(s.strip()) < 120]
# What tokens merge over, characters of several bytes, titles and brackets of WikiHow, spaces before the seam.
extras = ["", "", " naïve café", " 😀😀", " [title] then", " [x]", " 北京"]
swag = []
for _ in range(60):
    right, *wrong = random.sample(sentences, 4)
    words = right.split(" ")
    cut = len(words) // 2
    ends = [" ".join(words[cut:])] + [" ".join(w.split(" ")[len(w.split(" ")) // 2:]) for w in wrong]
    ends = [e + random.choice(extras) for e in ends]
    label = random.randrange(4)
    ends[0], ends[label] = ends[label], ends[0]
    swag.append({"activity_label": random.choice(["Story", "Playing [now]"]), "ctx_a": " ".join(words[:cut]) + ".",
                 "ctx_b": random.choice(["the DOG", "a  boy", ""]), "endings": ends, "label": str(label), "ind": 1,
                 "source_id": "x", "split": "val", "split_type": "x"})
# The file as `tokenizers` reads it: AutoTokenizer makes a LlamaTokenizer of its own, which drops unknown characters.
tokenizer = PreTrainedTokenizerFast(
    tokenizer_file=str(data / "models/tinystories-656k/tokenizer.json"), bos_token="<|start_story|>", eos_token="<|end_story|>")


def scorable(item):
    """The harness cannot score a choice whose tokens all merge with the context's."""
    context = item["text"].rsplit(" ", 1)[0].rstrip()
    return len(tokenizer.encode(item["text"])) > len(tokenizer.encode(context))


guesses = [{"text": s.replace(" the ", random.choice([" the ", "  the "])) if i % 3 else "  ".join(s.rsplit(" ", 1))}
           for i, s in enumerate(random.sample(sentences, 90))]
guesses = [g for g in guesses if scorable(g)][:60]
pathlib.Path("hellaswag.jsonl").write_text("".join(json.dumps(i, ensure_ascii=False) + "\n" for i in swag))
pathlib.Path("lambada.jsonl").write_text("".join(json.dumps(i, ensure_ascii=False) + "\n" for i in guesses))

folder = pathlib.Path(tempfile.mkdtemp())
here = pathlib.Path.cwd()
(folder / "utils.py").write_text('''
import re
def preprocess(text):
    text = text.strip().replace(" [title]", ". ")
    return re.sub("\\\\[.*?\\\\]", "", text).replace("  ", " ")
def process_docs(dataset):
    def one(doc):
        ctx = doc["ctx_a"] + " " + doc["ctx_b"].capitalize()
        return {"query": preprocess(doc["activity_label"] + ": " + ctx), "choices": [preprocess(e) for e in doc["endings"]],
                "gold": int(doc["label"])}
    return dataset.map(one)
''')
(folder / "swag.yaml").write_text(f"""
task: local_swag
dataset_path: json
dataset_kwargs: {{data_files: {{test: {here}/hellaswag.jsonl}}}}
test_split: test
output_type: multiple_choice
process_docs: !function utils.process_docs
doc_to_text: "{{{{query}}}}"
doc_to_target: "{{{{gold}}}}"
doc_to_choice: choices
metric_list: [{{metric: acc}}, {{metric: acc_norm}}, {{metric: acc_bytes}}]
""")
(folder / "guess.yaml").write_text(f"""
task: local_guess
dataset_path: json
dataset_kwargs: {{data_files: {{test: {here}/lambada.jsonl}}}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{{{text.split(' ')[:-1]|join(' ')}}}}"
doc_to_target: "{{{{' '+text.split(' ')[-1]}}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}, {{metric: perplexity}}]
""")
model = HFLM(pretrained=str(data / "models/tinystories-656k"), tokenizer=tokenizer, device="cpu", batch_size=8)
results = lm_eval.simple_evaluate(
    model=model, tasks=["local_swag", "local_guess"], bootstrap_iters=0,
    task_manager=TaskManager(include_path=str(folder), include_defaults=False))["results"]
swag, guess = results["local_swag"], results["local_guess"]
expected = {"hellaswag": {k: swag[k + ",none"] for k in ("acc", "acc_norm", "acc_bytes")},
            "lambada": {k: guess[k + ",none"] for k in ("acc", "perplexity")}}
pathlib.Path("expected.json").write_text(json.dumps(expected, indent=1) + "\n")
