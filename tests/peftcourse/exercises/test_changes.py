"""A change that turns right results into an answer's is found, and none is found where none is."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.exercises.changes import changes
from peftcourse.exercises.compare import compare
from peftcourse.exercises.explanation import Explanation
from peftcourse.exercises.factors import quantities
from peftcourse.exercises.parts import by_parts
from peftcourse.exercises.places import special_places

SIZES = ((2, 5, 7), (3, 11, 4), (4, 6, 9))


def made():
    """Three cases of different sizes and their right results, a matrix, a number and a count."""
    rng = torch.Generator().manual_seed(0)
    cases, right = [], []
    for rank, rows, columns in SIZES:
        x = torch.randn(rows, columns, generator=rng, dtype=torch.float64)
        bias = torch.randn(columns, generator=rng, dtype=torch.float64)
        cases.append({"x": x, "bias": bias, "rank": rank, "alpha": 13.0 + rank, "noise": 7 * rows})
        number = 2.5 + float(torch.rand((), generator=rng))
        right.append({"matrix": x.sin() + bias, "number": number, "count": 100 * rows + 17})
    return cases, right


def after(part, change):
    cases, right = made()
    return [{**r, part: change(r[part], case)} for r, case in zip(right, cases, strict=True)]


def found(part, change):
    cases, right = made()
    return changes(cases, right, after(part, change), {"x.shape[0]": "rows"})


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("matrix", lambda m, c: m.T, "transposed"),
        ("matrix", lambda m, c: m.flip(1), "reverse order along axis 1"),
        ("matrix", lambda m, c: m.roll(1, 0), "one place too far on along axis 0"),
        ("matrix", lambda m, c: m[1:], "first entry along axis 0 is missing"),
        ("matrix", lambda m, c: m[:, :-1], "last entry along axis 1 is missing"),
        ("matrix", lambda m, c: m.mean(0), "mean over axis 0"),
        ("matrix", lambda m, c: m.flatten(), "another shape"),
        ("matrix", lambda m, c: m[:, None], "another shape"),
        ("matrix", lambda m, c: m.flatten()[torch.randperm(m.numel())], "another order"),
        ("matrix", lambda m, c: m - c["bias"], "`bias` is missing"),
        ("matrix", lambda m, c: m + c["bias"], "`bias` is added once too often"),
        ("matrix", lambda m, c: m * c["x"], "multiplied by once too often"),
        ("matrix", lambda m, c: -m, "sign is wrong"),
        ("matrix", lambda m, c: m * c["rank"], "too large by exactly the factor `rank`"),
        ("matrix", lambda m, c: m / c["rank"], "too small by exactly the factor `rank`"),
        ("matrix", lambda m, c: m * c["rank"] ** 0.5, "the root of `rank`"),
        ("matrix", lambda m, c: m / c["x"].shape[0] ** 2, "the square of rows"),
        ("matrix", lambda m, c: m * c["alpha"] / c["rank"], "`alpha`"),
        ("number", lambda n, c: n * 1024, "1,024"),
        ("number", lambda n, c: n * 2**30 / 1e9, "GiB or GB"),
        ("number", lambda n, c: n / math.log(2), "another base"),
        ("number", math.floor, "rounded down"),
        ("number", lambda n, c: math.sqrt(n), "root of the right value"),
        ("number", lambda n, c: n * n, "square of the right value"),
        ("number", lambda n, c: 1 / n, "upside down"),
        ("number", lambda n, c: 1 - n, "one minus"),
        ("number", lambda n, c: round(n, 3), "rounded to 3 decimals"),
        ("count", lambda n, c: n + 1, "1 too many"),
        ("count", lambda n, c: n - 2, "2 too few"),
        ("count", lambda n, c: n + c["rank"], "too large by exactly `rank`"),
        ("count", lambda n, c: n - c["rank"] * c["x"].shape[0], "rows × `rank`"),
    ],
)
def test_a_change_is_found(part, change, words):
    if change is math.floor:
        change = lambda n, c: math.floor(n)  # noqa: E731
    [explanation, *more] = found(part, change)
    assert words in explanation.cause
    assert not more and explanation.action


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("matrix", lambda m, c: m),
        ("matrix", lambda m, c: m.cos()),
        ("matrix", lambda m, c: m * 1.3),
        ("number", lambda n, c: n * 1.37),
        ("count", lambda n, c: n + c["rank"] * 3 + 5),
        ("matrix", lambda m, c: "str"),
        ("number", lambda n, c: math.nan),
    ],
)
def test_none_is_found_where_there_is_none(part, change):
    assert found(part, change) == []


def test_zero_is_not_called_a_rounded_value():
    cases, _ = made()
    small = [{"result": 0.1 * (i + 1)} for i in range(3)]
    assert changes(cases, small, [{"result": 0.0}] * 3) == []
    assert changes(cases, small, [{"result": 1e-17}] * 3) == []


def test_a_change_in_one_case_only_explains_nothing():
    cases, right = made()
    seen = [dict(outcome) for outcome in right]
    seen[0]["matrix"] = right[0]["matrix"].T
    assert changes(cases, right, seen) == []


def test_two_parts_that_are_swapped():
    cases, right = made()
    seen = [{**r, "number": r["count"], "count": r["number"]} for r in right]
    [explanation] = changes(cases, right, seen)
    assert "swapped" in explanation.cause


def test_two_parts_changed_in_the_same_way():
    cases, right = made()
    seen = [
        {**r, "number": r["number"] * c["rank"], "matrix": r["matrix"] * c["rank"]}
        for r, c in zip(right, cases, strict=True)
    ]
    [explanation] = changes(cases, right, seen)
    assert "`rank`" in explanation.cause
    seen = [{**s, "matrix": r["matrix"].T} for s, r in zip(seen, right, strict=True)]
    assert changes(cases, right, seen) == []


def test_the_noise_is_no_quantity_and_equal_numbers_have_one_name():
    cases, _ = made()
    named = quantities(cases, {"x.shape[0]": "rows"})
    assert next(iter(named)) == "rows" and "`noise`" not in named
    assert len(set(named.values())) == len(named)
    assert named["`x.shape[1]`"] == (7, 4, 9)
    assert "`bias.shape[0]`" not in named  # the same numbers as x.shape[1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_random_numbers_are_not_explained(noise):
    """Results that have nothing to do with the right ones get no cause."""
    cases, right = made()
    seen = [
        {**r, "number": r["number"] * math.exp(n) + 0.0123}
        for r, n in zip(right, noise, strict=True)
    ]
    assert len(changes(cases, right, seen)) == 0 or len({round(n, 3) for n in noise}) < 3


ODD = (
    None,
    "NoneType",
    0,
    -3,
    10**400,
    math.nan,
    math.inf,
    1e308,
    torch.tensor(math.nan),
    torch.zeros(0),
    torch.ones(2, 3, dtype=torch.complex64),
    torch.ones(5, 7, dtype=torch.complex128),
    torch.ones(5, 7, dtype=torch.bool),
    torch.ones(5, 7, dtype=torch.uint8),
    torch.full((5, 7), math.inf),
    torch.ones(5, 7, dtype=torch.bfloat16),
    torch.ones(1, 5, 7),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(range(len(ODD))), min_size=9, max_size=9))
def test_whatever_an_answer_returns_is_compared_and_never_raises(chosen):
    cases, right = made()
    seen = [
        {name: ODD[chosen[3 * i + j]] for j, name in enumerate(outcome)}
        for i, outcome in enumerate(right)
    ]
    verdicts = [compare(r, s) for r, s in zip(right, seen, strict=True)]
    assert not any(verdict.correct for verdict in verdicts)
    assert all(verdict.observed and verdict.guess for verdict in verdicts)
    changes(cases, right, seen)
    special_places(cases, [verdict.mask for verdict in verdicts])


def test_an_axis_that_was_expanded_and_is_missing_is_no_mean():
    cases, right = made()
    right = [{"matrix": outcome["matrix"][:, :1].expand(-1, 3)} for outcome in right]
    seen = [{"matrix": outcome["matrix"][:, 0]} for outcome in right]
    (explanation,) = changes(cases, right, seen)
    assert explanation.cause.startswith("axis 1 is missing")


def test_nothing_is_made_of_zeros_or_of_yes_and_no():
    cases, right = made()
    assert changes(cases, right, [{**outcome, "number": 0.0} for outcome in right]) == []
    flags = [{"flag": 1}, {"flag": 1}, {"flag": 1}]
    assert changes(cases, flags, [{"flag": 0}] * 3) == []


def test_two_mistakes_in_different_parts_are_both_found():
    cases, right = made()
    mistake = [{**outcome, "matrix": outcome["matrix"].exp().sin()} for outcome in right]
    known = [(Explanation("sine", "a sine too many", "leave it out"), mistake)]
    seen = [
        {**their, "number": their["number"] * case["rank"]}
        for case, their in zip(cases, mistake, strict=True)
    ]
    ((one, other),) = by_parts(cases, right, known, seen, {})
    assert one.id == "sine" and "`rank`" in other.cause
    assert by_parts(cases, right, known, mistake, {}) == []


def test_a_gradient_needs_no_cause_where_its_output_is_wrong():
    cases, right = made()
    before = [{**r, "gradient of x": torch.ones(3)} for r in right]
    wrong = [
        {**b, "matrix": b["matrix"] - case["bias"], "gradient of x": torch.zeros(3)}
        for b, case in zip(before, cases, strict=True)
    ]
    (explanation,) = changes(cases, before, wrong)
    assert explanation.id == "without-bias"
