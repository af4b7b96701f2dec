"""Read a recorded comparison: means with intervals, differences, ranks, Pareto fronts.

>>> comparison = load()  # results/compare_full.json
>>> for line in comparison.summary("tiny", "voice"):
...     print(line.label, line.value.mean)
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from peftcourse.experiments import results
from peftcourse.experiments.statistics import (
    Interval,
    critical_difference,
    pareto,
    ranks,
    t_interval,
)
from peftlab.errors import PeftlabError

BASE = "base"  # the model as it is, without any training
# Measures of which more is better; of all others, such as losses and errors, less is.
HIGHER_IS_BETTER = frozenset({"score", "balanced_accuracy", "valid", "calibration.accuracy"})


@dataclass(frozen=True)
class Summary:
    """One method on one task, over the seeds.

    Attributes:
        method, label: its name in the table of methods, and in words.
        value: mean and interval of the measure.
        by_seed: the measure of each seed.
        learning_rate: the rate that the search chose; None for the base model.
        trainable: how many parameters train.
        failed: how many seeds gave no result.
    """

    method: str
    label: str
    value: Interval
    by_seed: dict[int, float]
    learning_rate: float | None
    trainable: int
    failed: int


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of methods over blocks, each one model, task and seed.

    Attributes:
        mean: method → mean rank, the best first.
        critical_difference: mean ranks closer than this cannot be told apart (Nemenyi).
        blocks: how many times the methods were ranked.
    """

    mean: dict[str, float]
    critical_difference: float
    blocks: int


@dataclass(frozen=True)
class Comparison:
    """What ``peftlab compare`` recorded.

    Attributes:
        settings: how the models were trained and measured, and the table of methods.
        rows: one per model, task, method and seed, measured on the test split; ``"base"`` among
            the methods is the model without training.
        search: one per rate tried, measured on the validation split.
        chosen: one per model, task and method: the rate with the lowest validation loss, and
            whether it lies inside the rates that were tried.
        costs: one per model and method, measured alone on one device.
        about: the rest of the file: what, command, date, commit, hardware, versions, seeds.
    """

    settings: dict[str, Any]
    rows: list[dict[str, Any]]
    search: list[dict[str, Any]]
    chosen: list[dict[str, Any]]
    costs: list[dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """(model, task), in the order of the settings."""
        return [(pair["model"], pair["task"]) for pair in self.settings["pairs"]]

    @property
    def methods(self) -> list[str]:
        """Names of the methods compared, the base model aside, in the order of the table."""
        return list(self.settings["methods"])

    def label(self, method: str) -> str:
        """What a table or plot calls a method."""
        known = self.settings["methods"]
        return known[method]["label"] if method in known else method

    def runs(self, model: str, task: str, method: str) -> list[dict[str, Any]]:
        """The rows of one method on one task, failed ones included, by seed."""
        wanted = (model, task, method)
        found = [r for r in self.rows if (r["model"], r["task"], r["method"]) == wanted]
        return sorted(found, key=lambda row: row["seed"])

    def by_seed(
        self, model: str, task: str, method: str, measure: str = "score"
    ) -> dict[int, float]:
        """seed → measure, for the seeds that gave a result.

        Args:
            measure: a key of the rows, such as ``"score"``, ``"loss"``, ``"forgetting"``, or a
                path such as ``"calibration.ece"``.

        Raises:
            PeftlabError: the rows of this task have no such measure.
        """
        return {
            row["seed"]: _pick(row, measure)
            for row in self.runs(model, task, method)
            if not row.get("failed")
        }

    def interval(self, model: str, task: str, method: str, measure: str = "score") -> Interval:
        """Mean of a measure over the seeds, with its 95 % interval."""
        return t_interval(list(self.by_seed(model, task, method, measure).values()))

    def summary(
        self, model: str, task: str, measure: str = "score", methods: Sequence[str] | None = None
    ) -> list[Summary]:
        """All methods on one task, the best first; those without a result are left out.

        Args:
            measure: as for ``by_seed``.
            methods: which; by default the base model and all methods.
        """
        lines = []
        for method in methods or [BASE, *self.methods]:
            runs = self.runs(model, task, method)
            values = self.by_seed(model, task, method, measure)
            if not values:
                continue
            good = next(row for row in runs if not row.get("failed"))
            lines.append(
                Summary(
                    method,
                    self.label(method),
                    t_interval(list(values.values())),
                    values,
                    good["learning_rate"],
                    good["trainable"],
                    len(runs) - len(values),
                )
            )
        sign = -1 if measure in HIGHER_IS_BETTER else 1
        return sorted(lines, key=lambda line: sign * line.value.mean)

    def difference(
        self, model: str, task: str, first: str, second: str, measure: str = "score"
    ) -> Interval:
        """first - second, seed by seed: both saw the same data in the same order.

        Raises:
            PeftlabError: the two have no seed in common.
        """
        a = self.by_seed(model, task, first, measure)
        b = self.by_seed(model, task, second, measure)
        return t_interval([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])

    def ranking(
        self,
        measure: str = "score",
        pairs: Iterable[tuple[str, str]] | None = None,
        methods: Sequence[str] | None = None,
    ) -> Ranking:
        """Mean rank of each method over all (model, task, seed), with the critical difference.

        Seeds of one task resemble each other more than tasks do: what differs here differs on
        these tasks, and another task may rank otherwise. A method that failed on a seed takes the
        last rank there.

        Args:
            measure: as for ``by_seed``.
            pairs: (model, task); all by default.
            methods: which methods; all by default.
        """
        methods = list(methods or self.methods)
        worst = -float("inf") if measure in HIGHER_IS_BETTER else float("inf")
        blocks = []
        for model, task in pairs or self.pairs:
            values = {name: self.by_seed(model, task, name, measure) for name in methods}
            for seed in sorted(set().union(*values.values())):
                block = {name: values[name].get(seed, worst) for name in methods}
                blocks.append(ranks(block, higher_is_better=measure in HIGHER_IS_BETTER))
        mean = {name: statistics.fmean(block[name] for block in blocks) for name in methods}
        ordered = dict(sorted(mean.items(), key=lambda item: item[1]))
        return Ranking(ordered, critical_difference(len(methods), len(blocks)), len(blocks))

    def cost(self, model: str, method: str) -> dict[str, Any]:
        """The row of costs of one method: time, memory, inference overhead.

        Raises:
            PeftlabError: it was not measured.
        """
        for row in self.costs:
            if (row["model"], row["method"]) == (model, method):
                return row
        raise PeftlabError(
            f"the costs of {method} on {model} were not measured; those of "
            f"{', '.join(sorted({row['method'] for row in self.costs})) or 'no method'} were."
        )

    def pareto(
        self, model: str, task: str, cost: str = "trainable", measure: str = "score"
    ) -> list[str]:
        """The methods that no other beats in a cost and in the mean of a measure at once.

        Args:
            cost: ``"trainable"``, ``"file_bytes"``, or a key of the costs: ``"peak_bytes"``,
                ``"step_seconds"``.
            measure: as for ``by_seed``.
        """
        sign = 1 if measure in HIGHER_IS_BETTER else -1
        points = {}
        for line in self.summary(model, task, measure, self.methods):
            row = next(r for r in self.runs(model, task, line.method) if not r.get("failed"))
            price = row[cost] if cost in row else self.cost(model, line.method).get(cost)
            if price is not None:
                points[line.method] = (price, sign * line.value.mean)
        return pareto(points)

    def tried(self, model: str, task: str, method: str) -> list[tuple[float, float | None]]:
        """The search of one method: (rate, validation loss), None for a run that diverged."""
        wanted = (model, task, method)
        return sorted(
            (row["learning_rate"], row.get("loss"))
            for row in self.search
            if (row["model"], row["task"], row["method"]) == wanted
        )


def load(source: str | Path = "compare_full") -> Comparison:
    """Read a comparison.

    Args:
        source: the name of a result of the repository (``"compare_full"``, ``"compare_quick"``),
            or a file that ``peftlab compare --json`` wrote.

    Raises:
        PeftlabError: there is no such file, or it holds something else.
    """
    path = Path(source)
    record = results.read(path) if path.suffix == ".json" else results.recorded(str(source))
    numbers = record.pop("numbers", {})
    try:
        return Comparison(
            **{key: numbers[key] for key in ("settings", "rows", "search", "chosen", "costs")},
            about=record,
        )
    except (KeyError, TypeError):
        raise PeftlabError(
            f"{source} is not a comparison; peftlab compare --json writes one."
        ) from None


def _pick(row: dict[str, Any], measure: str) -> float:
    """A number in a row, by its path."""
    value: Any = row
    for key in measure.split("."):
        if not isinstance(value, dict) or key not in value:
            have = ", ".join(sorted(k for k, v in row.items() if isinstance(v, int | float)))
            raise PeftlabError(f"the rows of {row['task']} have no {measure!r}; they have {have}.")
        value = value[key]
    return value
