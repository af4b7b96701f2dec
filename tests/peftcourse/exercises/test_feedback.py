"""What a learner reads: four lines, whatever they wrote, and never an exception of ours."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from peftcourse.exercises import check, find
from peftcourse.exercises.core import Mutant, Symptom, compare
from peftcourse.exercises.feedback import assess

DELTA, INIT, FORWARD = find("lora.delta"), find("lora.init"), find("lora.forward")


def read(capsys) -> dict[str, str]:
    """The printed lines by label."""
    lines = capsys.readouterr().out.splitlines()
    return {line[:13].strip(): line[14:] for line in lines}


def delta(A, B, alpha):
    return alpha / A.shape[0] * B @ A


def test_four_lines_for_a_wrong_answer(capsys):
    assert check("lora.delta", lambda A, B, alpha: alpha * B @ A, seed=0) is None
    lines = read(capsys)
    assert list(lines) == ["status", "observed", "likely cause", "next"]
    assert lines["status"] == "wrong value · lora.delta · seed=0 repeats it"
    assert lines["observed"].startswith("shape (5, 12), float64; exactly 4.00× too large")
    assert lines["likely cause"] == "exactly 4.00× too large and r = 4: α instead of α/r?"
    assert lines["next"].startswith("Divide α by the rank") and DELTA.section in lines["next"]


def test_four_lines_for_a_right_answer_and_always_the_same(capsys):
    check("lora.delta", delta)
    first = read(capsys)
    assert list(first) == ["status", "observed", "it means", "next"]
    assert first["status"] == "correct · lora.delta"
    assert first["it means"] == DELTA.meaning
    check("lora.delta", delta)
    assert read(capsys) == first


def test_not_attempted(capsys):
    def stub(A, B, alpha):
        raise NotImplementedError("your code here")

    class Stub(nn.Module):
        def __init__(self, base, rank, alpha, dropout=0.0):
            super().__init__()
            raise NotImplementedError("your code here")

    shown = []
    for answer in (stub, ...):
        check("lora.delta", answer)
        shown.append(read(capsys))
    assert shown[0] == shown[1]
    assert list(shown[0]) == ["status", "observed", "likely cause", "next"]
    assert shown[0]["status"] == "not attempted · lora.delta"
    check("lora.forward", Stub)
    assert read(capsys)["status"] == "not attempted · lora.forward"


def test_an_exception_is_shown_with_the_line_it_came_from(capsys):
    def answer(A, B, alpha):
        rank = A.shape[0]
        return alpha / rank * A @ B

    check("lora.delta", answer, seed=0)
    lines = read(capsys)
    assert lines["status"].startswith("your code raised")
    assert lines["observed"].startswith("RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert "shapes 4x12 and 5x4" in lines["likely cause"]
    assert lines["likely cause"].endswith("of your code: return alpha / rank * A @ B)")
    assert "Traceback" not in str(lines)


@pytest.mark.parametrize(
    ("answer", "observed"),
    [
        (lambda A, B, alpha: 1 / 0, "ZeroDivisionError"),
        (lambda A, B, alpha: exit(), "SystemExit"),
        (lambda A: A, "TypeError"),
        (3, "TypeError: 'int' object is not callable"),
        (lambda A, B, alpha: (_ for _ in ()).throw(ValueError), "ValueError"),
    ],
)
def test_whatever_is_raised_is_reported(answer, observed):
    report = assess(DELTA, answer, 0)
    assert report.status == "your code raised"
    assert report.observed.startswith(observed)


def test_recursion_is_reported():
    def answer(A, B, alpha):
        return answer(A, B, alpha)

    assert assess(DELTA, answer, 0).observed.startswith("RecursionError")


@pytest.mark.parametrize(
    ("answer", "status", "observed", "cause"),
    [
        (lambda A, B, a: (a / len(A) * B @ A).T, "wrong shape", "(12, 5)", "transpose"),
        (lambda A, B, a: B, "wrong shape", "(5, 4)", "too short"),
        (lambda A, B, a: None, "wrong shape", "None instead of a tensor", "`return` is missing"),
        (lambda A, B, a: "no", "wrong shape", "str instead of a tensor", "text, not a tensor"),
        (lambda A, B, a: 1.0, "wrong shape", "instead of a tensor", "Python number"),
        (lambda A, B, a: delta(A, B, a).float(), "wrong value", "another dtype", "dtype"),
        (lambda A, B, a: delta(A, B, a) * math.nan, "wrong value", "60 of 60 values are NaN", ""),
        (lambda A, B, a: delta(A, B, a) / 0, "wrong value", "NaN or infinite", "division by zero"),
        (lambda A, B, a: 3 * delta(A, B, a), "wrong value", "exactly 3.00× too large", "factor"),
        (lambda A, B, a: -delta(A, B, a), "wrong value", "exactly -1 times", "sign"),
        (lambda A, B, a: 0 * delta(A, B, a), "wrong value", "zero everywhere", "zero"),
        (lambda A, B, a: delta(A, B, a).exp(), "wrong value", "60 of 60 values", "exponential"),
        (lambda A, B, a: delta(A, B, a).cosh(), "wrong value", "60 of 60 values", "operation"),
    ],
)
def test_mistakes_that_no_mutant_foresaw(answer, status, observed, cause):
    report = assess(DELTA, answer, 0)
    assert report.mutant is None
    assert report.status == status
    assert observed in report.observed
    assert cause in report.cause


def test_the_first_wrong_value_is_located():
    def answer(A, B, alpha):
        right = delta(A, B, alpha)
        right[1, 2] += 1
        return right

    report = assess(DELTA, answer, 0)
    assert report.explained is False
    assert "1 of 60 values differ, the first at [1, 2]" in report.observed


def test_rounding_is_no_error_and_more_is():
    """An honest answer may pass through single precision, whatever its inputs are."""
    assert assess(DELTA, lambda A, B, alpha: delta(A, B, alpha) * (1 + 1e-7), 0).correct
    report = assess(DELTA, lambda A, B, alpha: delta(A, B, alpha) * (1 + 1e-4), 0)
    assert report.status == "wrong value"


def test_inputs_changed_in_place_are_told():
    def answer(A, B, alpha):
        A *= alpha / A.shape[0]
        return B @ A

    report = assess(DELTA, answer, 0)
    assert report.status == "wrong value"
    assert report.observed.startswith("the input `A` has changed")
    assert "in place" in report.cause


def test_random_values_are_explained_by_the_kind_of_their_fault():
    """Normal instead of uniform, drawn in another order than the mutant does."""

    def answer(d_in, d_out, rank, generator):
        A = torch.randn(d_in, rank, generator=generator).T / math.sqrt(3 * d_in)
        return A, torch.zeros(d_out, rank)

    report = assess(INIT, answer, 0)
    assert report.mutant == "normal"
    assert "is normal" in report.cause


def test_another_way_to_draw_the_same_distribution_is_right():
    def answer(d_in, d_out, rank, generator):
        A = (2 * torch.rand(rank, d_in, generator=generator) - 1) / math.sqrt(d_in)
        return A, torch.zeros(d_out, rank)

    assert all(assess(INIT, answer, seed).correct for seed in range(5))


def test_wrong_parts_are_named():
    class Layer(FORWARD.solution):
        def __init__(self, base, rank, alpha, dropout=0.0):
            super().__init__(base, rank, alpha, dropout)
            self.A, self.B = nn.Parameter(self.A.T.clone()), nn.Parameter(self.B.T.clone())

        def forward(self, x):
            return self.base(x)

    report = assess(FORWARD, Layer, 0)
    assert report.status == "wrong shape"
    assert report.observed.startswith("A (its size): shape")


def test_an_unknown_exercise_is_answered_with_the_nearest(capsys):
    check("lora.dleta", delta)
    assert 'did you mean "lora.delta"?' in capsys.readouterr().out


def test_random_numbers_of_the_notebook_go_on_as_if_nothing_was_checked():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check("lora.forward", FORWARD.solution)
    check("lora.forward", FORWARD.mutants[0].answer)
    assert torch.equal(torch.rand(3), expected)


def test_it_works_inside_no_grad(capsys):
    with torch.no_grad():
        check("lora.train_step", find("lora.train_step").solution)
        assert not torch.is_grad_enabled()
    assert read(capsys)["status"].startswith("correct")


def test_a_seed_from_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("PEFTLAB_SEED", "17")
    check("lora.delta", lambda A, B, alpha: B @ A)
    assert "seed=17" in read(capsys)["status"]


def test_nbgrader_is_told_by_an_assertion_error(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    check("lora.delta", delta)
    for answer in (None, lambda A, B, alpha: B @ A):
        with pytest.raises(AssertionError, match=r"lora\.delta"):
            check("lora.delta", answer)
    with pytest.raises(AssertionError):
        check("lora.nothing", delta)


def test_numbers_are_compared_too():
    assert compare({"n": 4}, {"n": 4}).correct
    one = compare({"n": 4}, {"n": torch.tensor(4)})
    assert one.status == "wrong shape" and "`.item()` takes it out" in one.guess
    wrong = compare({"n": 400}, {"n": 800})
    assert wrong.observed == "n: 800, exactly 2.00× too large"
    assert compare({"n": 400}, {"n": 801}).observed == "n: 801"
    assert compare({"n": 400}, {}).status == "wrong shape"
    assert compare({"n": 4}, {"n": math.nan}).status == "wrong value"


def test_an_input_that_makes_no_difference_is_named():
    """Seen in two cases that differ in it alone."""
    cases = [{"n": n, "scale": s} for n, s in ((3, 2.0), (3, 5.0), (7, 2.0))]

    exercise = replace(
        find("memory.batch"),
        cases=lambda rng: cases,
        probe=lambda answer, case: {"result": answer(case["n"], case["scale"])},
        solution=lambda n, s: math.cosh(n) * s,
        mutants=(),
    )

    report = assess(exercise, lambda n, s: math.cosh(n) * 3, 0)
    assert "`scale` is ignored" in report.cause and not report.explained
    assert "ignored" not in assess(exercise, lambda n, s: math.cosh(n) * (s + 1), 0).cause
    assert "9 is the result in every case" in assess(exercise, lambda n, s: 9, 0).cause


def test_what_is_left_of_the_empty_exercise_is_found_wherever_it_stands():
    def first(A, B, alpha):
        raise NotImplementedError("your code here")
        return alpha / len(A) * B @ A

    report = assess(DELTA, first, 0)
    assert report.status == "your code raised" and "left over" in report.cause

    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx, block, x):
            return block(x)

        @staticmethod
        def backward(ctx, gradient):
            raise NotImplementedError("your code here")

    report = assess(find("memory.checkpoint"), Half, 0)
    assert report.cause.startswith("`backward` is still empty")


def _double(case_values, mutants=(), symptoms=()):
    """An exercise that asks for twice a number."""
    cases = [{"x": x, "about": about} for x, about in case_values]
    return replace(
        DELTA,
        id="lora.double",
        cases=lambda rng: cases,
        probe=lambda answer, case: {"result": answer(case["x"])},
        solution=lambda x: 2 * x,
        mutants=mutants,
        symptoms=symptoms,
    )


def test_a_known_mistake_that_raises_in_some_cases_is_named():
    known = Mutant("divides", lambda x: 2 * x * x / x, "it divides by x", "Do not divide")
    exercise = _double([(3, ""), (0, "x is zero")], (known,))
    report = assess(exercise, lambda x: 2 / (1 / x), 0)
    assert (report.status, report.mutant, report.cause) == (
        "your code raised",
        "divides",
        "it divides by x",
    )
    # Wrong elsewhere: another mistake.
    assert assess(exercise, lambda x: 3 / (1 / x), 0).mutant is None


def test_what_holds_in_some_cases_and_in_others_is_told_if_nothing_holds_in_all():
    symptoms = (
        Symptom("result", "too small", "Add", lambda c, e, o: o["result"] < e["result"]),
        Symptom("result", "too large", "Take off", lambda c, e, o: o["result"] > e["result"]),
    )
    exercise = _double([(3, ""), (5, ""), (8, "")], symptoms=symptoms)
    report = assess(exercise, lambda x: 11, 0)
    assert report.cause == "in some cases, too large; and in some cases, too small"


def test_a_known_mistake_may_return_something_else_than_a_number():
    known = Mutant("list", lambda x: [x], "a list is returned", "Return a number")
    exercise = _double([(3, ""), (5, "")], (known,))
    assert assess(exercise, lambda x: [0], 0).mutant == "list"
    assert assess(exercise, lambda x: x * x, 0).mutant is None
