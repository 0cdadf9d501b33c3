"""Makes heads-MODEL.json: what kvpress 0.5.5's DuoAttentionPress keeps of real texts in real checkpoints and what that does to
predictions, and the echo and induction scores of their heads.

The texts are those of the shared test data's kvpress-MODEL.json: `context` tokens are the prompt, at whose end the streaming heads are
masked; the `continuation` tokens behind it are fed one by one. The press has the gates below, some of them equal, 8 sinks and the newest
24 tokens; behind its name stands the share of streaming heads. Negative log-likelihood and divergence from the uncompressed model are
means over the tokens that positions behind the prompt predict.

Scores are RazorAttention's: of a sequence of random tokens that comes four times the weight on the token's earlier occurrences (echo), and on the
tokens behind these (induction), means over the queries of the later three times; a KV head has the greatest of its query heads.

FastGen's sets are of its paper's formula 3 and section 3: by the recovery asked for, in percent, the first of special tokens, and punctuation,
and 30 % by attention, and the newest 30 %, everything, that has as much of the attention.

Needs `pip install kvpress==0.5.5 torch transformers`, and the folder of shared test data as the argument.
"""

import json
import math
import os
import sys
import unicodedata

import numpy as np
import torch
from kvpress import DuoAttentionPress
from make_adakv import predictions
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

SINKS, RECENT = 8, 24
GATES = [0.3, 1.0, 0.0, 0.7, 1.0, 0.0, 0.55, 0.2, 0.9, 0.05, 0.6, 0.35, 0.8, 0.45, 0.15, 0.95]


class GivenGates(DuoAttentionPress):
    gates = None

    @staticmethod
    def load_attention_pattern(model):
        return SINKS, RECENT, GivenGates.gates


@torch.no_grad()
def repetition_scores(model, words, times):
    length = len(words)
    attentions = model(torch.tensor([words * times]), output_attentions=True).attentions
    queries = np.arange(length, times * length)
    keys = np.arange(times * length)[None, :]
    # Earlier occurrences of the query's token, and the tokens behind these, none of them behind the query.
    echo = (keys % length == queries[:, None] % length) & (keys < queries[:, None])
    induction = np.roll(echo, 1, axis=1)
    found = {"echo": [], "induction": []}
    for layer in attentions:
        weights = layer[0].double().numpy()[:, queries, :]
        for name, places in (("echo", echo), ("induction", induction)):
            heads = (weights * places).sum(-1).mean(-1)
            found[name].append(heads.reshape(model.config.num_key_value_heads, -1).max(-1).tolist())
    return found


@torch.no_grad()
def fastgen(model, ids, special, punctuation, recovery):
    """The slots that each layer and KV head keeps."""
    length, kv_heads = ids.shape[1], model.config.num_key_value_heads
    words = ids[0].tolist()
    newest = max(1, int(0.3 * length))
    rows, columns = np.arange(length)[:, None], np.arange(length)[None, :]
    local = columns > rows - newest
    marks = np.array([word in special or word in punctuation for word in words])
    sets = [np.array([word in special for word in words]), marks]
    layers = []
    for layer in model(ids, output_attentions=True).attentions:
        weights = layer[0].double().numpy().reshape(kv_heads, -1, length, length).mean(1)
        heads = []
        for head in weights:
            def frequent(kept):
                others = [slot for slot in range(length) if not kept[slot]]
                best = sorted(others, key=lambda slot: (-head[:, slot].sum(), slot))[: math.ceil(0.3 * length)]
                found = marks.copy()
                found[best] = True
                return found

            heavy = frequent(marks)
            both = frequent(marks | local[-1])
            masks = [np.broadcast_to(kept, (length, length)) for kept in sets + [heavy]] + [both | local]
            kept = next(
                (mask[-1] for mask in masks if (head * mask).sum(-1).mean() >= recovery), np.ones(length, bool))
            heads.append(np.nonzero(kept)[0].tolist())
        layers.append(heads)
    return layers


def main(shared):
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(shared, "models/tinystories-656k/tokenizer.json"))
    data = open(os.path.join(shared, "text/tinystories-4mb.txt"), "rb").read()
    for name in ("tinystories-656k", "tinystories-656k-mha8"):
        path = os.path.join(shared, "models", name)
        model = AutoModelForCausalLM.from_pretrained(path, attn_implementation="sdpa", dtype=torch.float32).eval()
        heads = model.config.num_key_value_heads
        gates = np.array(GATES[: model.config.num_hidden_layers * heads]).reshape(-1, heads)
        GivenGates.gates = gates
        eager = AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager", dtype=torch.float32).eval()
        added = json.load(open(os.path.join(shared, "models/tinystories-656k/tokenizer.json")))["added_tokens"]
        special = {token["id"] for token in added if token["special"]}
        # A text that no token decodes to alone, such as a part of a character, is no punctuation.
        pieces = {word: "".join(tokenizer.decode([word]).split()) for word in range(model.config.vocab_size)}
        punctuation = {
            word for word, piece in pieces.items() if piece and all(unicodedata.category(c)[0] == "P" for c in piece)}
        texts = []
        for text in json.load(open(os.path.join(shared, "compression", f"kvpress-{name}.json")))["texts"]:
            context, count = text["context"], text["context"] + text["continuation"]
            piece = data[text["offset"] : text["offset"] + 3000].decode("utf-8", "replace")
            ids = torch.tensor([tokenizer.encode(piece, add_special_tokens=False)[:count]])
            full, _ = predictions(model, ids, context)
            targets = ids[0, context + 1 :, None]
            found = {key: text[key] for key in ("offset", "context", "continuation")}
            found["full_nll"] = -full.gather(1, targets).mean().item()
            print(name, text["offset"], context, found["full_nll"], text["full_nll"])
            found["presses"] = {}
            for share in (0.25, 0.5, 0.75):
                rows, kept = predictions(model, ids, context, GivenGates(head_compression_ratio=share))
                found["presses"][f"duo-attention@{share}"] = {
                    "retained": kept,
                    "nll": -rows.gather(1, targets).mean().item(),
                    "kl": (full.exp() * (full - rows)).sum(-1).mean().item(),
                }
                for layer in model.model.layers:
                    layer.self_attn.masked_key_indices = None
            found["fastgen"] = {
                str(percent): fastgen(eager, ids[:, :context], special, punctuation, percent / 100)
                for percent in (40, 60, 75, 85, 95)}
            print([sorted({len(head) for layer in kept for head in layer}) for kept in found["fastgen"].values()])
            texts.append(found)
        words = [int(word) for word in np.random.default_rng(7).permutation(model.config.vocab_size)[:60]]
        scores = repetition_scores(eager, words, 4)
        found = {"gates": gates.tolist(), "sinks": SINKS, "recent": RECENT, "texts": texts, "words": words, "scores": scores}
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), f"heads-{name}.json"), "w") as file:
            json.dump(found, file, separators=(",", ":"))
            file.write("\n")


main(sys.argv[1])
