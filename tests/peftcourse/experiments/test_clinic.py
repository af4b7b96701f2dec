"""The clinic: broken runs are broken as they say, and the recorded ones are told apart."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from peftcourse.experiments import clinic, results
from peftlab.errors import PeftlabError

ROOT = Path(__file__).resolve().parents[3]


def recorded():
    numbers = results.read(ROOT / "results" / "evaluate_clinic.json")["numbers"]
    return [clinic.Chart(**chart) for chart in numbers["charts"]]


def test_every_cause_was_recorded_and_is_diagnosed_from_its_numbers():
    charts = recorded()
    assert tuple(chart.cause for chart in charts) == clinic.CAUSES
    assert [clinic.diagnose(chart.measurements()) for chart in charts] == list(clinic.CAUSES)


HEALTHY = {
    "start": 6.0, "first": 6.0, "last": 0.5, "highest": 6.0, "best_validation": 0.5,
    "last_validation": 0.5, "counted": 100, "targets": 100, "adapted": 56, "wanted": 56,
    "update": 9.0, "shipped": 0.5,
}  # fmt: skip
STEP = 1e-6


def changed(**values):
    return clinic.diagnose(HEALTHY | values)


@pytest.fixture
def exact(monkeypatch):
    """Thresholds that floats hold exactly, so that a value can lie on one."""
    for name in ("SAME_START", "RISE", "LEARNED"):
        monkeypatch.setattr(clinic, name, 0.125)


@pytest.mark.parametrize(
    ("name", "on", "sick", "cause"),
    [
        ("first", 6.75, +STEP, "labels shifted"),
        ("first", 5.25, -STEP, "labels shifted"),
        ("counted", 100, +1, "padding in the loss"),
        ("counted", 100, -1, "padding in the loss"),
        ("adapted", 56, -1, "wrong targets"),
        ("shipped", 0.625, +STEP, "merged twice"),
        ("highest", 6.5, +STEP, "rate too high"),
        ("last_validation", 0.625, +STEP, "overfitting"),
        ("best_validation", 5.25, +STEP, clinic.TOO_SLOW),
    ],
)
def test_each_threshold_is_healthy_on_it_and_sick_beyond(exact, name, on, sick, cause):
    def run(value):
        moved = {name: value}
        if name == "last_validation":  # what is shipped is compared with it
            moved["shipped"] = value
        if name == "best_validation":  # the others of the same run
            moved |= dict.fromkeys(("last", "last_validation", "shipped"), value)
        if name == "first":
            moved["highest"] = value
        return changed(**moved)

    assert run(on) == clinic.HEALTHY
    assert run(on + sick) == cause
    if name != "counted":  # which is wrong on either side
        assert run(on - sick) == clinic.HEALTHY


def test_an_update_of_nothing_is_frozen_and_a_small_one_is_not():
    assert changed(update=0.0) == "frozen by mistake"
    assert changed(update=STEP) == clinic.HEALTHY


@pytest.mark.parametrize("held_out", [5.4 + STEP, 5.8, 6.0, 6.2])
def test_a_loss_that_falls_by_less_than_a_tenth_is_no_learning(held_out):
    flat = {"best_validation": held_out, "last_validation": held_out, "shipped": held_out}
    assert changed(**flat, last=held_out) == clinic.TOO_SLOW
    # The training examples were learned, and by heart.
    assert changed(**flat, last=0.5) == "overfitting"


def test_the_run_that_was_called_healthy():
    slow = {"best_validation": 6.0, "last_validation": 6.0, "shipped": 6.0, "last": 6.0}
    assert clinic.diagnose(HEALTHY | slow | {"start": 6.2, "first": 6.2, "highest": 6.2}) == (
        clinic.TOO_SLOW
    )


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("last", "wrong dtype"),
        ("last_validation", "wrong dtype"),
        ("update", "wrong dtype"),
        ("shipped", "merged twice"),
    ],
)
def test_a_number_that_is_none_is_not_healthy(name, cause):
    assert changed(**{name: math.nan}) == cause


def test_a_chart_of_nothing_but_overflow_has_measurements():
    chart = clinic.Chart("wrong dtype", 6.0, [None], [(0, None)])
    assert clinic.diagnose(chart.measurements()) == "wrong dtype"
    assert math.isnan(chart.measurements()["highest"])
    chart = clinic.Chart("wrong dtype", 6.0, [6.0, None], [(0, None), (1, 6.0)])
    assert chart.measurements()["best_validation"] == 6.0


def test_a_run_at_a_thousandth_of_the_rate_is_too_slow(monkeypatch):
    monkeypatch.setattr(clinic, "RATE", clinic.RATE / 1000)
    assert clinic.diagnose(clinic.examine("healthy", steps=2, every=2).measurements()) == (
        clinic.TOO_SLOW
    )


@pytest.mark.parametrize(
    ("cause", "steps"),
    [
        ("healthy", 5),  # enough for the loss to fall by a tenth
        ("frozen by mistake", 2),
        ("wrong dtype", 2),
        ("merged twice", 2),
    ],
)
def test_a_short_run_shows_what_was_done_to_it(cause, steps):
    chart = clinic.examine(cause, steps=steps, every=steps)
    numbers = chart.measurements()
    assert clinic.diagnose(numbers) == cause
    assert numbers["first"] == pytest.approx(numbers["start"], rel=1e-3)
    assert (numbers["update"] == 0) == (cause == "frozen by mistake")
    assert len(chart.validation) == 2


@pytest.mark.parametrize("cause", ["labels shifted", "padding in the loss"])
def test_labels_are_prepared_as_the_mistake_has_them(cause):
    right = [{"input_ids": [0, 5, 6, 7], "labels": [-100, -100, 6, 7]}]
    [example] = clinic._prepared(cause, right, 1)
    if cause == "labels shifted":
        assert example == {"input_ids": [0, 5, 6, 7], "labels": [-100, 6, 7, -100]}
    else:
        padding = [1] * (clinic.MAX_LENGTH - 4)
        assert example["labels"] == [-100, -100, 6, 7, *padding]
        assert clinic._counted([example]) == 2 + len(padding)
    assert clinic._counted(right) == 2


def test_an_unknown_cause_is_named():
    with pytest.raises(PeftlabError, match="no run is called 'flu'"):
        clinic.examine("flu")
