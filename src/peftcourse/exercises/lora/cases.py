"""Lesson 03: random inputs for each exercise.

Sizes are such that mistakes show: d_in ≠ d_out ≠ r, α ≠ r, B not zero. Every seed gives other ones.
"""

from __future__ import annotations

import torch
from torch import Generator

from peftcourse.exercises.draw import integer, normal
from peftcourse.exercises.observe import Case


def sizes(rng: Generator) -> tuple[int, int, int]:
    """(d_in, d_out, r), all different, with r below both others."""
    rank = integer(rng, 2, 4)
    d_in = integer(rng, 5, 12)
    d_out = integer(rng, 5, 11)
    return d_in, d_out + (d_out >= d_in), rank


def alpha(rng: Generator) -> float:
    """Larger than any size above, so that no ratio of α, r and d coincides with another."""
    return float(integer(rng, 13, 40))


def delta(rng: Generator) -> list[Case]:
    cases = []
    for dtype in (torch.float64, torch.float32, torch.float64):
        d_in, d_out, rank = sizes(rng)
        A, B = normal(rng, rank, d_in, dtype=dtype), normal(rng, d_out, rank, dtype=dtype)
        cases.append({"A": A, "B": B, "alpha": alpha(rng), "rank": rank})
    return cases


def init(rng: Generator) -> list[Case]:
    """Large enough (over 3,000 entries of A) that a width shows within a few per cent."""
    return [
        {
            "d_in": integer(rng, 500, 700),
            "d_out": integer(rng, 200, 400),
            "rank": integer(rng, 6, 12),
        }
        for _ in range(3)
    ]


def forward(rng: Generator) -> list[Case]:
    cases = []
    for dtype in (torch.float32, torch.float64, torch.float64):
        d_in, d_out, rank = sizes(rng)
        cases.append(
            {
                "weight": normal(rng, d_out, d_in, dtype=dtype),
                "bias": normal(rng, d_out, dtype=dtype),
                "A": normal(rng, rank, d_in, dtype=dtype),
                "B": normal(rng, d_out, rank, dtype=dtype),
                # Three dimensions, as in a transformer: batch, tokens, features.
                "x": normal(rng, 3, 5, d_in, dtype=dtype),
                "rank": rank,
                "alpha": alpha(rng),
                "dropout": integer(rng, 3, 6) / 10,
            }
        )
    return cases


def inject(rng: Generator) -> list[Case]:
    """The second case names a whole path's end, the third a top-level layer."""
    return [
        {
            "targets": targets,
            "width": integer(rng, 4, 7),
            "depth": integer(rng, 2, 3),
            "rank": integer(rng, 1, 3),
            "ids": torch.randint(0, 11, (2, 4), generator=rng),
        }
        for targets in (["q_proj"], ["attention.v_proj", "q_proj"], ["v_proj", "head"])
    ]


def count(rng: Generator) -> list[Case]:
    def side() -> int:
        return 16 * integer(rng, 9, 300)

    def shape() -> tuple[int, int]:
        d_in, d_out = side(), side()
        return (d_out + 16 * (d_in == d_out), d_in)

    return [
        {
            "shapes": [shape() for _ in range(number)],
            "rank": integer(rng, 2, 64),
            "layers": integer(rng, 2, 48),
        }
        for number in (1, 2, 5)
    ]


def loss(rng: Generator) -> list[Case]:
    """Rows with prompts of different lengths, the prompt masked; the last row is padded too."""
    cases = []
    for rows in (2, 3, 3):
        length, vocabulary = integer(rng, 8, 12), integer(rng, 5, 9)
        labels = torch.randint(0, vocabulary, (rows, length), generator=rng)
        for row in range(rows):
            labels[row, : 1 + 2 * row] = -100
        labels[-1, -2:] = -100
        cases.append({"logits": 3 * normal(rng, rows, length, vocabulary), "labels": labels})
    return cases


def train_step(rng: Generator) -> list[Case]:
    """Gradients longer than max_norm, so that clipping matters at every step."""
    cases = []
    for _ in range(3):
        d_in, d_hidden, d_out = sizes(rng)
        cases.append(
            {
                "weight": normal(rng, d_hidden, d_in),
                "bias": normal(rng, d_hidden),
                "head": normal(rng, d_out, d_hidden),
                "x": normal(rng, 4, 6, d_in),
                "y": 20 + 3 * normal(rng, 4, 6, d_out),
                "max_norm": integer(rng, 5, 12) / 10,
            }
        )
    return cases


def adapted(rng: Generator) -> list[Case]:
    """For save and load: two adapted layers of the same shape with different values."""
    cases = []
    for _ in range(2):
        d_in, d_out, rank = sizes(rng)
        cases.append(
            {
                "weight": normal(rng, d_out, d_in),
                **{f"A{i}": normal(rng, rank, d_in) for i in (1, 2)},
                **{f"B{i}": normal(rng, d_out, rank) for i in (1, 2)},
                "rank": rank,
            }
        )
    return cases


def merge(rng: Generator) -> list[Case]:
    """Updates much larger than the weights, so that subtracting them leaves rounding errors."""
    cases = []
    for dtype in (torch.float32, torch.float64):
        d_in, d_out, rank = sizes(rng)
        cases.append(
            {
                "weight": normal(rng, d_out, d_in, dtype=dtype),
                "bias": normal(rng, d_out, dtype=dtype),
                "A": normal(rng, rank, d_in, dtype=dtype),
                "B": normal(rng, d_out, rank, dtype=dtype),
                "x": normal(rng, 4, d_in, dtype=dtype),
                "scaling": float(integer(rng, 3, 9)),
                "rank": rank,
            }
        )
    return cases
