"""Lesson 02: random inputs for each exercise, of other sizes for every seed."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from peftcourse.exercises.draw import integer, normal
from peftcourse.exercises.lora.cases import alpha
from peftcourse.exercises.observe import Case

DTYPES = (torch.float64, torch.float32, torch.float64)


def shape(rng: Generator) -> tuple[int, int]:
    """(rows, columns), different."""
    rows, columns = integer(rng, 7, 11), integer(rng, 7, 12)
    return rows, columns + (columns >= rows)


def spectrum(rng: Generator, count: int) -> Tensor:
    """Singular values that fall by a clear factor from one to the next, none of them near 1."""
    steps = 1.25 + 0.5 * torch.rand(count, generator=rng, dtype=torch.float64)
    return 0.31 * steps.cumprod(0).flip(0)


def directions(rng: Generator, size: int, count: int) -> Tensor:
    """Columns of length 1 at right angles: (size, count)."""
    return torch.linalg.qr(normal(rng, size, count))[0]


def matrix(rng: Generator, rows: int, columns: int) -> Tensor:
    """A matrix with singular values that are easy to tell apart."""
    count = min(rows, columns)
    U, V = directions(rng, rows, count), directions(rng, columns, count)
    return (U * spectrum(rng, count)) @ V.T


def outer(rng: Generator) -> list[Case]:
    cases = []
    for dtype in DTYPES:
        rows, columns = shape(rng)
        terms = integer(rng, 3, 5)
        cases.append(
            {
                "weights": 2 + 3 * torch.rand(terms, generator=rng, dtype=torch.float64).to(dtype),
                "columns": normal(rng, rows, terms, dtype=dtype),
                "rows": normal(rng, columns, terms, dtype=dtype),
            }
        )
    return cases


def numerical(rng: Generator) -> list[Case]:
    """Large, medium and tiny singular values; the scale of the matrix is far from 1."""
    cases = []
    for scale, extra in ((4e-3, 0), (50.0, 2), (3e3, integer(rng, 2, 4))):
        # Of the first seven singular values three are large, two medium and two tiny.
        rows = 7 + extra
        columns = rows + integer(rng, 1, 4)
        count, large, medium = rows, 3, 2
        sigma = torch.cat(
            [
                1 + torch.rand(large, generator=rng, dtype=torch.float64),
                3e-3 * (1 + torch.rand(medium, generator=rng, dtype=torch.float64)),
                1e-7 * (1 + torch.rand(count - large - medium, generator=rng, dtype=torch.float64)),
            ]
        )
        U, V = directions(rng, rows, count), directions(rng, columns, count)
        cases.append({"matrix": scale * (U * sigma) @ V.T, "tolerance": 1e-4})
    return cases


def savings(rng: Generator) -> list[Case]:
    """The last shape has a rank at which both sides hold equally many numbers."""
    cases = []
    for _ in range(2):
        rows, columns = integer(rng, 300, 900), integer(rng, 1_000, 4_000)
        cases.append({"rows": rows, "columns": columns, "rank": integer(rng, 4, 64)})
    unit = integer(rng, 20, 90)
    return [*cases, {"rows": 6 * unit, "columns": 3 * unit, "rank": integer(rng, 4, 16)}]


def truncate(rng: Generator) -> list[Case]:
    return [
        {"matrix": matrix(rng, *shape(rng)).to(dtype), "rank": integer(rng, 2, 4)}
        for dtype in DTYPES
    ]


def energy(rng: Generator) -> list[Case]:
    """A steep spectrum, a flatter one, and one with two equal halves: a share met exactly."""
    steep = spectrum(rng, integer(rng, 7, 9))
    flat = 5 + 2 * torch.rand(integer(rng, 11, 14), generator=rng, dtype=torch.float64)
    equal = torch.full((4,), 2.0 ** integer(rng, 1, 6), dtype=torch.float64)
    return [
        {"sigma": steep, "shares": [0.5, 0.9, 0.99]},
        {"sigma": flat.sort(descending=True).values, "shares": [0.3, 0.6, 0.9]},
        {"sigma": equal, "shares": [0.5, 0.75, 1.0]},
    ]


def factors(rng: Generator) -> list[Case]:
    return [
        {
            "delta": matrix(rng, *shape(rng)).to(dtype),
            "rank": integer(rng, 2, 4),
            "alpha": alpha(rng),
        }
        for dtype in DTYPES
    ]


def similarity(rng: Generator) -> list[Case]:
    """Two matrices with the same number of columns that share some of their leading directions."""
    cases = []
    for _ in range(3):
        columns = integer(rng, 12, 15)
        rows, others = integer(rng, 6, 7), integer(rng, 8, 10)
        first, second = matrix(rng, rows, columns), matrix(rng, others, columns)
        second = second + 2 * matrix(rng, others, rows) @ first
        cases.append(
            {
                "first": first,
                "second": second,
                "directions": [[1, 3], [4, 2], [3, 3]],
            }
        )
    return cases


def project(rng: Generator) -> list[Case]:
    """Coordinates drive different numbers of weights: 1, 2, 3, …, in random order."""
    cases = []
    for dtype in DTYPES:
        size = integer(rng, 4, 6)
        coordinate = torch.cat([torch.full((place + 1,), place) for place in range(size)])
        order = torch.randperm(len(coordinate), generator=rng)
        sign = 2 * torch.randint(0, 2, (len(coordinate),), generator=rng) - 1
        sign[:2] = torch.tensor([-1, 1])
        cases.append(
            {
                "z": 1 + normal(rng, size, dtype=dtype).abs(),
                "coordinate": coordinate[order],
                "sign": sign,
            }
        )
    return cases
