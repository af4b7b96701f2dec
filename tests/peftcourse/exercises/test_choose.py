"""The reference solutions of lesson 10 do what the library does, or what a definition says."""

from statistics import stdev

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peftcourse.compare.tables import Comparison
from peftcourse.exercises import find
from peftcourse.exercises.choose import (
    across,
    choice,
    corrections,
    evidence,
    pairs,
    search,
    share,
    tradeoff,
)
from peftcourse.exercises.choose.probes import T
from peftcourse.exercises.feedback import assess
from peftcourse.experiments import statistics as library

few = st.lists(st.integers(0, 4).map(float), min_size=2, max_size=7)
p_values = st.lists(st.floats(0.0005, 1), min_size=1, max_size=8)


def test_the_table_of_t_is_the_librarys():
    assert {freedom: round(library.t_quantile(freedom), 3) for freedom in T} == T


@pytest.mark.parametrize("scores", [[0.5, 0.7, 0.65], [0.1, 0.2, 0.15, 0.4, 0.3]])
def test_an_interval_is_the_librarys(scores):
    found = library.t_interval(scores)
    low, high = evidence.interval(torch.tensor(scores, dtype=torch.float64), T)
    assert (low, high) == pytest.approx((found.low, found.high), rel=1e-3)


def test_a_paired_difference_is_the_librarys():
    scores = {"a": {3: 0.5, 1: 0.7, 2: 0.66, 9: 0.1}, "b": {1: 0.6, 2: 0.61, 3: 0.48, 7: 0.9}}
    rows = [
        {"model": "m", "task": "t", "method": method, "seed": seed, "score": score}
        for method, by_seed in scores.items()
        for seed, score in by_seed.items()
    ]
    found = Comparison({}, rows, [], [], []).difference("m", "t", "a", "b")
    mean, half = pairs.paired(scores["a"], scores["b"], T)
    assert (mean, half) == pytest.approx((found.mean, found.half_width), rel=1e-3)


def test_percent_of_full_starts_at_the_base_and_ends_at_full():
    full = torch.tensor([0.8, 0.9])
    assert share.gain(torch.tensor([0.3, 0.3]), full, 0.3) == pytest.approx(0, abs=1e-4)
    assert share.gain(full.flip(0), full, 0.3) == pytest.approx(100)


@given(few)
def test_ranks_are_the_librarys_and_keep_their_sum(scores):
    ours = across.ranks(torch.tensor(scores)[:, None]).tolist()
    theirs = library.ranks(dict(enumerate(scores)), higher_is_better=True)
    assert ours == [theirs[place] for place in range(len(scores))]
    assert sum(ours) == len(scores) * (len(scores) + 1) / 2


@given(few, st.randoms())
def test_a_front_of_one_cost_is_the_librarys(costs, rng):
    quality = [rng.choice((0.0, 1.0, 2.0)) for _ in costs]
    ours = tradeoff.pareto(torch.tensor(costs)[:, None], torch.tensor(quality))
    named = dict(enumerate(zip(costs, quality, strict=True)))
    assert {i for i, kept in enumerate(ours.tolist()) if kept} == set(library.pareto(named))


@given(p_values)
def test_holm_rejects_what_the_step_down_procedure_rejects(values):
    adjusted = corrections.holm(torch.tensor(values, dtype=torch.float64)).tolist()
    rejected = set()
    for place, number in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        if values[number] * (len(values) - place) > 0.05:
            break
        rejected.add(number)
    assert {number for number, value in enumerate(adjusted) if value <= 0.05} == rejected
    assert all(a >= v for a, v in zip(adjusted, values, strict=True)) and max(adjusted) <= 1


def test_the_rate_is_chosen_by_one_seeds_validation():
    runs = [
        {"rate": rate, "seed": seed, "validation": validation, "test": 1 - validation}
        for seed, scores in {7: (0.5, 0.9, 0.7), 8: (0.99, 0.1, 0.1)}.items()
        for rate, validation in zip((1e-3, 3e-3, 1e-2), scores, strict=True)
    ]
    assert search.rate(runs, 7) == (3e-3, False)
    assert search.rate(runs, 8) == (1e-3, True)


def test_a_choice_keeps_to_its_limits():
    rows = [
        {"name": "big", "quality": 0.9, "memory": 30, "trainable": 100, "mergeable": True},
        {"name": "small", "quality": 0.89, "memory": 10, "trainable": 5, "mergeable": True},
        {"name": "tiny", "quality": 0.885, "memory": 10, "trainable": 1, "mergeable": False},
    ]
    assert choice.decide(rows, 40, True, 0.001) == "big"
    assert choice.decide(rows, 40, True, 0.05) == "small"
    assert choice.decide(rows, 40, False, 0.05) == "tiny"
    assert choice.decide(rows, 20, True, 0.001) == "small"


# --- what a check has to notice -------------------------------------------------------------------


def cause(exercise, answer, seed=0):
    """The likely cause that a check names; the answer must be wrong."""
    report = assess(find(f"choose.{exercise}"), answer, seed)
    assert not report.correct
    return report.cause


def test_the_edge_is_that_of_all_runs_and_the_runs_are_in_no_order():
    def by(ends):
        def answer(runs, tuning_seed):
            mine = [run for run in runs if run["seed"] == tuning_seed]
            best, _ = search.rate(runs, tuning_seed)
            return best, best in ends(runs, mine)

        return answer

    def rates(runs):
        return [run["rate"] for run in runs]

    own = by(lambda runs, mine: (min(rates(mine)), max(rates(mine))))
    assert "other seeds have tried more" in cause("rate", own)
    placed = by(lambda runs, mine: (runs[0]["rate"], runs[-1]["rate"]))
    assert "in no order" in cause("rate", placed)


def test_numbers_are_asked_for_and_not_tensors():
    def answer(scores, full, base):
        return 100 * (scores.mean() - base) / (full.mean() - base)

    assert ".item()" in assess(find("choose.gain"), answer, 0).action


def test_a_limit_is_met_exactly_and_a_margin_is_no_share():
    def choose(rows, memory, must_merge, margin):
        possible = [
            row for row in rows if row["memory"] <= memory and (row["mergeable"] or not must_merge)
        ]
        best = max(row["quality"] for row in possible)
        close = [row for row in possible if row["quality"] > best - margin]
        return min(close, key=lambda row: row["trainable"])["name"]

    assert "exactly the margin below" in cause("decide", choose)


def test_an_answer_that_nobody_foresaw_is_told_what_it_does():
    def loudest(rows, memory, must_merge, margin):
        return max(rows, key=lambda row: row["memory"])["name"]

    assert "does not fit the memory" in cause("decide", loudest)

    def spread(first, second, t):
        seeds = [seed for seed in first if seed in second]
        mean, half = pairs.paired(first, second, t)
        return mean, half + stdev(first[seed] for seed in seeds)

    assert "harder for both methods alike" in cause("paired", spread)


def test_single_precision_and_numpy_are_right():
    def gain(scores, full, base):
        return np.float32(100) * (
            (scores.float().mean().numpy() - np.float32(base))
            / (full.float().mean().numpy() - np.float32(base))
        )

    assert assess(find("choose.gain"), gain, 0).correct
    assert assess(find("choose.holm"), lambda p: corrections.holm(p.float()), 0).correct
