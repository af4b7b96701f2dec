"""Lesson 05: random inputs for each exercise.

Sizes are such that mistakes show: d_in ≠ d_out ≠ r, the scale is not 1, B and the bias are not
zero, and the magnitude is not the norm of any weight.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from peftcourse.exercises.draw import integer, normal
from peftcourse.exercises.observe import Case


def between(rng: Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=rng, dtype=torch.float64)


def sizes(rng: Generator) -> tuple[int, int, int]:
    """(d_in, d_out, r), all different, with r well below both others."""
    rank = integer(rng, 2, 3)
    d_in = integer(rng, 7, 12)
    d_out = integer(rng, 7, 11)
    return d_in, d_out + (d_out >= d_in), rank


def decompose(rng: Generator) -> list[Case]:
    cases = []
    for dtype in (torch.float64, torch.float32, torch.float64):
        d_in, d_out, _ = sizes(rng)
        cases.append({"W": normal(rng, d_out, d_in, dtype=dtype)})
    return cases


def change(rng: Generator) -> list[Case]:
    """Rows that became longer and rows that became shorter, and all of them turned."""
    cases = []
    for _ in range(3):
        d_in, d_out, _ = sizes(rng)
        before = normal(rng, d_out, d_in)
        stretch = between(rng, 0.5, 1.5, d_out, 1)
        after = stretch * before + 0.3 * normal(rng, d_out, d_in)
        cases.append({"before": before, "after": after})
    return cases


def correlation(rng: Generator) -> list[Case]:
    cases = []
    for sign in (1, -1, 1):
        x = between(rng, 1, 3, integer(rng, 8, 20))
        y = 5 * sign * x + 2 * normal(rng, len(x))
        cases.append({"x": x, "y": y})
    return cases


def adapter(rng: Generator) -> list[Case]:
    """A linear layer with a bias, and all that a DoRA adapter of it holds."""
    cases = []
    for _ in range(3):
        d_in, d_out, rank = sizes(rng)
        cases.append(
            {
                "x": normal(rng, 4, 5, d_in),
                "W": normal(rng, d_out, d_in),
                "bias": normal(rng, d_out),
                "A": normal(rng, rank, d_in),
                "B": normal(rng, d_out, rank),
                "magnitude": between(rng, 0.5, 9, d_out),
                "scaling": integer(rng, 5, 14) / 4 + 0.1,
            }
        )
    return cases


def layer(rng: Generator) -> list[Case]:
    return [
        {
            **{name: value for name, value in case.items() if name != "scaling"},
            "rank": case["A"].shape[0],
            "alpha": float(integer(rng, 13, 40)),
            "weights": normal(rng, 4, 5, case["W"].shape[0]),
        }
        for case in adapter(rng)
    ]


def gradients(rng: Generator) -> list[Case]:
    cases = []
    for detach in (False, True, False, True):
        d_in, d_out, _ = sizes(rng)
        cases.append(
            {
                "G": normal(rng, d_out, d_in),
                "V": normal(rng, d_out, d_in),
                "magnitude": between(rng, 0.5, 9, d_out),
                "detach": detach,
            }
        )
    return cases


def cheap_norm(rng: Generator) -> list[Case]:
    return [
        {name: case[name] for name in ("W", "A", "B", "scaling")} | {"rank": case["A"].shape[0]}
        for case in adapter(rng)
    ]
