"""Lesson 10, the search for a rate: reference solution and typical wrong answers."""

from __future__ import annotations

import math
from statistics import fmean

from peftcourse.exercises.core import Mutant, slip

Runs = list[dict[str, float]]


def rate(runs: Runs, tuning_seed: int) -> tuple[float, bool]:
    tuning = [run for run in runs if run["seed"] == tuning_seed]
    finished = [run for run in tuning if not math.isnan(run["validation"])]
    best = max(finished, key=lambda run: run["validation"])["rate"]
    rates = [run["rate"] for run in runs]
    return best, best in (min(rates), max(rates))


def _rate_by_mean(runs, tuning_seed):
    finished = [run for run in runs if not math.isnan(run["validation"])]
    scores = {run["rate"]: [] for run in finished}
    for run in finished:
        scores[run["rate"]].append(run["validation"])
    best = max(scores, key=lambda rate: fmean(scores[rate]))
    rates = [run["rate"] for run in runs]
    return best, best in (min(rates), max(rates))


_LEAK = "Keep the runs with run['seed'] == tuning_seed first"
_ALL_RATES = "Compare the best rate with the lowest and the highest of all rates that were tried"
_DROP = "Drop the runs whose score is NaN before you compare: math.isnan"

RATE = (
    slip(
        rate,
        "all-seeds",
        'if run["seed"] == tuning_seed',
        "",
        "the best run of all seeds decides: the seeds that will be reported have chosen the rate",
        _LEAK,
    ),
    slip(
        rate,
        "by-test",
        'max(finished, key=lambda run: run["validation"])',
        'max(finished, key=lambda run: run["test"])',
        "the rate is chosen by the test score, which is then no longer a test",
        "Compare run['validation'] and leave run['test'] alone",
    ),
    slip(
        rate,
        "lowest",
        "max(finished",
        "min(finished",
        "the rate with the lowest score is chosen, as if the score were a loss",
        "Take the largest validation score: this one is an accuracy",
    ),
    slip(
        rate,
        "diverged",
        ' if not math.isnan(run["validation"])',
        "",
        "a run that diverged wins: every comparison with NaN is False, so max() keeps a NaN that "
        "comes first",
        _DROP,
    ),
    slip(
        rate,
        "edge-of-finished",
        "for run in runs]\n    return",
        "for run in finished]\n    return",
        "the edge is that of the runs that finished; a higher rate was tried, and diverged, or "
        "another seed has tried it",
        _ALL_RATES,
    ),
    slip(
        rate,
        "edge-of-tuning",
        "for run in runs]\n    return",
        "for run in tuning]\n    return",
        "the edge is that of the tuning seed's rates, and other seeds have tried more",
        _ALL_RATES,
    ),
    slip(
        rate,
        "edge-by-place",
        "(min(rates), max(rates))",
        "(rates[0], rates[-1])",
        "the edge is taken from the first and the last run, but the runs are in no order",
        "Take the lowest and the highest rate: min(rates), max(rates)",
    ),
    slip(
        rate,
        "highest-only",
        "(min(rates), max(rates))",
        "(max(rates),)",
        "only the highest rate counts as an end; the lowest is one as well",
        "Ask for both ends: best in (min(rates), max(rates))",
    ),
    slip(
        rate,
        "lowest-only",
        "(min(rates), max(rates))",
        "(min(rates),)",
        "only the lowest rate counts as an end; the highest is one as well",
        "Ask for both ends: best in (min(rates), max(rates))",
    ),
    slip(
        rate,
        "inside",
        "best in (min(rates), max(rates))",
        "best not in (min(rates), max(rates))",
        "the second value is the other way round: True inside, False at the lowest and the highest",
        "Return True where the best rate is the lowest or the highest",
    ),
    slip(
        rate,
        "by-both",
        'max(finished, key=lambda run: run["validation"])',
        'max(finished, key=lambda run: run["validation"] + run["test"])',
        "the test score takes part in the choice, and is then no longer a test",
        "Compare run['validation'] alone",
    ),
    slip(
        rate,
        "other-seeds",
        'run["seed"] == tuning_seed',
        'run["seed"] != tuning_seed',
        "the other seeds choose, and the tuning seed is left out: those are to be reported",
        _LEAK,
    ),
    slip(
        rate,
        "nan-as-zero",
        'if not math.isnan(run["validation"])]\n    best = max(finished, '
        'key=lambda run: run["validation"])',
        ']\n    best = max(finished, key=lambda run: 0 if math.isnan(run["validation"]) '
        'else run["validation"])',
        "a run that diverged counts as a score of 0, which beats every negative score",
        _DROP,
    ),
    slip(
        rate,
        "score-returned",
        "return best,",
        'return max(run["validation"] for run in finished),',
        "the score is returned first, and its rate is asked for",
        "Take run['rate'] of the best run",
    ),
    Mutant(
        "by-mean-over-seeds",
        _rate_by_mean,
        "the mean over all seeds decides: the seeds that will be reported have chosen the rate",
        _LEAK,
    ),
)
