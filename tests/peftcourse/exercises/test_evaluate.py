"""The reference solutions of lesson 11 agree with the library, and with what others compute."""

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.exercises import EXERCISES
from peftcourse.exercises.evaluate import (
    calibration,
    clinic,
    errors,
    forgetting,
    losses,
    probes,
    reliability,
    scaling,
    scoring,
    stopping,
)
from peftcourse.exercises.feedback import assess
from peftcourse.exercises.slips import edited
from peftcourse.experiments import calibration as library
from peftcourse.experiments import clinic as library_clinic
from peftcourse.experiments import evaluate, temperature

SIZES = st.integers(2, 40)


def predictions(seed, count, classes):
    rng = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=rng, dtype=torch.float64)
    return logits, torch.multinomial((logits / 2).softmax(1), 1, generator=rng)[:, 0]


def test_the_token_loss_is_the_librarys():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 7, 11, generator=rng)
    labels = torch.randint(0, 11, (3, 7), generator=rng)
    labels[:, :2] = labels[1, 5:] = -100
    assert torch.allclose(losses.tokens(logits, labels), evaluate.next_token_loss(logits, labels))


@given(st.integers(0, 99), SIZES, st.integers(2, 9), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_calibration_is_the_librarys(seed, count, classes, bins):
    logits, labels = predictions(seed, count, classes)
    probabilities = logits.softmax(1)
    made = library.calibration(library.Outcomes.of(probabilities, labels), bins)
    assert calibration.ece(probabilities, labels, bins) == pytest.approx(made.ece, abs=1e-6)
    assert scoring.brier(probabilities, labels) == pytest.approx(made.brier, abs=1e-6)
    confidence, predicted = probabilities.float().max(dim=1)
    counts, sure, right = reliability.bins(confidence.double(), predicted == labels, bins)
    assert counts.tolist() == made.bins.count
    assert sure.tolist() == pytest.approx([c or 0 for c in made.bins.confidence], abs=1e-6)
    assert right.tolist() == pytest.approx([a or 0 for a in made.bins.accuracy], abs=1e-6)


@given(st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_best_of_many_temperatures_is_the_librarys(seed):
    logits, labels = predictions(seed, 60, 4)
    fitted = temperature.fit(logits, labels)
    candidates = [fitted * factor for factor in (0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0)]
    best, probabilities = scaling.temperature(logits, labels, logits, candidates)
    assert best == fitted
    assert torch.allclose(probabilities, temperature.scaled(logits, fitted))
    assert torch.equal(probabilities.argmax(1), logits.argmax(1))


@given(st.lists(st.floats(0, 9), min_size=1, max_size=30), st.integers(1, 5), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_early_stopping_keeps_a_loss_that_nothing_up_to_the_stop_beats(curve, patience, delta):
    kept, stopped = stopping.stop(curve, patience, delta)
    assert 0 <= kept <= stopped < len(curve)
    assert all(loss >= curve[kept] - delta for loss in curve[kept : stopped + 1])
    assert stopped == len(curve) - 1 or stopped - kept == patience


def test_errors_of_a_case_worked_by_hand():
    mean, examples, over_seeds = errors.error(torch.tensor([[0.0, 1.0], [1.0, 2.0]]).double())
    assert mean == 1.0
    assert examples == pytest.approx(math.sqrt(0.5) / math.sqrt(2))
    assert over_seeds == pytest.approx(math.sqrt(0.5) / math.sqrt(2))


def test_learned_and_forgotten_by_hand():
    target = torch.tensor([[5.0, 2.0, 3.0], [5.0, 4.0, 1.0]])
    story = torch.tensor([[1.0, 1.5, 3.0], [1.0, 1.25, 2.0]])
    learned, forgotten = forgetting.tradeoff(target, story)
    assert learned.tolist() == [3.0, 4.0] and forgotten.tolist() == [0.5, 1.0]


def runs_of(case):
    groups = [*case["runs"].values(), case["two"], case["border"]]
    return [
        {key: math.nan if value is None else value for key, value in run.items()}
        for runs in groups
        for run in runs
    ]


def test_the_diagnosis_is_the_librarys():
    assert probes.CAUSES == library_clinic.CAUSES
    for case in EXERCISES["evaluate.diagnose"].make_cases(5):
        for run in runs_of(case):
            assert clinic.diagnose(run) == library_clinic.diagnose(run)


def test_the_clinic_sees_what_equals_a_border():
    """`>=` for `>` in each row with a margin, but no fault of rounding."""
    for old in (
        '> 0.02 * run["start"]',
        '> run["last_validation"] + 0.1',
        '> run["first"] + 0.5',
        '> run["best_validation"] + 0.1',
    ):
        answer = edited(clinic.diagnose, [(old, old.replace(">", ">="))])
        for seed in range(3):
            assert "leaves equal out" in assess(EXERCISES["evaluate.diagnose"], answer, seed).cause
    for old, new in (
        (
            'abs(run["first"] - run["start"]) > 0.02 * run["start"]',
            'abs(run["first"] / run["start"] - 1) > 0.02',
        ),
        (
            'run["shipped"] > run["last_validation"] + 0.1',
            'run["shipped"] - run["last_validation"] > 0.1',
        ),
    ):
        answer = edited(clinic.diagnose, [(old, new)])
        assert assess(EXERCISES["evaluate.diagnose"], answer, 0).correct


def test_the_clinic_names_the_rows_that_are_asked_in_the_wrong_order():
    def answer(run):
        if run["update"] == 0:
            return "frozen by mistake"
        return clinic.diagnose(run)

    report = assess(EXERCISES["evaluate.diagnose"], answer, 1)
    assert "“frozen by mistake” is asked before “wrong dtype”" in report.cause


def said(exercise, answer, seed=0):
    return assess(EXERCISES[f"evaluate.{exercise}"], answer, seed)


@pytest.mark.parametrize(
    ("exercise", "solution", "old", "new", "words"),
    [
        ("tokens", losses.tokens, "counted.sum()", "(labels != -100).sum()", "before the shift"),
        ("stop", stopping.stop, "loss <", "loss <=", "leaves equal out"),
        ("stop", stopping.stop, "[kept] - min_delta", "[kept] * (1 - min_delta)", "relative"),
        (
            "tradeoff",
            forgetting.tradeoff,
            "target.argmin(dim=1)",
            "target[:, 1:].argmin(dim=1) + 1",
            "evaluation 0",
        ),
        ("bins", reliability.bins, "(index, minlength=bins)\n", "(index)\n", "sizes|shape"),
        ("ece", calibration.ece, ".ceil().long() - 1", ".long().clamp(max=bins - 1)", "upper one"),
        ("ece", calibration.ece, "gaps.abs())", "gaps.abs())[1:]", "lowest bin"),
        (
            "brier",
            scoring.brier,
            "F.one_hot(labels, probabilities.shape[1])",
            "F.one_hot(labels)",
            "size",
        ),
        (
            "temperature",
            scaling.temperature,
            "for T in candidates]",
            "for T in candidates[:-1]]",
            "last",
        ),
    ],
)
def test_what_passed_before_fails_now(exercise, solution, old, new, words):
    """Labels that count from the first on, borders, empty bins, classes without an example."""
    for seed in range(3):
        report = said(exercise, edited(solution, [(old, new)]), seed)
        assert not report.correct
        assert re.search(words, report.cause)


def test_a_result_in_single_precision_is_right_where_the_text_names_no_dtype():
    def bins(*given):
        return tuple(result.float() for result in reliability.bins(*given))

    def tradeoff(*given):
        return tuple(result.float() for result in forgetting.tradeoff(*given))

    assert said("bins", bins).correct and said("tradeoff", tradeoff).correct


def test_a_token_loss_without_a_gradient_is_called_detached():
    report = said("tokens", lambda logits, labels: losses.tokens(logits.detach(), labels))
    assert "no gradient reaches the logits" in report.cause


def test_taking_entries_out_of_what_is_given_is_seen():
    def popped(run):
        return clinic.diagnose({**run, "counted": run.pop("counted")})

    def used_up(given, patience, min_delta):
        losses, given[:] = list(given), []
        return stopping.stop(losses, patience, min_delta)

    assert "has changed" in said("diagnose", popped).observed
    assert "has changed" in said("stop", used_up).observed
