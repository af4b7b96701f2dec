import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.experiments.statistics import (
    critical_difference,
    pareto,
    ranks,
    t_interval,
    t_quantile,
)
from peftlab.errors import PeftlabError

NUMBERS = st.floats(-100, 100, allow_nan=False)


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262)]
)
def test_t_quantiles_are_those_of_student(freedom, expected):
    assert t_quantile(freedom) == pytest.approx(expected, abs=5e-4)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.05, 0.99))
def test_t_quantiles_have_their_closed_forms(level):
    assert t_quantile(1, level) == pytest.approx(math.tan(math.pi / 2 * level), rel=1e-6)
    assert t_quantile(2, level) == pytest.approx(level * math.sqrt(2 / (1 - level**2)), rel=1e-6)


def test_many_degrees_of_freedom_are_normal():
    assert t_quantile(5000) == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=1e-3)


def test_interval_of_five_seeds():
    interval = t_interval([0.90, 0.92, 0.91, 0.93, 0.94])
    assert interval.mean == pytest.approx(0.92)
    # s = 0.0158114, s / √5 = 0.0070711, t(4) = 2.776445
    assert interval.half_width == pytest.approx(2.776445 * 0.00707107, rel=1e-5)
    assert interval.low == pytest.approx(interval.mean - interval.half_width)


def test_one_value_has_no_width_and_none_has_no_interval():
    assert t_interval([3.0]).half_width == 0
    with pytest.raises(PeftlabError, match="at least one value"):
        t_interval([])


@settings(deadline=None, max_examples=50)
@given(st.lists(NUMBERS, min_size=2, max_size=6), NUMBERS, st.floats(0.1, 10))
def test_interval_moves_and_stretches_with_the_values(values, shift, factor):
    plain = t_interval(values)
    moved = t_interval([factor * value + shift for value in values])
    assert moved.low == pytest.approx(factor * plain.low + shift, abs=1e-6)
    assert moved.high == pytest.approx(factor * plain.high + shift, abs=1e-6)


@pytest.mark.parametrize(
    ("methods", "quantile"),
    # Demšar 2006, table 5 (a): q at 0.05 for Nemenyi's test.
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (10, 3.164)],
)
def test_critical_difference_is_demsars(methods, quantile):
    expected = quantile * math.sqrt(methods * (methods + 1) / (6 * 12))
    assert critical_difference(methods, 12) == pytest.approx(expected, rel=1e-3)


def test_critical_difference_needs_two_methods():
    with pytest.raises(PeftlabError, match="2 or more"):
        critical_difference(1, 5)


def test_ranks_share_ties():
    assert ranks({"a": 3.0, "b": 1.0, "c": 3.0}, higher_is_better=True) == {
        "a": 1.5,
        "c": 1.5,
        "b": 3.0,
    }
    assert ranks({"a": 3.0, "b": 1.0}, higher_is_better=False) == {"b": 1.0, "a": 2.0}


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.integers(0, 4), min_size=1, max_size=8))
def test_ranks_add_up(values):
    count = len(values)
    assert sum(ranks(values, higher_is_better=True).values()) == pytest.approx(
        count * (count + 1) / 2
    )


POINTS = st.dictionaries(
    st.text(max_size=2), st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8
)


@settings(deadline=None)
@given(POINTS)
def test_the_pareto_front_is_what_nothing_beats(points):
    def beats(a, b):
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    front = pareto(points)
    assert [points[name][0] for name in front] == sorted(points[name][0] for name in front)
    for name, point in points.items():
        beaten = any(beats(other, point) for other in points.values())
        assert (name in front) != beaten
