import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.compare.methods import METHODS
from peftcourse.compare.search import FIRST_RATES, MOST_RATES, best, grid, outcomes, rate_at


def search(middle, loss):
    """Try what the grid asks for until it asks for nothing new."""
    tried = {}
    for _ in range(MOST_RATES + 1):
        rates = grid(middle, tried)
        new = set(rates) - tried.keys()
        if not new:
            return tried
        tried |= {rate: loss(rate) for rate in new}
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_starts_with_five_rates_over_two_decades(name):
    rates = grid(METHODS[name].rate, {})
    assert len(rates) == FIRST_RATES
    assert math.log10(rates[-1] / rates[0]) == pytest.approx(2, abs=0.01)
    assert METHODS[name].rate in rates


@settings(deadline=None)
@given(st.floats(-5, 1), st.floats(-2, 2), st.floats(0.3, 3))
def test_the_search_goes_on_until_the_best_is_inside(middle, offset, divergence):
    """A loss with one optimum near the middle, and divergence somewhere above it."""
    optimum = middle + offset

    def loss(rate):
        place = math.log10(rate)
        return math.inf if place > optimum + divergence else (place - optimum) ** 2

    tried = search(10**middle, loss)
    rates = sorted(tried)
    assert FIRST_RATES <= len(rates) <= MOST_RATES
    steps = [math.log10(b / a) for a, b in pairwise(rates)]
    assert steps == pytest.approx([0.5] * len(steps), abs=0.01)
    if abs(offset) < 1.7:
        assert rates[0] < best(tried) < rates[-1]


def test_the_grid_grows_on_the_side_of_the_optimum_only():
    tried = search(1e-3, lambda rate: abs(math.log10(rate) + 1.5))
    assert sorted(tried) == [rate_at(1e-3, step) for step in range(-2, 5)]


def test_a_search_without_an_optimum_is_bounded():
    assert len(search(1e-3, lambda rate: -rate)) == MOST_RATES
    assert len(search(1e-3, lambda rate: math.inf)) == MOST_RATES


def test_divergence_counts_as_infinite_and_is_recorded_as_no_loss():
    rows = [
        {
            "purpose": "search",
            "model": "m",
            "task": "t",
            "method": "full",
            "learning_rate": rate,
            "loss": loss,
        }
        for rate, loss in zip(grid(1e-3, {}), [3.0, 2.0, 1.0, None, None], strict=True)
    ]
    (outcome,) = outcomes({"full": 1e-3}, rows)
    assert outcome["learning_rate"] == 1e-3
    assert outcome["interior"] and outcome["loss"] == 1.0
    assert outcomes({"full": 1e-3}, rows[:4]) == []  # not finished
