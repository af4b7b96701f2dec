"""The exercises of lesson 06, quantization and QLoRA."""

from __future__ import annotations

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.quantization import (
    blocks,
    cases,
    cost,
    layer,
    levels,
    merging,
    numbers,
    packing,
    probes,
    scales,
    unpacking,
)
from peftcourse.exercises.quantization.shipping import SHIPPING

TITLE = "06 Quantization and QLoRA"

PARTS = (
    Exercise(
        id="quantization.absmax",
        title="absmax quantization",
        objective="turn blocks of numbers into whole numbers of a few bits, and back.",
        points=2,
        difficulty=1,
        minutes=6,
        section="Absmax: whole numbers and one scale",
        hints=(
            "Which number of a block gets the largest code? Which code is it with 8 bits, if there "
            "are as many on either side of zero?",
            "absmax = blocks.abs().amax(dim=1); the largest code is 2 ** (bits - 1) - 1.",
            "(blocks / absmax.unsqueeze(1) * largest).round().to(torch.int8), and absmax.",
        ),
        meaning="a single large number decides how finely all the others of its block are stored.",
        cases=cases.absmax,
        probe=probes.absmax,
        solution=numbers.absmax,
        mutants=numbers.ABSMAX,
        symptoms=numbers.ABSMAX_SYMPTOMS,
    ),
    Exercise(
        id="quantization.codebook",
        title="levels where the weights are",
        objective="derive the levels of NF4 from the normal distribution.",
        points=4,
        difficulty=4,
        minutes=15,
        section="Why quantiles",
        hints=(
            "Make the positive and the negative side apart. How many levels has each, if one of "
            "the 2^bits is zero and the positive side has one more?",
            "torch.linspace(offset, 0.5, n + 1)[:-1] are n probabilities from the outermost "
            "inwards; torch.special.ndtri turns probabilities into quantiles.",
            "half = 2 ** (bits - 1): `half` positive ones, `half - 1` negative ones with a minus "
            "sign, and zero; then sort, and divide by the largest.",
        ),
        meaning="with 4 bits and an offset of 0.9677083 these are the 16 levels of NF4.",
        cases=cases.codebook,
        probe=probes.codebook,
        solution=levels.codebook,
        mutants=levels.CODEBOOK,
        symptoms=levels.CODEBOOK_SYMPTOMS,
    ),
    Exercise(
        id="quantization.quantize",
        title="block by block",
        objective="quantize a weight in blocks, to any levels.",
        points=4,
        difficulty=3,
        minutes=15,
        section="Blocks and outliers",
        hints=(
            "Read the weight as one long row, weight.flatten(), and .split(block_size) it.",
            "Per block: absmax, divide (unless it is 0), and for each number the index of the "
            "nearest level.",
            "(scaled.unsqueeze(1) - levels).abs().argmin(dim=1) is that index; torch.cat and "
            "torch.stack put the blocks together.",
        ),
        meaning="an outlier spoils its own block and no other.",
        cases=cases.quantize,
        probe=probes.quantize,
        solution=blocks.quantize,
        mutants=blocks.QUANTIZE,
        symptoms=blocks.QUANTIZE_SYMPTOMS,
    ),
    Exercise(
        id="quantization.pack",
        title="two codes in a byte",
        objective="store 4-bit codes in memory that knows bytes only.",
        points=2,
        difficulty=2,
        minutes=6,
        section="Two codes in a byte",
        hints=(
            "A byte has 8 bits: the first code of each pair is moved up by four of them.",
            "codes[::2] are the first ones of the pairs, codes[1::2] the second ones. Add one "
            "code, pad, if their number is odd.",
            "(codes[::2] << 4) | codes[1::2]",
        ),
        meaning="these are the bytes of bitsandbytes, so that either library reads the other's.",
        cases=cases.pack,
        probe=probes.pack,
        solution=packing.pack,
        mutants=packing.PACK,
        symptoms=packing.PACK_SYMPTOMS,
    ),
    Exercise(
        id="quantization.dequantize",
        title="the way back",
        objective="turn bytes and scales into a weight again, rounding once.",
        points=3,
        difficulty=3,
        minutes=12,
        section="Two codes in a byte",
        hints=(
            "Four steps: take the bytes apart, look the levels up, multiply by the scale of the "
            "block, give it the shape.",
            "packed >> 4 is the first code of a byte, packed & 15 the second; stack them on dim=1 "
            "and flatten. The last byte may hold a code too many.",
            "absmax.repeat_interleave(block_size)[:count] is a scale for each weight; .to(dtype) "
            "comes last.",
        ),
        meaning="the result is as large as the weight was: it must not live longer than needed.",
        cases=cases.dequantize,
        probe=probes.dequantize,
        solution=unpacking.dequantize,
        mutants=unpacking.DEQUANTIZE,
        symptoms=unpacking.DEQUANTIZE_SYMPTOMS,
    ),
    Exercise(
        id="quantization.bits",
        title="what the scales cost",
        objective="derive 4.5 and 4.127 bits per weight, and those of any other format.",
        points=2,
        difficulty=2,
        minutes=6,
        section="Four bits, and what they cost",
        hints=(
            "How many weights share one scale? And how many share one scale of the scales?",
            "bits + scale_bits / block_size, and the outer scale, which has 32 bits.",
            "bits + scale_bits / block_size + 32 / (block_size * outer_block), the last term only "
            "if there is an outer block.",
        ),
        meaning="bits(4, 64, 32, None) is 4.5, and bits(4, 64, 8, 256) is 4.127.",
        cases=cases.bits,
        probe=probes.bits,
        solution=cost.bits,
        mutants=cost.BITS,
        symptoms=cost.BITS_SYMPTOMS,
    ),
    Exercise(
        id="quantization.double",
        title="double quantization",
        objective="store the scales themselves in 8 bits.",
        points=3,
        difficulty=3,
        minutes=12,
        section="Four bits, and what they cost",
        hints=(
            "Scales are positive. What has to be taken out so that codes of both signs are used?",
            "offset = absmax.mean(); then absmax quantization of what is left, in blocks: "
            "(absmax - offset).view(-1, block_size).",
            "Codes from -127 to 127 as in quantization.absmax; return codes.flatten(), the absmax "
            "of each outer block, and the offset.",
        ),
        meaning="0.373 bits per weight saved: about 3 GB on a model of 65 billion parameters.",
        cases=cases.double,
        probe=probes.double,
        solution=scales.double,
        mutants=scales.DOUBLE,
        symptoms=scales.DOUBLE_SYMPTOMS,
    ),
    Exercise(
        id="quantization.linear",
        title="a product that forgets its weight",
        objective="multiply by a 4-bit weight without keeping a 16-bit one.",
        points=5,
        difficulty=4,
        minutes=20,
        section="4 bits in memory, 16 in the product",
        hints=(
            "Left alone, autograd keeps the matrix of a product until the backward pass. What is "
            "small enough to be kept instead?",
            "ctx.save_for_backward(packed), and ctx.dequantize = dequantize. The weight is frozen: "
            "no gradient of it, and so no need of x.",
            "forward: x @ dequantize(packed, x.dtype).T; backward: grad @ ctx.dequantize(packed, "
            "grad.dtype), and None for the other two arguments.",
        ),
        meaning="one 16-bit matrix exists at a time; the price is to dequantize in every pass.",
        cases=cases.linear,
        probe=probes.linear,
        solution=layer.QuantizedProduct,
        mutants=layer.LINEAR,
        symptoms=layer.LINEAR_SYMPTOMS,
    ),
    Exercise(
        id="quantization.merge",
        title="merge without loss",
        objective="fold an adapter into the base that it was trained on.",
        points=3,
        difficulty=2,
        minutes=8,
        section="Merging, three ways",
        hints=(
            "Which weight did the adapter see while it was trained?",
            "base.dequantize(), plus the update, in full precision.",
            "(base.dequantize() + scaling * (B @ A)).to(dtype)",
        ),
        meaning="the merged model says what the adapted one said, up to one rounding to 16 bit.",
        cases=cases.merge,
        probe=probes.merge,
        solution=merging.merge,
        mutants=merging.MERGE,
        symptoms=merging.MERGE_SYMPTOMS,
    ),
    SHIPPING,
)
