"""The learning rates that the recorded comparison found, and what they say of a new run.

The package does not carry the record, so ``found_rates`` keeps the rates; a test compares the two.
To write them after a new run: ``python -m peftcourse.compare.rates``.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from peftcourse.compare.found_rates import FOUND
from peftcourse.compare.tables import Comparison, load
from peftcourse.experiments.smollm2 import HUB_ID
from peftlab.memory.architecture import Architecture, read

SAME = {HUB_ID: "smollm2"}  # other names of the models in the record


@dataclass(frozen=True)
class Rate:
    """A learning rate to start from.

    Attributes:
        value: the rate.
        by_task: the rate that was best on each task of the record that it comes from.
    """

    value: float
    by_task: dict[str, float]

    def __str__(self) -> str:
        places: dict[float, list[str]] = {}
        for task, rate in self.by_task.items():
            places.setdefault(rate, []).append(task)
        found = ", ".join(f"{rate:g} on {' and '.join(tasks)}" for rate, tasks in places.items())
        return found if len(places) == 1 else f"{found}; between them lies {self.value:g}"


def recorded(model: str, method: str, task: str | None = None) -> Rate | None:
    """The rate for a model of the record: the task's own, or what lies between those of all tasks.

    Args:
        model: as ``models.load`` takes it.
        method: a key of ``methods.METHODS``.
        task: a task of the record; any other counts as a new one.

    Returns:
        None if the model or the method is not in the record.
    """
    tasks = FOUND.get(SAME.get(model, model), {})
    rates = {name: found[method] for name, found in tasks.items() if method in found}
    if task in rates:
        return Rate(rates[task], {task: rates[task]})
    if not rates:
        return None
    # Rates differ by factors, so what lies between them is their geometric mean.
    middle = statistics.fmean(map(math.log10, rates.values()))
    return Rate(float(f"{10**middle:.2g}"), rates)


def model_of(architecture: Architecture) -> str | None:
    """The model of the record that has this architecture, whatever it is called; or None."""
    known = {"tiny": str(files("peftcourse") / "data" / "tiny"), "smollm2": "smollm2-135m"}
    for name, source in known.items():
        if replace(read(source), name="") == replace(architecture, name=""):
            return name
    return None


def write(comparison: Comparison, file: Path) -> None:
    """Write the chosen rates as the module ``found_rates``."""
    lines = ['"""Learning rates that results/compare_full.json chose; written by ``rates``."""', ""]
    lines += ["FOUND: dict[str, dict[str, dict[str, float]]] = {"]
    for model in dict.fromkeys(model for model, _ in comparison.pairs):
        lines.append(f'    "{model}": {{')
        for task in (task for where, task in comparison.pairs if where == model):
            lines.append(f'        "{task}": {{')
            lines += [
                f'            "{row["method"]}": {row["learning_rate"]!r},'
                for row in comparison.chosen
                if (row["model"], row["task"]) == (model, task)
            ]
            lines.append("        },")
        lines.append("    },")
    file.write_text("\n".join([*lines, "}", ""]), encoding="utf-8")


if __name__ == "__main__":
    write(load(), Path(__file__).with_name("found_rates.py"))
