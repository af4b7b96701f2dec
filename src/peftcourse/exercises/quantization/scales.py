"""Lesson 06, scales: quantized themselves, rightly and wrongly."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.quantization import seen


def double(absmax: Tensor, block_size: int) -> tuple[Tensor, Tensor, Tensor]:
    offset = absmax.mean()
    blocks = (absmax - offset).view(-1, block_size)
    outer = blocks.abs().amax(dim=1)
    codes = (blocks / outer.unsqueeze(1) * 127).round()
    return codes.to(torch.int8).flatten(), outer, offset


_double = partial(slip, double)
_LEFT, _SCALE, _MEAN = "(absmax - offset)", "blocks.abs().amax(dim=1)", "absmax.mean()"
_IN_BLOCKS = "absmax.view(-1, block_size)"

DOUBLE = (
    _double(
        "not-centred",
        _MEAN,
        "torch.zeros_like(absmax.mean())",
        "the mean is not taken out, and zero returned for it: scales are positive, so half of the "
        "codes are never used",
        "Subtract absmax.mean() first, and return it as the offset",
    ),
    _double(
        "mean-left-in",
        _LEFT,
        "absmax",
        "the mean is returned, but not taken out before: scales are positive, so half of the codes "
        "are never used",
        "Quantize absmax - offset",
    ),
    _double(
        "cut-off",
        ".round()",
        ".trunc()",
        "cut off instead of rounded: converting to whole numbers drops the fraction",
        "Call .round() before .to(torch.int8)",
    ),
    _double(
        "one-outer-scale",
        _SCALE,
        "blocks.abs().max().expand(len(blocks))",
        "one outer scale for all: each outer block has its own absmax",
        "Take the maximum over dim=1",
    ),
    _double(
        "one-outer-scale-as-a-number",
        _SCALE,
        "blocks.abs().max()",
        "one outer scale for all, a single number: each outer block has its own absmax",
        "Take the maximum over dim=1",
        ("outer.unsqueeze(1)", "outer"),
    ),
    _double(
        "largest-of-the-outer-scales",
        "flatten(), outer, offset",
        "flatten(), outer.max(), offset",
        "one outer scale for all is returned; each outer block has its own absmax",
        "Return one absmax for each outer block",
    ),
    _double(
        "mean-of-each-block",
        f"{_LEFT}.view(-1, block_size)",
        f"{_IN_BLOCKS} - {_IN_BLOCKS}.mean(dim=1, keepdim=True)",
        "each block is centred on a mean of its own, and a single offset is stored",
        "Subtract one mean, that of all scales",
    ),
    _double(
        "means-of-blocks",
        _MEAN,
        f"{_IN_BLOCKS}.mean(dim=1)",
        "a mean for each outer block is taken out and returned; there is one, that of all scales",
        "Subtract one mean, absmax.mean()",
        (f"{_LEFT}.view(-1, block_size)", f"{_IN_BLOCKS} - offset.unsqueeze(1)"),
    ),
    _double(
        "turned-round",
        _LEFT,
        "(offset - absmax)",
        "the signs of the codes are turned round: offset minus scale instead of scale minus offset",
        "Subtract the offset from the scales",
    ),
    _double(
        "mean-added",
        _LEFT,
        "(absmax + offset)",
        "the mean is added instead of subtracted",
        "Subtract the offset from the scales",
    ),
    _double(
        "divided-by-the-mean",
        _LEFT,
        "(absmax / offset)",
        "the scales are divided by the mean, which is to be subtracted",
        "Subtract the offset from the scales",
    ),
    _double(
        "scale-before-centring",
        _SCALE,
        f"{_IN_BLOCKS}.abs().amax(dim=1)",
        "the outer scales are taken before the mean is: most of the 255 codes stay unused",
        "Take the absmax of the centred scales",
    ),
    _double(
        "smallest-as-offset",
        _MEAN,
        "absmax.min()",
        "the smallest scale is taken out instead of the mean: no code is negative",
        "Subtract the mean",
    ),
    _double(
        "largest-as-offset",
        _MEAN,
        "absmax.max()",
        "the largest scale is taken out instead of the mean: no code is positive",
        "Subtract the mean",
    ),
    _double(
        "one-code-too-few",
        "* 127",
        "* 126",
        "the largest code is 126, one too small: 8 bits reach from -127 to 127",
        "Multiply by 127",
    ),
    _double(
        "median",
        _MEAN,
        "absmax.median()",
        "the median is taken out; the mean is asked for",
        "Subtract absmax.mean()",
    ),
    _double(
        "middle",
        _MEAN,
        "((absmax.max() + absmax.min()) / 2)",
        "the middle between the smallest and the largest scale is taken out, not the mean of all",
        "Subtract absmax.mean()",
    ),
    _double(
        "not-absolute",
        _SCALE,
        "blocks.amax(dim=1)",
        "abs is missing: what is left is often negative, and its largest number is not the largest "
        "magnitude",
        "Take .abs() before the maximum",
    ),
    _double(
        "not-absolute-and-clamped",
        _SCALE,
        "blocks.amax(dim=1)",
        "abs is missing: what is left is often negative, and its largest number is not the largest "
        "magnitude",
        "Take .abs() before the maximum",
        (".round()", ".round().clamp(-128, 127)"),
    ),
    _double(
        "one-code-too-many",
        "* 127",
        "* 128",
        "the largest code is 128, one too many: 8 bits reach from -127 to 127 on both sides alike",
        "Multiply by 127",
    ),
    _double(
        "uneven-sides",
        "* 127).round()",
        "* 128).round().clamp(-128, 127)",
        "scaled by 128 and cut (clamp): codes run from -128, and the two sides are not symmetric; "
        "the largest code is 127",
        "Multiply by 127; then nothing has to be cut",
    ),
    _double(
        "signs-not-counted",
        "* 127",
        "* 255",
        "codes up to 255, as if no bit were needed for the sign: 8 bits reach to 127",
        "Multiply by 127",
    ),
    _double(
        "four-bits",
        "* 127",
        "* 7",
        "the largest code is 7, that of 4 bits: scales are stored in 8 bits, up to 127",
        "Multiply by 127",
    ),
    _double(
        "floor",
        ".round()",
        ".floor()",
        "rounded down (floor), not to the nearest whole number",
        "Call .round()",
    ),
    _double(
        "rounded-too-early",
        "(blocks / outer.unsqueeze(1) * 127).round()",
        "(blocks / outer.unsqueeze(1)).round() * 127",
        "rounded before the multiplication, where everything is between -1 and 1",
        "Multiply by 127 first, then round",
    ),
    _double(
        "mean-of-what-is-left",
        "flatten(), outer, offset",
        "flatten(), outer, blocks.mean()",
        "the mean is computed after it was taken out: of what is left, it is 0",
        "Return the mean of the scales as they came",
    ),
    _double(
        "unsigned",
        "codes.to(torch.int8)",
        "(codes + 127).to(torch.uint8)",
        "the codes are shifted to start from zero (unsigned, uint8); int8 has a sign and needs no "
        "offset",
        "Leave negative codes negative",
    ),
    _double(
        "one-block",
        f"{_LEFT}.view(-1, block_size)",
        f"{_LEFT}.view(1, -1)",
        "all scales are one outer block, as with a fixed block size of 256: block_size is not used",
        "Cut the scales into blocks: view(-1, block_size)",
    ),
    _double(
        "strided",
        ".view(-1, block_size)",
        ".view(block_size, -1)",
        "an outer block is not block_size neighbours: view(block_size, -1) deals them out, column "
        "by column; the axes are exchanged",
        "Use view(-1, block_size), and the maximum over dim=1",
        (_SCALE, "blocks.abs().amax(dim=0)"),
        ("outer.unsqueeze(1)", "outer"),
    ),
    _double(
        "strided-rows",
        ".view(-1, block_size)",
        ".view(block_size, -1)",
        "view(block_size, -1) makes block_size outer blocks; view(-1, block_size) makes blocks of "
        "block_size",
        "Use view(-1, block_size)",
    ),
    _double(
        "along-the-columns",
        _SCALE,
        "blocks.abs().amax(dim=0)",
        "the maximum runs along the wrong axis: over all blocks, not along each outer block",
        "Take the maximum over dim=1",
        ("outer.unsqueeze(1)", "outer"),
    ),
    _double(
        "mean-magnitude",
        _SCALE,
        "blocks.abs().mean(dim=1)",
        "the outer scale is the mean magnitude of a block, not its absmax, the largest one",
        "Take the maximum over dim=1",
    ),
    _double(
        "standard-deviation",
        _SCALE,
        "blocks.std(dim=1, correction=0)",
        "the outer scale is the standard deviation of a block, not its absmax",
        "Take the maximum of the magnitudes over dim=1",
    ),
    _double(
        "step-returned",
        "flatten(), outer, offset",
        "flatten(), outer / 127, offset",
        "the second result is the step, absmax divided by 127, not the absmax itself",
        "Return the largest magnitude of each outer block",
    ),
    _double(
        "scale-of-the-scales-kept",
        "flatten(), outer, offset",
        f"flatten(), {_IN_BLOCKS}.amax(dim=1), offset",
        "the second result is the absmax before the mean was taken out, not that which the codes "
        "were made with",
        "Return the absmax of what is left",
    ),
)

_CODES, _OUTER_SCALES = "codes", "scales of the scales"

DOUBLE_SYMPTOMS = (
    Symptom(
        _CODES,
        "there is not one code for each scale, in one row, (scales,)",
        "End with .flatten()",
        seen.other_shape(_CODES),
    ),
    Symptom(
        _OUTER_SCALES,
        "there is not one absmax for each outer block of block_size scales, in one row",
        "Take the maximum over dim=1 of view(-1, block_size)",
        seen.other_shape(_OUTER_SCALES),
    ),
    Symptom(
        "offset",
        "the third result is not the mean of all scales",
        "Take absmax.mean()",
        seen.wrong("offset"),
    ),
    Symptom(
        _CODES,
        "no code is negative, although half of the scales are below the mean: is it taken out, and "
        "the sign kept?",
        "Quantize absmax - offset, into int8",
        seen.values(_CODES, lambda right, seen: not (seen < 0).any()),
    ),
    Symptom(
        _CODES,
        "some codes are beyond the largest code of 8 bits, 127",
        "The absmax of an outer block itself gets the code 127 or -127",
        seen.values(_CODES, lambda right, seen: seen.abs().max() > 127),
    ),
    Symptom(
        _CODES,
        "the largest code of 8 bits, 127, is never reached",
        "The absmax of an outer block itself gets the code 127 or -127",
        seen.values(_CODES, lambda right, seen: seen.abs().max() < 127),
    ),
    Symptom(
        _CODES,
        "each code is the right one or next to it: not rounded to the nearest whole number",
        "Round with .round(), once, just before .to(torch.int8)",
        seen.at_most_one_off(_CODES),
    ),
    Symptom(
        _OUTER_SCALES,
        "the outer scales are not the largest magnitudes, in each outer block, of what is left "
        "after the mean is taken out",
        "Take (absmax - offset).view(-1, block_size).abs().amax(dim=1)",
        seen.wrong(_OUTER_SCALES),
    ),
    Symptom(
        _CODES,
        "mean and outer scales are right, and the codes are not: what is left of a scale is "
        "divided by the outer scale of its block, multiplied by 127, and rounded",
        "Divide by the outer scale, multiply by 127, round",
        seen.both(seen.right(_OUTER_SCALES), seen.right("offset"), seen.wrong(_CODES)),
    ),
)
