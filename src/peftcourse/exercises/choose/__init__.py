"""The exercises of lesson 10, choosing a method."""

from __future__ import annotations

from peftcourse.exercises.choose import (
    across,
    cases,
    evidence,
    limits,
    probes,
    search,
    share,
    symptoms,
    tradeoff,
)
from peftcourse.exercises.choose.report import REPORT
from peftcourse.exercises.core import Exercise

TITLE = "10 Choosing a method"

PARTS = (
    Exercise(
        id="choose.rate",
        title="a rate without a leak",
        objective="choose a learning rate without touching what will be reported.",
        points=2,
        difficulty=2,
        minutes=8,
        section="A rate for each method",
        hints=(
            "Which of these numbers may a choice use, if the others are to be reported later?",
            "Keep the runs of the tuning seed whose validation score is no NaN; take the best.",
            "best in (min(rates), max(rates)), over the rates of all runs, diverged or not.",
        ),
        meaning="the seeds and the test data that you report have had no part in the choice.",
        cases=cases.rate,
        probe=probes.rate,
        solution=search.rate,
        mutants=search.RATE,
        symptoms=search.SYMPTOMS,
    ),
    Exercise(
        id="choose.interval",
        title="an interval from a few seeds",
        objective="say how well a mean over a few seeds is known.",
        points=2,
        difficulty=2,
        minutes=8,
        section="How sure is a mean of five seeds?",
        hints=(
            "Two things widen an interval: how much the seeds scatter, and how few there are.",
            "The standard error is scores.std() / math.sqrt(n).",
            "mean ± t[n - 1] * scores.std() / math.sqrt(n), as two Python numbers.",
        ),
        meaning="if you did this again and again, 95 % of such intervals would hold the true mean.",
        cases=cases.interval,
        probe=probes.interval,
        solution=evidence.interval,
        mutants=evidence.INTERVAL,
        symptoms=symptoms.INTERVAL,
        symbols={"scores.shape[0]": "n"},
    ),
    Exercise(
        id="choose.paired",
        title="two methods on the same seeds",
        objective="compare two methods without the noise that they share.",
        points=3,
        difficulty=3,
        minutes=12,
        section="Pairs",
        hints=(
            "A hard seed is hard for both methods. What remains if you subtract seed by seed?",
            "[first[seed] - second[seed] for seed in first if seed in second]; then it is one "
            "sample.",
            "The mean of the differences, and t[n - 1] times their stdev over the root of n.",
        ),
        meaning="what both methods owe to the seed has dropped out of the comparison.",
        cases=cases.paired,
        probe=probes.paired,
        solution=evidence.paired,
        mutants=evidence.PAIRED,
        symptoms=symptoms.PAIRED,
    ),
    Exercise(
        id="choose.gain",
        title="percent of full fine-tuning",
        objective="say which share of full fine-tuning's gain a method reaches.",
        points=2,
        difficulty=1,
        minutes=5,
        section="Percent of full fine-tuning",
        hints=(
            "What would your formula say of a model that was not trained at all?",
            "Both scores start from the base model's score, not from zero.",
            "100 * (mean of scores - base) / (mean of full - base).",
        ),
        meaning="0 % is the model that you started from, and 100 % is full fine-tuning.",
        cases=cases.gain,
        probe=probes.gain,
        solution=share.gain,
        mutants=share.GAIN,
        symptoms=share.SYMPTOMS,
        symbols={"scores.shape[0]": "n"},
    ),
    Exercise(
        id="choose.ranks",
        title="average ranks",
        objective="compare methods over tasks whose metrics have different scales.",
        points=3,
        difficulty=3,
        minutes=12,
        section="Ranks over tasks",
        hints=(
            "A rank is 1 plus the number of methods that did better. What of those that did as "
            "well?",
            "If k methods tie behind `better` others, their ranks are better + 1 to better + k.",
            "scores[None] > scores[:, None] compares all pairs; sum over dim 1, then add "
            "(equal + 1) / 2.",
        ),
        meaning="every task has the same say, and the ranks of a task always have the same sum.",
        cases=cases.ranks,
        probe=probes.ranks,
        solution=across.ranks,
        mutants=across.RANKS,
        symptoms=symptoms.RANKS,
        symbols={"scores.shape[0]": "M", "scores.shape[1]": "the number of tasks"},
        keeps_dtype=False,
    ),
    Exercise(
        id="choose.holm",
        title="many comparisons at once",
        objective="keep the chance of one false discovery among many comparisons at its level.",
        points=3,
        difficulty=3,
        minutes=12,
        section="Many comparisons",
        hints=(
            "The smallest of m p-values has to pass the strictest test. Once it has, m − 1 remain.",
            "Sort; multiply by m, m − 1, …, 1; no value may be below the one before it, or above "
            "1.",
            "p[order] * torch.arange(m, 0, -1), cummax(0).values, clamp(max=1), and back into "
            "result[order].",
        ),
        meaning="with 20 useless methods, one would look useful by chance about two times in "
        "three; Holm makes that one in twenty at most.",
        cases=cases.holm,
        probe=probes.holm,
        solution=across.holm,
        mutants=across.HOLM,
        symptoms=symptoms.HOLM,
        symbols={"p.shape[0]": "m"},
        keeps_dtype=False,
    ),
    Exercise(
        id="choose.pareto",
        title="the Pareto front",
        objective="find the methods that no other beats in everything at once.",
        points=4,
        difficulty=4,
        minutes=15,
        section="Quality and cost",
        hints=(
            "When may you throw a method away? When another is at least as good in everything "
            "and better in something.",
            "costs[None] <= costs[:, None] compares all pairs, (n, n, k); .all(-1) asks for every "
            "cost.",
            "~(no_dearer & no_worse & (cheaper_in_one | better)).any(1)",
        ),
        meaning="whatever you care for, as long as it is in these columns, the best choice is on "
        "the front.",
        cases=cases.pareto,
        probe=probes.pareto,
        solution=tradeoff.pareto,
        mutants=tradeoff.PARETO,
        symptoms=limits.PARETO,
    ),
    Exercise(
        id="choose.decide",
        title="a method for your limits",
        objective="turn limits and measurements into a choice.",
        points=3,
        difficulty=3,
        minutes=10,
        section="Choose",
        hints=(
            "First what is possible, then what is good, then what is small.",
            "Count the margin from the best method that is possible, not from the best there is.",
            "min(those within the margin, key=lambda row: row['trainable'])['name']",
        ),
        meaning="you took the smallest method that cannot be told apart from the best possible "
        "one.",
        cases=cases.decide,
        probe=probes.decide,
        solution=tradeoff.decide,
        mutants=tradeoff.DECIDE,
        symptoms=limits.DECIDE,
    ),
    REPORT,
)
