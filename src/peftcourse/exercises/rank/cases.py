"""Lesson 02: random inputs for each exercise, of other sizes for every seed."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from peftcourse.exercises.draw import different, integer, normal
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
    """Weights of both signs; the last case has a single term."""
    cases = []
    for dtype, terms in ((torch.float64, 4), (torch.float32, 3), (torch.float64, 5)):
        rows, columns = shape(rng)
        size = 2 + 3 * torch.rand(terms, generator=rng, dtype=torch.float64)
        # One of the first is negative, so that the weights add up to no small number.
        size[integer(rng, 0, 1)] *= -0.4
        cases.append(
            {
                "weights": size.to(dtype),
                "columns": normal(rng, rows, terms, dtype=dtype),
                "rows": normal(rng, columns, terms, dtype=dtype),
            }
        )
    one = {key: value[..., :1] for key, value in cases[0].items()}
    return [*cases, one | {"about": "there is a single term"}]


def numerical(rng: Generator) -> list[Case]:
    """Spectra that tell the largest singular value from other measures, at several scales."""
    cases = []
    for scale, extra in ((4e-3, 0), (50.0, 2), (3e3, integer(rng, 2, 4))):
        # Of the first seven singular values three are large, two medium and two tiny.
        rows = 7 + extra
        large, medium = 1 + _uniform(rng, 3), 3e-3 * (1 + _uniform(rng, 2))
        tiny = 1e-7 * (1 + _uniform(rng, rows - 5))
        matrix = _with(rng, torch.cat([large, medium, tiny]), rows + integer(rng, 1, 4))
        cases.append({"matrix": scale * matrix, "tolerance": 1e-4})
    # Nothing but the tolerance differs.
    cases.append({"matrix": cases[-1]["matrix"], "tolerance": 1e-2})
    # A value between a tenth of the largest one and a tenth of the norm, and one below that of the
    # sum.
    flat = torch.tensor([1, 0.95, 0.9, 0.85, 0.8, 0.35, 0.15, 0.05], dtype=torch.float64)
    cases.append({"matrix": (20 + integer(rng, 0, 9)) * _with(rng, flat, 9), "tolerance": 0.1})
    # One large singular value in columns that are nearly equal in length.
    size = integer(rng, 7, 9)
    near = torch.eye(size, dtype=torch.float64) + torch.ones(size, size, dtype=torch.float64)
    cases.append({"matrix": near, "tolerance": 0.2})
    # Zeros up to rounding, and a tolerance not far above it.
    exact = torch.cat([1 + _uniform(rng, 3), torch.zeros(6, dtype=torch.float64)])
    cases.append(
        {
            "matrix": _with(rng, exact, 9 + integer(rng, 2, 4)),
            "tolerance": 1e-11,
            "about": "the tolerance is small, and the other values are zero up to rounding",
        }
    )
    few = _with(rng, 1 + _uniform(rng, 3), 6)
    cases.append({"matrix": few[[0, 1, 2, 0, 1]], "tolerance": 1e-6, "about": "rows are equal"})
    on = 2.0 ** torch.tensor([3, 2, 0, -1], dtype=torch.float64)
    places = torch.randperm(4, generator=rng)
    cases.append(
        {
            "matrix": torch.diag(on[places]),
            "tolerance": 0.125,
            "about": "a singular value stands exactly at the bound",
        }
    )
    zero = {"matrix": torch.zeros(3, 4, dtype=torch.float64), "tolerance": 1e-3}
    return [*cases, zero | {"about": "the matrix is zero"}]


def _uniform(rng: Generator, count: int) -> Tensor:
    return torch.rand(count, generator=rng, dtype=torch.float64)


def _with(rng: Generator, sigma: Tensor, columns: int) -> Tensor:
    """A matrix with these singular values and more columns than rows."""
    count = len(sigma)
    return (directions(rng, count, count) * sigma) @ directions(rng, columns, count).T


def savings(rng: Generator) -> list[Case]:
    """Quotients that the nearest whole number is below, above, and just below; and a whole one.

    Two cases differ in nothing but the rank.
    """
    cases = []
    for low, high in ((0.3, 0.45), (0.55, 0.95), (0.01, 0.05)):
        rows, columns = _sides(rng, low, high)
        cases.append({"rows": rows, "columns": columns, "rank": integer(rng, 4, 64)})
    unit = integer(rng, 20, 90)
    exact = {"rows": 6 * unit, "columns": 3 * unit, "rank": integer(rng, 4, 16)}
    return [
        *cases,
        {**cases[0], "rank": cases[0]["rank"] + integer(rng, 3, 30)},
        exact | {"about": "at some rank both hold equally many numbers"},
    ]


def _sides(rng: Generator, low: float, high: float) -> tuple[int, int]:
    """Sides of a matrix whose break-even quotient has a fraction in a range; the first is odd."""
    while True:
        rows, columns = 2 * integer(rng, 150, 450) + 1, integer(rng, 1_000, 4_000)
        if low < rows * columns / (rows + columns) % 1 < high:
            return rows, columns


def truncate(rng: Generator) -> list[Case]:
    """Two cases differ in nothing but the rank."""
    cases = [
        {"matrix": matrix(rng, *shape(rng)).to(dtype), "rank": rank}
        for dtype, rank in zip(DTYPES, different(rng, 3, 2, 4), strict=True)
    ]
    # Wider than high, and higher than wide.
    wide = cases[0]["matrix"]
    return [*cases, {"matrix": wide.T.contiguous(), "rank": 5}, {"matrix": wide, "rank": 5}]


def energy(rng: Generator) -> list[Case]:
    """A steep spectrum, a flatter one, and shares that are met exactly."""
    steep = spectrum(rng, integer(rng, 7, 9))
    flat = 5 + 2 * _uniform(rng, integer(rng, 11, 14))
    flat = flat.sort(descending=True).values
    size = 2.0 ** integer(rng, 1, 6)
    equal = torch.full((4,), size, dtype=torch.float64)
    cases = [{"sigma": steep, "share": share} for share in (0.5, 0.9, 0.99)]
    cases += [{"sigma": flat, "share": share} for share in (0.3, 0.6, 0.9)]
    exactly = {"about": "the share is met exactly"}
    cases += [{"sigma": equal, "share": share} | exactly for share in (0.5, 0.75)]
    everything = {"share": 1.0, "about": "the share is 1: all of the energy"}
    ends = torch.cat([equal, torch.zeros(2, dtype=torch.float64)])
    return [*cases, {"sigma": equal} | everything, {"sigma": ends} | everything]


def factors(rng: Generator) -> list[Case]:
    """α/r is no whole number in the first case."""
    cases = [
        {
            "delta": matrix(rng, *shape(rng)).to(dtype),
            "rank": rank,
            "alpha": alpha(rng),
        }
        for dtype, rank in zip(DTYPES, different(rng, 3, 2, 4), strict=True)
    ]
    first = cases[0]
    first["alpha"] += first["alpha"] % first["rank"] == 0
    return cases


def similarity(rng: Generator) -> list[Case]:
    """Two matrices with the same number of columns that share some of their leading directions."""
    cases = []
    for _ in range(2):
        columns = integer(rng, 12, 15)
        rows, others = integer(rng, 6, 7), integer(rng, 8, 10)
        first, second = matrix(rng, rows, columns), matrix(rng, others, columns)
        second = second + 2 * matrix(rng, others, rows) @ first
        cases += [
            {"first": first, "second": second, "i": i, "j": j}
            for i, j in ((1, 3), (3, 3), (4, 2), (3, 1))
        ]
    return cases


def project(rng: Generator) -> list[Case]:
    """Coordinates drive different numbers of weights: 1, 2, 3, …, in random order.

    In the last two cases one coordinate drives none: the second, and the last.
    """
    cases = []
    for number, dtype in enumerate((*DTYPES, torch.float64, torch.float64)):
        size = integer(rng, 4, 6)
        counts = list(range(1, size + 1))
        idle = {3: 1, 4: size - 1}.get(number)
        if idle is not None:
            counts[idle] = 0
        coordinate = torch.arange(size).repeat_interleave(torch.tensor(counts))
        order = torch.randperm(len(coordinate), generator=rng)
        sign = 2 * torch.randint(0, 2, (len(coordinate),), generator=rng) - 1
        sign[:2] = torch.tensor([-1, 1])
        case = {
            "z": 1 + normal(rng, size, dtype=dtype).abs(),
            "coordinate": coordinate[order],
            "sign": sign,
            "slopes": normal(rng, len(coordinate), dtype=dtype),
        }
        if idle is not None:
            last = "the last" if idle == size - 1 else "a"
            case["about"] = f"{last} coordinate drives no weight"
        cases.append(case)
    return cases
