#!/usr/bin/env python3
"""The evaluation benchmark's models and its peer: perplexity by a batched loop over a transformers model.

    python3 transformers_ppl.py make --shape T1 --text data/bible.txt --out DIR     a random model of the shape with a tokenizer
    python3 transformers_ppl.py run DIR --text FILE --batch 16 --dtype bf16         one JSON line

Windows and scoring are kvlab's: one after the other, the last one short, no BOS, the first token of each unscored.
Needs torch, transformers and tokenizers.
"""

import argparse
import json
import math
import time

import torch
import torch.nn.functional as F

# dim, layers, heads, kv heads, ffn, vocab, seq
SHAPES = {"T1": (256, 6, 8, 8, 688, 4096, 256), "T2": (512, 8, 8, 8, 1376, 8192, 512)}


def make(arguments):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM

    dim, layers, heads, kv_heads, ffn, vocab, seq = SHAPES[arguments.shape]
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train([arguments.text], vocab_size=vocab, show_progress=False)
    torch.manual_seed(1)
    config = LlamaConfig(
        hidden_size=dim, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads, intermediate_size=ffn,
        vocab_size=vocab, max_position_embeddings=seq, tie_word_embeddings=True, bos_token_id=None, eos_token_id=None)
    LlamaForCausalLM(config).save_pretrained(arguments.out)
    tokenizer.save(f"{arguments.out}/tokenizer.json")


def run(arguments):
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(arguments.threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[arguments.dtype]
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=dtype).eval()
    window = model.config.max_position_embeddings
    ids = Tokenizer.from_file(f"{arguments.model}/tokenizer.json").encode(open(arguments.text, encoding="utf-8").read()).ids
    whole = len(ids) // window * window
    batches = list(torch.tensor(ids[:whole]).view(-1, window).split(arguments.batch))
    if len(ids) > whole + 1:
        batches.append(torch.tensor([ids[whole:]]))
    tokens, scored = sum(b.numel() for b in batches), sum(b.numel() - len(b) for b in batches)
    with torch.inference_mode():
        model(batches[0], use_cache=False)
        total, start = 0.0, time.perf_counter()
        for batch in batches:
            logits = model(batch, use_cache=False).logits[:, :-1].float()
            total += F.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1), reduction="sum").item()
        seconds = time.perf_counter() - start
    print(json.dumps({
        "tool": "transformers", "dtype": arguments.dtype, "perplexity": math.exp(total / scored),
        "tokensPerSecond": tokens / seconds}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("make")
    command.set_defaults(function=make)
    command.add_argument("--shape", choices=SHAPES, required=True)
    command.add_argument("--text", required=True)
    command.add_argument("--out", required=True)
    command = commands.add_parser("run")
    command.set_defaults(function=run)
    command.add_argument("model")
    command.add_argument("--text", required=True)
    command.add_argument("--batch", type=int, default=16)
    command.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    command.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    arguments.function(arguments)
