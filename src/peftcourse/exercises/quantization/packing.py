"""Lesson 06, packing: two codes in a byte, and the bits of the scales, rightly and wrongly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- quantization.pack ----------------------------------------------------------------------------


def pack(codes: Tensor, pad: int) -> Tensor:
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    return (codes[::2] << 4) | codes[1::2]


def _pack_halves(codes, pad):
    codes = F.pad(codes, (0, len(codes) % 2), value=pad)
    high, low = codes.chunk(2)
    return (high << 4) | low


def _pack_low_first(codes, pad):
    codes = F.pad(codes, (0, len(codes) % 2), value=pad)
    return (codes[1::2] << 4) | codes[::2]


def _pack_decimal(codes, pad):
    codes = F.pad(codes, (0, len(codes) % 2), value=pad)
    return codes[::2] * 10 + codes[1::2]


PACK = (
    Mutant(
        "low-half-first",
        _pack_low_first,
        "the halves of each byte are swapped: the first code belongs into the high half",
        "Shift the codes at even places, codes[::2], by four bits",
    ),
    Mutant(
        "first-and-second-half",
        _pack_halves,
        "the first half of the codes meets the second half; neighbours belong together",
        "Take codes[::2] and codes[1::2]",
    ),
    Mutant(
        "padded-with-zero",
        lambda codes, pad: pack(codes, 0),
        "an odd number of codes is filled up with code 0, which is the level -1; use pad",
        "Add one code, pad, if their number is odd",
    ),
    Mutant(
        "decimal",
        _pack_decimal,
        "the first code is multiplied by 10, as if a digit had ten values; a half byte has 16",
        "Shift by four bits: << 4",
    ),
    Mutant(
        "or-without-shift",
        lambda codes, pad: pack(codes, pad) & 15 | pack(codes, pad) >> 4,
        "both codes are in the same half of the byte: the shift is missing",
        "Shift the first code by four bits: << 4",
    ),
)

# --- quantization.dequantize ----------------------------------------------------------------------


def dequantize(
    packed: Tensor,
    levels: Tensor,
    absmax: Tensor,
    block_size: int,
    shape: tuple[int, int],
    dtype: torch.dtype,
) -> Tensor:
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten()
    codes = codes[: shape[0] * shape[1]]  # the last byte may hold a code too many
    scales = absmax.repeat_interleave(block_size)[: len(codes)]
    return (levels[codes.long()] * scales).view(shape).to(dtype)


def _unpack(packed, shape, *, swapped=False):
    halves = [packed & 15, packed >> 4] if swapped else [packed >> 4, packed & 15]
    return torch.stack(halves, dim=1).flatten()[: shape[0] * shape[1]].long()


def _dequantize_swapped(packed, levels, absmax, block_size, shape, dtype):
    codes = _unpack(packed, shape, swapped=True)
    scales = absmax.repeat_interleave(block_size)[: len(codes)]
    return (levels[codes] * scales).view(shape).to(dtype)


def _dequantize_tiled(packed, levels, absmax, block_size, shape, dtype):
    codes = _unpack(packed, shape)
    scales = absmax.repeat(block_size)[: len(codes)]
    return (levels[codes] * scales).view(shape).to(dtype)


def _dequantize_unscaled(packed, levels, absmax, block_size, shape, dtype):
    return levels[_unpack(packed, shape)].view(shape).to(dtype)


def _dequantize_transposed(packed, levels, absmax, block_size, shape, dtype):
    weight = dequantize(packed, levels, absmax, block_size, shape, dtype)
    return weight.flatten().view(shape[1], shape[0]).T


def _dequantize_rounded_first(packed, levels, absmax, block_size, shape, dtype):
    codes = _unpack(packed, shape)
    scales = absmax.to(dtype).repeat_interleave(block_size)[: len(codes)]
    return (levels.to(dtype)[codes] * scales).view(shape)


def _dequantize_divided(packed, levels, absmax, block_size, shape, dtype):
    return dequantize(packed, levels, 1 / absmax, block_size, shape, dtype)


DEQUANTIZE = (
    Mutant(
        "halves-swapped",
        _dequantize_swapped,
        "the halves of each byte are read in the wrong order: the first code is the high one",
        "Put packed >> 4 before packed & 15",
    ),
    Mutant(
        "scales-one-by-one",
        _dequantize_tiled,
        "the scales change from weight to weight; a scale is for block_size weights in a row",
        "Use repeat_interleave, not repeat",
    ),
    Mutant(
        "not-scaled",
        _dequantize_unscaled,
        "the levels alone: each block has to be multiplied by its absmax",
        "Multiply by the scale of the block",
    ),
    Mutant(
        "down-columns",
        _dequantize_transposed,
        "filled column by column: a weight is stored row by row",
        "End with .view(shape)",
    ),
    Mutant(
        "rounded-first",
        _dequantize_rounded_first,
        "rounded before the product: level and scale lose digits, and their product once more",
        "Multiply in float32, then convert once",
    ),
    Mutant(
        "divided",
        _dequantize_divided,
        "divided by the scale; that is what quantizing does, and this is the way back",
        "Multiply by the scale",
    ),
)

# --- quantization.bits ----------------------------------------------------------------------------


def bits(bits: int, block_size: int, scale_bits: int, outer_block: int | None) -> float:
    total = bits + scale_bits / block_size
    if outer_block is not None:
        total += 32 / (block_size * outer_block)
    return total


BITS = (
    Mutant(
        "outer-scale-forgotten",
        lambda code, block, scale, outer: code + scale / block,
        "the scales of the scales are missing: 32 bits for each outer block",
        "Add 32 / (block_size * outer_block)",
    ),
    Mutant(
        "outer-scale-per-weights",
        lambda code, block, scale, outer: code + scale / block + (32 / outer if outer else 0),
        "the outer blocks are counted in weights; they hold scales, each for block_size weights",
        "An outer scale serves block_size · outer_block weights",
    ),
    Mutant(
        "scales-in-32-bit",
        lambda code, block, scale, outer: (
            code + 32 / block + (32 / (block * outer) if outer else 0)
        ),
        "the scales are counted with 32 bits where they have been quantized",
        "Count scale_bits for the scale of a block",
    ),
    Mutant(
        "scale-per-weight",
        lambda code, block, scale, outer: bits(code, 1, scale, None),
        "a scale for every weight: a block of weights shares one",
        "Divide by block_size",
    ),
    Mutant(
        "bytes-for-bits",
        lambda code, block, scale, outer: bits(code, 8 * block, scale, outer),
        "the scales are counted in bytes and the codes in bits",
        "Count bits throughout",
    ),
)

# --- quantization.double --------------------------------------------------------------------------


def double(absmax: Tensor, block_size: int) -> tuple[Tensor, Tensor, Tensor]:
    offset = absmax.mean()
    blocks = (absmax - offset).view(-1, block_size)
    outer = blocks.abs().amax(dim=1)
    codes = (blocks / outer.unsqueeze(1) * 127).round().to(torch.int8)
    return codes.flatten(), outer, offset


def _double(centred, block_size, offset, outer=None):
    blocks = centred.view(-1, block_size)
    outer = blocks.abs().amax(dim=1) if outer is None else outer
    codes = (blocks / outer.unsqueeze(1) * 127).round().to(torch.int8)
    return codes.flatten(), outer, offset


def _double_mean_of_block(absmax, block_size):
    blocks = absmax.view(-1, block_size)
    centred = blocks - blocks.mean(dim=1, keepdim=True)
    return _double(centred.flatten(), block_size, absmax.mean())


def _double_scale_first(absmax, block_size):
    outer = absmax.view(-1, block_size).abs().amax(dim=1)
    return _double(absmax - absmax.mean(), block_size, absmax.mean(), outer)


DOUBLE = (
    Mutant(
        "not-centred",
        lambda absmax, block: _double(absmax, block, torch.zeros((), dtype=absmax.dtype)),
        "the mean is not taken out: scales are positive, so half of the codes are never used",
        "Subtract absmax.mean() first, and return it as the offset",
    ),
    Mutant(
        "mean-of-each-block",
        _double_mean_of_block,
        "each block is centred on a mean of its own, and a single offset is stored",
        "Subtract one mean, that of all scales",
    ),
    Mutant(
        "turned-round",
        lambda absmax, block: _double(absmax.mean() - absmax, block, absmax.mean()),
        "the signs of the codes are turned round: offset minus scale instead of scale minus offset",
        "Subtract the offset from the scales",
    ),
    Mutant(
        "scale-before-centring",
        _double_scale_first,
        "the outer scales are taken before the mean is: most of the 255 codes stay unused",
        "Take the absmax of the centred scales",
    ),
    Mutant(
        "smallest-as-offset",
        lambda absmax, block: _double(absmax - absmax.min(), block, absmax.min()),
        "the smallest scale is taken out instead of the mean: no code is negative",
        "Subtract the mean",
    ),
)
