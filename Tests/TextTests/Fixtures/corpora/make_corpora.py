"""Writes the compressed corpora of the tests; needs the program zstd.

The lines are those of `TextSourceTests.line(_:)`: long enough in all for several of a reader's buffers.
"""
import gzip, json, pathlib, subprocess

here = pathlib.Path(__file__).parent
lines = "".join(
    json.dumps({"id": i, "text": f"Document {i}: " + "caf\u00e9 \u2615 \U0001f600\n" * 20 + "end"}, ensure_ascii=i % 2 == 0) + "\n"
    for i in range(8000)
).encode()
text = "".join(f"Paragraph {i}: " + "caf\u00e9 " * 20 + "\n\n" for i in range(8000)).encode()


def zstd(data):
    return subprocess.run(["zstd", "-19", "--check", "--stdout"], input=data, capture_output=True, check=True).stdout


(here / "lines.jsonl.gz").write_bytes(gzip.compress(lines, 9, mtime=0))
(here / "lines.jsonl.zst").write_bytes(zstd(lines))
# Two members, two frames: what `cat a.gz b.gz` makes.
half = len(text) // 2
(here / "text.txt.gz").write_bytes(gzip.compress(text[:half], 9, mtime=0) + gzip.compress(text[half:], 9, mtime=0))
(here / "text.txt.zst").write_bytes(zstd(text[:half]) + zstd(text[half:]))

# Seeds of the fuzzer.
small = b'{"text": "one \\u00e9\\n", "id": 1}\n\n{"id": [2, {"a": null}], "text": "two \\ud83d\\ude00"}\n{"text": ""}\n{"text":"three"}'
(here / "small.jsonl").write_bytes(small)
(here / "small.jsonl.gz").write_bytes(gzip.compress(small, 9, mtime=0))
(here / "small.jsonl.zst").write_bytes(zstd(small))
