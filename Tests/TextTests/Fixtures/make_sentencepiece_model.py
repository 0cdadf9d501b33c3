"""Makes tokenizer.model and sentencepiece-ids.json with Google's sentencepiece (0.2), trained as Llama's tokenizer was.

Run in this folder: python3 make_sentencepiece_model.py
"""
import io
import json

import sentencepiece

LEARN = "the cat sat on the mat, and the other cat's hat wasn't there. They'll see 1234 or 12 cats; we've 7 hats. caf\u00e9 \u4e2d"
CASES = [
    "", " ", "the cat", " the cats'll  see 1234.5", "the\n\n  cat \t\n", "na\u00efve caf\u00e9 \u4e2d\u6587 \U0001f600\u200d",
    "hat" * 40, "  the   cat  ", "e\u0301 \u00e9", "thethe..cat..", "\u2581the \u2581", "<0x41>", "a\r\nb\x7f", "\u00a0\u3000x",
]

model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter([LEARN] * 4), model_writer=model, model_type="bpe", vocab_size=320, byte_fallback=True,
    normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, character_coverage=0.99995,
    minloglevel=2)
open("tokenizer.model", "wb").write(model.getvalue())
processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
cases = [{"text": text, "ids": processor.encode(text)} for text in CASES]

# The same text through the default normalizer: a model that kvlab refuses.
other = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter([LEARN] * 4), model_writer=other, model_type="unigram", vocab_size=40, minloglevel=2,
    normalization_rule_name="identity")
open("unigram.model", "wb").write(other.getvalue())
json.dump(cases, open("sentencepiece-ids.json", "w"), separators=(",", ":"))
