"""Makes evictions.json: what Scissorhands, Keyformer and H2O with CaM, D2O and KVMerger keep of a real text in a real checkpoint, by the papers' formulas.

A plain Float64 forward pass of a Llama checkpoint, whose KV heads keep slots of their own: the prompt is computed over its whole cache,
then each head keeps its budget, and again every interval of further tokens, which attend to the kept slots and to each other.

- Scissorhands (Liu et al. 2023, section 4.1, algorithm 2): a query at position t - 1 counts against each slot whose weight is below
  1 / t, over the last `window` queries since the last decision; the fewest counts are kept.
- Keyformer (Adnan et al. 2024, section 3.3; tau as in models/gptj-keyformer-lib/modeling_gptj.py of the authors' code): the sum over all
  queries of softmax((x + noise) / tau), tau = 1 in the prompt and 0.01 more with each token behind it. The noise is Gumbel's, from
  SplitMix64 keyed by seed, layer, head, the query's position and the slot's.

- H2O (Zhang et al. 2023, section 4): the highest sum of attention weights over all queries; with CaM (Zhang et al. 2024, section 4.2;
  cam_hf/utils_hh/modify_llama_cam.py) an evicted slot's value, divided by 32, is added to those of the next 32 kept ones where a draw is
  below its sum over the mean of theirs. Draws are SplitMix64's, keyed by seed, layer, head and the evicted position.
  With D2O (Wan et al. 2024, section 3.3) it is averaged into the kept slot of the nearest key by cosine u, with weights e and exp(u), where
  u reaches a threshold: the mean of all u at first, then half the one before and half the new mean. With KVMerger (Wang et al. 2024,
  section 4) it is averaged into the kept slot with the highest sum in its run of neighbours, whose keys have cosines of 0.75 or more,
  by a Gaussian of the keys' distances; keys stay in both.

Of equal scores the oldest is kept; query heads that share a KV head add theirs. Beside the positions stands the margin by which the
decisions are safe from rounding: the least relative distance of a weight or a draw to its threshold, or of the last kept to the first
dropped score; and the sum of each kept slot's value where values are merged.

Needs `pip install numpy tokenizers`, and the folder of shared test data as the argument.
"""

import json
import os
import struct
import sys

import numpy as np
from tokenizers import Tokenizer

PROMPT, TOKENS = 192, 256
CASES = [
    {"policy": "scissorhands", "budget": 64, "recent": 10, "window": 400, "interval": 64},
    {"policy": "scissorhands", "budget": 48, "recent": 4, "window": 24, "interval": 16},
    {"policy": "keyformer", "budget": 64, "recent": 19, "seed": 0, "interval": 16},
    {"policy": "keyformer", "budget": 96, "recent": 28, "seed": 7, "interval": 64},
    {"policy": "h2o", "budget": 64, "recent": 32, "merge": "cam", "seed": 5, "interval": 16},
    {"policy": "h2o", "budget": 96, "recent": 48, "merge": "d2o", "interval": 64},
    {"policy": "h2o", "budget": 96, "recent": 48, "merge": "kvmerger", "interval": 16},
]


def load(folder):
    config = json.load(open(os.path.join(folder, "config.json")))
    data = open(os.path.join(folder, "model.safetensors"), "rb").read()
    (size,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", entry
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[start:end], np.float32).reshape(entry["shape"]).astype(np.float64)
    # Tied to the output projection, which alone may be stored.
    tensors.setdefault("model.embed_tokens.weight", tensors.get("lm_head.weight"))
    return config, tensors


def draw(state):
    """The states and values of SplitMix64 one step on."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, z ^ (z >> np.uint64(31))


def keyed(state, keys):
    return draw(state)[1] ^ (np.asarray(keys, np.uint64) * np.uint64(0xD6E8FEB86659FD93))


def gumbel(seed, layer, head, query, slots):
    state = np.array([seed], np.uint64)
    for key in (layer, head, query):
        state = keyed(state, [key])
    uniform = (draw(keyed(state, slots))[1] >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return -np.log(-np.log(uniform))


def norm(x, weight, epsilon):
    return x / np.sqrt((x * x).mean() + epsilon) * weight


def rotate(x, position, theta):
    half = x.shape[-1] // 2
    angle = position / theta ** (np.arange(half) / half)
    return np.concatenate(
        [x[..., :half] * np.cos(angle) - x[..., half:] * np.sin(angle),
         x[..., half:] * np.cos(angle) + x[..., :half] * np.sin(angle)], axis=-1)


class Head:
    """The slots of one KV head of a layer."""

    def __init__(self):
        self.keys, self.values, self.positions, self.sums, self.threshold = [], [], [], [], None


def summands(case, scores, weights, layer, head, position, slots):
    """What a query of one head adds to each slot, and how safe that is from rounding."""
    if case["policy"] == "scissorhands":
        mean = 1 / (position + 1)
        # A single slot has all of the attention.
        return (weights < mean).astype(np.float64), np.abs(weights / mean - 1).min() if len(weights) > 1 else np.inf
    if case["policy"] == "h2o":
        return weights, np.inf
    tau = 1 + 0.01 * max(0, position + 1 - PROMPT)
    noisy = (scores + gumbel(case["seed"], layer, head, position, slots)) / tau
    terms = np.exp(noisy - noisy.max())
    return terms / terms.sum(), np.inf


def cam(case, head, kept, layer, number):
    """Adds evicted values to kept ones; the least relative distance of a draw to its probability."""
    values, margin = [np.array(value) for value in head.values], np.inf
    for slot, position in enumerate(head.positions):
        if slot in kept:
            continue
        targets = [other for other in kept if other > slot][:32]
        state = np.array([case["seed"]], np.uint64)
        for key in (layer, number, position):
            state = keyed(state, [key])
        uniform = float((draw(state)[1] >> np.uint64(11))[0]) * 2.0**-53
        probability = head.sums[slot] / np.mean([head.sums[other] for other in targets])
        margin = min(margin, abs(uniform / probability - 1))
        for other in targets if uniform < probability else []:
            values[other] = values[other] + head.values[slot] / 32
    head.values = values
    return margin


def d2o(case, head, kept, layer, number):
    """Averages evicted values into kept ones; the least distance of a cosine to the threshold or to the second nearest."""
    evicted = [slot for slot in range(len(head.keys)) if slot not in kept]
    keys = np.array(head.keys)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    cosines = keys[evicted] @ keys[kept].T
    nearest, best = cosines.argmax(axis=1), cosines.max(axis=1)
    second = np.sort(cosines, axis=1)[:, -2]
    old = head.threshold
    head.threshold = best.mean() if old is None else 0.5 * old + 0.5 * best.mean()
    # A single evicted slot has the mean itself.
    to_threshold = np.abs(best - head.threshold) if old is not None or len(evicted) > 1 else np.array([np.inf])
    values = [np.array(value) for value in head.values]
    for index, slot in enumerate(kept):
        merged = [at for at in range(len(evicted)) if nearest[at] == index and best[at] >= head.threshold]
        weights = [np.exp(best[at]) for at in merged]
        parts = np.e * head.values[slot] + sum((w * head.values[evicted[at]] for w, at in zip(weights, merged)), 0 * head.values[slot])
        values[slot] = parts / (np.e + sum(weights))
    head.values = values
    return min(to_threshold.min(), (best - second).min())


def kvmerger(case, head, kept, layer, number):
    """Averages evicted values into kept ones; the least distance of a cosine to the threshold or of a sum to the second highest."""
    keys, values, margin = np.array(head.keys), [np.array(value) for value in head.values], np.inf
    norms = np.linalg.norm(keys, axis=1)
    cosines = (keys[1:] * keys[:-1]).sum(axis=1) / norms[1:] / norms[:-1]
    margin = np.abs(cosines - 0.75).min()
    ends = [slot for slot, cosine in enumerate(cosines) if cosine < 0.75] + [len(keys) - 1]
    first = 0
    for end in ends:
        run, first = range(first, end + 1), end + 1
        evicted = [slot for slot in run if slot not in kept]
        pivots = sorted((slot for slot in run if slot in kept), key=lambda slot: -head.sums[slot])
        if not evicted or not pivots:
            continue
        pivot = pivots[0]
        if len(pivots) > 1:
            margin = min(margin, 1 - head.sums[pivots[1]] / head.sums[pivot])
        distances = np.linalg.norm(keys[evicted] - keys[pivot], axis=1)
        sigma = distances.mean() / np.sqrt(2)
        weights = np.exp(-(distances**2) / (2 * sigma**2))
        merged = head.values[pivot] + sum(w * head.values[slot] for w, slot in zip(weights, evicted))
        values[pivot] = merged / (1 + weights.sum())
    head.values = values
    return margin


MERGES = {"cam": cam, "d2o": d2o, "kvmerger": kvmerger}


def evict(case, head, tokens, layer, number):
    budget = case["budget"]
    sign = -1 if case["policy"] == "scissorhands" else 1
    scored = [slot for slot, position in enumerate(head.positions) if position < tokens - case["recent"]]
    newest = [slot for slot, position in enumerate(head.positions) if position >= tokens - case["recent"]]
    scored.sort(key=lambda slot: (-sign * head.sums[slot], slot))
    count = budget - len(newest)
    last, first = (head.sums[slot] for slot in scored[count - 1 : count + 1])
    kept = sorted(scored[:count] + newest)
    margin = MERGES[case["merge"]](case, head, kept, layer, number) if "merge" in case else np.inf
    for name in ("keys", "values", "positions", "sums"):
        setattr(head, name, [getattr(head, name)[slot] for slot in kept])
    if case["policy"] == "scissorhands":
        head.sums = [0.0] * len(kept)
        return np.inf
    return min(margin, abs(last - first) / last)


def run(config, tensors, ids, case):
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    dim = config.get("head_dim") or config["hidden_size"] // heads
    group, epsilon = heads // kv_heads, config["rms_norm_eps"]
    theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    layers = [[Head() for _ in range(kv_heads)] for _ in range(config["num_hidden_layers"])]
    margin, decision = np.inf, PROMPT
    for position, token in enumerate(ids):
        x = tensors["model.embed_tokens.weight"][token]
        for layer, cache in enumerate(layers):
            weight = lambda name: tensors[f"model.layers.{layer}.{name}.weight"]
            h = norm(x, weight("input_layernorm"), epsilon)
            q = rotate((weight("self_attn.q_proj") @ h).reshape(heads, dim), position, theta)
            k = rotate((weight("self_attn.k_proj") @ h).reshape(kv_heads, dim), position, theta)
            v = (weight("self_attn.v_proj") @ h).reshape(kv_heads, dim)
            output = []
            for number, slots in enumerate(cache):
                slots.keys.append(k[number])
                slots.values.append(v[number])
                slots.positions.append(position)
                slots.sums.append(0.0)
                keys, values = np.array(slots.keys), np.array(slots.values)
                for head in range(number * group, (number + 1) * group):
                    scores = keys @ q[head] / np.sqrt(dim)
                    weights = np.exp(scores - scores.max())
                    weights /= weights.sum()
                    output.append(weights @ values)
                    if position >= decision - case.get("window", decision):
                        added, safe = summands(case, scores, weights, layer, head, position, slots.positions)
                        slots.sums = list(np.array(slots.sums) + added)
                        margin = min(margin, safe)
            x = x + weight("self_attn.o_proj") @ np.concatenate(output)
            h = norm(x, weight("post_attention_layernorm"), epsilon)
            gate = weight("mlp.gate_proj") @ h
            x = x + weight("mlp.down_proj") @ (gate / (1 + np.exp(-gate)) * (weight("mlp.up_proj") @ h))
        if position + 1 == decision:
            for layer, cache in enumerate(layers):
                margin = min([margin] + [evict(case, slots, position + 1, layer, head) for head, slots in enumerate(cache)])
            decision += case["interval"]
    return layers, margin


def main(shared):
    text = open(os.path.join(shared, "text/tinystories-4mb.txt"), "rb").read()
    tokenizer = Tokenizer.from_file(os.path.join(shared, "models/tinystories-656k/tokenizer.json"))
    models = {}
    for name in ("tinystories-656k", "tinystories-656k-mha8"):
        config, tensors = load(os.path.join(shared, "models", name))
        models[name] = []
        for offset in (3_000_000, 3_200_000):
            words = text[offset : offset + 3000].decode(errors="replace")
            ids = tokenizer.encode(words, add_special_tokens=False).ids[:TOKENS]
            cases = []
            for case in CASES:
                layers, margin = run(config, tensors, ids, case)
                print(name, offset, case, f"margin {margin:.2g}", file=sys.stderr)
                retained = [[slots.positions for slots in cache] for cache in layers]
                cases.append(case | {"retained": retained, "margin": float(f"{margin:.2g}")})
                if "merge" in case:
                    cases[-1]["values"] = [
                        [[round(float(value.sum()), 5) for value in slots.values] for slots in cache] for cache in layers]
            models[name].append({"ids": ids, "cases": cases})
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "evictions.json"), "w") as file:
        json.dump({"prompt": PROMPT, "models": models}, file, separators=(",", ":"))
        file.write("\n")


main(sys.argv[1])
