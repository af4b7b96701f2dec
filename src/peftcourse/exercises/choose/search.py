"""Lesson 10, the search for a rate: solution, typical wrong answers, symptoms."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome

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
        "an average over all seeds decides: the seeds that will be reported have chosen the rate",
        _LEAK,
    ),
)

# --- what wrong parts show ------------------------------------------------------------------------

When = Callable[[Case, Outcome, Outcome], bool]


def _best_by(key: str, of: Callable[[Case, dict], bool]) -> When:
    """The rate that was returned is the best by this score of some runs, and not the right one."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        runs = [run for run in case["runs"] if run[key] is not None and of(case, run)]
        return bool(runs) and max(runs, key=lambda run: run[key])["rate"] == observed["rate"]

    return when


def _of_tuning_seed(case: Case, run: dict) -> bool:
    return run["seed"] == case["tuning_seed"]


def _no_rate(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return observed["rate"] not in [run["rate"] for run in case["runs"]]


def _a_score(case: Case, expected: Outcome, observed: Outcome) -> bool:
    scores = [run[key] for run in case["runs"] for key in ("validation", "test")]
    return observed["rate"] in scores


def _diverged(case: Case, expected: Outcome, observed: Outcome) -> bool:
    runs = [run for run in case["runs"] if _of_tuning_seed(case, run)]
    scores = [run["validation"] for run in runs if run["rate"] == observed["rate"]]
    return None in scores


def _extreme(pick: Callable) -> When:
    return lambda case, expected, observed: (
        observed["rate"] == pick(run["rate"] for run in case["runs"])
    )


def _edge(said: int) -> When:
    return lambda case, expected, observed: (
        observed["rate"] == expected["rate"] and observed["optimum at the edge"] == said
    )


SYMPTOMS = (
    Symptom(
        "runs left in their places",
        "the caller's list is changed: sorted, or shortened, in place",
        "Make a new list: sorted(…) instead of .sort()",
        decides=True,
    ),
    Symptom(
        "rate",
        "a score is returned first, and its rate is asked for",
        "Take run['rate'] of the best run",
        _a_score,
    ),
    Symptom(
        "rate",
        "what is returned first is none of the rates",
        "Return run['rate'] of the best run",
        _no_rate,
    ),
    Symptom(
        "rate",
        "the rate that is returned diverged: with NaN, every comparison is False",
        "Drop the runs whose score is NaN before you compare: math.isnan",
        _diverged,
    ),
    Symptom(
        "rate",
        "the rate that is returned is the best by the test score, which a choice must not use",
        "Compare run['validation'] and leave run['test'] alone",
        _best_by("test", _of_tuning_seed),
    ),
    Symptom(
        "rate",
        "the rate that is returned is the best of all seeds; only the tuning seed may choose",
        "Keep the runs with run['seed'] == tuning_seed first",
        _best_by("validation", lambda case, run: True),
    ),
    Symptom(
        "rate",
        "always the highest of all rates is returned, whatever its score",
        "Take the rate of the best score, not the best of the rates",
        _extreme(max),
    ),
    Symptom(
        "rate",
        "always the lowest of all rates is returned, whatever its score",
        "Take the rate of the best score, not the best of the rates",
        _extreme(min),
    ),
    Symptom(
        "rate",
        "the rate that is returned is not the one with the tuning seed's best validation score",
        "Of the tuning seed's runs that did not diverge, take the one with the largest validation "
        "score",
        lambda case, expected, observed: not _no_rate(case, expected, observed),
    ),
    Symptom(
        "optimum at the edge",
        "the rate is right, and said to be at the edge although lower and higher ones were tried",
        "Compare it with min(rates) and max(rates), over all runs",
        _edge(1),
    ),
    Symptom(
        "optimum at the edge",
        "the rate is right, but the lowest or the highest that was tried, and not said to be",
        "Compare it with min(rates) and max(rates), over all runs",
        _edge(0),
    ),
    Symptom(
        "optimum at the edge",
        "the rate is right; whether it is the lowest or the highest of all rates is not",
        "Return best in (min(rates), max(rates)), over all runs",
        lambda case, expected, observed: observed["rate"] == expected["rate"],
    ),
)
