"""Makes adakv-MODEL.json: what the presses of kvpress 0.5.5 that divide budgets among heads keep of real texts in real checkpoints,
and what that does to predictions.

The texts are those of the shared test data's kvpress-MODEL.json: `context` tokens are the prompt, compressed at its end; the
`continuation` tokens behind it are fed one by one, so that the press finds a fake key for each query. The names of the presses are a
policy, `+ada` where another press than SnapKVPress scores or the heads of each layer alone divide their budgets, `+64` where KVzipPress
reconstructs chunks of 64 tokens, and the share evicted. Negative log-likelihood and divergence from the
uncompressed model are means over the tokens that positions behind the prompt predict.

Needs `pip install kvpress==0.5.5 torch transformers`, and the folder of shared test data as the argument.
"""

import json
import os
import sys

import torch
from kvpress import AdaKVPress, ExpectedAttentionPress, KeyDiffPress, KVzipPress, SnapKVPress
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedTokenizerFast

PRESSES = {
    "adakv": lambda share: AdaKVPress(SnapKVPress(share, window_size=16, kernel_size=5)),
    "keydiff+ada": lambda share: AdaKVPress(KeyDiffPress(share)),
    "expected-attention+ada": lambda share: AdaKVPress(ExpectedAttentionPress(
        share, n_future_positions=64, n_sink=4, use_covariance=True, use_vnorm=True)),
    "kvzip": lambda share: KVzipPress(share),
    "kvzip+64": lambda share: KVzipPress(share, chunk_size=64),
    "kvzip+ada": lambda share: KVzipPress(share, layerwise=True),
}


def retained(model, length, kv_heads):
    layers = []
    for layer in model.model.layers:
        _, heads, slots = layer.self_attn.masked_key_indices
        masked = [set(slots[heads == head].tolist()) for head in range(kv_heads)]
        layers.append([[slot for slot in range(length) if slot not in head] for head in masked])
    return layers


@torch.no_grad()
def predictions(model, ids, context, press=None):
    """Log-probabilities at the positions behind the context, and the slots kept."""
    cache, rows, kept = DynamicCache(), [], None
    if press is None:
        model(ids[:, :context], past_key_values=cache)
    else:
        with press(model):
            model(ids[:, :context], past_key_values=cache)
        # KVzipPress decides at the end of its block.
        kept = retained(model, context, model.config.num_key_value_heads)
    for token in range(context, ids.shape[1] - 1):
        logits = model(ids[:, token : token + 1], past_key_values=cache).logits[0, -1]
        rows.append(torch.log_softmax(logits.double(), -1))
    return torch.stack(rows), kept


def main(shared):
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(shared, "models/tinystories-656k/tokenizer.json"))
    data = open(os.path.join(shared, "text/tinystories-4mb.txt"), "rb").read()
    for name in ("tinystories-656k", "tinystories-656k-mha8"):
        model = AutoModelForCausalLM.from_pretrained(
            os.path.join(shared, "models", name), attn_implementation="sdpa", dtype=torch.float32)
        model.eval()
        # KVzipPress loads a tokenizer from here; the MHA form has none of its own.
        model.config.name_or_path = os.path.join(shared, "models/tinystories-656k")
        texts = []
        for text in json.load(open(os.path.join(shared, "compression", f"kvpress-{name}.json")))["texts"]:
            context, count = text["context"], text["context"] + text["continuation"]
            piece = data[text["offset"] : text["offset"] + 3000].decode("utf-8", "replace")
            ids = torch.tensor([tokenizer.encode(piece, add_special_tokens=False)[:count]])
            full, _ = predictions(model, ids, context)
            targets = ids[0, context + 1 :, None]
            found = {key: text[key] for key in ("offset", "context", "continuation")}
            found["full_nll"] = -full.gather(1, targets).mean().item()
            print(name, text["offset"], found["full_nll"], text["full_nll"])
            found["presses"] = {}
            for policy, make in PRESSES.items():
                for share in (0.5, 0.75):
                    rows, kept = predictions(model, ids, context, make(share))
                    found["presses"][f"{policy}@{share}"] = {
                        "retained": kept,
                        "nll": -rows.gather(1, targets).mean().item(),
                        "kl": (full.exp() * (full - rows)).sum(-1).mean().item(),
                    }
                    for layer in model.model.layers:
                        layer.self_attn.masked_key_indices = None
            texts.append(found)
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), f"adakv-{name}.json"), "w") as file:
            json.dump({"texts": texts}, file, separators=(",", ":"))
            file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
