"""Lesson 06: random inputs for each exercise.

Sizes are such that mistakes show: sides differ, blocks do not end where rows end, the last block is
short, and some blocks hold negative numbers alone, zeros or tiny numbers. No value is so close to a
midpoint that a right answer, in single precision, rounds it to the other side: the text does not
say where ties go. Every seed gives other values.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from peftcourse.exercises.draw import different, integer, normal
from peftcourse.exercises.lora.cases import sizes
from peftcourse.exercises.observe import Case
from peftcourse.exercises.quantization.probes import Quantized


def clear(scaled: Tensor, midpoints: Tensor, margin: float) -> Tensor:
    """The values, those within a margin of a midpoint moved away from it."""
    distance = scaled.unsqueeze(-1) - midpoints
    nearest = distance.abs().argmin(dim=-1, keepdim=True)
    near = distance.gather(-1, nearest).squeeze(-1)
    away = torch.where(near < 0, -margin, margin)
    return torch.where(near.abs() < margin, scaled - near + away, scaled)


def in_codes(values: Tensor, largest: int, margin: float = 0.02) -> Tensor:
    """Blocks (rows) that have no number near a midpoint of two codes."""
    absmax = values.abs().amax(dim=1, keepdim=True)
    midpoints = torch.arange(-largest, largest, dtype=torch.float64) + 0.5
    return clear(values / absmax * largest, midpoints, margin) * absmax / largest


def absmax(rng: Generator) -> list[Case]:
    """Blocks of different scales; in the first, all numbers are negative."""
    cases = []
    for bits, about in ((8, ""), (4, ""), (6, ""), (5, "a block holds tiny numbers")):
        count, size = integer(rng, 3, 5), integer(rng, 24, 40)
        blocks = normal(rng, count, size) * torch.rand(count, 1, generator=rng).double().add(0.2)
        blocks[0] = -blocks[0].abs()
        if about:
            blocks[1] *= 2e-4 / blocks[1].abs().max()
        cases.append(
            {"blocks": in_codes(blocks, 2 ** (bits - 1) - 1), "bits": bits, "about": about}
        )
    single = in_codes(normal(rng, 1, integer(rng, 9, 16)), 1)
    return [*cases, {"blocks": single, "bits": 2, "about": "there is one block, and 2 bits"}]


def codebook(rng: Generator) -> list[Case]:
    offsets = different(rng, 4, 930, 980)
    return [{"bits": b, "offset": o / 1000} for b, o in zip((4, 3, 5, 2), offsets, strict=True)]


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
    """Rows are no multiple of the block, and one block holds zeros; the last one is often short."""
    return [
        _weight(rng, 16),
        _weight(rng, 8),
        _weight(rng, 16),
        _weight(rng, 16, tiny=True) | {"about": "a block holds tiny weights"},
        _weight(rng, 8, whole=True) | {"about": "the last block is as long as the others"},
    ]


def _weight(rng: Generator, count: int, *, tiny: bool = False, whole: bool = False) -> Case:
    block, rows = integer(rng, 9, 15), 3
    columns = 2 * block + integer(rng, 2, 5)
    if whole:
        block, rows = 4 * integer(rng, 2, 4), 4
        columns = 9 * block // 4
    elif rows * columns % block == 0:
        rows -= 1
    flat, table = normal(rng, rows * columns), levels(rng, count)
    flat[block : 2 * block] = 0
    flat[2 * block : 3 * block] = -flat[2 * block : 3 * block].abs()
    # The weights of a block are on a scale of their own.
    flat *= torch.linspace(0.3, 2, len(flat), dtype=torch.float64)
    if tiny:
        flat[3 * block : 4 * block] *= 2e-4 / flat[3 * block : 4 * block].abs().max()
    midpoints = (table[1:] + table[:-1]) / 2
    for part in flat.split(block):
        largest = part.abs().max()
        if largest > 0:
            part.copy_(clear(part / largest, midpoints, 0.01) * largest)
    return {"weight": flat.view(rows, columns), "levels": table, "block_size": block}


def pack(rng: Generator) -> list[Case]:
    """Even and odd numbers of codes; the last one is neither pad nor what else may be filled in."""
    cases = []
    for count in (
        2 * integer(rng, 8, 20),
        2 * integer(rng, 8, 20) + 1,
        2 * integer(rng, 21, 40),
        2 * integer(rng, 21, 40) + 1,
        1,
    ):
        codes = torch.randint(0, 16, (count,), generator=rng).to(torch.uint8)
        pad = integer(rng, 5, 9)
        if count % 2:
            codes[-1] = integer(rng, 10, 14)
        about = "the number of codes is odd" if count % 2 else ""
        about = "there is one code only" if count == 1 else about
        cases.append({"codes": codes, "pad": pad, "about": about})
    return cases


def dequantize(rng: Generator) -> list[Case]:
    """float32 scales, as they are stored; blocks of odd and of even sizes, in 16 to 64 bit."""
    return [
        _packed(rng, "float32", block=2 * integer(rng, 4, 6) + 1, odd=True),
        _packed(rng, "bfloat16", block=2 * integer(rng, 4, 6), odd=True),
        _packed(rng, "float16", block=2 * integer(rng, 4, 6) + 1, odd=False),
        _packed(rng, "bfloat16", block=2 * integer(rng, 7, 9) + 1, odd=True),
        _packed(rng, "float64", block=2 * integer(rng, 7, 9), odd=False),
    ]


def _packed(rng: Generator, dtype: str, *, block: int, odd: bool) -> Case:
    """Drawn anew until it makes no difference in which precision level times scale is computed."""
    kind = getattr(torch, dtype)
    while True:
        rows, columns = 2 * integer(rng, 3, 5) + odd, 2 * block + 2 * integer(rng, 1, 3) + 1
        count = rows * columns
        if count % block in (0, block - 1):  # the last block is short, also with a code too many
            continue
        table = levels(rng, 16).float()
        absmax = torch.rand(-(-count // block), generator=rng) + 0.2
        exact = table.double() * absmax.double().unsqueeze(1)
        if torch.equal(exact.to(kind), exact.float().to(kind)) or dtype == "float64":
            break
    return {
        "packed": torch.randint(0, 256, ((count + 1) // 2,), generator=rng).to(torch.uint8),
        "levels": table,
        "absmax": absmax,
        "block_size": block,
        "shape": (rows, columns),
        "dtype": dtype,
        "about": "the last byte holds a code too many" if odd else "",
    }


def bits(rng: Generator) -> list[Case]:
    """Scales as they are, and quantized once more; small blocks, where each term counts."""
    blocks = [2 * half + 1 for half in different(rng, 3, 5, 20)]
    blocks += [2 * integer(rng, 2, 3) + 1, 3]  # these divide into the bits of a scale
    outer = different(rng, 5, 3, 9)
    outer[2] = 1
    return [
        {
            "bits": code,
            "block_size": blocks[i],
            "scale_bits": scale,
            "outer_block": outer[i] if nested else None,
            "about": "outer_block is 1" if nested and outer[i] == 1 else "",
        }
        for i, (code, scale, nested) in enumerate(
            ((4, 32, False), (4, 8, True), (3, 6, True), (8, 16, False), (5, 12, True))
        )
    ]


def double(rng: Generator) -> list[Case]:
    """Scales of a matrix: positive, about as large as each other, in whole blocks."""
    cases = []
    for largest in (3, 6, 6):
        size, blocks = integer(rng, 20, 40), integer(rng, 3, largest)
        spread = torch.linspace(0.05, 0.3, blocks, dtype=torch.float64).unsqueeze(1)
        # Neither as many above the mean as below, nor alike: the median is another number.
        absmax = 1 + spread * (normal(rng, blocks, size).clamp(-2, 3).exp() / 2 - 1)
        left = absmax - absmax.mean()
        left[0] = -left[0].abs() - 0.01
        # Moving numbers away from midpoints moves the mean; twice is enough for none to be near.
        for _ in range(4):
            left = in_codes(left, 127, 0.05)
            left = left - left.mean()
        scale = integer(rng, 2, 9) / 10
        offset = 1.2 - left.min()
        cases.append({"absmax": ((left + offset) * scale).flatten(), "block_size": size})
    return cases


def linear(rng: Generator) -> list[Case]:
    """x of three, two and one dimensions, in 64, 32 and 16 bit."""
    cases = []
    for dtype, leading, about in (
        (torch.float64, (3, 5), ""),
        (torch.float32, (2, 4), ""),
        (torch.float64, (6,), "x is a matrix"),
        (torch.bfloat16, (3, 2), "x is in 16 bit"),
        (torch.float32, (), "x is one vector"),
    ):
        d_in, d_out, _ = sizes(rng)
        cases.append(
            {
                "packed": torch.randint(0, 16, (d_out * d_in,), generator=rng).to(torch.uint8),
                "table": normal(rng, 16),
                "d_out": d_out,
                "x": normal(rng, *leading, d_in, dtype=dtype),
                "grad": normal(rng, *leading, d_out, dtype=dtype),
                "about": about,
            }
        )
    return cases


def merge(rng: Generator) -> list[Case]:
    """Updates about as large as the distance of two levels; the result in 16 to 64 bit."""
    return [_adapted(rng, d) for d in ("float64", "bfloat16", "float16", "bfloat16", "float32")]


def _adapted(rng: Generator, dtype: str) -> Case:
    """Drawn anew until no sum is so close to a midpoint that single precision could miss it."""
    kind = getattr(torch, dtype)
    while True:
        d_in, d_out, rank = sizes(rng)
        case = {
            "weight": normal(rng, d_out, d_in),
            "A": normal(rng, rank, d_in),
            "B": 0.1 * normal(rng, d_out, rank),
            "scaling": float(integer(rng, 3, 9)),
            "dtype": dtype,
        }
        base = Quantized(case["weight"]).dequantize()
        exact = base + case["scaling"] * (case["B"] @ case["A"])
        error = 2e-6
        if kind.itemsize > 2 or torch.equal((exact - error).to(kind), (exact + error).to(kind)):
            return case
