"""Lesson 06: random inputs for each exercise.

Sizes are such that mistakes show: sides differ, blocks do not end where rows end, the last block is
short, and some blocks hold negative numbers alone or zeros. Values are float64, so that no right
answer falls on the other side of a midpoint by rounding. Every seed gives other ones.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from peftcourse.exercises.draw import integer, normal
from peftcourse.exercises.lora.cases import sizes
from peftcourse.exercises.observe import Case


def absmax(rng: Generator) -> list[Case]:
    """Blocks of different scales; in the first, all numbers are negative."""
    cases = []
    for bits in (8, 4, 6):
        count, size = integer(rng, 3, 5), integer(rng, 24, 40)
        blocks = normal(rng, count, size) * torch.rand(count, 1, generator=rng).double().add(0.2)
        blocks[0] = -blocks[0].abs()
        cases.append({"blocks": blocks, "bits": bits})
    return cases


def codebook(rng: Generator) -> list[Case]:
    return [{"bits": bits, "offset": 0.93 + integer(rng, 0, 50) / 1000} for bits in (4, 3, 5)]


def levels(rng: Generator, count: int) -> Tensor:
    """Unevenly spaced levels in [-1, 1], ascending, with 0 among them; not symmetric."""
    zero = count // 2 - 1
    gaps = torch.rand(count - 1, generator=rng, dtype=torch.float64) + 0.3
    below, above = gaps[:zero], gaps[zero:]
    return torch.cat(
        [
            -(below.flip(0).cumsum(0).flip(0) / below.sum()),
            torch.zeros(1, dtype=torch.float64),
            above.cumsum(0) / above.sum(),
        ]
    )


def quantize(rng: Generator) -> list[Case]:
    """Rows are no multiple of the block, the last block is short, and one block holds zeros."""
    cases = []
    for count in (16, 8, 16):
        block = integer(rng, 9, 15)
        rows, columns = integer(rng, 7, 9), 2 * block + integer(rng, 2, 5)
        weight = normal(rng, rows, columns)
        flat = weight.view(-1)
        flat[block : 2 * block] = 0
        flat[2 * block : 3 * block] = -flat[2 * block : 3 * block].abs()
        # The weights of a block are on a scale of their own.
        flat.mul_(torch.linspace(0.3, 2, len(flat), dtype=torch.float64))
        if len(flat) % block == 0:
            weight = weight[:-1]
        cases.append({"weight": weight, "levels": levels(rng, count), "block_size": block})
    return cases


def pack(rng: Generator) -> list[Case]:
    """The second has an odd number of codes."""
    return [
        {
            "codes": torch.randint(0, 16, (count,), generator=rng).to(torch.uint8),
            "pad": integer(rng, 5, 9),
        }
        for count in (
            2 * integer(rng, 8, 20),
            2 * integer(rng, 8, 20) + 1,
            2 * integer(rng, 21, 40),
        )
    ]


def dequantize(rng: Generator) -> list[Case]:
    """float32 scales, as they are stored; the result is asked for in 32 and in 16 bit."""
    cases = []
    for itemsize in (4, 2, 2):
        block = 2 * integer(rng, 4, 7)
        shape = (2 * integer(rng, 3, 5) + 1, 2 * block + 2 * integer(rng, 1, 3) + 1)  # odd × odd
        count = shape[0] * shape[1]
        blocks = -(-count // block)
        cases.append(
            {
                "packed": torch.randint(0, 256, ((count + 1) // 2,), generator=rng).to(torch.uint8),
                "levels": levels(rng, 16).float(),
                "absmax": (torch.rand(blocks, generator=rng) + 0.2),
                "block_size": block,
                "shape": shape,
                "itemsize": itemsize,
            }
        )
    return cases


def bits(rng: Generator) -> list[Case]:
    """Scales as they are, and quantized once more."""
    return [
        {
            "bits": code,
            "block_size": 8 * integer(rng, 3, 40) + 1,
            "scale_bits": scale,
            "outer_block": integer(rng, 100, 900) if nested else None,
        }
        for code, scale, nested in ((4, 32, False), (4, 8, True), (3, 6, True))
    ]


def double(rng: Generator) -> list[Case]:
    """Scales of a matrix: positive, about as large as each other, in whole blocks."""
    cases = []
    for _ in range(3):
        size, blocks = integer(rng, 20, 40), integer(rng, 3, 6)
        spread = torch.linspace(0.05, 0.3, blocks, dtype=torch.float64).repeat_interleave(size)
        absmax = 1 + spread * normal(rng, size * blocks).clamp(-3, 3)
        cases.append({"absmax": absmax * integer(rng, 2, 9) / 10, "block_size": size})
    return cases


def linear(rng: Generator) -> list[Case]:
    cases = []
    for dtype in (torch.float64, torch.float32, torch.float64):
        d_in, d_out, _ = sizes(rng)
        cases.append(
            {
                "packed": torch.randint(0, 16, (d_out * d_in,), generator=rng).to(torch.uint8),
                "table": normal(rng, 16),
                "shape": (d_out, d_in),
                "x": normal(rng, 3, 5, d_in, dtype=dtype),
                "grad": normal(rng, 3, 5, d_out, dtype=dtype),
            }
        )
    return cases


def merge(rng: Generator) -> list[Case]:
    """Updates about as large as the distance of two levels; the result in 64 and in 16 bit."""
    cases = []
    for itemsize in (8, 2, 2):
        d_in, d_out, rank = sizes(rng)
        cases.append(
            {
                "weight": normal(rng, d_out, d_in),
                "A": normal(rng, rank, d_in),
                "B": 0.1 * normal(rng, d_out, rank),
                "scaling": float(integer(rng, 3, 9)),
                "itemsize": itemsize,
            }
        )
    return cases
