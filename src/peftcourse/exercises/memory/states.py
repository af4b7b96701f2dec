"""Lesson 01, bytes: weights, gradients and optimizer states, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from peftcourse.exercises.core import Mutant

# --- memory.states --------------------------------------------------------------------------------

Bytes = tuple[float, float, float]


def states(
    frozen: int,
    trained: int,
    frozen_bits: float,
    trained_bytes: int,
    moment_bytes: int,
    master: bool,
) -> Bytes:
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = trained * (2 * moment_bytes + (4 if master else 0))
    return weights, gradients, optimizer


def _states_in_bytes(frozen, trained, frozen_bits, trained_bytes, moment_bytes, master):
    return states(frozen, trained, 8 * frozen_bits, trained_bytes, moment_bytes, master)


def _states_frozen_gradients(frozen, trained, frozen_bits, trained_bytes, moment_bytes, master):
    weights, _, optimizer = states(
        frozen, trained, frozen_bits, trained_bytes, moment_bytes, master
    )
    return weights, weights, optimizer


def _states_frozen_moments(frozen, trained, frozen_bits, trained_bytes, moment_bytes, master):
    weights, gradients, _ = states(
        frozen, trained, frozen_bits, trained_bytes, moment_bytes, master
    )
    _, _, optimizer = states(0, frozen + trained, frozen_bits, trained_bytes, moment_bytes, master)
    return weights, gradients, optimizer


def _with_optimizer(numbers: Callable[[int, int, bool], int]) -> Callable[..., Bytes]:
    """An answer with other bytes per trained parameter in the optimizer.

    Args:
        numbers: those bytes, from trained_bytes, moment_bytes and master.
    """

    def answer(frozen, trained, frozen_bits, trained_bytes, moment_bytes, master):
        weights, gradients, _ = states(
            frozen, trained, frozen_bits, trained_bytes, moment_bytes, master
        )
        return weights, gradients, trained * numbers(trained_bytes, moment_bytes, master)

    return answer


def _states_wide_gradients(frozen, trained, frozen_bits, trained_bytes, moment_bytes, master):
    weights, _, optimizer = states(
        frozen, trained, frozen_bits, trained_bytes, moment_bytes, master
    )
    return weights, 4 * trained, optimizer


STATES = (
    Mutant(
        "bits-as-bytes",
        _states_in_bytes,
        "the frozen weights take eight times too much: their size is given in bits",
        "Divide frozen_bits by 8",
    ),
    Mutant(
        "frozen-gradients",
        _states_frozen_gradients,
        "as many bytes of gradients as of weights: frozen parameters have no gradient",
        "Count gradients for the trained parameters alone",
    ),
    Mutant(
        "frozen-moments",
        _states_frozen_moments,
        "the optimizer is given the frozen parameters too: it keeps moments of what trains only",
        "Count the moments for the trained parameters alone",
    ),
    Mutant(
        "one-moment",
        _with_optimizer(lambda own, moment, master: moment + 4 * master),
        "one state per parameter: AdamW keeps two, the mean of the gradient and of its square",
        "Count 2 · moment_bytes per trained parameter",
    ),
    Mutant(
        "moments-like-weights",
        _with_optimizer(lambda own, moment, master: 2 * own + 4 * master),
        "the moments are given the dtype of the weights; they have their own",
        "Use moment_bytes for the two moments",
    ),
    Mutant(
        "master-forgotten",
        _with_optimizer(lambda own, moment, master: 2 * moment),
        "the 32-bit copy of the trained parameters is missing where there is one",
        "Add 4 bytes per trained parameter if master is true",
    ),
    Mutant(
        "gradients-in-32-bit",
        _states_wide_gradients,
        "gradients of 4 bytes whatever trains: a gradient has the dtype of its parameter",
        "Use trained_bytes for the gradients",
    ),
)

# --- memory.quantized -----------------------------------------------------------------------------


def quantized(rows: int, columns: int, double: bool) -> int:
    weights = rows * columns
    blocks = ceil(weights / 64)
    constants = blocks + 4 * ceil(blocks / 256) + 4 if double else 4 * blocks
    return ceil(weights / 2) + constants


def _quantized(rows, columns, double, *, single=4, second=4, offset=4, nested=256):
    """The right count with one number changed: bytes of a block's constant, of a second constant
    and of the offset, and how many constants share a second one."""
    weights = rows * columns
    blocks = ceil(weights / 64)
    constants = blocks + second * ceil(blocks / nested) + offset if double else single * blocks
    return ceil(weights / 2) + constants


def _quantized_one_byte(rows, columns, double):
    return quantized(rows, columns, double) + rows * columns // 2


def _quantized_block_per_row(rows, columns, double):
    """Blocks that start anew at every row."""
    blocks = rows * ceil(columns / 64)
    constants = blocks + 4 * ceil(blocks / 256) + 4 if double else 4 * blocks
    return ceil(rows * columns / 2) + constants


def _quantized_rounded_down(rows, columns, double):
    weights = rows * columns
    blocks = weights // 64
    constants = blocks + 4 * (blocks // 256) + 4 if double else 4 * blocks
    return weights // 2 + constants


QUANTIZED = (
    Mutant(
        "one-byte-a-weight",
        _quantized_one_byte,
        "one byte for each weight: a 4-bit code is half a byte",
        "Two codes share a byte: take half the number of weights, rounded up",
    ),
    Mutant(
        "constants-forgotten",
        lambda rows, columns, double: ceil(rows * columns / 2),
        "the codes alone: without the largest value of its block a code means nothing",
        "Add a constant for each block of 64 weights",
    ),
    Mutant(
        "constants-in-16-bit",
        lambda rows, columns, double: _quantized(rows, columns, double, single=2),
        "constants of 2 bytes: before double quantization they are in 32 bit",
        "Count 4 bytes per block if double is false",
    ),
    Mutant(
        "blocks-per-row",
        _quantized_block_per_row,
        "each row starts a new block: blocks run along the flattened weight, across rows",
        "Divide rows · columns by 64, and round up once",
    ),
    Mutant(
        "rounded-down",
        _quantized_rounded_down,
        "slightly too small: what is left over at the end needs a byte and a block too",
        "Round up, with math.ceil, wherever you divide",
    ),
    Mutant(
        "second-constants-forgotten",
        lambda rows, columns, double: _quantized(rows, columns, double, second=0),
        "the 8-bit constants have no scale of their own: each 256 of them share one in 32 bit",
        "Add 4 bytes per 256 blocks if double is true",
    ),
    Mutant(
        "second-blocks-of-64",
        lambda rows, columns, double: _quantized(rows, columns, double, nested=64),
        "the constants are quantized in blocks of 64, like the weights; theirs hold 256",
        "Divide the number of blocks by 256",
    ),
    Mutant(
        "offset-forgotten",
        lambda rows, columns, double: _quantized(rows, columns, double, offset=0),
        "4 bytes too few with double quantization: the mean that was taken off the constants",
        "Add 4 bytes once if double is true",
    ),
    Mutant(
        "both-constants",
        lambda rows, columns, double: (
            quantized(rows, columns, double) + (4 * ceil(rows * columns / 64) if double else 0)
        ),
        "the 32-bit constants are kept beside the 8-bit ones, which replace them",
        "With double quantization a block has 1 byte in place of 4",
    ),
)
