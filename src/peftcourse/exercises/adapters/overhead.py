"""Lesson 07, what an adapter costs: reference solution and typical wrong answers."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def overhead(
    run_base: Callable[[], float], run_adapted: Callable[[], float], rounds: int, warmup: int
) -> float:
    for _ in range(warmup):
        run_base()
        run_adapted()
    pairs = []
    for _ in range(rounds):
        pairs.append((run_base(), run_adapted()))
    ratios = [adapted / base for base, adapted in pairs]
    return statistics.median(ratios) - 1


_WARM, _ROUNDS = "range(warmup)", "range(rounds)"
_BOTH_WARM = "        run_base()\n        run_adapted()\n"
_RATIOS = "[adapted / base for base, adapted in pairs]"
_MEDIAN = "statistics.median(ratios)"
_RESULT = "statistics.median(ratios) - 1"


def _overhead(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(overhead, id, old, new, diagnosis, action, *more)


def _instead_of_median(id: str, what: str, new: str):
    return _overhead(id, _MEDIAN, new, what, "Take statistics.median over the rounds' ratios")


# Those that are often made together come first: pairs are tried in this order.
OVERHEAD = (
    _overhead(
        "ratio-itself",
        _RESULT,
        _MEDIAN,
        "this is the ratio, without minus 1; the overhead is what it exceeds 1 by",
        "Subtract 1",
    ),
    _overhead(
        "no-warm-up",
        _WARM,
        "range(0)",
        "there are no warm-up rounds: the first runs, which are slow, are among those that count",
        "Run warmup rounds first and throw their times away",
    ),
    _instead_of_median(
        "mean", "the mean of the ratios: one interrupted run decides it", "statistics.mean(ratios)"
    ),
    _overhead(
        "warm-up-counted",
        _ROUNDS,
        "range(warmup + rounds)",
        "the warm-up rounds are among those that count",
        "Run warmup rounds first and throw their times away",
        (_WARM, "range(0)"),
    ),
    _overhead(
        "one-after-the-other",
        "for _ in range(rounds):\n        pairs.append((run_base(), run_adapted()))",
        "base = [run_base() for _ in range(rounds)]\n"
        "    pairs = list(zip(base, [run_adapted() for _ in range(rounds)]))",
        "all runs of the base, then all of the adapted model, and no turns: the machine changed in "
        "between",
        "Take turns: in each round one run of either, and their ratio",
    ),
    _overhead(
        "in-blocks-with-warm-up",
        "for _ in range(rounds):\n        pairs.append((run_base(), run_adapted()))",
        "base = [run_base() for _ in range(warmup + rounds)][warmup:]\n"
        "    pairs = list(zip(base, [run_adapted() for _ in range(warmup + rounds)][warmup:]))",
        "all runs of the base, its warm-up too, then all of the adapted model, and no turns: the "
        "machine changed in between",
        "Take turns: in each round one run of either, and their ratio",
        (_WARM, "range(0)"),
    ),
    _overhead(
        "ratio-of-totals",
        _RATIOS,
        "[sum(adapted for _, adapted in pairs) / sum(base for base, _ in pairs)]",
        "the ratio of the sums, not of each round: one interrupted run decides it",
        "Divide within each round, then take the median",
    ),
    _overhead(
        "ratio-of-medians",
        _RATIOS,
        "[statistics.median(a for _, a in pairs) / statistics.median(b for b, _ in pairs)]",
        "the ratio of the two medians: the ratio is to be taken within each round, where the "
        "machine is the same",
        "Divide within each round, then take the median",
    ),
    _overhead(
        "ratio-of-the-fastest",
        _RATIOS,
        "[min(a for _, a in pairs) / min(b for b, _ in pairs)]",
        "the ratio of the two fastest runs, which are of different rounds, and not the median",
        "Divide within each round, then take the median",
    ),
    _instead_of_median(
        "smallest",
        "the smallest ratio: that is the round in which the base was interrupted",
        "min(ratios)",
    ),
    _instead_of_median(
        "largest",
        "the largest ratio: that is the round in which the adapted model was interrupted",
        "max(ratios)",
    ),
    _instead_of_median(
        "upper-middle",
        "with an even number of rounds this is the upper of the two in the middle; the median is "
        "their mean",
        "statistics.median_high(ratios)",
    ),
    _instead_of_median(
        "lower-middle",
        "with an even number of rounds this is the lower of the two in the middle, as with "
        "torch.median; the median is their mean",
        "statistics.median_low(ratios)",
    ),
    _instead_of_median(
        "not-sorted",
        "the ratio of the round in the middle: for a median the ratios have to be sorted first",
        "ratios[len(ratios) // 2]",
    ),
    _instead_of_median("first-round", "the ratio of the first round alone", "ratios[0]"),
    _instead_of_median("last-round", "the ratio of the last round alone", "ratios[-1]"),
    _overhead(
        "relative-to-adapted",
        _RESULT,
        "1 - 1 / statistics.median(ratios)",
        "relative to the adapted model's time; overhead is relative to the base",
        "Divide the adapted model's time by the base's, then subtract 1",
    ),
    _overhead(
        "upside-down",
        "adapted / base",
        "base / adapted",
        "the ratio is upside down: base over adapted, as if the two were exchanged",
        "Divide the adapted model's time by the base's",
    ),
    _overhead(
        "seconds",
        "adapted / base",
        "adapted - base",
        "a difference of seconds, and a ratio is asked for",
        "Divide the adapted model's time by the base's, then subtract 1",
        (_RESULT, _MEDIAN),
    ),
    _overhead(
        "never-negative",
        _RESULT,
        "max(0.0, statistics.median(ratios) - 1)",
        "never below zero; an adapted model that is faster has a negative overhead",
        "Return the median minus 1 as it is",
    ),
    _overhead(
        "absolute",
        _RESULT,
        "abs(statistics.median(ratios) - 1)",
        "an absolute value; an adapted model that is faster has a negative overhead",
        "Return the median minus 1 as it is",
    ),
    _overhead(
        "base-alone-warms-up",
        _BOTH_WARM,
        "        run_base()\n",
        "only the base warms up: the first runs of the adapted model, which are slow, count",
        "In each warm-up round run both",
    ),
    _overhead(
        "adapted-alone-warms-up",
        _BOTH_WARM,
        "        run_adapted()\n",
        "only the adapted model warms up: the first runs of the base, which are slow, count",
        "In each warm-up round run both",
    ),
    _overhead(
        "one-warm-up-round",
        _WARM,
        "range(min(1, warmup))",
        "there is one warm-up round, and there should be as many as `warmup` says",
        "Run warmup rounds first and throw their times away",
    ),
    _overhead(
        "warm-up-within-the-rounds",
        _ROUNDS,
        "range(rounds - warmup)",
        "the warm-up rounds are taken from `rounds`: too few rounds count",
        "The warm-up comes before the rounds, and on top of them",
    ),
    _overhead(
        "one-warm-up-round-counted",
        _WARM,
        "range(warmup - 1)",
        "off by one: one warm-up round is among those that count",
        "Run warmup rounds first and throw their times away",
        (_ROUNDS, "range(rounds + min(1, warmup))"),
    ),
    _overhead(
        "one-round-too-few",
        _ROUNDS,
        "range(rounds - 1)",
        "off by one: one round too few counts",
        "range(rounds) has as many steps as there are rounds",
    ),
    _overhead(
        "one-round-too-many",
        _ROUNDS,
        "range(rounds + 1)",
        "off by one: one round too many counts",
        "range(rounds) has as many steps as there are rounds",
    ),
    _overhead(
        "one-base-run",
        "for _ in range(rounds):\n        pairs.append((run_base(), run_adapted()))",
        "base = run_base()\n"
        "    for _ in range(rounds):\n        pairs.append((base, run_adapted()))",
        "one run of the base is compared with all rounds; each round needs one of its own",
        "Run both in each round, and divide within it",
    ),
    _overhead(
        "next-rounds-base",
        _RATIOS,
        "[pairs[i][1] / pairs[(i + 1) % len(pairs)][0] for i in range(len(pairs))]",
        "each run of the adapted model is divided by the base's of the next round",
        "Divide within each round: both runs are of the same round",
    ),
    _overhead(
        "last-rounds-base",
        _RATIOS,
        "[pairs[i][1] / pairs[i - 1][0] for i in range(len(pairs))]",
        "each run of the adapted model is divided by the base's of the round before",
        "Divide within each round: both runs are of the same round",
    ),
)


def _ran_as_it_should(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return all(agree(expected[name], observed[name]) for name in expected if "run" in name)


def _another_result(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return not agree(observed["result"], observed["result of measuring the same again"])


def _fewer(name: str) -> Callable[[Case, Outcome, Outcome], bool]:
    return lambda case, expected, observed: observed[name] < expected[name]


OVERHEAD_SYMPTOMS = (
    Symptom(
        "result",
        "when the two runs return the same seconds once more, the result is another one: it is not "
        "made of the seconds that they return. A clock of your own, or something random?",
        "run_base() and run_adapted() return the seconds; use these",
        _another_result,
    ),
    Symptom(
        "rounds with one run of each",
        "the two do not take turns: there are not `rounds` rounds at the end with one run of "
        "either, so that the ratio is not within a round",
        "In each round call run_base() and run_adapted() once, and divide within it",
        decides=True,
    ),
    *(
        Symptom(
            f"runs of the {which}",
            f"the {which} runs too seldom: warm-up rounds or rounds that count are missing",
            "Both run in each of warmup + rounds rounds",
            _fewer(f"runs of the {which}"),
            decides=True,
        )
        for which in ("base", "adapted model")
    ),
    *(
        Symptom(
            f"runs of the {which}",
            f"the {which} runs too often: more than warmup + rounds times",
            "Call each once in a round, and keep what it returns in a variable",
            decides=True,
        )
        for which in ("base", "adapted model")
    ),
    Symptom(
        "result",
        "the two ran as they should, but what is made of their seconds is not the median over the "
        "rounds of the ratio within a round, minus 1",
        "statistics.median of adapted / base over the rounds that count, minus 1",
        _ran_as_it_should,
    ),
)
