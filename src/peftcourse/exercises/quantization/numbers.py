"""Lesson 06, numbers: absmax quantization, rightly and wrongly."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.quantization import seen


def absmax(blocks: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    largest = 2 ** (bits - 1) - 1
    scale = blocks.abs().amax(dim=1)
    codes = (blocks / scale.unsqueeze(1) * largest).round()
    return codes.to(torch.int8), scale


_absmax = partial(slip, absmax)
_LARGEST, _SCALE = "2 ** (bits - 1) - 1", "blocks.abs().amax(dim=1)"

ABSMAX = (
    _absmax(
        "one-code-too-many",
        _LARGEST,
        "2 ** (bits - 1)",
        "the largest code is 2^(bits-1), one too many, which does not fit: with 8 bits, 128 "
        "becomes -128",
        "Use 2 ** (bits - 1) - 1 codes on each side of zero",
    ),
    _absmax(
        "cut-off",
        ".round()",
        ".trunc()",
        "cut off instead of rounded: converting to whole numbers drops the fraction",
        "Call .round() before .to(torch.int8)",
    ),
    _absmax(
        "not-absolute",
        _SCALE,
        "blocks.amax(dim=1)",
        "abs is missing: the largest number instead of the largest magnitude; -3 is larger than "
        "2 here",
        "Take .abs() before the maximum",
    ),
    _absmax(
        "one-scale",
        _SCALE,
        "blocks.abs().max().expand(len(blocks))",
        "one scale for all blocks: each row has its own absmax",
        "Take the maximum over dim=1",
    ),
    _absmax(
        "one-scale-as-a-number",
        _SCALE,
        "blocks.abs().max()",
        "one scale for all blocks, a single number: each row has its own absmax",
        "Take the maximum over dim=1",
        ("scale.unsqueeze(1)", "scale"),
    ),
    _absmax(
        "largest-of-the-scales",
        "return codes.to(torch.int8), scale",
        "return codes.to(torch.int8), scale.max()",
        "one absmax for all blocks is returned; each row has its own",
        "Return one absmax for each row",
    ),
    _absmax(
        "signs-not-counted",
        _LARGEST,
        "2**bits - 1",
        "codes up to 2^bits - 1, twice too many, as if no bit were needed for the sign",
        "Half of the codes are for negative numbers: 2 ** (bits - 1) - 1",
    ),
    _absmax(
        "floor",
        ".round()",
        ".floor()",
        "rounded down (floor), not to the nearest whole number",
        "Call .round()",
    ),
    _absmax(
        "always-8-bits",
        _LARGEST,
        "127",
        "127 is fixed in the code, which is right for 8 bits only: `bits` is not used",
        "Compute the largest code from bits: 2 ** (bits - 1) - 1",
    ),
    _absmax(
        "signs-lost",
        "(blocks / ",
        "(blocks.abs() / ",
        "the codes have no sign: the magnitude was quantized, not the number",
        "Take .abs() for the scale only",
    ),
    _absmax(
        "unsigned",
        "codes.to(torch.int8)",
        "(codes + largest).to(torch.uint8)",
        "the codes are shifted to start from zero (unsigned, uint8); int8 has a sign and needs no "
        "offset",
        "Leave negative codes negative",
    ),
    _absmax(
        "exclusive-or",
        _LARGEST,
        "2 ^ (bits - 1) - 1",
        "^ is exclusive or (xor) in Python, not a power: the largest code is wrong",
        "Write 2 ** (bits - 1) - 1",
    ),
    _absmax(
        "step-returned",
        "return codes.to(torch.int8), scale",
        "return codes.to(torch.int8), scale / largest",
        "the second result is the step, absmax divided by the largest code, not the absmax itself",
        "Return the largest magnitude of each block",
    ),
    _absmax(
        "rounded-too-early",
        "(blocks / scale.unsqueeze(1) * largest).round()",
        "(blocks / scale.unsqueeze(1)).round() * largest",
        "rounded before the multiplication, where everything is between -1 and 1: the order is "
        "wrong",
        "Multiply by the largest code first, then round",
    ),
    _absmax(
        "uneven-sides",
        "(blocks / scale.unsqueeze(1) * largest).round()",
        "(blocks / scale.unsqueeze(1) * (largest + 1)).round().clamp(-largest - 1, largest)",
        "scaled by 2^(bits-1) and cut (clamp) at the top: the largest code is one too many, and "
        "the two sides are not symmetric",
        "Scale by 2 ** (bits - 1) - 1; then nothing has to be cut",
    ),
    _absmax(
        "along-the-columns",
        _SCALE,
        "blocks.abs().amax(dim=0)",
        "the maximum runs along the wrong axis: down the columns, over all blocks, not along each "
        "row",
        "Each row is a block: take the maximum over dim=1",
        ("scale.unsqueeze(1)", "scale"),
    ),
    _absmax(
        "absolute-of-the-largest",
        _SCALE,
        "blocks.amax(dim=1).abs()",
        "abs comes too late, after the maximum: the largest number is not the one of largest "
        "magnitude",
        "Take .abs() before the maximum",
    ),
    _absmax(
        "mean-magnitude",
        _SCALE,
        "blocks.abs().mean(dim=1)",
        "the scale is the mean magnitude of a block, not the largest one, its absmax",
        "Take the maximum over dim=1",
    ),
    _absmax(
        "standard-deviation",
        _SCALE,
        "blocks.std(dim=1, correction=0)",
        "the scale is the standard deviation of a block, not its absmax, the largest magnitude",
        "Take the maximum of the magnitudes over dim=1",
    ),
    _absmax(
        "length",
        _SCALE,
        "blocks.norm(dim=1)",
        "the scale is the length (2-norm) of a block, not its absmax, the largest magnitude",
        "Take the maximum of the magnitudes over dim=1",
    ),
    _absmax(
        "whole-range",
        _SCALE,
        "(blocks.amax(dim=1) - blocks.amin(dim=1))",
        "the scale is the range, largest minus smallest number, not the largest magnitude",
        "Take .abs() and then the maximum over dim=1",
    ),
    _absmax(
        "not-scaled",
        "blocks / scale.unsqueeze(1) * largest",
        "blocks * largest",
        "the numbers are not divided by the absmax of their block",
        "Divide each row by its absmax first",
    ),
    _absmax(
        "not-stretched",
        " * largest).round()",
        ").round()",
        "not multiplied by the largest code: only -1, 0 and 1 come out",
        "Multiply by 2 ** (bits - 1) - 1 before you round",
    ),
    _absmax(
        "half-a-code",
        _LARGEST,
        "(2**bits - 1) / 2",
        "the largest code is taken as half of 2^bits - 1, which is no whole number: 127.5 for 8 "
        "bits",
        "Use 2 ** (bits - 1) - 1",
    ),
    _absmax(
        "one-code-too-few",
        _LARGEST,
        "2 ** (bits - 1) - 2",
        "the largest code is one too small: off by one",
        "Use 2 ** (bits - 1) - 1",
    ),
    _absmax(
        "one-bit-too-few",
        _LARGEST,
        "2 ** (bits - 2) - 1",
        "the largest code is that of one bit less: half of the codes are never used",
        "Use 2 ** (bits - 1) - 1",
    ),
    _absmax(
        "rounded-up",
        ".round()",
        ".ceil()",
        "rounded up (ceil), not to the nearest whole number",
        "Call .round()",
    ),
)

_NEGATIVE = seen.values("codes", lambda right, seen: (right < 0).any() and not (seen < 0).any())

ABSMAX_SYMPTOMS = (
    Symptom(
        "codes",
        "the codes are not whole numbers",
        "Round before .to(torch.int8)",
        seen.values("codes", lambda right, now: (now != now.round()).any()),
    ),
    Symptom(
        "codes",
        "no code is negative, although numbers are: codes have a sign, as int8 has",
        "Leave the sign in, and shift nothing",
        _NEGATIVE,
    ),
    Symptom(
        "codes",
        "some codes are beyond the largest code, 2^(bits-1) - 1",
        "The absmax itself gets the largest code",
        seen.values("codes", lambda right, seen: seen.abs().max() > right.abs().max()),
    ),
    Symptom(
        "codes",
        "the largest code, 2^(bits-1) - 1, is never reached: the absmax of a block should get it",
        "Divide by the absmax of the block, and multiply by the largest code",
        seen.values("codes", lambda right, seen: seen.abs().max() < right.abs().max()),
    ),
    Symptom(
        "codes",
        "each code is the right one or next to it: not rounded to the nearest whole number",
        "Round with .round(), once, just before .to(torch.int8)",
        seen.at_most_one_off("codes"),
    ),
    Symptom(
        "codes",
        "the codes of some blocks are right and those of others are not, as if all had one scale: "
        "each row has its own absmax",
        "Divide each row by its own absmax",
        seen.values("codes", lambda right, now: len(right) > 1 and (right == now).all(dim=1).any()),
    ),
    Symptom(
        "absmax",
        "the scale has a sign: the number of largest magnitude itself, not its magnitude (abs)",
        "Take .abs() before the maximum",
        seen.values("absmax", lambda right, now: torch.allclose(right, now.abs())),
    ),
    Symptom(
        "absmax",
        "there is not one absmax for each row, (blocks,): the maximum is over the wrong axis, or "
        "over all",
        "Take the maximum over dim=1",
        seen.other_shape("absmax"),
    ),
    Symptom(
        "absmax",
        "the codes are right, and the second result is not the largest magnitude of each block",
        "Return blocks.abs().amax(dim=1) itself",
        seen.both(seen.right("codes"), seen.wrong("absmax")),
    ),
    Symptom(
        "absmax",
        "the scale of a block is not its largest magnitude (absmax)",
        "Take .abs(), then the maximum over dim=1",
        seen.wrong("absmax"),
    ),
    Symptom(
        "codes",
        "each absmax is right, and the codes are not: each number is divided by it, multiplied by "
        "the largest code, 2^(bits-1) - 1, and rounded",
        "Look at the line that makes the codes: divide, multiply by the largest code, round",
        seen.both(seen.right("absmax"), seen.wrong("codes")),
    ),
)
