"""The estimate against what a GPU measured, recomputed from results/memory_cuda.json."""

import statistics

import pytest

from benchmarks.memory import remaining
from benchmarks.memory_cases import CASES
from peftcourse.experiments import results
from peftlab.memory import Settings, estimate

RECORD = results.recorded("memory_cuda")
MEASURED = RECORD["numbers"]["cases"]


def error(case):
    """How far the estimate is from the measurement, as a share of it."""
    made = estimate(case["model"], Settings(**case["settings"]))
    return abs(made.peak_bytes / case["peak_bytes"] - 1)


@pytest.mark.parametrize("case", MEASURED, ids=lambda case: case["name"])
def test_no_estimate_is_more_than_8_percent_off(case):
    assert error(case) <= 0.08


@pytest.mark.parametrize("held_out", [False, True])
def test_the_median_error_is_at_most_3_percent(held_out):
    errors = [error(case) for case in MEASURED if case["held_out"] == held_out]
    assert len(errors) >= 25
    assert statistics.median(errors) <= 0.03


def test_the_record_is_of_every_case_and_covers_what_it_should():
    assert {case["name"] for case in MEASURED} == {case["name"] for case in CASES}
    assert not list(remaining(CASES, MEASURED))
    sizes = [estimate(case["model"], Settings(method="full")).parameters for case in MEASURED]
    assert min(sizes) < 140e6 and max(sizes) > 13e9
    settings = [case["settings"] for case in MEASURED]
    assert {made["batch_size"] for made in settings} >= {1, 2, 4, 8}
    assert {made["seq_len"] for made in settings} >= {256, 512, 1024, 2048}
    assert {made["gradient_checkpointing"] for made in settings} == {True, False}
    assert {made["implementation"] for made in settings} == {"peft", "peftlab"}
    assert "H" in RECORD["hardware"] and RECORD["versions"]["peft"]


def test_the_moments_add_up():
    for case in MEASURED:
        peaks = [moment["peak"] for moment in case["moments"][1:]]
        assert max(peaks) == case["peak_bytes"]
        assert all(moment["allocated"] <= moment["peak"] for moment in case["moments"])
