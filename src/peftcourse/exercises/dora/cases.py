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
        # The first is wide: what takes inputs for outputs goes beyond its rows.
        d_in, d_out = (d_in, d_out) if cases else (max(d_in, d_out), min(d_in, d_out))
        cases.append({"W": normal(rng, d_out, d_in, dtype=dtype)})
    return cases


def change(rng: Generator) -> list[Case]:
    """Rows that became longer and rows that became shorter; all turned, and some turned round."""
    cases = []
    for rounded, longest, about in (
        (0, 1.5, ""),
        (2, 1.5, "some rows point the other way afterwards"),
        (0, 1.0, ""),  # most of these are shorter afterwards
    ):
        d_in, d_out, _ = sizes(rng)
        before = normal(rng, d_out, d_in)
        stretch = between(rng, 0.4, longest, d_out, 1)
        stretch[:rounded] *= -1
        after = stretch * before + 0.3 * normal(rng, d_out, d_in)
        cases.append({"before": before, "after": after, "about": about})
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
    for leading in ((4, 5), (6,), (2, 3)):
        d_in, d_out, rank = sizes(rng)
        cases.append(
            {
                "x": normal(rng, *leading, d_in),
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
            "weights": normal(rng, *case["x"].shape[:-1], case["W"].shape[0]),
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
    """Wide layers: each size, and each product of sizes, is of one axis alone."""
    cases = []
    for small in (False, True, False):
        rank, d_out, d_in = integer(rng, 2, 3), integer(rng, 20, 26), integer(rng, 29, 35)
        w, b = (0.05, 0.01) if small else (1.0, 0.5)
        cases.append(
            {
                "W": w * normal(rng, d_out, d_in),
                "A": normal(rng, rank, d_in),
                "B": b * normal(rng, d_out, rank),
                "scaling": integer(rng, 5, 14) / 4 + 0.1,
                "rank": rank,
                "about": "rows are shorter than 1" if small else "",
            }
        )
    return cases
