"""Lesson 06, cost: the bits of a weight, scales included, rightly and wrongly."""

from __future__ import annotations

from functools import partial

from peftcourse.exercises.core import Mutant, Symptom, slip


def bits(bits: int, block_size: int, scale_bits: int, outer_block: int | None) -> float:
    scales = scale_bits / block_size
    outer = 0 if outer_block is None else 32 / (block_size * outer_block)
    return bits + scales + outer


_bits = partial(slip, bits)
_SUM, _INNER, _OUTER = (
    "return bits + scales + outer",
    "scale_bits / block_size",
    "32 / (block_size * outer_block)",
)

BITS = (
    _bits(
        "outer-scale-forgotten",
        _SUM,
        "return bits + scales",
        "the scales of the scales are missing: 32 bits for each outer block",
        "Add 32 / (block_size * outer_block)",
    ),
    _bits(
        "outer-scale-per-weights",
        _OUTER,
        "32 / outer_block",
        "the outer blocks are counted in weights; they hold scales, each for block_size weights: "
        "multiply",
        "An outer scale serves block_size · outer_block weights",
    ),
    _bits(
        "scales-in-32-bit",
        _INNER,
        "32 / block_size",
        "`scale_bits` is not used: the scales are counted with 32 bits also where they have been "
        "quantized",
        "Count scale_bits for the scale of a block",
    ),
    _bits(
        "scale-per-weight",
        _INNER,
        "scale_bits",
        "a scale for every weight: a block of weights shares one, so divide by block_size",
        "Divide by block_size",
    ),
    _bits(
        "bytes-for-bits",
        _SUM,
        "return bits + (scales + outer) / 8",
        "the scales are counted in bytes and the codes in bits",
        "Count bits throughout",
    ),
    _bits(
        "scales-forgotten",
        _SUM,
        "return bits + outer",
        "the scales of the blocks are not counted: scale_bits for each block_size weights",
        "Add scale_bits / block_size",
    ),
    _bits(
        "codes-alone",
        _SUM,
        "return bits",
        "the codes alone: no scale is counted, neither those of the blocks nor the outer ones",
        "Add scale_bits / block_size, and the outer scales",
    ),
    _bits(
        "outer-for-inner",
        _SUM,
        "return bits + (outer or scales)",
        "the outer scale replaces the scales of the blocks; it comes in addition to them",
        "Add scale_bits / block_size in any case",
    ),
    _bits(
        "outer-block-added",
        _OUTER,
        "32 / (block_size + outer_block)",
        "block_size and outer_block are added; an outer scale serves their product, block_size * "
        "outer_block weights",
        "Multiply them",
    ),
    _bits(
        "outer-scale-per-block",
        _OUTER,
        "32 / block_size",
        "an outer scale for each block, where outer_block blocks share one",
        "Divide by outer_block, too",
    ),
    *(
        _bits(
            f"outer-scale-of-{size}",
            _OUTER,
            f"{size} / (block_size * outer_block)",
            f"the outer scale is counted with {size} bits; it has 32 bits{why}",
            "Add 32 / (block_size * outer_block)",
        )
        for size, why in (
            (16, ""),
            (8, ""),
            (64, ", and nothing else is stored for each outer block: twice too many"),
        )
    ),
    _bits(
        "outer-scale-of-scale-bits",
        _OUTER,
        "scale_bits / (block_size * outer_block)",
        "the outer scale is counted with scale_bits; it has 32 bits",
        "Add 32 / (block_size * outer_block)",
    ),
    _bits(
        "scales-in-8-bit",
        _INNER,
        "8 / block_size",
        "`scale_bits` is not used: the scales are counted with a fixed 8 bits",
        "Count scale_bits for the scale of a block",
    ),
    _bits(
        "scales-in-8-or-32-bit",
        _INNER,
        "(32 if outer_block is None else 8) / block_size",
        "`scale_bits` is not used: the scales are counted with a fixed 32 bits, and with 8 where "
        "there is an outer block",
        "Count scale_bits for the scale of a block",
    ),
    _bits(
        "nested-scales-in-8-bit",
        _INNER,
        "(scale_bits if outer_block is None else 8) / block_size",
        "with an outer block the scales are counted with a fixed 8 bits, not with scale_bits",
        "Count scale_bits for the scale of a block in either case",
    ),
    _bits(
        "plain-scales-in-32-bit",
        _INNER,
        "(32 if outer_block is None else scale_bits) / block_size",
        "without an outer block the scales are counted with a fixed 32 bits, not with scale_bits",
        "Count scale_bits for the scale of a block in either case",
    ),
    _bits(
        "condition-inverted",
        "0 if outer_block is None else 32 / (block_size * outer_block)",
        "32 / block_size if outer_block is None else 0",
        "the condition is inverted: an outer scale is added if outer_block is None, and left out "
        "otherwise",
        "Add the outer scale only if outer_block is not None",
    ),
    _bits(
        "share-of-the-codes",
        _SUM,
        "return bits * (1 + scales) + outer",
        "the scales are counted as a share of the codes: multiplied by bits; their bits are added",
        "Add scale_bits / block_size",
    ),
    _bits(
        "whole-division",
        _INNER,
        "scale_bits // block_size",
        "a whole division (integer, //) drops the fraction of a bit that a scale costs each weight",
        "Divide with /",
    ),
    _bits(
        "outer-whole-division",
        _OUTER,
        "32 // (block_size * outer_block)",
        "a whole division (integer, //) drops the fraction of a bit that an outer scale costs",
        "Divide with /",
    ),
    _bits(
        "subtracted",
        _SUM,
        "return bits - scales - outer",
        "what the scales cost is taken away; it is added to the bits of the codes",
        "Add it",
    ),
    _bits(
        "fraction-upside-down",
        _INNER,
        "block_size / scale_bits",
        "the fraction is upside down: block_size weights share the scale_bits of one scale",
        "Divide scale_bits by block_size",
    ),
    _bits(
        "outer-multiplied",
        _OUTER,
        "32 / block_size * outer_block",
        "multiplied by outer_block, where both sizes divide: parentheses are missing around "
        "block_size * outer_block",
        "Add 32 / (block_size * outer_block)",
    ),
    _bits(
        "scales-per-outer-block",
        "return bits + scales + outer",
        "return bits + (outer and scales / outer_block) + (outer or scales)",
        "with an outer block the scales of the blocks are divided by outer_block, too; each block "
        "still has a scale of its own",
        "Add scale_bits / block_size in any case",
    ),
    _bits(
        "multiplied",
        _INNER,
        "scale_bits * block_size",
        "multiplied by block_size: block_size weights share a scale, so divide",
        "Divide by block_size",
    ),
    _bits(
        "blocks-of-64",
        _INNER,
        "scale_bits / 64",
        "`block_size` is not used: fixed at 64",
        "Compute with block_size",
        (_OUTER, "32 / (64 * outer_block)"),
    ),
    _bits(
        "outer-blocks-of-256",
        _OUTER,
        "32 / (block_size * 256)",
        "`outer_block` is not used: fixed at 256",
        "Compute with outer_block",
    ),
    _bits(
        "four-bits",
        _SUM,
        "return 4 + scales + outer",
        "`bits` is not used: the codes are counted with a fixed 4 bits",
        "Start from bits",
    ),
    Mutant(
        "numbers-of-the-chapter",
        lambda bits, block, scale, outer: 4.5 if outer is None else 4 + 8 / 64 + 32 / (64 * 256),
        "the numbers of the chapter, 4.5 and 4.127, are fixed in the code: no argument is used",
        "Compute with block_size, scale_bits and outer_block",
    ),
)


def _is_number(observed: dict) -> bool:
    return isinstance(observed.get("result"), (int, float))


def _less_than_the_codes(case: dict, expected: dict, observed: dict) -> bool:
    return _is_number(observed) and observed["result"] < case["bits"]


def _nested(case: dict, expected: dict, observed: dict) -> bool:
    return _is_number(observed) and case["outer_block"] is not None


def _not_nested(case: dict, expected: dict, observed: dict) -> bool:
    return _is_number(observed) and case["outer_block"] is None


BITS_SYMPTOMS = (
    Symptom(
        "result",
        "less than the bits of the codes alone: what scales cost is added to them",
        "Start from bits, and add what the scales cost",
        _less_than_the_codes,
    ),
    Symptom(
        "result",
        "with an outer block it is wrong: the outer scale has 32 bits, is shared by outer_block "
        "scales of block_size weights each, and comes in addition to scale_bits / block_size",
        "Add 32 / (block_size * outer_block) to what the blocks' scales cost",
        _nested,
    ),
    Symptom(
        "result",
        "where outer_block is None it is wrong: only codes and scales, of scale_bits each, count",
        "Without an outer block it is bits + scale_bits / block_size",
        _not_nested,
    ),
    Symptom(
        "result",
        "not the sum of bits, scale_bits / block_size and, only with an outer block, the outer "
        "scale's share; one of them is counted otherwise",
        "Write the terms down one by one",
        lambda case, expected, observed: _is_number(observed),
    ),
)
