"""Lesson 06, numbers: absmax, levels, blocks, rightly and wrongly."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- quantization.absmax --------------------------------------------------------------------------


def absmax(blocks: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    largest = 2 ** (bits - 1) - 1
    scale = blocks.abs().amax(dim=1)
    return (blocks / scale.unsqueeze(1) * largest).round().to(torch.int8), scale


def _absmax(blocks, largest, scale, *, turn=torch.round):
    codes = turn(blocks / scale.unsqueeze(1) * largest)
    # Beyond 127 whole numbers of 8 bits start again from -128.
    return codes.to(torch.int64).to(torch.int8), scale


ABSMAX = (
    Mutant(
        "one-code-too-many",
        lambda blocks, bits: _absmax(blocks, 2 ** (bits - 1), blocks.abs().amax(dim=1)),
        "the largest code is 2^(bits-1), which does not fit: with 8 bits, 128 becomes -128",
        "Use 2 ** (bits - 1) - 1 codes on each side of zero",
    ),
    Mutant(
        "cut-off",
        lambda blocks, bits: _absmax(
            blocks, 2 ** (bits - 1) - 1, blocks.abs().amax(dim=1), turn=torch.trunc
        ),
        "cut off instead of rounded: converting to whole numbers drops the fraction",
        "Call .round() before .to(torch.int8)",
    ),
    Mutant(
        "not-absolute",
        lambda blocks, bits: _absmax(blocks, 2 ** (bits - 1) - 1, blocks.amax(dim=1)),
        "the largest number instead of the largest magnitude: -3 is larger than 2 here",
        "Take .abs() before the maximum",
    ),
    Mutant(
        "one-scale",
        lambda blocks, bits: _absmax(
            blocks, 2 ** (bits - 1) - 1, blocks.abs().max().expand(len(blocks))
        ),
        "one scale for all blocks: each has its own",
        "Take the maximum over dim=1",
    ),
    Mutant(
        "signs-not-counted",
        lambda blocks, bits: _absmax(blocks, 2**bits - 1, blocks.abs().amax(dim=1)),
        "codes up to 2^bits - 1, as if no bit were needed for the sign",
        "Half of the codes are for negative numbers: 2 ** (bits - 1) - 1",
    ),
)

# --- quantization.codebook ------------------------------------------------------------------------


def codebook(bits: int, offset: float) -> Tensor:
    half = 2 ** (bits - 1)
    positive = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    negative = -torch.special.ndtri(torch.linspace(offset, 0.5, half)[:-1])
    levels = torch.cat([negative, torch.zeros(1), positive]).sort().values
    return levels / levels.max()


def _quantiles(offset: float, count: int, parts: int) -> Tensor:
    """The first ``count`` of ``parts`` equally spaced quantiles from the offset towards 1/2."""
    return torch.special.ndtri(torch.linspace(offset, 0.5, parts)[:count])


def _codebook_sides_swapped(bits, offset):
    return -codebook(bits, offset).flip(0)


def _codebook_without_zero(bits, offset):
    levels = torch.special.ndtri(torch.linspace(1 - offset, offset, 2**bits))
    return levels / levels.max()


def _codebook_not_scaled(bits, offset):
    return codebook(bits, offset) * torch.special.ndtri(torch.tensor(offset))


def _codebook_zero_twice(bits, offset):
    half = 2 ** (bits - 1)
    positive, negative = _quantiles(offset, half, half), -_quantiles(offset, half - 1, half)
    levels = torch.cat([negative, torch.zeros(1), positive]).sort().values
    return levels / levels.max()


def _codebook_even(bits, offset):
    half = 2 ** (bits - 1)
    below, above = torch.linspace(-1, 0, half), torch.linspace(0, 1, half + 1)
    return torch.cat([below, above[1:]])


def _codebook_not_sorted(bits, offset):
    half = 2 ** (bits - 1)
    positive = _quantiles(offset, half, half + 1)
    levels = torch.cat([positive, torch.zeros(1), -_quantiles(offset, half - 1, half)])
    return levels / levels.max()


CODEBOOK = (
    Mutant(
        "sides-swapped",
        _codebook_sides_swapped,
        "the sides are swapped: the negative one has the extra level",
        "Half of the codes are positive levels; one fewer are negative, and one is zero",
    ),
    Mutant(
        "without-zero",
        _codebook_without_zero,
        "no level is exactly 0: a weight of zero, as in padding, would not stay zero",
        "Make the two sides apart, and put 0 between them",
    ),
    Mutant(
        "not-scaled",
        _codebook_not_scaled,
        "the outermost levels are not ±1: blocks are divided by their absmax, so that they must be",
        "Divide by the largest level",
    ),
    Mutant(
        "zero-twice",
        _codebook_zero_twice,
        "0 is there twice: the quantile of 1/2 is 0 itself, and one of the codes is lost",
        "Take one point more than you need, and drop the last one, 1/2",
    ),
    Mutant(
        "evenly-spaced",
        _codebook_even,
        "the levels are evenly spaced, as in int4; the probabilities should be, not the levels",
        "Space the probabilities evenly, and turn them into levels by torch.special.ndtri",
    ),
    Mutant(
        "not-sorted",
        _codebook_not_sorted,
        "the right levels in another order: the code of a level is its place among them",
        "Sort the levels, the smallest first",
    ),
)

# --- quantization.quantize ------------------------------------------------------------------------


def quantize(weight: Tensor, levels: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    codes, scales = [], []
    for block in weight.flatten().split(block_size):  # the last one may be shorter
        absmax = block.abs().max()
        scaled = block / absmax if absmax > 0 else block
        codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1))
        scales.append(absmax)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)


def _blocks(weight, levels, block_size, nearest, largest=lambda block: block.abs().max()):
    """Block by block, with the parts that can be wrong given as functions."""
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        scale = largest(block)
        codes.append(nearest(block / scale if scale != 0 else block, levels))
        scales.append(scale)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)


def _nearest(scaled, levels):
    return (scaled.unsqueeze(1) - levels).abs().argmin(dim=1)


def _level_below(scaled, levels):
    return torch.bucketize(scaled, levels, right=True).sub(1).clamp(0, len(levels) - 1)


def _evenly(scaled, levels):
    return ((scaled + 1) / 2 * (len(levels) - 1)).round()


def _quantize_one_scale(weight, levels, block_size):
    count = -(-weight.numel() // block_size)
    codes, _ = _blocks(weight, levels, weight.numel(), _nearest)
    return codes, weight.abs().max().expand(count)


def _quantize_down_columns(weight, levels, block_size):
    codes, scales = quantize(weight.T, levels, block_size)
    rows, columns = weight.shape
    return codes.view(columns, rows).T.flatten(), scales


def _quantize_nan(weight, levels, block_size):
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        scale = block.abs().max()
        codes.append((block.unsqueeze(1) / scale - levels).abs().argmin(dim=1))
        scales.append(scale)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)


QUANTIZE = (
    Mutant(
        "level-below",
        lambda weight, levels, block: _blocks(weight, levels, block, _level_below),
        "each weight goes to the level below it instead of the nearest one",
        "Compare distances: (scaled.unsqueeze(1) - levels).abs().argmin(dim=1)",
    ),
    Mutant(
        "one-scale",
        _quantize_one_scale,
        "one scale for the whole weight: each block has its own",
        "Divide every block by its own absmax",
    ),
    Mutant(
        "blocks-down-columns",
        _quantize_down_columns,
        "the blocks run down the columns: a weight is read row by row",
        "Take weight.flatten() as it is",
    ),
    Mutant(
        "not-absolute",
        lambda weight, levels, block: _blocks(
            weight, levels, block, _nearest, lambda part: part.max()
        ),
        "scaled by the largest number of a block instead of its largest magnitude",
        "Take .abs() before the maximum",
    ),
    Mutant(
        "levels-taken-as-even",
        lambda weight, levels, block: _blocks(weight, levels, block, _evenly),
        "computed as if the levels were evenly spaced; look at the levels that you are given",
        "Find the nearest level by its distance",
    ),
    Mutant(
        "zero-by-zero",
        _quantize_nan,
        "a block of zeros is divided by 0: NaN is near to no level, and the code is arbitrary",
        "Leave a block as it is if its absmax is 0; the code is then that of level 0",
    ),
)
