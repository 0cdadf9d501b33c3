#!/usr/bin/env python3
"""What each conversion method loses before uptraining, as a share of what `mean` loses in bits per byte.

    Benchmarks/conversion/run.py PARENT.h5… --text TEXT [--kv-heads 2 1]

Calibrates on the first 60 KB of the text and scores 64 KB from byte 3,900,000 on (or, of a shorter text, the last 64 KB).
Needs a built kvlab (swift build -c release --product kvlab).
"""

import argparse
import json
import os
import subprocess
import tempfile
import time

KVLAB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.build/release/kvlab")
METHODS = [
    ("mean", False), ("first", False), ("medoid", False), ("svd", False), ("aligned", False), ("aligned", True), ("svd", True),
    ("learned", True)]


def kvlab(*arguments):
    return json.loads(subprocess.run([KVLAB, *arguments, "--json"], check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parents", nargs="+")
    parser.add_argument("--text", required=True)
    parser.add_argument("--kv-heads", type=int, nargs="+", default=[2, 1])
    arguments = parser.parse_args()
    text = open(arguments.text, "rb").read()
    start = min(3_900_000, len(text) - 65_536)
    with tempfile.TemporaryDirectory() as work:
        calibration, evaluation, child = (os.path.join(work, name) for name in ("calibration", "evaluation", "child.h5"))
        open(calibration, "wb").write(text[:60_000].decode("utf-8", "ignore").encode())
        open(evaluation, "wb").write(text[start:start + 65_536].decode("utf-8", "ignore").encode())

        def score(path):
            return kvlab("eval", "ppl", path, "--text", evaluation, "--window", "256")["bitsPerByte"]

        for parent in arguments.parents:
            before = score(parent)
            for heads in arguments.kv_heads:
                mean = None
                for method, calibrated in METHODS:
                    clock = time.perf_counter()
                    kvlab("convert", parent, "--kv-heads", str(heads), "--method", method, "--out", child, "--force",
                          *(["--calibration", calibration] if calibrated else []))
                    seconds = time.perf_counter() - clock
                    loss = score(child) - before
                    mean = mean or loss
                    print(json.dumps({
                        "parent": os.path.basename(parent), "bitsPerByte": round(before, 5), "kvHeads": heads, "method": method,
                        "calibrated": calibrated, "lost": round(loss, 5), "shareOfMean": round(loss / mean, 4),
                        "seconds": round(seconds, 1)}), flush=True)


main()
