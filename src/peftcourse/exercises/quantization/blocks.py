"""Lesson 06, blocks: a weight quantized block by block, rightly and wrongly."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.quantization import seen


def quantize(weight: Tensor, levels: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    codes, scales = [], []
    for block in weight.flatten().split(block_size):  # the last one may be shorter
        absmax = block.abs().max()
        scaled = block / absmax if absmax > 0 else block
        distance = (scaled.unsqueeze(1) - levels).abs()
        codes.append(distance.argmin(dim=1))
        scales.append(absmax)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)


_quantize = partial(slip, quantize)
_BLOCKS, _SCALE, _CODES = (
    "weight.flatten().split(block_size)",
    "block.abs().max()",
    "torch.cat(codes)",
)
_NEAREST, _GUARDED = "distance.argmin(dim=1)", "block / absmax if absmax > 0 else block"

QUANTIZE = (
    _quantize(
        "level-below",
        _NEAREST,
        "torch.bucketize(scaled, levels, right=True).sub(1).clamp(0, len(levels) - 1)",
        "each weight goes to the level below it instead of the nearest one",
        "Compare distances: (scaled.unsqueeze(1) - levels).abs().argmin(dim=1)",
    ),
    _quantize(
        "level-above",
        _NEAREST,
        "torch.bucketize(scaled, levels).clamp(max=len(levels) - 1)",
        "each weight goes to the next level above it (bucketize) instead of the nearest one",
        "Compare distances: (scaled.unsqueeze(1) - levels).abs().argmin(dim=1)",
    ),
    _quantize(
        "one-scale",
        _SCALE,
        "weight.abs().max()",
        "one scale for the whole weight: each block has its own absmax",
        "Divide every block by its own absmax",
    ),
    _quantize(
        "largest-of-the-scales",
        "torch.stack(scales)",
        "torch.stack(scales).max()",
        "one absmax for the whole weight is returned; each block has its own",
        "Return one absmax for each block",
    ),
    _quantize(
        "one-scale-as-a-number",
        _SCALE,
        "weight.abs().max()",
        "one scale for the whole weight, a single number: each block has its own absmax",
        "Divide every block by its own absmax, and return them all",
        ("torch.stack(scales)", "scales[0]"),
    ),
    _quantize(
        "zero-by-zero",
        _GUARDED,
        "block / absmax",
        "a block of zeros gets code 0, which is the level -1: filled in, or because 0 / 0 is NaN; "
        "its codes are those of the level 0",
        "Leave a block as it is if its absmax is 0; the code is then that of level 0",
    ),
    _quantize(
        "blocks-down-columns",
        "weight.flatten()",
        "weight.T.flatten()",
        "the blocks run down the columns: a weight is read row by row",
        "Take weight.flatten() as it is",
    ),
    _quantize(
        "not-absolute",
        _SCALE,
        "block.max()",
        "abs is missing: scaled by the largest number of a block instead of its largest magnitude",
        "Take .abs() before the maximum",
    ),
    _quantize(
        "not-absolute-and-negative",
        _SCALE,
        "block.max()",
        "abs is missing: scaled by the largest number of a block instead of its largest magnitude",
        "Take .abs() before the maximum",
        ("absmax > 0", "absmax != 0"),
    ),
    _quantize(
        "levels-taken-as-even",
        _NEAREST,
        "((scaled + 1) / 2 * (len(levels) - 1)).round()",
        "computed as if the levels were evenly spaced; look at the levels that you are given",
        "Find the nearest level by its distance",
    ),
    _quantize(
        "a-block-for-each-row",
        _BLOCKS,
        "weight",
        "each row is one block: block_size is not used; the weight is one long row, cut every "
        "block_size weights",
        "Take weight.flatten().split(block_size)",
    ),
    _quantize(
        "blocks-end-with-rows",
        _BLOCKS,
        "[part for row in weight for part in row.split(block_size)]",
        "the blocks end where rows end; they cross from row to row, as the weight is one long row",
        "Flatten the weight first: weight.flatten().split(block_size)",
    ),
    _quantize(
        "rest-dropped",
        _BLOCKS,
        "weight.flatten()[: weight.numel() // block_size * block_size].split(block_size)",
        "the last, shorter block is missing: its weights are dropped",
        "Take weight.flatten().split(block_size): its last part may be shorter",
    ),
    _quantize(
        "padding-kept",
        _BLOCKS,
        "torch.nn.functional.pad(weight.flatten(), (0, -weight.numel() % block_size))"
        ".split(block_size)",
        "too many codes: those of the padding that fills the last block up are returned, too",
        "Drop the codes beyond weight.numel()",
    ),
    _quantize(
        "chunk",
        ".split(block_size)",
        ".chunk(block_size)",
        "chunk(n) makes n pieces, split(n) pieces of n: there are block_size blocks here",
        "Use .split(block_size)",
    ),
    _quantize(
        "tensor-split",
        ".split(block_size)",
        ".tensor_split(block_size)",
        "tensor_split(n) makes n pieces, split(n) pieces of n: there are block_size blocks here",
        "Use .split(block_size)",
    ),
    _quantize(
        "zeros-skipped",
        "absmax = block.abs().max()\n",
        "absmax = block.abs().max()\n        if absmax == 0:\n            continue\n",
        "a block of zeros is left out: it has an absmax, 0, and codes, those of the level 0",
        "Store codes and absmax of every block",
    ),
    _quantize(
        "always-64",
        ".split(block_size)",
        ".split(64)",
        "block_size is not used: the blocks have a fixed size of 64",
        "Split by the block_size that is given",
    ),
    _quantize(
        "one-for-zero",
        "scales.append(absmax)",
        "scales.append(absmax if absmax > 0 else torch.ones_like(absmax))",
        "the absmax of a block of zeros is 0, also where it is divided by something else",
        "Store the absmax itself; divide by something else if it is 0",
    ),
    _quantize(
        "small-scales-clamped",
        "block / absmax if absmax > 0",
        "block / absmax.clamp(min=1e-3) if absmax > 0",
        "blocks of small weights are not scaled by their absmax: a clamp, an added epsilon or a "
        "threshold is large beside tiny weights",
        "Leave out only a block whose absmax is exactly 0",
    ),
    _quantize(
        "small-blocks-unscaled",
        "absmax > 0",
        "absmax > 1e-3",
        "blocks of small weights are not scaled by their absmax: a clamp, an added epsilon or a "
        "threshold is large beside tiny weights",
        "Leave out only a block whose absmax is exactly 0",
    ),
    _quantize(
        "no-distance",
        "(scaled.unsqueeze(1) - levels).abs()",
        "(scaled.unsqueeze(1) - levels)",
        "abs is missing in the distance: the smallest difference with a sign is always that to the "
        "largest level",
        "Take the magnitude of the difference: .abs().argmin(dim=1)",
    ),
    _quantize(
        "no-distance-turned-round",
        "(scaled.unsqueeze(1) - levels).abs()",
        "(levels - scaled.unsqueeze(1))",
        "abs is missing in the distance: the smallest difference with a sign is always that to the "
        "smallest level",
        "Take the magnitude of the difference: .abs().argmin(dim=1)",
    ),
    _quantize(
        "farthest",
        "distance.argmin",
        "distance.argmax",
        "the farthest level is taken (argmax), not the nearest",
        "Take the smallest distance: argmin",
    ),
    _quantize(
        "not-scaled",
        _GUARDED,
        "block",
        "the weights are not divided by the absmax of their block: not scaled to the levels' range",
        "Divide each block by its absmax before you look for the nearest level",
    ),
    _quantize(
        "first-block-only",
        "scales.append(absmax)\n",
        "scales.append(absmax)\n        break\n",
        "only the first block is there: the return stands inside the loop",
        "Move the return out of the loop: indent it less",
    ),
    _quantize(
        "standard-deviation",
        _SCALE,
        "block.std(correction=0)",
        "the scale is the standard deviation of a block, not its absmax, the largest magnitude",
        "Take block.abs().max()",
    ),
    _quantize(
        "mean-magnitude",
        _SCALE,
        "block.abs().mean()",
        "the scale is the mean magnitude of a block, not its absmax, the largest magnitude",
        "Take block.abs().max()",
    ),
    _quantize(
        "length",
        _SCALE,
        "block.norm()",
        "the scale is the length (2-norm) of a block, not its absmax, the largest magnitude",
        "Take block.abs().max()",
    ),
    _quantize(
        "absolute-of-the-largest",
        _SCALE,
        "block.max().abs()",
        "abs comes too late, after the maximum: the largest number is not the one of largest "
        "magnitude",
        "Take .abs() before the maximum",
    ),
    _quantize(
        "signed-absmax",
        _SCALE,
        "block[block.abs().argmax()]",
        "the scale has a sign: the number of largest magnitude itself, not its magnitude",
        "Take block.abs().max()",
        ("absmax > 0", "absmax != 0"),
    ),
    _quantize(
        "multiplied",
        "block / absmax if",
        "block * absmax if",
        "multiplied by the absmax, where a block is divided by it to lie between -1 and 1",
        "Divide by the absmax",
    ),
    _quantize(
        "number-of-blocks",
        ".split(block_size)",
        ".split(weight.numel() // block_size)",
        "split by the number of blocks; split takes the size of a block",
        "Use .split(block_size)",
    ),
    _quantize(
        "signs-lost",
        "(scaled.unsqueeze(1) - levels)",
        "(scaled.abs().unsqueeze(1) - levels)",
        "the sign of the weights is lost: the magnitude was compared with the levels",
        "Take .abs() of the distance, and for the absmax, but not of the weights themselves",
    ),
    _quantize(
        "counted-from-one",
        _CODES,
        "(torch.cat(codes) + 1)",
        "each code is one too large: codes count from 0",
        "Take the index that argmin returns",
    ),
)


def _codes(test) -> seen.Condition:
    return seen.values("codes", test)


def _only_in_blocks_of_zeros(case: dict, expected: dict, observed: dict) -> bool:
    block_is_zero = expected["absmax"] == 0
    places = block_is_zero.repeat_interleave(case["block_size"])[: len(expected["codes"])]
    return seen.values("codes", lambda right, now: not (right != now)[~places].any())(
        case, expected, observed
    )


def _only_in_the_last_block(case: dict, expected: dict, observed: dict) -> bool:
    start = (len(expected["absmax"]) - 1) * case["block_size"]
    return seen.values("codes", lambda right, now: torch.equal(right[:start], now[:start]))(
        case, expected, observed
    )


QUANTIZE_SYMPTOMS = (
    Symptom(
        "codes",
        "there is not one code for each weight, in one row, (weights,): some are missing or too "
        "many; look at the last block, which may be shorter",
        "One code for each weight, in one row",
        seen.other_shape("codes"),
    ),
    Symptom(
        "absmax",
        "there is not one absmax for each block of block_size weights, the last one included, "
        "which may be shorter",
        "Read the weight as one long row, and cut it every block_size weights",
        seen.other_shape("absmax"),
    ),
    Symptom(
        "codes",
        "the codes are not whole numbers: levels or weights, not the places of the nearest levels",
        "argmin gives the place of the nearest level, its code",
        seen.values("codes", lambda right, now: (now != now.round()).any()),
    ),
    Symptom(
        "codes",
        "only codes in a block of zeros are wrong: they are those of the level 0",
        "Leave a block as it is if its absmax is 0",
        _only_in_blocks_of_zeros,
    ),
    Symptom(
        "codes",
        "only codes of the last, shorter block are wrong",
        "The last block has an absmax of its own, and as many codes as weights",
        _only_in_the_last_block,
    ),
    Symptom(
        "absmax",
        "the absmax of a block is wrong, although all codes are right",
        "Store the largest magnitude of each block itself, 0 where all weights are 0",
        seen.both(seen.right("codes"), seen.wrong("absmax")),
    ),
    Symptom(
        "absmax",
        "each absmax is too large by the same small number: an epsilon is added to it",
        "Store the absmax itself",
        seen.values("absmax", lambda right, now: (now - right).std() < 1e-9),
    ),
    Symptom(
        "absmax",
        "the scales are not the absmax, the largest magnitude, of each block of block_size weights",
        "Cut the long row every block_size weights, and take .abs().max() of each",
        seen.wrong("absmax"),
    ),
    Symptom(
        "codes",
        "each code is the right one or its neighbour: not always the nearest level",
        "Compare distances: (scaled.unsqueeze(1) - levels).abs().argmin(dim=1)",
        seen.at_most_one_off("codes"),
    ),
    Symptom(
        "codes",
        "each absmax is right, and the codes are not: they are not those of the nearest level to "
        "weight / absmax",
        "Divide each block by its own absmax, then find the nearest level",
        seen.both(seen.right("absmax"), seen.wrong("codes")),
    ),
)
