"""Lesson 04: random inputs for each exercise, of other sizes for every seed."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from peftcourse.exercises.draw import integer, normal, uniform
from peftcourse.exercises.lora.cases import alpha
from peftcourse.exercises.observe import Case

SHAPES = ("hidden", "heads", "kv_heads", "head_dim", "ffn", "layers")


def scale(rng: Generator) -> list[Case]:
    """Ranks up and down, none of them a square times another."""
    return [
        {
            "alpha": alpha(rng),
            "rank": rank,
            "new_rank": new_rank,
            "stabilized": stabilized,
        }
        for rank, new_rank, stabilized in (
            (integer(rng, 5, 9), integer(rng, 40, 70), True),
            (integer(rng, 3, 7), integer(rng, 17, 30), False),
            (integer(rng, 33, 60), integer(rng, 10, 14), True),
        )
    ]


def count(rng: Generator) -> list[Case]:
    """Heads whose sizes do not add up to the hidden size, and fewer of them for keys."""
    cases = []
    for targets in (
        ("q_proj", "v_proj"),
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
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
            }
        )
    return cases


def schedule(rng: Generator) -> list[Case]:
    return [
        {
            "steps": integer(rng, 40, 90),
            "peak": uniform(rng, 1e-4, 9e-3),
            "warmup": uniform(rng, 0.06, 0.1),
        }
        for _ in range(3)
    ]


def accumulate(rng: Generator) -> list[Case]:
    """Parts of other sizes, of which some positions are masked."""
    cases = []
    for parts in (2, 3, 4):
        sizes = [integer(rng, 4, 6) + 3 * part for part in range(parts)]
        total, features, classes = sum(sizes), integer(rng, 3, 5), integer(rng, 6, 8)
        labels = torch.randint(classes, (total,), generator=rng)
        start = 0
        for part, size in enumerate(sizes):  # the first part keeps most of its targets
            labels[start : start + part + 1] = -100
            start += size
        cases.append(
            {
                "weight": normal(rng, classes, features),
                "x": normal(rng, total, features),
                "labels": labels,
                "sizes": sizes,
            }
        )
    return cases


def _spread(rng: Generator, seeds: int, error: float) -> Tensor:
    """Values with mean 0 and a standard error of the mean of this size."""
    values = torch.randn(seeds, generator=rng, dtype=torch.float64)
    values -= values.mean()
    return values * error * math.sqrt(seeds) / values.std()


def choose(rng: Generator) -> list[Case]:
    """Five ranks: one run diverges, two are within reach of the best, one has a lucky seed."""
    cases = []
    for simple, best in ((0, 2), (2, 0), (-1, 1)):  # columns of the rank to choose and of the best
        rates, seeds = integer(rng, 5, 7), integer(rng, 5, 8)
        least, error = uniform(rng, 1, 2), uniform(rng, 0.01, 0.02)
        means = least + 0.5 + torch.rand(5, rates, generator=rng, dtype=torch.float64)
        noise = torch.randn(5, rates, seeds, generator=rng, dtype=torch.float64)
        losses = means.unsqueeze(2) + 0.02 * (noise - noise.mean(2, keepdim=True))
        between = 1 + 0.5 * (math.sqrt(seeds) - 1)
        losses[0, 3] = least - 0.3
        losses[1, 3] = least + between * error + 0.3 * _spread(rng, seeds, error)
        losses[2, simple] = least + 0.6 * error + 0.3 * _spread(rng, seeds, error)
        losses[3, best] = least + _spread(rng, seeds, error)
        losses[4, 1] = least + 0.4
        losses[4, 1, 0] -= 0.9
        losses[4, 1, 1:] += 0.9 / (seeds - 1)
        cases.append({"losses": losses, "failed": [0, 3, integer(rng, 0, seeds - 1)]})
    return cases


def ratio(rng: Generator) -> list[Case]:
    return [
        {
            "sizes": [integer(rng, 5, 9), integer(rng, 10, 14), integer(rng, 2, 4)],
            "layers": layers,
            "rate": uniform(rng, 1e-4, 9e-4),
            "factor": uniform(rng, 3, 20),
        }
        for layers in (1, 2, 4)
    ]


def allocate(rng: Generator) -> list[Case]:
    """Steps in the middle of the schedule, where the budget is no whole number."""
    cases: list[Case] = []
    while len(cases) < 3:
        layers, rank = integer(rng, 6, 9), integer(rng, 9, 14)
        total, warmup, final = integer(rng, 80, 120), integer(rng, 5, 12), integer(rng, 15, 25)
        last = total - final
        step = integer(rng, warmup + 15, (warmup + last) // 2)
        goal = layers * rank // 3
        left = 1 - (step - warmup) / (last - warmup)
        exact = goal + (layers * rank - goal) * left**3
        if not 0.1 < exact % 1 < 0.9:
            continue
        size = torch.rand(layers, 1, generator=rng, dtype=torch.float64).exp().square()
        importance = size * torch.rand(layers, rank, generator=rng, dtype=torch.float64)
        cases.append(
            {
                "importance": importance,
                "step": step,
                "total": total,
                "warmup": warmup,
                "final": final,
                "goal": goal,
            }
        )
    return cases


def pack(rng: Generator) -> list[Case]:
    """Two to four sequences of different lengths, without a token twice in a row."""
    return [
        {
            "sequences": [
                torch.randperm(90, generator=rng)[: integer(rng, 2, 4) + 2 * index].tolist()
                for index in range(number)
            ]
        }
        for number in (2, 3, 4)
    ]
