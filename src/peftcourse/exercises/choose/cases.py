"""Lesson 10: random inputs for each exercise.

Each holds what makes a typical mistake show: a run that diverged, seeds in another order, ties,
twins, a metric with a chance level, p-values that are not in order.
"""

from __future__ import annotations

import torch
from torch import Generator

from peftcourse.exercises.draw import different, normal, uniform
from peftcourse.exercises.observe import Case


def rate(rng: Generator) -> list[Case]:
    """Where the best rate lies: inside, beside the rate that diverged, at the lower edge."""
    cases = []
    for best in (3, 5, 0):
        others = [place for place in different(rng, 6, 0, 5) if place != best]
        by_test, by_all, worst = others[:3]
        seeds = different(rng, 4, 1, 99)
        lowest = uniform(rng, 1e-6, 1e-4)
        rates = [lowest * 10 ** (place / 2) for place in range(7)]
        runs = []
        for seed in seeds:
            tuning = seed == seeds[2]
            for place in reversed(range(7)):
                validation, test = uniform(rng, 0.3, 0.7), uniform(rng, 0.3, 0.7)
                if place == (best if tuning else by_all):
                    validation = 0.8 if tuning else 0.9
                if place == by_test:
                    test = 0.95
                if tuning and place == worst:
                    validation = 0.2
                if place == 6:
                    validation = test = None  # diverged
                run = {"rate": rates[place], "seed": seed, "validation": validation, "test": test}
                runs.append(run)
        cases.append({"runs": runs, "tuning_seed": seeds[2]})
    return cases


def interval(rng: Generator) -> list[Case]:
    return [
        {"scores": uniform(rng, 0.3, 0.9) + 0.05 * normal(rng, count)}
        for count in different(rng, 3, 3, 8)
    ]


def paired(rng: Generator) -> list[Case]:
    """Both methods follow the seed; each has a seed that the other has not, in another order."""
    cases = []
    for common in different(rng, 3, 3, 7):
        seeds = different(rng, common + 2, 0, 99)
        shared = {seed: uniform(rng, 0.4, 0.8) for seed in seeds}
        shift = uniform(rng, 0.01, 0.05)
        one, other = [*seeds[: common - 1], seeds[common], seeds[common - 1]], seeds[:common]
        other = [*reversed(other), seeds[common + 1]]
        first = {seed: shared[seed] + shift + uniform(rng, 0, 0.02) for seed in one}
        second = {seed: shared[seed] + uniform(rng, 0, 0.02) for seed in other}
        cases.append({"first": list(first.items()), "second": list(second.items())})
    return cases


def gain(rng: Generator) -> list[Case]:
    cases = []
    for count in different(rng, 3, 3, 7):
        base = uniform(rng, 0.2, 0.5)
        full = base + uniform(rng, 0.2, 0.4) + 0.03 * normal(rng, count)
        scores = base + uniform(rng, 0.1, 0.3) + 0.03 * normal(rng, count)
        cases.append({"scores": scores, "full": full, "base": base})
    return cases


def ranks(rng: Generator) -> list[Case]:
    """Scores with ties in every task; one task has a wider scale than all others together."""
    cases = []
    for methods, tasks in ((5, 3), (7, 4), (6, 8)):
        scores = torch.randint(0, methods - 1, (methods, tasks), generator=rng).double()
        scores[1] = scores[0]
        scores[:, 0] = torch.tensor(different(rng, methods, 1, methods)).double()
        scores[:, 0] *= 100
        cases.append({"scores": scores})
    return cases


def holm(rng: Generator) -> list[Case]:
    """The second smallest is so near the smallest that its product is lower; two are large."""
    cases = []
    for count in different(rng, 3, 5, 9):
        smallest = uniform(rng, 0.002, 0.01)
        rest = [uniform(rng, 0.02, 0.1) for _ in range(count - 4)]
        p = [smallest, smallest * 1.01, *rest, uniform(rng, 0.6, 0.7), uniform(rng, 0.75, 0.9)]
        # A cycle through all places: never in order, and not undone by going the same way again.
        order = different(rng, count, 0, count - 1)
        shuffled = [0.0] * count
        for place, following in zip(order, [*order[1:], order[0]], strict=True):
            shuffled[place] = sorted(p)[following]
        cases.append({"p": torch.tensor(shuffled, dtype=torch.float64)})
    return cases


def pareto(rng: Generator) -> list[Case]:
    """A random cloud with a twin on the front, a near twin that is worse, and two bargains."""
    cases = []
    for count, kinds in ((6, 1), (7, 2), (8, 3)):
        costs = torch.rand(count, kinds, generator=rng, dtype=torch.float64) + 0.5
        quality = costs.mean(1) + torch.rand(count, generator=rng, dtype=torch.float64)
        top = int(quality.argmax())
        # Each bad, and dear but for one cost: the last, the first.
        bargains = torch.stack([costs.amax(0) + 0.1] * 2)
        bargains[0, -1] = costs[:, -1].min() - 0.1
        bargains[1, 0] = costs[:, 0].min() - 0.2
        top_quality, low = quality[top], quality.min() - 0.1
        extra = torch.stack([top_quality, top_quality - 0.2, low, low - 0.1])
        costs = torch.cat([costs, costs[[top, top]], bargains])
        quality = torch.cat([quality, extra])
        order = torch.randperm(count + 4, generator=rng)
        cases.append({"costs": costs[order], "quality": quality[order]})
    return cases


def decide(rng: Generator) -> list[Case]:
    """Nine methods in random order; which one is right depends on the limits."""
    cases = []
    for must_merge in (True, False, True):
        memory, margin, top = uniform(rng, 10, 40), uniform(rng, 0.02, 0.05), uniform(rng, 0.7, 0.9)
        size = uniform(rng, 1e5, 1e6)
        rows = [
            # (quality, memory, trainable, mergeable); the comment says who would take it.
            (top + 0.6 * margin, 1.4 * memory, 40 * size, True),  # the best, and too large
            (top, 0.9 * memory, 20 * size, True),  # the best that fits
            (top - 0.3 * margin, 0.6 * memory, 10 * size, True),  # within a margin of both
            (top - 0.65 * margin, 0.3 * memory, 15 * size, True),  # needs least memory of these
            (top - 0.6 * margin, 0.7 * memory, 7 * size, True),  # right if others did not fit
            (top - 0.7 * margin, memory, 4 * size, True),  # right if it has to merge
            (top - 0.8 * margin, memory, 2 * size, False),  # right if it need not
            (top - 0.35 * margin, 1.2 * memory, size, True),  # small, and does not fit
            (top - 3 * margin, 0.5 * memory, 0.5 * size, True),  # the smallest
        ]
        names = [f"method {letter}" for letter in "ABCDEFGHI"]
        made = [
            dict(zip(("quality", "memory", "trainable", "mergeable"), row, strict=True))
            for row in rows
        ]
        order = different(rng, len(made), 0, len(made) - 1)
        table = [{"name": names[i], **made[place]} for i, place in enumerate(order)]
        limits = {"memory": memory, "must_merge": must_merge, "margin": margin}
        cases.append({"rows": table, **limits})
    return cases
