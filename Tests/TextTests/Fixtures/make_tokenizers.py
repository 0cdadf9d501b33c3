"""Makes byte-level.json, sentencepiece.json and expected-ids.json with Hugging Face's tokenizers (0.23).

Run in this folder: python3 make_tokenizers.py
"""
import json

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, decoders, processors, trainers

LEARN = "the cat sat on the mat, and the other cat's hat wasn't there. They'll see 1234 or 12 cats; we've 7 hats.\n" * 3
CASES = [
    "", " ", "the cat", " the cats'll see 1234.5", "the\n\n  cat \t\n", "<|endoftext|>the<|endoftext|>", "cat<|end",
    "na\u00efve caf\u00e9 \u4e2d\u6587 \U0001f600\u200d", "I'M we've 'S 's", "a\u00a0b\u2003 c\u3000", "\u00bd\u0664 \u2167x",
    "\u088f\ua7ce", "a\r\nb\x00c\x7f", "hat" * 40, "  the   cat", "e\u0301 \u00e9",
]

byte_level = Tokenizer(models.BPE())
byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
byte_level.decoder = decoders.ByteLevel()
byte_level.train_from_iterator([LEARN], trainers.BpeTrainer(
    vocab_size=300, min_frequency=2, special_tokens=["<|endoftext|>"], show_progress=False,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
byte_level.save("byte-level.json", pretty=False)

# Byte tokens for half the bytes, so that both fallbacks occur; merges as "a b" strings, as older files have them.
pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(0xC0)] + ["<0xE4>"]
pieces += ["\u2581", "t", "h", "e", "c", "a", ".", "1"]
merges = [("t", "h"), ("th", "e"), ("\u2581", "the"), ("c", "a"), ("ca", "t"), ("\u2581", "cat"), ("e", "\u2581"), (".", ".")]
for left, right in merges:
    pieces.append(left + right)
sentencepiece = Tokenizer(models.BPE(
    {p: i for i, p in enumerate(pieces)}, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
sentencepiece.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
sentencepiece.decoder = decoders.Sequence([
    decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
sentencepiece.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
sentencepiece.add_special_tokens(["<unk>", "<s>", "</s>"])
saved = json.loads(sentencepiece.to_str())
saved["model"]["merges"] = [" ".join(m) for m in saved["model"]["merges"]]
json.dump(saved, open("sentencepiece.json", "w"), separators=(",", ":"))
sentencepiece = Tokenizer.from_file("sentencepiece.json")

expected = {
    "learn": LEARN,
    "cases": [{
        "text": text,
        "byteLevel": byte_level.encode(text).ids,
        "sentencepiece": sentencepiece.encode(text, add_special_tokens=False).ids,
    } for text in CASES + ["<s>the cat</s> the", "thethe..cat..", "\u00e4h\u00fc\u00e4"]],
}
json.dump(expected, open("expected-ids.json", "w"), indent=None, separators=(",", ":"))
