"""Lesson 04: random inputs for each exercise, of other sizes for every seed."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from peftcourse.exercises.draw import integer, normal, uniform
from peftcourse.exercises.lora.cases import alpha
from peftcourse.exercises.observe import Case

SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SHAPES = ("hidden", "heads", "kv_heads", "head_dim", "ffn", "layers")


def scale(rng: Generator) -> list[Case]:
    """Ranks up and down, none of them a square, nor a square times another."""
    return [
        {
            "alpha": alpha(rng),
            "rank": rank,
            "new_rank": new_rank,
            "stabilized": stabilized,
        }
        for rank, new_rank, stabilized in (
            (integer(rng, 5, 8), integer(rng, 50, 63), True),
            (integer(rng, 3, 7), integer(rng, 17, 30), False),
            (integer(rng, 37, 48), integer(rng, 10, 14), True),
            (integer(rng, 33, 60), integer(rng, 10, 14), False),
        )
    ]


def count(rng: Generator) -> list[Case]:
    """Heads whose sizes do not add up to the hidden size, and fewer of them for keys."""
    cases = []
    for targets in (
        ("q_proj", "v_proj"),
        SEVEN,
        ("k_proj", "o_proj", "down_proj"),
    ):
        kv_heads = integer(rng, 2, 5)
        heads, head_dim = 2 * kv_heads, integer(rng, 10, 40)
        hidden = heads * head_dim + integer(rng, 7, 60)
        sizes = (hidden, heads, kv_heads, head_dim, integer(rng, 900, 1500), integer(rng, 3, 40))
        cases.append(
            {
                "shape": dict(zip(SHAPES, sizes, strict=True)),
                "rank": integer(rng, 2, 9),
                "targets": list(targets),
                "each": list(SEVEN),
            }
        )
    return cases


def schedule(rng: Generator) -> list[Case]:
    """Warm-ups just above a whole number of steps, just below one, and of whole numbers."""
    cases = []
    for part, about in (
        (uniform(rng, 0.1, 0.4), ""),
        (uniform(rng, 0.6, 0.9), ""),
        (0.0, "warmup · steps is a whole number"),
        (None, "the warm-up is a single step"),
    ):
        steps, rising = integer(rng, 45, 90), integer(rng, 4, 6)
        if part == 0.0:
            steps = 16 * integer(rng, 3, 5)  # a sixteenth of it is exact in every dtype
            warmup = 1 / 16
        elif part is None:
            steps = integer(rng, 8, 12)
            warmup = uniform(rng, 0.06, 0.08)
        else:
            warmup = (rising + part) / steps
        cases.append(
            {"steps": steps, "peak": uniform(rng, 1e-4, 9e-3), "warmup": warmup, "about": about}
        )
    return cases


def accumulate(rng: Generator) -> list[Case]:
    """Parts of other sizes, of which some positions are masked."""
    cases = []
    for parts, about in ((2, ""), (3, ""), (4, ""), (3, "a part has no targets")):
        sizes = [integer(rng, 4, 6) + 3 * part for part in range(parts)]
        total, features, classes = sum(sizes), integer(rng, 3, 5), integer(rng, 6, 8)
        labels = torch.randint(classes, (total,), generator=rng)
        start = 0
        for part, size in enumerate(sizes):  # the first part keeps most of its targets
            masked = size if about and part == 1 else part + 1
            labels[start + size // 2 + 1] = 0  # class 0 is a target like any other
            first = start if part % 2 else start + size - masked
            labels[first : first + masked] = -100
            start += size
        cases.append(
            {
                "weight": normal(rng, classes, features),
                "x": normal(rng, total, features),
                "labels": labels,
                "sizes": sizes,
                "about": about,
            }
        )
    return cases


def _spread(rng: Generator, seeds: int, error: float) -> Tensor:
    """Values with mean 0 and a standard error of the mean of this size."""
    values = torch.randn(seeds, generator=rng, dtype=torch.float64)
    values -= values.mean()
    return values * error * math.sqrt(seeds) / values.std()


def choose(rng: Generator) -> list[Case]:
    """Grids in which each comparison of the exercise decides once."""
    return [
        *_grids_with_traps(rng),
        *_ladders(rng),
        _tie(rng),
        _one_cell(rng, 3, 1, "every run of the smallest rank diverged"),
        _one_cell(rng, 4, 3, "the largest rank is the one to choose"),
        _one_cell(rng, 4, 0, "the smallest rank is the one to choose"),
    ]


def _grids_with_traps(rng: Generator) -> list[Case]:
    """Five ranks: one run diverges, two are within reach of the best, one has a lucky seed."""
    cases = []
    for simple, best in ((0, 2), (2, 0), (-1, 1)):  # columns of the rank to choose and of the best
        rates, seeds = integer(rng, 5, 7), integer(rng, 5, 8)
        least, error = uniform(rng, 1, 2), uniform(rng, 0.01, 0.02)
        losses = _poor_grid(rng, 5, rates, seeds, least)
        between = 1 + 0.5 * (math.sqrt(seeds) - 1)
        losses[0, 3] = least - 0.9  # the best by far, but for the run that diverged
        losses[1, 3] = least + between * error + 0.3 * _spread(rng, seeds, error)
        losses[2, simple] = least + 0.6 * error + 0.3 * _spread(rng, seeds, error)
        losses[3, best] = least + _spread(rng, seeds, error)
        losses[4, 1] = least + 0.4
        losses[4, 1, 0] -= 0.9
        losses[4, 1, 1:] += 0.9 / (seeds - 1)
        failed = [[0, 3, integer(rng, 0, seeds - 1)], [2, 1, 0]]
        cases.append({"losses": losses, "failed": failed, "about": ""})
    return cases


def _ladders(rng: Generator) -> list[Case]:
    """Smaller ranks with means further away, so that the rank tells how much was allowed."""
    cases = []
    for rates, seeds, steps, right in (
        (6, 3, (2.2, 1.6, 1.3, 1.1, 0.9, 0.75, 0.6, 0.3, 0.0), 4),
        (4, 8, (2.9, 2.5, 1.8, 1.3, 1.04, 0.97, 0.8, 0.0), 5),
    ):
        least, error = uniform(rng, 1, 2), uniform(rng, 0.01, 0.02)
        losses = _poor_grid(rng, len(steps), rates, seeds, least)
        for rank, away in enumerate(steps):
            # The first rank's own standard error is large; that of the others is small.
            own = {0: 4.0, len(steps) - 1: 1.0}.get(rank, 0.05)
            column = 1 if rank == len(steps) - 1 else 2
            losses[rank, column] = least + away * error + own * _spread(rng, seeds, error)
        # In the row of the right rank another rate is within the error, too, but not the best.
        losses[right, 1] = least + (steps[right] + 0.02) * error
        losses[right, 1] += 0.01 * _spread(rng, seeds, error)
        losses[right, 3] = least + 0.4  # and a third one has the luckiest run
        losses[right, 3, 0] -= 0.9
        losses[right, 3, 1:] += 0.9 / (seeds - 1)
        failed = [[0, 0, 0]]
        about = "means differ by about one standard error"
        cases.append({"losses": losses, "failed": failed, "about": about})
    return cases


def _tie(rng: Generator) -> Case:
    """Two ranks with the very same mean, and no spread at all."""
    losses = 3 + torch.randint(1, 30, (4, 5, 4), generator=rng).double() / 8
    losses[1, 2] = losses[3, 1] = 1.5
    about = "the standard error is zero and two ranks tie, with equal means"
    return {"losses": losses, "failed": [[0, 0, 1]], "about": about}


def _one_cell(rng: Generator, ranks: int, best: int, about: str) -> Case:
    """One cell, in the middle of its row, that is far better than all others."""
    rates, seeds, least = 7, 5, uniform(rng, 1, 2)
    losses = _poor_grid(rng, ranks, rates, seeds, least)
    losses[best, 2] = least + _spread(rng, seeds, 0.01)
    broken = range(rates) if "diverged" in about else range(0)
    failed = [[0, rate, seed] for rate in broken for seed in range(seeds)]
    return {"losses": losses, "failed": failed, "about": about}


def _poor_grid(rng: Generator, ranks: int, rates: int, seeds: int, least: float) -> Tensor:
    """Losses that are all far above the least, with a little noise."""
    means = least + 0.5 + torch.rand(ranks, rates, generator=rng, dtype=torch.float64)
    noise = torch.randn(ranks, rates, seeds, generator=rng, dtype=torch.float64)
    return means.unsqueeze(2) + 0.02 * (noise - noise.mean(2, keepdim=True))


def ratio(rng: Generator) -> list[Case]:
    """Layers with A and B, and parameters whose names are like theirs in one way each."""
    return [
        {
            "sizes": [integer(rng, 5, 9), integer(rng, 10, 14), integer(rng, 2, 4)],
            "layers": layers,
            "rate": uniform(rng, 1e-4, 9e-4),
            "factor": uniform(rng, 3, 20),
            "others": others,
            "frozen": frozen,
            "about": about,
        }
        for layers, others, frozen, about in (
            (1, {}, [], ""),
            (2, {}, [], ""),
            (4, {}, [], ""),
            (
                2,
                {"B": "B, of a parameter named B alone"},
                [],
                "the whole name of a parameter is B, without a dot",
            ),
            (
                3,
                {
                    "gate.scaleB": "names that only end in B",
                    "gate.lora_B": "names that only end in B",
                },
                [],
                "the last part of a name only ends in B",
            ),
            (
                2,
                {f"B.{name}": "parameters in a module named B" for name in ("weight", "bias")},
                [],
                "a module is named B",
            ),
            (3, {"gate.b": "b"}, [], "a parameter is named b"),
            (2, {}, ["old.A", "old.B"], "an A and a B are frozen"),
        )
    ]


def allocate(rng: Generator) -> list[Case]:
    """Steps on the way, where the budget is no whole number, and at both of its ends."""
    cases: list[Case] = []
    while len(cases) < 4:
        layers, rank = integer(rng, 6, 9), integer(rng, 10, 14)
        total, warmup, final = integer(rng, 80, 120), integer(rng, 5, 12), integer(rng, 15, 25)
        last = total - final
        step = integer(rng, warmup + 15, (warmup + last) // 2)
        goal = layers * rank // 3
        left = 1 - (step - warmup) / (last - warmup)
        exact = goal + (layers * rank - goal) * left**3
        # Below one half in the first case and above it in the second, so that rounding shows.
        low, high = ((0.1, 0.45), (0.55, 0.9))[len(cases) % 2]
        if not low < exact % 1 < high:
            continue
        size = torch.rand(layers, 1, generator=rng, dtype=torch.float64).exp().square()
        importance = size * torch.rand(layers, rank, generator=rng, dtype=torch.float64)
        about = "the last layer is worth the least" if len(cases) == 3 else ""
        if about:
            importance[-1] *= 1e-3
        cases.append(
            {
                "importance": importance,
                "step": step,
                "total": total,
                "warmup": warmup,
                "final": final,
                "goal": goal,
                "about": about,
            }
        )
    first, second = cases[:2]
    return [
        *cases,
        {**first, "step": first["warmup"], "about": "the step is the last of the warm-up"},
        {
            **second,
            "step": second["total"] - second["final"],
            "about": "the step is the last one on the way down, total − final",
        },
    ]


def pack(rng: Generator) -> list[Case]:
    """Texts of different lengths, and each way in which two of them or their tokens are alike."""

    def text(length: int) -> list[int]:
        return torch.randperm(90, generator=rng)[:length].tolist()

    plain = [
        [text(integer(rng, 2, 4) + 2 * index) for index in range(number)] for number in (2, 3, 4)
    ]
    lengths = (integer(rng, 3, 5), integer(rng, 6, 7))
    one, other = text(lengths[0]), text(lengths[1])
    first = other[0]
    return [
        *({"sequences": sequences, "about": ""} for sequences in plain),
        {
            "sequences": [text(lengths[0]), text(lengths[1]), text(lengths[0])],
            "about": "two texts have the same length",
        },
        {"sequences": [one, other, list(one)], "about": "two texts are equal"},
        {
            "sequences": [text(lengths[0]), [*other, first, *text(2)]],
            "about": "the first token of a text comes again in it",
        },
        {
            "sequences": [text(lengths[0]), other, [*text(2), first, *text(2)]],
            "about": "the first token of a text comes again in another",
        },
        {
            "sequences": [text(lengths[1]), text(1), text(lengths[0])],
            "about": "a text is a single token",
        },
        {"sequences": [text(lengths[1])], "about": "there is a single text"},
    ]
