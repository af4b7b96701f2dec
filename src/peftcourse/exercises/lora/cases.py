"""Lesson 03: random inputs for each exercise.

Sizes are such that mistakes show: d_in ≠ d_out ≠ r, α ≠ r, B not zero. Every seed gives other ones.
"""

from __future__ import annotations

import torch
from torch import Generator

from peftcourse.exercises.draw import different, integer, normal
from peftcourse.exercises.observe import Case


def sizes(rng: Generator) -> tuple[int, int, int]:
    """(d_in, d_out, r), all different, with r below both others."""
    rank = integer(rng, 2, 4)
    d_in = integer(rng, 5, 12)
    d_out = integer(rng, 5, 11)
    return d_in, d_out + (d_out >= d_in), rank


def alpha(rng: Generator) -> float:
    """Larger than any size above, so that no ratio of α, r and d coincides with another; never a
    multiple of r, so that rounding shows."""
    return integer(rng, 13, 40) + 0.5


def delta(rng: Generator) -> list[Case]:
    """In the third case A has two equal rows, in the last r is no longer the smallest size."""
    cases = []
    ranks = {2, 3, 4}  # each once: no number stands for all of them
    for dtype in (torch.float64, torch.float32, torch.float64):
        d_in, d_out, rank = sizes(rng)
        rank = rank if rank in ranks else min(ranks)
        ranks.remove(rank)
        cases.append(_factors(rng, rank, d_in, d_out, dtype))
    cases[-1]["A"][1] = cases[-1]["A"][0]
    cases[-1]["about"] = "two rows of A are equal"
    d_in, d_out, rank = integer(rng, 3, 5), integer(rng, 9, 11), integer(rng, 6, 8)
    about = "r is larger than d_in"
    return [*cases, {**_factors(rng, rank, d_in, d_out, torch.float64), "about": about}]


def _factors(rng: Generator, rank: int, d_in: int, d_out: int, dtype: torch.dtype) -> Case:
    return {
        "A": normal(rng, rank, d_in, dtype=dtype),
        "B": normal(rng, d_out, rank, dtype=dtype),
        "alpha": alpha(rng),
        "rank": rank,
    }


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
    """Inputs of one to four dimensions, with and without dropout.

    No dropout is 0.5: kept and dropped would be equally many.
    """
    cases = []
    for dtype, shape, dropout, about in (
        (torch.float64, (), 0.0, "the dropout is 0"),
        (torch.float32, (2, 3, 2), integer(rng, 2, 4) / 10, ""),
        (torch.float64, (3, 5), 0.0, "the dropout is 0"),
    ):
        d_in, d_out, rank = sizes(rng)
        cases.append(
            {
                "weight": normal(rng, d_out, d_in, dtype=dtype),
                "bias": normal(rng, d_out, dtype=dtype),
                "A": normal(rng, rank, d_in, dtype=dtype),
                "B": normal(rng, d_out, rank, dtype=dtype),
                "x": normal(rng, *shape, d_in, dtype=dtype),
                "rank": rank,
                "alpha": alpha(rng),
                "dropout": dropout,
                "about": about,
            }
        )
    return cases


def inject(rng: Generator) -> list[Case]:
    """Targets that are a name, the end of a path, a whole path, at the top, or nowhere."""
    return [
        {
            "targets": targets,
            "width": integer(rng, 4, 7),
            "rank": integer(rng, 1, 3),
            "ids": torch.randint(0, 11, (2, 4), generator=rng),
            "about": about,
        }
        for targets, about in (
            (["attention.v_proj", "q_proj"], ""),
            (["v_proj", "mlp", "o_proj", "head"], "a target is the whole path of a layer"),
            (
                ["layers.1.attention.v_proj", "mlp.0", "1.mlp.0", "base"],
                "a target is the whole path of a layer",
            ),
        )
    ]


def count(rng: Generator) -> list[Case]:
    """In the last case the result is above 2³¹, and r is larger than any side.

    No model has 32 layers, as the lab's example has.
    """

    def shapes(number: int, low: int) -> list[tuple[int, int]]:
        sides = [different(rng, 2, low, 300) for _ in range(number)]
        return [(16 * d_out, 16 * d_in) for d_out, d_in in sides]

    two = shapes(2, 9)
    return [
        {
            "shapes": these,
            "rank": rank,
            "layers": integer(rng, *layers),
            "about": about,
        }
        for these, rank, layers, about in (
            (shapes(1, 9), integer(rng, 2, 64), (2, 31), "there is one matrix"),
            ([*two, two[0]], integer(rng, 2, 64), (2, 31), "two matrices have the same shape"),
            (shapes(5, 150), integer(rng, 5000, 6000), (33, 48), "r is larger than any side"),
        )
    ]


def loss(rng: Generator) -> list[Case]:
    """Prompts of different lengths, masked; padding at the end; and rows without any mask, where
    the first label is one that no position predicts. The last logits are so large that a softmax
    alone would be zero."""
    cases = []
    for rows, prompt, padding, scale, about in (
        (2, 1, 2, 3, ""),
        (3, 1, 2, 3, ""),
        (3, 0, 0, 3, "no label is masked"),
        (1, 0, 1, 3, "there is one row, and its first label is not masked"),
        (2, 1, 0, 1000, "the logits are in the thousands"),
    ):
        length, vocabulary = integer(rng, 8, 12), integer(rng, 5, 9)
        labels = torch.randint(0, vocabulary, (rows, length), generator=rng)
        for row in range(rows):
            labels[row, : prompt + 2 * row * min(prompt, 1)] = -100
        if padding:
            labels[-1, -padding:] = -100
        logits = scale * normal(rng, rows, length, vocabulary)
        cases.append({"logits": logits, "labels": labels, "about": about})
    return cases


def train_step(rng: Generator) -> list[Case]:
    """Gradients longer than max_norm, so that clipping matters; in the last case, shorter."""
    cases = []
    for longer in (True, True, False):
        d_in, d_hidden, d_out = sizes(rng)
        cases.append(
            {
                "weight": normal(rng, d_hidden, d_in),
                "bias": normal(rng, d_hidden),
                "head": normal(rng, d_out, d_hidden),
                "x": normal(rng, 4, 6, d_in),
                "y": 20 + 3 * normal(rng, 4, 6, d_out),
                "max_norm": integer(rng, 5, 12) / 10 if longer else 1e4 + integer(rng, 1, 99),
                "about": "" if longer else "the gradient is shorter than max_norm",
            }
        )
    return cases


def adapted(rng: Generator) -> list[Case]:
    """For save and load: three adapted layers of one shape with different values, one B zero."""
    cases = []
    for _ in range(2):
        d_in, d_out, rank = sizes(rng)
        cases.append(
            {
                "weight": normal(rng, d_out, d_in),
                **{f"A{i}": normal(rng, rank, d_in) for i in (1, 2, 3)},
                **{f"B{i}": normal(rng, d_out, rank) for i in (1, 2, 3)},
                "rank": rank,
            }
        )
    cases[-1]["B2"].zero_()
    cases[-1]["about"] = "a B is still zero"
    return cases


def merge(rng: Generator) -> list[Case]:
    """Updates much larger than the weights, so that subtracting them leaves rounding errors."""
    cases = []
    for dtype, frozen in (
        (torch.float32, False),
        (torch.float64, True),
        (torch.float64, False),
    ):
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
                "frozen": frozen,
                "about": "the base weight is frozen" if frozen else "",
            }
        )
    return cases
