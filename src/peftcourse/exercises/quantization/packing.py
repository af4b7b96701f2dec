"""Lesson 06, packing: two codes in a byte, rightly and wrongly."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.quantization import seen


def pack(codes: Tensor, pad: int) -> Tensor:
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    high, low = codes[::2], codes[1::2]
    return (high << 4) | low


_pack = partial(slip, pack)
_BYTE, _PADDED, _PAIRS = (
    "(high << 4) | low",
    "F.pad(codes, (0, 1), value=pad)",
    "codes[::2], codes[1::2]",
)


def _wrong_shift(id: str, byte: str, diagnosis: str):
    return _pack(id, _BYTE, byte, diagnosis, "Shift the first code by four bits: << 4")


PACK = (
    _pack(
        "low-half-first",
        _BYTE,
        "(low << 4) | high",
        "the halves of each byte are swapped: the first code belongs into the high half",
        "Shift the codes at even places, codes[::2], by four bits",
    ),
    _pack(
        "padded-with-zero",
        "value=pad",
        "value=0",
        "an odd number of codes is filled up with code 0, which is the level -1; use pad",
        "Add one code, pad, if their number is odd",
    ),
    _pack(
        "first-and-second-half",
        _PAIRS,
        "codes.chunk(2)",
        "the first half of the codes meets the second half; neighbours belong together",
        "Take codes[::2] and codes[1::2]",
    ),
    _wrong_shift(
        "decimal",
        "high * 10 + low",
        "the first code is multiplied by 10, as if a digit had ten values; a half byte has 16",
    ),
    _wrong_shift(
        "or-without-shift",
        "high | low",
        "both codes are in the same half of the byte: the shift is missing",
    ),
    _wrong_shift(
        "added-without-shift",
        "high + low",
        "both codes are added in the same half of the byte: the shift is missing",
    ),
    _wrong_shift(
        "exclusive-or-without-shift",
        "high ^ low",
        "both codes are in the same half of the byte: the shift is missing",
    ),
    _wrong_shift(
        "first-code-lost",
        "(high << 8) | low",
        "the first code of each pair is lost: shifted out of the byte, as by 8 bits or to the "
        "right; the high half starts four bits up",
    ),
    _wrong_shift(
        "and",
        "(high << 4) & low",
        "& keeps only bits that are set in both, so that every byte is zero: combine with |, or",
    ),
    _wrong_shift(
        "sum-before-shift",
        "high << 4 + low",
        "+ binds more tightly than <<: shifted by 4 + the second code; parentheses are missing",
    ),
    _wrong_shift(
        "times-fifteen",
        "high * 15 + low",
        "the first code is multiplied by 15; four bits up are times 16, that is << 4",
    ),
    *(
        _wrong_shift(
            f"shifted-by-{many}",
            f"(high << {many}) | low",
            f"the first code is shifted by {many} bits: a code has four bits, so the high half "
            "starts four bits up",
        )
        for many in (3, 5, 2, 1)
    ),
    _wrong_shift(
        "squared",
        "high**4 | low",
        "the first code is raised to the power of 4: the shift by four bits is << 4, times 16",
    ),
    _wrong_shift(
        "times-four",
        "high * 4 + low",
        "the first code is multiplied by 4: four bits up are times 16, that is << 4",
    ),
    _pack(
        "second-code-lost",
        _BYTE,
        "high << 4",
        "the second code of each pair is missing: the low half of every byte is zero",
        "Combine both codes: (first << 4) | second",
    ),
    _pack(
        "padded-in-front",
        "(0, 1)",
        "(1, 0)",
        "pad stands in front of the codes; it belongs behind them, at the end",
        "Add pad after the last code",
    ),
    _pack(
        "pad-in-high-half",
        _PADDED,
        "torch.cat([codes[:-1], codes.new_tensor([pad]), codes[-1:]])",
        "in the last byte pad and the last code are swapped: the code belongs into the high half, "
        "pad into the low half",
        "Add pad after the last code",
    ),
    _pack(
        "last-code-dropped",
        _PADDED,
        "codes[:-1]",
        "the last of an odd number of codes is missing: dropped instead of filled up with pad",
        "Add one code, pad, if their number is odd",
    ),
    _pack(
        "always-padded",
        "if len(codes) % 2:",
        "if True:",
        "pad is added to an even number of codes, too: one byte too many",
        "Add one code, pad, only if the number of codes is odd",
        (_PADDED, "F.pad(codes, (0, 2 - len(codes) % 2), value=pad)"),
    ),
    _pack(
        "last-code-repeated",
        "value=pad",
        "value=int(codes[-1])",
        "an odd number of codes is filled up with the last code once more; use pad",
        "Add one code, pad, if their number is odd",
    ),
    _pack(
        "padded-with-fifteen",
        "value=pad",
        "value=15",
        "an odd number of codes is filled up with a fixed code, 15; use pad",
        "Add one code, pad, if their number is odd",
    ),
)


def _odd(case: dict, expected: dict, observed: dict) -> bool:
    return len(case["codes"]) % 2 == 1


def _bytes(test) -> seen.Condition:
    return seen.values("result", lambda right, now: test(right.long(), now.long()))


PACK_SYMPTOMS = (
    Symptom(
        "result",
        "there is not one byte for each two codes, ⌈codes / 2⌉ in one row",
        "An odd number of codes is filled up with one pad; an even number is not",
        seen.other_shape("result"),
    ),
    Symptom(
        "result",
        "only the last byte of an odd number of codes is wrong: it holds the last code in its high "
        "half and pad in the low half",
        "Add one code, pad, after the last one if their number is odd",
        seen.both(_odd, _bytes(lambda right, now: torch.equal(right[:-1], now[:-1]))),
    ),
    Symptom(
        "result",
        "the low half of each byte is right, and the high half, with the first code, is not",
        "Shift the first code by four bits: << 4",
        _bytes(lambda right, now: torch.equal(right & 15, now & 15)),
    ),
    Symptom(
        "result",
        "the high half of each byte is right, and the low half, with the second code, is not",
        "Combine the shifted first code with the second one: |",
        _bytes(lambda right, now: torch.equal(right >> 4, now >> 4)),
    ),
    Symptom(
        "result",
        "right for an even number of codes; an odd number goes wrong: it is filled up with pad",
        "Add one code, pad, after the last one if their number is odd",
        seen.both(_odd, seen.wrong("result")),
    ),
    Symptom(
        "result",
        "a byte is not 16 times (<< 4) the first code of its pair of neighbours plus the second",
        "Take (codes[::2] << 4) | codes[1::2]",
        seen.wrong("result"),
    ),
)
