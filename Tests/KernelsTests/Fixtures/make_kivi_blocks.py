"""Makes kivi_blocks.json: blocks of 32 tokens and the codes that KIVI's formulas give them, with scales that are stored as halves.

Liu et al. 2024, KIVI, section 3.2: keys are quantised per channel over the tokens of a group, values per token, asymmetrically:
Q(X) = round((X - z) / s), z = min X, s = (max X - min X) / (2^b - 1). The authors' code (quant/new_pack.py) computes these in half
precision; here z is rounded down and s up to a half, and codes are computed from the rounded numbers, so that they cover the group.
Beside these codes stand the values that the formulas as printed give, in Float64.

Needs `pip install numpy`.
"""

import json
import os

import numpy as np

random = np.random.default_rng(26)
TOKENS, WIDTH = 32, 16


def half_down(x):
    """The greatest half that is not above each x, and the distance to the next one."""
    half = x.astype(np.float16)
    half = np.where(half.astype(np.float32) > x, np.nextafter(half, np.float16(-np.inf)), half)
    return half, np.nextafter(half, np.float16(np.inf)).astype(np.float32) - half.astype(np.float32)


def half_up(x):
    half = x.astype(np.float16)
    half = np.where(half.astype(np.float32) < x, np.nextafter(half, np.float16(np.inf)), half)
    # Below the normal halves a power of two.
    return np.where(x < 2.0**-14, np.exp2(np.ceil(np.log2(np.maximum(x, 2.0**-24)))).astype(np.float16), half)


def quantised(x, bits, axis):
    """Offsets and scales as halves, codes, and what the formulas as printed decode to."""
    top = np.float32(2**bits - 1)
    least, greatest = x.min(axis=axis, keepdims=True), x.max(axis=axis, keepdims=True)
    offset, spacing = half_down(least)
    step = (greatest - offset.astype(np.float32)) / top * np.float32(1 - 2.0**-21)
    scale = half_up(np.maximum(step, 2 * spacing))
    codes = np.clip(np.rint((x - offset.astype(np.float32)) / scale.astype(np.float32)), 0, top).astype(int)
    z, s = least.astype(np.float64), (greatest.astype(np.float64) - least) / (2**bits - 1)
    printed = z + s * np.rint((x - z) / np.where(s > 0, s, 1))
    return {
        "offsets": offset.view(np.uint16).ravel().tolist(),
        "scales": scale.view(np.uint16).ravel().tolist(),
        "codes": codes.ravel().tolist(),
        "printed": [float(f"{value:.7g}") for value in printed.ravel()],
    }


def block(x):
    x = x.astype(np.float32)
    entry = {"values": x.view(np.uint32).ravel().tolist()}
    for bits in (4, 2):
        entry[f"channels{bits}"] = quantised(x, bits, 0)
        entry[f"tokens{bits}"] = quantised(x, bits, 1)
    return entry


# Channels of different magnitudes and offsets, as keys have them; small ones; plain ones.
outliers = random.standard_normal((TOKENS, WIDTH)) * 10.0 ** random.uniform(-2, 1, WIDTH) + random.uniform(-20, 20, WIDTH)
blocks = [outliers, random.standard_normal((TOKENS, WIDTH)) * 1e-3, random.uniform(-2, 2, (TOKENS, WIDTH))]
folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "kivi_blocks.json"), "w") as file:
    fixture = {"width": WIDTH, "blocks": [block(x) for x in blocks]}
    file.write(json.dumps(fixture, separators=(",", ":")).replace('],"', '],\n"') + "\n")
