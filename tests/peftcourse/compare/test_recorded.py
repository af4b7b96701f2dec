"""What was recorded holds what the project promises of it."""

import math
from collections import Counter
from pathlib import Path

import pytest

from peftcourse.compare import rates, tables
from peftcourse.compare.found_rates import FOUND
from peftcourse.compare.plan import quick_rate


@pytest.fixture(scope="module")
def quick():
    return tables.load("compare_quick")


def test_the_quick_suite_compares_ten_methods_with_three_seeds(quick):
    assert len(quick.methods) >= 10
    counts = Counter((row["method"], row["seed"]) for row in quick.rows)
    assert counts == {(m, seed): 1 for m in (tables.BASE, *quick.methods) for seed in range(3)}
    assert not [row for row in [*quick.rows, *quick.costs] if row.get("failed")]
    for line in quick.summary(*quick.pairs[0], "loss"):
        assert line.value.count == 3 and line.value.low <= line.value.mean <= line.value.high


def test_the_quick_suite_was_run_with_the_recorded_rates(quick):
    for row in quick.rows:
        if row["method"] != tables.BASE:
            assert row["learning_rate"] == quick_rate("tiny", "voice", row["method"])


def test_the_task_of_the_quick_suite_tells_methods_apart(quick):
    lines = quick.summary(*quick.pairs[0], "loss")
    best, worst = lines[0].value, lines[-1].value
    assert best.high < worst.low


def test_every_method_has_its_costs(quick):
    assert [row["method"] for row in quick.costs] == quick.methods
    for row in quick.costs:
        assert row["step_seconds"] > 0 and math.isfinite(row["overhead_unmerged"])
        assert row["mergeable"] == (row["overhead_merged"] is not None)


@pytest.fixture(scope="module")
def full():
    return tables.load("compare_full")


def test_the_full_suite_is_whole(full):
    by_model = Counter(model for model, _ in full.pairs)
    assert by_model == {"tiny": 3, "smollm2": 2}
    assert len(full.methods) >= 14
    for model, task in full.pairs:
        for method in full.methods:
            assert [row["seed"] for row in full.runs(model, task, method)] == [0, 1, 2, 3, 4]
            assert len(full.by_seed(model, task, method)) == 5, (model, task, method)
    assert not [row for row in full.costs if row.get("failed")]


def test_every_rate_was_searched_for_and_lies_inside(full):
    outcomes = {(c["model"], c["task"], c["method"]): c for c in full.chosen}
    for model, task in full.pairs:
        for method in full.methods:
            tried = full.tried(model, task, method)
            rates = [rate for rate, _ in tried]
            assert len(rates) >= 5 and math.log10(rates[-1] / rates[0]) > 1.99
            losses = {rate: math.inf if loss is None else loss for rate, loss in tried}
            outcome = outcomes[model, task, method]
            assert outcome["learning_rate"] == min(losses, key=losses.get)
            assert outcome["interior"], (model, task, method)
            reported = {row["learning_rate"] for row in full.runs(model, task, method)}
            assert reported == {outcome["learning_rate"]}
    assert {row["seed"] for row in full.search} == {full.settings["tuning_seed"]}
    assert full.settings["tuning_seed"] not in full.settings["report_seeds"]


def test_the_rates_that_the_package_carries_are_those_of_the_record(full, tmp_path):
    for row in full.chosen:
        assert FOUND[row["model"]][row["task"]][row["method"]] == row["learning_rate"]
    assert sum(len(found) for tasks in FOUND.values() for found in tasks.values()) == len(
        full.chosen
    )
    rates.write(full, tmp_path / "found_rates.py")
    made = Path(rates.__file__).with_name("found_rates.py").read_text(encoding="utf-8")
    assert (tmp_path / "found_rates.py").read_text(encoding="utf-8") == made
