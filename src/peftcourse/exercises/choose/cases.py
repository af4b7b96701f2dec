"""Lesson 10: random inputs for each exercise.

Each case holds what makes a typical mistake show, and says so as ``about``: a run that diverged,
seeds in another order, ties, twins, a value exactly on a limit.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from peftcourse.exercises.draw import different, integer, normal, uniform
from peftcourse.exercises.observe import Case


def rate(rng: Generator) -> list[Case]:
    """The best rate inside, at each end, and at an end of what its own seed tried only."""
    return [
        _search(rng, best=3, diverged=6, others=(0.7, 0.75)),
        _search(rng, best=1),
        _search(rng, best=5, diverged=6, about="the next higher rate diverged"),
        _search(rng, best=0, diverged=6, about="the lowest rate is the best"),
        _search(rng, best=6, about="the highest rate is the best"),
        _search(
            rng,
            best=1,
            diverged=4,
            only_others=(0, 6),
            about="other seeds have tried a lower rate than the tuning seed's lowest",
        ),
        _search(
            rng,
            best=5,
            only_others=(0, 6),
            about="other seeds have tried a higher rate than the tuning seed's highest",
        ),
        _search(rng, best=2, diverged=6, shift=-2.0, about="all scores are negative"),
        _search(rng, best=0, count=1, about="only one rate was tried"),
    ]


def _search(
    rng: Generator,
    best: int,
    diverged: int | None = None,
    only_others: tuple[int, ...] = (),
    shift: float = 0.0,
    others: tuple[float, float] = (0.95, 0.99),
    count: int = 7,
    about: str = "",
) -> Case:
    """Runs of four seeds at some rates, in no order.

    The tuning seed's best by validation, by test and by both together, the best of the other seeds
    on average and the best of their runs are at different rates, as far as there are so many. The
    last two have the scores ``others``; the tuning seed's best has 0.8.
    """
    free = [place for place in range(count) if place not in (best, diverged, *only_others)]
    places = [free[i] for i in different(rng, len(free), 0, len(free) - 1)] + [best] * 5
    by_test, by_both, by_others, by_peak, worst = places[:5]
    seeds = different(rng, 4, 1, 99)
    lowest = uniform(rng, 1e-6, 1e-4)
    runs = []
    for seed in seeds:
        tuning = seed == seeds[2]
        for place in range(count):
            if tuning and place in only_others:
                continue
            validation, test = uniform(rng, 0.3, 0.6), uniform(rng, 0.3, 0.5)
            if place == (best if tuning else by_others):
                validation = 0.8 if tuning else others[0]
            elif tuning:
                validation = {worst: 0.2, by_both: 0.7}.get(place, validation)
            elif seed == seeds[0] and place == by_peak != best:
                validation = others[1]
            if place != best:
                test = {by_test: 0.95, by_both: 0.9}.get(place, test)
            scores = {"validation": validation + shift, "test": test + shift}
            if place == diverged:
                scores = dict.fromkeys(scores)
            runs.append({"rate": lowest * 10 ** (place / 2), "seed": seed, **scores})
    mixed = _in_no_order(rng, runs)
    return {"runs": mixed, "tuning_seed": seeds[2], "about": about}


def _in_no_order(rng: Generator, runs: list[dict]) -> list[dict]:
    """A shuffle that begins with the run that diverged, if any, and ends inside the rates."""
    order = [runs[i] for i in different(rng, len(runs), 0, len(runs) - 1)]
    rates = sorted({run["rate"] for run in runs})
    inside = [run for run in order if run["rate"] in rates[1:-1] and run["validation"] is not None]
    ends = inside[:2]
    first = [run for run in order if run["validation"] is None] or ends[:1]
    rest = [run for run in order if run not in first and run not in ends[1:]]
    return [*first, *rest, *ends[1:]]


def interval(rng: Generator) -> list[Case]:
    """Few scores, in 64 and in 32 bits."""
    cases = []
    dtypes = (torch.float64, torch.float64, torch.float64, torch.float32)
    for count, dtype in zip(different(rng, 4, 4, 12), dtypes, strict=True):
        scores = uniform(rng, 0.3, 0.9) + 0.05 * normal(rng, count)
        cases.append({"scores": scores.to(dtype)})
    high = 0.99 - 0.04 * torch.rand(different(rng, 1, 4, 7)[0], generator=rng, dtype=torch.float64)
    high[0] = 0.9
    cases.append({"scores": high, "about": "the interval reaches beyond 1"})
    losses = -2 + 0.3 * normal(rng, 6)
    cases.append({"scores": losses, "about": "the scores are negative"})
    return cases


def paired(rng: Generator) -> list[Case]:
    """Both methods follow the seed, in both directions; by and by, the pairs get harder to find."""
    kinds = (
        # (only first has, only second has, same order, what is special)
        (0, 0, True, ""),
        (0, 0, False, "the seeds are in another order"),
        (1, 0, True, "the second lacks a seed of the first"),
        (0, 1, True, "the first lacks a seed of the second"),
        (2, 1, False, "each lacks a seed of the other, and the order differs"),
    )
    cases = []
    for common, (extra_first, extra_second, ordered, about) in zip(
        different(rng, len(kinds), 3, 9), kinds, strict=True
    ):
        seeds = different(rng, common + extra_first + extra_second, 0, 99)
        hardness = {seed: uniform(rng, 0.4, 0.8) for seed in seeds}
        sign = (-1) ** integer(rng, 0, 1)
        one = seeds[: common + extra_first]
        other = seeds[:common] + seeds[common + extra_first :]
        if not ordered:
            other = [*other[1:], other[0]]
        if extra_first:  # not at the end, where a zip would leave it out
            one = [one[-1], *one[:-1]]
        if extra_second:
            other = [other[-1], *other[:-1]]
        first = {seed: hardness[seed] + sign * uniform(rng, 0, 0.05) for seed in one}
        second = {seed: hardness[seed] - sign * uniform(rng, 0, 0.01) for seed in other}
        # One difference of each sign.
        first[seeds[0]] = second[seeds[0]] + sign * uniform(rng, 0.06, 0.07)
        first[seeds[1]] = second[seeds[1]] - sign * uniform(rng, 0.01, 0.02)
        cases.append({"first": list(first.items()), "second": list(second.items()), "about": about})
    return cases


def gain(rng: Generator) -> list[Case]:
    """Shares below 0, between 0 and 100 and above 100, of accuracies and of losses."""
    cases = []
    for count, (share, sign, about) in zip(
        different(rng, 5, 3, 9),
        (
            (0.7, 1, ""),
            (0.4, 1, ""),
            (-0.4, 1, "the method is worse than the base model"),
            (1.5, 1, "the method gains more than full fine-tuning"),
            (0.6, -1, "the scores are losses, so that both gains are negative"),
        ),
        strict=True,
    ):
        # In 1,024ths, so that an untrained model's gain is exactly 0 whatever the dtype.
        base = integer(rng, 300, 500) / 1024 * (1 if sign > 0 else 6)
        possible = sign * uniform(rng, 0.2, 0.4)
        full = base + possible + 0.02 * normal(rng, count)
        scores = base + share * possible + 0.02 * normal(rng, count)
        cases.append({"scores": scores, "full": full, "base": base, "about": about})
    return cases


def ranks(rng: Generator) -> list[Case]:
    """No tie, ties for the first place, ties behind it, scores that almost tie, one task."""
    first, behind = "two methods tie for the first place", "methods tie behind the first place"
    methods = different(rng, 6, 5, 10)
    cases = [
        {"scores": _distinct(rng, methods[0], 11)},
        {"scores": _distinct(rng, methods[1], 3), "about": "scores differ by little"},
        {"scores": _distinct(rng, methods[2], 3), "about": first},
        {"scores": _distinct(rng, methods[3], 4), "about": behind},
        {"scores": _distinct(rng, methods[4], 4).float(), "about": behind},
        {"scores": _distinct(rng, methods[5], 1) - 3, "about": "there is one task"},
    ]
    near, tied_first, tied_behind, threes = (case["scores"] for case in cases[1:5])
    near[0], near[2] = near[1] + 0.0004, near[3] + 0.0006
    for scores, places in ((tied_first, (0, 1)), (tied_behind, (2, 3)), (threes, (1, 2, 3))):
        order = scores.argsort(0, descending=True)
        for task in range(scores.shape[1]):
            tied = order[list(places), task]
            scores[tied, task] = scores[tied[0], task].clone()
    threes[:, 0] *= 100
    return cases


def _distinct(rng: Generator, methods: int, tasks: int) -> Tensor:
    """Scores from 0 to 1 that differ by at least 0.05 within each task."""
    columns = [
        [0.1 * place + uniform(rng, 0, 0.05) for place in different(rng, methods, 0, methods - 1)]
        for _ in range(tasks)
    ]
    return torch.tensor(columns, dtype=torch.float64).T.contiguous()


def holm(rng: Generator) -> list[Case]:
    """What a running maximum is for, twice in a row; values that end above 1; ties."""
    cases = []
    for kind, count in enumerate(different(rng, 4, 6, 11)):
        smallest = uniform(rng, 0.002, 0.01)
        near = [smallest * 1.01, smallest * 1.02]  # multiplied, each is below the smallest
        large = [uniform(rng, 0.6, 0.7), uniform(rng, 0.75, 0.9)]
        about = ""
        if kind == 1:
            large, about = [uniform(rng, 0.06, 0.07), uniform(rng, 0.11, 0.12)], "no value is large"
        if kind == 2:
            near, about = [smallest * 1.5, smallest * 1.5], "two p-values are equal"
        rest = [uniform(rng, 0.02, 0.055) for _ in range(count - 5)]
        p = sorted([smallest, *near, *rest, *large])
        # A cycle through all places: never in order, and not undone by going the same way again.
        order = different(rng, count, 0, count - 1)
        shuffled = [0.0] * count
        for place, following in zip(order, [*order[1:], order[0]], strict=True):
            shuffled[place] = p[following]
        cases.append({"p": torch.tensor(shuffled, dtype=torch.float64), "about": about})
    in_order = torch.tensor(sorted(uniform(rng, 0.01, 0.04) for _ in range(5)))
    cases.append({"p": in_order.double(), "about": "they are in order from the start"})
    alone = torch.tensor([uniform(rng, 0.2, 0.8)], dtype=torch.float64)
    cases.append({"p": alone, "about": "there is one p-value"})
    return cases


def pareto(rng: Generator) -> list[Case]:
    """Random clouds with traps, and small tables in which one thing decides."""
    cases = [_cloud(rng, count, kinds) for count, kinds in ((6, 1), (7, 2), (8, 3))]
    a, b, c, d = (uniform(rng, low, low + 0.8) for low in (1, 2, 3, 4))
    tables = (
        # Each row: costs, then quality. The last rows decide.
        ("one is as good as another and cheaper", [[a, b, d], [c, d, d]]),
        ("one costs the same as another and is better", [[a, c, a], [a, c, b], [b, a, c]]),
        ("one is cheaper than another in one cost and equal in the others", [[a, c, b], [b, c, b]]),
        ("two are equal in everything", [[b, a, c], [a, b, b], [b, a, c]]),
        ("one is neither the best nor the cheapest", [[a, a, a], [b, b, b], [c, c, c], [d, d, d]]),
        ("one is cheaper in one cost and dearer in another", [[a, d, a], [d, a, a], [b, b, b]]),
        ("there is one method", [[a, b, c]]),
    )
    for about, rows in tables:
        table = torch.tensor(rows, dtype=torch.float64)
        table = table[torch.randperm(len(table), generator=rng)]
        cases.append({"costs": table[:, :-1], "quality": table[:, -1], "about": about})
    return cases


def _cloud(rng: Generator, count: int, kinds: int) -> Case:
    """A random cloud with a twin on the front, a near twin that is worse, and two bargains."""
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
    return {"costs": costs[order], "quality": quality[order]}


def decide(rng: Generator) -> list[Case]:
    """Methods in random order; which one is right depends on the limits.

    Qualities, margins and memories are fractions of 64ths, so that a limit is met exactly.
    """
    cases = []
    for must_merge, shift, about in (
        (True, 0, ""),
        (False, 0, "merging is not asked for"),
        (True, 0, ""),
        (True, 64, "qualities are in percent"),
        (True, -2, "all qualities are negative"),
    ):
        cases.append({**_table(rng, must_merge, shift), "about": about})
    # What does not fit is not small there.
    cases[3]["rows"][7]["trainable"] = 3 * cases[3]["rows"][2]["trainable"]
    on_limit = "a method is exactly the margin below the best possible one"
    for must_merge in (True, False):
        case = _table(rng, must_merge, 0)
        right = 5 if must_merge else 6  # the row that is right becomes one on the margin's end
        best, row = (case["rows"][i] for i in (1, right))
        row["quality"], row["memory"] = best["quality"] - case["margin"], best["memory"]
        cases.append({**case, "about": on_limit})
    outside = _table(rng, True, 0)
    # Better than all, and cannot be merged: the margin must not be counted from it.
    outside["rows"].append(
        {
            "quality": outside["rows"][1]["quality"] + 0.75 * outside["margin"],
            "memory": outside["rows"][1]["memory"],
            "trainable": outside["rows"][1]["trainable"],
            "mergeable": False,
        }
    )
    cases.append({**outside, "about": "the best that fits cannot be merged, and has to be"})
    mixed = _table(rng, False, 0)
    mixed["rows"][6]["trainable"] = 2 * mixed["rows"][5]["trainable"]
    about = "merging is not asked for, and the smallest that is good enough can be merged"
    cases.append({**mixed, "about": about})
    alone = _table(rng, True, 0)
    alone["rows"][6]["trainable"] = 2 * alone["rows"][4]["trainable"]
    alone["rows"] = [alone["rows"][i] for i in (0, 4, 6, 7)]
    cases.append({**alone, "about": "one method is possible"})
    for case in cases:
        rows = case["rows"]
        order, letters = (different(rng, len(rows), 0, len(rows) - 1) for _ in range(2))
        case["rows"] = [
            {"name": f"method {'ABCDEFGHIJKLM'[letter]}", **rows[place]}
            for letter, place in zip(letters, order, strict=True)
        ]
    return cases


def _table(rng: Generator, must_merge: bool, shift: float) -> Case:
    """Twelve methods and limits; the comment says who would take which."""
    memory, margin = integer(rng, 20, 60) / 2, integer(rng, 2, 3) * 20 / 1024
    top, size = integer(rng, 45, 57) / 64 + shift, uniform(rng, 1e5, 1e6)
    rows = [
        # (quality, memory, trainable, mergeable)
        (top + 0.6 * margin, 1.4 * memory, 40 * size, True),  # the best, and too large
        (top, 0.9 * memory, 20 * size, True),  # the best that fits
        (top - 0.3 * margin, 0.6 * memory, 10 * size, True),  # within a margin of both
        (top - 0.65 * margin, 0.3 * memory, 15 * size, True),  # needs least memory of these
        (top - 0.6 * margin, 0.7 * memory, 7 * size, True),  # right if others did not fit
        (top - 0.7 * margin, memory, 4 * size, True),  # right if it has to merge
        (top - 0.8 * margin, memory, 2 * size, False),  # right if it need not
        (top - 0.35 * margin, 1.2 * memory, size, True),  # small, and does not fit
        (top - 3 * margin, 0.5 * memory, 0.5 * size, True),  # the smallest
        (top - 0.5 * margin, 0.8 * memory, 30 * size, True),  # trains most of those that are close
        (top - 1.5 * margin, 0.5 * memory, 0.7 * size, True),  # right for a margin twice as large
        (top - 5 * margin, 0.5 * memory, 3 * size, True),  # the worst
    ]
    return {
        "rows": [
            dict(zip(("quality", "memory", "trainable", "mergeable"), row, strict=True))
            for row in rows
        ],
        "memory": memory,
        "must_merge": must_merge,
        "margin": margin,
    }
