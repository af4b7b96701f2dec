"""Lesson 01, bytes of a 4-bit matrix, rightly and wrongly."""

from __future__ import annotations

from math import ceil, floor

from peftcourse.exercises.core import Mutant, slip


def quantized(rows: int, columns: int, double: bool) -> int:
    weights = rows * columns
    codes = ceil(weights / 2)
    blocks = ceil(weights / 64)
    scales = ceil(blocks / 256)
    if not double:
        return codes + 4 * blocks
    return codes + blocks + 4 * scales + 4


def _averaged(rounded):
    """An answer that takes bits per weight, on average, and rounds once."""

    def answer(rows, columns, double):
        bits = 4 + 8 / 64 + 32 / (64 * 256) if double else 4 + 32 / 64
        return rounded(rows * columns * bits / 8)

    return answer


_CODES, _BLOCKS, _SCALES = "ceil(weights / 2)", "ceil(weights / 64)", "ceil(blocks / 256)"
_HALF = "Two codes share a byte: take half the number of weights, rounded up"
_ACROSS = "Divide rows · columns by 64, and round up once"
_ROUND_UP = "Round up, with math.ceil"
_GROUPS = "Divide the number of blocks by 256, and round up"
_TABLE = (
    "the table of levels is added: all matrices share it, and it is left out here",
    "Count codes and constants alone",
)
_AVERAGE = (
    "an average of bits is rounded once: it counts a part of a constant for the last block, which "
    "needs a whole one",
    "Count codes, blocks and groups of blocks one by one, and round each up",
)

QUANTIZED = (
    slip(
        quantized,
        "one-byte-a-weight",
        _CODES,
        "weights",
        "one byte for each weight: a 4-bit code is half a byte",
        _HALF,
    ),
    slip(
        quantized,
        "blocks-per-row",
        _BLOCKS,
        "rows * ceil(columns / 64)",
        "each row starts a new block: blocks run along the flattened weight, across rows",
        _ACROSS,
    ),
    slip(
        quantized,
        "offset-forgotten",
        "scales + 4",
        "scales",
        "4 bytes too few with double quantization: the mean that was taken off the constants",
        "Add 4 bytes once if double is true",
    ),
    slip(
        quantized,
        "constants-in-16-bit",
        "4 * blocks",
        "2 * blocks",
        "constants of 2 bytes: before double quantization they are in 32 bit",
        "Count 4 bytes per block if double is false",
    ),
    slip(
        quantized,
        "everything-in-16-bit",
        "4 * blocks",
        "2 * blocks",
        "constants, scales and the mean of 2 bytes: each of them has 32 bits, 4 bytes",
        "Count 4 bytes for each number in 32 bit",
        ("4 * scales + 4", "2 * scales + 2"),
    ),
    slip(
        quantized,
        "second-constants-forgotten",
        " + 4 * scales",
        "",
        "the 8-bit constants have no scale of their own: each 256 of them share one in 32 bit",
        "Add 4 bytes per 256 blocks if double is true",
    ),
    slip(
        quantized,
        "second-blocks-of-64",
        _SCALES,
        "ceil(blocks / 64)",
        "the constants are quantized in blocks of 64, like the weights; theirs hold 256",
        "Divide the number of blocks by 256",
    ),
    slip(
        quantized,
        "both-constants",
        "codes + blocks",
        "codes + 5 * blocks",
        "the 32-bit constants are kept beside the 8-bit ones, which replace them",
        "With double quantization a block has 1 byte in place of 4",
    ),
    slip(
        quantized,
        "constants-still-in-32-bit",
        "codes + blocks",
        "codes + 4 * blocks ",
        "with double quantization a constant is still counted with 4 bytes: 8 bits are one byte",
        "With double quantization a block has 1 byte in place of 4",
    ),
    slip(
        quantized,
        "constants-of-8-bytes",
        "codes + blocks",
        "codes + 8 * blocks",
        "8 bytes for a constant of 8 bits, which is one byte",
        "With double quantization a block has 1 byte in place of 4",
    ),
    slip(
        quantized,
        "double-ignored",
        "if not double:",
        "if True:",
        "double quantization is ignored: the constants always take 32 bits",
        "Return another number if double is true",
    ),
    slip(
        quantized,
        "rounded-down",
        _CODES,
        "weights // 2",
        "slightly too small: what is left over at the end needs a byte and a block too",
        "Round up, with math.ceil, wherever you divide",
        (_BLOCKS, "weights // 64"),
        (_SCALES, "blocks // 256"),
    ),
    slip(
        quantized,
        "last-code-lost",
        _CODES,
        "weights // 2",
        "the codes are rounded down: an odd number of them needs one byte more",
        _ROUND_UP,
    ),
    slip(
        quantized,
        "half-a-byte",
        _CODES,
        "weights / 2",
        "half a byte is returned: an odd number of codes takes whole bytes, rounded up",
        _ROUND_UP,
    ),
    slip(
        quantized,
        "codes-per-row",
        _CODES,
        "rows * ceil(columns / 2)",
        "the codes of each row start a new byte: they run along the flattened matrix, across rows",
        "Divide rows · columns by 2, and round up once",
    ),
    slip(
        quantized,
        "last-block-lost",
        _BLOCKS,
        "weights // 64",
        "the number of blocks is rounded down: the incomplete block at the end has a constant, too "
        "(math.ceil of a whole division does nothing)",
        _ROUND_UP,
    ),
    slip(
        quantized,
        "one-block-more",
        _BLOCKS,
        "weights // 64 + 1",
        "one block too many where all blocks are full: weights // 64 + 1 is no rounding up",
        _ROUND_UP,
    ),
    slip(
        quantized,
        "last-scale-lost",
        _SCALES,
        "blocks // 256",
        "the number of scales is rounded down: fewer than 256 constants at the end share one, too",
        _ROUND_UP,
    ),
    slip(
        quantized,
        "one-scale-more",
        _SCALES,
        "(blocks // 256 + 1)",
        "one scale too many where all groups of 256 constants are full: // 256 + 1 is no rounding "
        "up",
        _ROUND_UP,
    ),
    slip(
        quantized,
        "scales-of-weights",
        _SCALES,
        "ceil(weights / 256)",
        "a scale for each 256 weights: it is 256 constants, one of each block, that share a scale",
        _GROUPS,
    ),
    slip(
        quantized,
        "exchanged",
        _BLOCKS,
        "ceil(weights / 256)",
        "64 and 256 are exchanged: a block has 64 weights, and 256 blocks share a scale",
        "Divide by 64 first, and then by 256",
        (_SCALES, "ceil(blocks / 64)"),
    ),
    slip(
        quantized,
        "scales-of-one-byte",
        "4 * scales",
        "scales",
        "a scale is counted with one byte: it has 32 bits, 4 bytes",
        "Add 4 bytes per 256 blocks if double is true",
    ),
    slip(
        quantized,
        "mean-of-each-group",
        "4 * scales + 4",
        "8 * scales",
        "a mean is counted for each group of 256 constants: there is one for the whole matrix",
        "Add 4 bytes once if double is true",
    ),
    slip(
        quantized,
        "square",
        "rows * columns",
        "rows * rows",
        "rows times rows: the columns are not used",
        "Multiply rows by columns",
    ),
    slip(quantized, "table-in-32-bit", _CODES, f"{_CODES} + 16 * 4", *_TABLE),
    slip(quantized, "table-in-16-bit", _CODES, f"{_CODES} + 16 * 2", *_TABLE),
    Mutant(
        "constants-forgotten",
        lambda rows, columns, double: ceil(rows * columns / 2),
        "the codes alone: without the largest value of its block a code means nothing",
        "Add a constant for each block of 64 weights",
    ),
    Mutant(
        "in-bits",
        lambda rows, columns, double: (
            4 * rows * columns + 8 * (quantized(rows, columns, double) - ceil(rows * columns / 2))
        ),
        "these are bits: bytes are asked for, and 8 bits are one",
        "Divide by 8, and round the codes up to whole bytes",
    ),
    Mutant("average-up", _averaged(ceil), *_AVERAGE),
    Mutant("average-down", _averaged(floor), *_AVERAGE),
    Mutant("average", _averaged(float), *_AVERAGE),
)
