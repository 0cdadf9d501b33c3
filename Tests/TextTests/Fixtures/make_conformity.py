"""Writes tokenizers of several makes, a mixed text, and the ids Hugging Face's tokenizers gives, into the folder named.

Run by TokenizerConformityTests: python3 make_conformity.py FOLDER
"""
import json, random, sys, time, unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

folder = sys.argv[1]
random.seed(7)
WORDS = ("the of and to in that it was for he as with his on be at by had not are but from or have an they which one you were all her "
         "she there would their we him been has when who will no more if out so up said what its about than into them can only other "
         "I'm we've don't They'LL it's o'clock 'tis 1999 3.14159 1234567 don\u2019t na\u00efve caf\u00e9 e\u0301tude \u017fo '\u017f x'S").split()
CODE = ["def f(x):\n    return x[0] + {'a': 1}\n", "for (int i = 0; i < n; ++i) {\n\t\ta[i] *= 2;\r\n}\n", "// ---- \n\n\n", "if (a&&b)||!c:"]
EMOJI = ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd"]
CJK = ["\u4e2d\u6587\u5b57\u7b26", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3002", "\ud55c\uad6d\uc5b4", "\u304b\u3099\u30cf\u309a", "\uff21\uff22\uff11\u3000", "\u1100\u1161\u11a8"]
MARKS = ["e\u0301\u0323", "a\u0308\u0304", "\u0915\u094d\u0937\u093f", "\u0e01\u0e33\u0e49", "\u05d0\u05b8\u05d1", "\u0301x", " \u0301y", "q\u0323\u0307", "\u212b\u2126", "\ufb01\u00bd\u2167\u00b2"]
SPACE = ["  ", "   ", "\n\n", " \n ", "\t\t", "\r\n", "\u00a0", "\u2003 ", "\u3000", " " * 17, "\n" * 5, "\u2028", "\x85"]
ASSIGNED = [chr(c) for c in range(0x80, 0x30000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) not in ("Cn", "Co")]


def part():
    kind = random.random()
    if kind < 0.62: return random.choice(WORDS) + random.choice([" ", " ", " ", ", ", ".\n", "! "])
    if kind < 0.70: return random.choice(CODE)
    if kind < 0.75: return random.choice(EMOJI)
    if kind < 0.81: return random.choice(CJK)
    if kind < 0.86: return random.choice(MARKS)
    if kind < 0.92: return random.choice(SPACE)
    if kind < 0.94: return random.choice(["<|endoftext|>", "<mask>", "  <mask>  ", "<|endoftext", "mask", "xmaskx", "MASK"])
    if kind < 0.96: return bytes(random.randrange(256) for _ in range(6))
    return random.choice(ASSIGNED)


text = ""
parts, size = [], 0
while size < 1_100_000:
    p = part()
    parts.append(p if isinstance(p, bytes) else p.encode())
    size += len(parts[-1])
# Invalid UTF-8 stays in the file; either side puts U+FFFD in its place.
raw = b"".join(parts)
open(folder + "/text", "wb").write(raw)
text = raw.decode("utf-8", "replace")

GPT2 = None
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")


def byte_level(steps, normalizer=None):
    t = Tokenizer(models.BPE())
    if normalizer: t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator([text[:120_000]], trainer)
    return t


def split(pattern): return [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


def pieces(normalizer, pre, decoder):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence(normalizer) if normalizer else None
    if pre: t.pre_tokenizer = pre
    t.decoder = decoder
    base = [f"<0x{b:02X}>" for b in range(256)]
    # Learnt with words cut, so that no token crosses one.
    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    learner.train_from_iterator([text[:120_000]], trainers.BpeTrainer(vocab_size=2500, special_tokens=["<unk>", "<s>", "</s>"] + base, show_progress=False, limit_alphabet=300))
    model = json.loads(learner.to_str())["model"]
    saved = json.loads(t.to_str())
    saved["model"].update(vocab=model["vocab"], merges=model["merges"])
    t = Tokenizer.from_str(json.dumps(saved))
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    return t


REPLACE = normalizers.Replace(" ", "\u2581")
LLAMA_DECODER = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
BL = pre_tokenizers.ByteLevel
makes = {
    "gpt2": byte_level([BL(add_prefix_space=False)]),
    "prefix": byte_level([BL(add_prefix_space=True)]),
    "llama3": byte_level(split(LLAMA3)),
    "qwen2": byte_level(split(QWEN2), normalizers.NFC()),
    "qwen35": byte_level(split(QWEN35), normalizers.NFC()),
    "smollm": byte_level([pre_tokenizers.Digits(individual_digits=True), BL(add_prefix_space=False)]),
    "nfkc": byte_level([BL(add_prefix_space=False)], normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])),
    "nfd": byte_level([BL(add_prefix_space=False)], normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip()])),
    "nfkd": byte_level([BL(add_prefix_space=False)], normalizers.NFKD()),
    "llama2": pieces([normalizers.Prepend("\u2581"), REPLACE], None, LLAMA_DECODER),
    "gemma": pieces([REPLACE], pre_tokenizers.Split(" ", "merged_with_previous"), LLAMA_DECODER),
    "metaspace": pieces(None, pre_tokenizers.Metaspace(prepend_scheme="always", split=True), decoders.Metaspace()),
    "first": pieces(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), LLAMA_DECODER),
}
makes["llama3"].add_tokens([AddedToken("<mask>", lstrip=True, rstrip=True), AddedToken("mask", single_word=True)])
makes["nfkc"].add_tokens([AddedToken("MASK", normalized=True)])
speeds = {}
for name, t in makes.items():
    t.save(f"{folder}/{name}.json")
    start = time.perf_counter()
    ids = t.encode(text, add_special_tokens=False).ids
    speeds[name] = len(text.encode()) / 1e6 / (time.perf_counter() - start)
    open(f"{folder}/{name}.ids", "w").write("\n".join(map(str, ids)))
json.dump(speeds, open(folder + "/speeds", "w"))
