"""Lesson 06, unpacking: from bytes and scales to a weight, rightly and wrongly."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.quantization import seen


def dequantize(
    packed: Tensor,
    levels: Tensor,
    absmax: Tensor,
    block_size: int,
    shape: tuple[int, int],
    dtype: torch.dtype,
) -> Tensor:
    count = shape[0] * shape[1]
    high, low = packed >> 4, packed & 15
    codes = torch.stack([high, low], dim=1).flatten().long()
    codes = codes[:count]  # the last byte may hold a code too many
    scales = absmax.repeat_interleave(block_size)[:count]
    weight = (levels[codes] * scales).view(shape)
    return weight.to(dtype)


_dequantize = partial(slip, dequantize)
_SCALES, _PRODUCT = "absmax.repeat_interleave(block_size)", "levels[codes] * scales"
_CONVERTED, _BLOCK_SCALES = "weight.to(dtype)", "absmax.repeat_interleave(block_size)[:count]"


def _early(id: str, old: str, new: str, what: str, *more: tuple[str, str]):
    return _dequantize(
        id,
        old,
        new,
        f"{what} rounded before the product, so that digits are lost; once, at the end, is enough",
        "Multiply in float32, then convert once",
        *more,
    )


DEQUANTIZE = (
    _dequantize(
        "halves-swapped",
        "[high, low]",
        "[low, high]",
        "the halves of each byte are swapped: read in the wrong order; the first code is the high "
        "one",
        "Put packed >> 4 before packed & 15",
    ),
    _early(
        "rounded-first",
        _PRODUCT,
        "levels.to(dtype)[codes] * scales.to(dtype)",
        "level and scale are both",
    ),
    _early("levels-rounded", _PRODUCT, "levels.to(dtype)[codes] * scales", "the levels are"),
    _early("scales-rounded", _PRODUCT, "levels[codes] * scales.to(dtype)", "the scales are"),
    _dequantize(
        "not-scaled",
        _PRODUCT,
        "levels[codes]",
        "the levels alone: each block has to be multiplied by its absmax",
        "Multiply by the scale of the block",
    ),
    _dequantize(
        "scales-one-by-one",
        "repeat_interleave(block_size)",
        "repeat(block_size)",
        "the scales change from weight to weight; a scale is for block_size weights in a row",
        "Use repeat_interleave, not repeat",
    ),
    _dequantize(
        "down-columns",
        ".view(shape)",
        ".view(shape[1], shape[0]).T",
        "filled column by column: a weight is stored row by row",
        "End with .view(shape)",
    ),
    _dequantize(
        "divided",
        _PRODUCT,
        "levels[codes] / scales",
        "divided by the scale; that is what quantizing does, and this is the way back",
        "Multiply by the scale",
    ),
    _dequantize(
        "high-halves-first",
        "dim=1",
        "dim=0",
        "all high halves come first, then all low ones: the two codes of a byte are neighbours, "
        "side by side; stack on dim=1, no cat",
        "Stack on dim=1, then flatten",
    ),
    _dequantize(
        "dtype-forgotten",
        _CONVERTED,
        "weight",
        "the dtype that is asked for is not used: the weight is not converted to it",
        "End with .to(dtype)",
    ),
    _dequantize(
        "through-bfloat16",
        _CONVERTED,
        "weight.bfloat16().to(dtype)",
        "rounded to bfloat16 on the way, whatever dtype is asked for",
        "Convert once, to dtype",
    ),
    _dequantize(
        "through-float16",
        _CONVERTED,
        "weight.half().to(dtype)",
        "rounded to float16 on the way, whatever dtype is asked for",
        "Convert once, to dtype",
    ),
    _dequantize(
        "always-bfloat16",
        _CONVERTED,
        "weight.bfloat16()",
        "bfloat16 whatever is asked for: `dtype` is not used",
        "Convert to dtype",
    ),
    _dequantize(
        "always-float16",
        _CONVERTED,
        "weight.half()",
        "float16 whatever is asked for: `dtype` is not used",
        "Convert to dtype",
    ),
    _dequantize(
        "scale-by-byte",
        _BLOCK_SCALES,
        "absmax[(torch.arange(count) // 2 // (block_size // 2)).clamp(max=len(absmax) - 1)]",
        "a scale for each byte: with an odd block size the two codes of a byte can be in different "
        "blocks",
        "Give each code the scale of its own block",
    ),
    _dequantize(
        "always-64",
        "repeat_interleave(block_size)",
        "repeat_interleave(64)",
        "block_size is not used: a scale serves a fixed number of 64 weights",
        "Repeat each scale block_size times",
    ),
    _dequantize(
        "a-scale-for-each-row",
        _BLOCK_SCALES,
        "absmax[: shape[0]].repeat_interleave(shape[1])",
        "a scale for each row: scales belong to blocks of block_size weights, which end anywhere",
        "Repeat each scale block_size times along the flat weight",
    ),
    _dequantize(
        "three-bits",
        "packed & 15",
        "packed & 7",
        "only three bits of the second code are read: the low half has four, & 15",
        "Take packed & 15",
    ),
    _dequantize(
        "modulo-fifteen",
        "packed & 15",
        "packed % 15",
        "the second code is the remainder by 15; the low half is the remainder by 16, & 15",
        "Take packed & 15",
    ),
    _dequantize(
        "first-code-cut-off",
        "codes[:count]",
        "codes[-count:]",
        "the first code is cut off where the last byte holds one too many: the pad stands last",
        "Drop codes at the end: codes[:count]",
    ),
    _dequantize(
        "last-block-with-its-neighbour",
        _BLOCK_SCALES,
        "absmax[(torch.arange(count) // block_size).clamp(max=max(count // block_size, 1) - 1)]",
        "the last, shorter block has the scale of the block before it; it has one of its own",
        "Give block i the scale absmax[i], also the last one",
    ),
    _dequantize(
        "first-code-twice",
        "[high, low]",
        "[high, high]",
        "the first code of each byte is taken twice, the second one never",
        "Stack packed >> 4 and packed & 15",
    ),
    _dequantize(
        "second-code-twice",
        "[high, low]",
        "[low, low]",
        "the second code of each byte (the low half) is taken twice, the first one never",
        "Stack packed >> 4 and packed & 15",
    ),
    _dequantize(
        "levels-taken-as-even",
        _PRODUCT,
        "(codes / 7.5 - 1) * scales",
        "computed as if the levels were evenly spaced: look them up in `levels`",
        "Take levels[codes]",
    ),
    _dequantize(
        "codes-for-levels",
        _PRODUCT,
        "codes * scales",
        "the codes themselves are multiplied by the scale; the level of each is to be looked up",
        "Take levels[codes]",
    ),
    _dequantize(
        "levels-reversed",
        _PRODUCT,
        "levels.flip(0)[codes] * scales",
        "the levels are read from the other end: code 0 is the first level, -1",
        "Take levels[codes]",
    ),
    _dequantize(
        "counted-from-one",
        _PRODUCT,
        "levels[(codes - 1) % 16] * scales",
        "codes count from 0: each level looked up is one too low",
        "Take levels[codes]",
    ),
    _dequantize(
        "scales-added",
        _PRODUCT,
        "levels[codes] + scales",
        "the scale is added to the level; it is multiplied with it",
        "Multiply by the scale of the block",
    ),
    _dequantize(
        "scaled-twice",
        _PRODUCT,
        "levels[codes] * scales * scales",
        "multiplied by the scale twice",
        "Multiply by the scale of the block once",
    ),
    _dequantize(
        "mean-scale",
        _PRODUCT,
        "levels[codes] * absmax.mean()",
        "one scale, the mean, for all weights: each block has its own",
        "Multiply each block by its own absmax",
    ),
    _dequantize(
        "blocks-of-bytes",
        "repeat_interleave(block_size)",
        "repeat_interleave(2 * block_size)",
        "a scale serves block_size bytes here, twice as many weights: a byte holds two",
        "Repeat each scale block_size times",
    ),
    _dequantize(
        "one-scale",
        _PRODUCT,
        "levels[codes] * absmax.max()",
        "one scale for all weights: each block has its own",
        "Multiply each block by its own absmax",
    ),
    _dequantize(
        "first-scale",
        _PRODUCT,
        "levels[codes] * absmax[0]",
        "the first block's scale for all weights: each block has its own",
        "Multiply each block by its own absmax",
    ),
)


def _weight(test) -> seen.Condition:
    return seen.values("weight", lambda right, now: test(right.flatten(), now.flatten()))


def _close(right: Tensor, now: Tensor) -> bool:
    return torch.allclose(right, now, rtol=1e-5, atol=1e-7)


def _last_block_only(case: dict, expected: dict, observed: dict) -> bool:
    start = (len(case["absmax"]) - 1) * case["block_size"]
    return _weight(lambda right, now: _close(right[:start], now[:start]))(case, expected, observed)


DEQUANTIZE_SYMPTOMS = (
    Symptom(
        "weight",
        "the weight has another shape than the one that is asked for",
        "End with .view(shape)",
        seen.other_shape("weight"),
    ),
    Symptom(
        "digits of its dtype",
        "the weight has another dtype than the one that is asked for",
        "End with .to(dtype)",
        decides=True,
    ),
    Symptom(
        "weight",
        "right up to rounding: rounded too early, more than once, or not to the dtype that is "
        "asked for",
        "Multiply in float32, then convert once, to dtype",
        seen.rounded("weight"),
    ),
    Symptom(
        "weight",
        "only weights of the last block are wrong, which may be shorter: it has a scale of its own",
        "Give block i the scale absmax[i], also the last one",
        _last_block_only,
    ),
    Symptom(
        "weight",
        "the first code of each byte is read rightly, and the second one, in the low half, is not",
        "The second code is packed & 15",
        _weight(lambda right, now: _close(right[::2], now[::2])),
    ),
    Symptom(
        "weight",
        "the second code of each byte is read rightly, and the first one, in the high half, is not",
        "The first code is packed >> 4",
        _weight(lambda right, now: _close(right[1::2], now[1::2])),
    ),
    Symptom(
        "weight",
        "the signs are right, and the sizes are not: look at the scale that each weight gets, that "
        "of its block of block_size weights",
        "Repeat each scale block_size times along the flat weight",
        _weight(
            lambda right, now: torch.equal(right.sign(), now.sign()) and not seen.near(right, now)
        ),
    ),
    Symptom(
        "weight",
        "a weight is levels[code] times the scale of its block, absmax[i // block_size]: codes, "
        "levels or their order are others here",
        "Two codes a byte, the high half first; look the levels up; multiply by the block's scale",
        _weight(lambda right, now: not seen.near(right, now)),
    ),
)
