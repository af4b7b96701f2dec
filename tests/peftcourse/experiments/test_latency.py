"""Taking turns: every run is timed once a round, and ratios are taken within a round."""

import pytest

from peftcourse.experiments import latency
from peftlab import PeftlabError


def test_each_run_has_a_turn_in_each_round_and_warms_up_first():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "abc"}
    times = latency.interleaved(runs, 4, warmup=2)
    assert {name: len(found) for name, found in times.items()} == {"a": 4, "b": 4, "c": 4}
    rounds = ["".join(order[i : i + 3]) for i in range(0, 18, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds)
    assert len({turn[0] for turn in rounds}) == 3
    assert all(time >= 0 for found in times.values() for time in found)


def test_a_ratio_is_the_median_of_those_within_a_round():
    found = latency.ratio([2.0, 40.0, 3.0, 300.0, 2.5], [1.0, 20.0, 1.0, 1.0, 1.0])
    assert (found.low, found.median, found.high) == (2.0, 2.5, 3.0)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(PeftlabError, match="same rounds"):
        latency.ratio([1.0, 2.0], [1.0])
    with pytest.raises(PeftlabError, match="nothing to time"):
        latency.interleaved({}, 3)
