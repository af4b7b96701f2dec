"""The clinic: broken runs are broken as they say, and the recorded ones are told apart."""

from __future__ import annotations

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


@pytest.mark.parametrize("cause", ["healthy", "frozen by mistake", "wrong dtype", "merged twice"])
def test_a_short_run_shows_what_was_done_to_it(cause):
    chart = clinic.examine(cause, steps=2, every=2)
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
