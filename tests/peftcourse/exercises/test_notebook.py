"""What a learner calls: what is said to every way of calling it, and that nothing else happens."""

import sys
import threading
import time

import pytest
import torch

from peftcourse import case, check, hint, progress, solution, yours
from peftcourse.exercises import EXERCISES, find, notebook, record, session, solutions
from peftcourse.exercises.explain import Reference
from peftcourse.exercises.feedback import assess
from peftcourse.exercises.limit import OutOfTime, limited
from peftcourse.exercises.registry import PARTS
from peftlab.errors import PeftlabError

DELTA = find("lora.delta")


@pytest.fixture(autouse=True)
def fresh_kernel(monkeypatch):
    monkeypatch.setattr(session, "failed", {})
    monkeypatch.setattr(session, "passed", {})


def wrong(A, B, alpha):
    return alpha * (B @ A)


def lora_delta(A, B, alpha):
    return alpha / A.shape[0] * (B @ A)


# --- calling check --------------------------------------------------------------------------------


def test_a_right_answer_that_writes_to_stderr_is_right(capsys, monkeypatch):
    """A line on stderr would cost it its points under nbgrader."""
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")

    def talkative(A, B, alpha):
        print("a warning", file=sys.stderr)
        return alpha / A.shape[0] * (B @ A)

    check("lora.delta", talkative)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "a warning" in shown.out and "status        correct · lora.delta" in shown.out


def test_arguments_in_the_wrong_order_are_understood(capsys):
    check(lora_delta, "lora.delta")
    assert "correct · lora.delta" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), 'write check("lora.delta", lora_delta), for example; the id is in the heading'),
        ((lora_delta,), 'write check("lora.delta", lora_delta).'),
        ((wrong,), 'write check("lora.delta", lora_delta), for example'),
        ((3, 4), "check needs an exercise's id"),
        (("lora.delta",), 'write check("lora.delta", lora_delta), with the name of your function'),
        (("lora.delta", 3.5), "the function or class itself, without brackets"),
        (("lora.delta", torch.ones(2, 3)), "not what it returned ((2, 3) float32)"),
        (("lora.report",), "marked by a person"),
    ],
)
def test_what_is_missing_is_said(arguments, told, capsys):
    check(*arguments)
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lora.dleta", 'did you mean "lora.delta"?'),
        ("Lora.Delta", 'did you mean "lora.delta"?'),
        ("lora_delta", 'did you mean "lora.delta"?'),
        ("delta", 'did you mean "lora.delta"?'),
        ("lora.train-step", 'did you mean "lora.train_step"?'),
        ("dora.xyz", "of dora there are dora.decompose, "),
        ("???", 'an id looks like "lora.delta"'),
        ("", 'an id looks like "lora.delta"'),
    ],
)
def test_a_wrong_id_suggests_the_right_one_and_never_lists_all(name, told, capsys):
    for call in (check, hint, case, solution):
        call(name)
        said = capsys.readouterr().out
        assert told in said and said.count("\n") == 1
        assert sum(part in said for part in PARTS) < 12
    with pytest.raises(PeftlabError):
        find(name)


def test_a_misspelt_id_earns_no_points(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    for arguments in (("lora.dleta", lora_delta), (), ("lora.delta", 3)):
        with pytest.raises(AssertionError):
            check(*arguments)


# --- answers that do not end ----------------------------------------------------------------------


def endless(A, B, alpha):
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            if A.shape[0]:
                raise


def stubborn(A, B, alpha, caught=[]):  # noqa: B006
    """Catches the first signal; the next one comes."""
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            caught.append(1)
            if len(caught) > 1:
                raise


@pytest.mark.parametrize("answer", [endless, stubborn])
def test_an_answer_that_does_not_end_is_stopped(answer, monkeypatch, capsys):
    monkeypatch.setattr(notebook, "TIME_LIMIT", 0.1)
    check("lora.delta", answer, seed=1)
    said = capsys.readouterr().out
    assert "not finished · lora.delta · seed=1 repeats it" in said
    assert "stopped after 0.1 s, in case 1 of 4 (r = " in said
    assert "a loop that may never end" in said and "of your code: time.sleep(0.01)" in said
    assert record.read()[0]["lora.delta"]["attempts"] == 1
    assert case("lora.delta")["A"].equal(Reference(DELTA, 1).cases[0]["A"])
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(AssertionError, match="not finished"):
        check("lora.delta", endless)


def test_the_limit_holds_for_the_block_alone_and_keeps_other_timers():
    import signal

    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(OutOfTime), limited(0.05):
        time.sleep(2)
    assert signal.getsignal(signal.SIGALRM) is before
    signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        with limited(5):
            pass
        assert 90 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_in_another_thread_and_without_timers_there_is_no_limit(monkeypatch, capsys):
    thread = threading.Thread(target=check, args=("lora.delta", lora_delta))
    thread.start()
    thread.join()
    assert "correct · lora.delta" in capsys.readouterr().out
    monkeypatch.delattr("signal.setitimer")  # as on Windows
    check("lora.delta", lora_delta)
    assert "correct · lora.delta" in capsys.readouterr().out


def test_an_interrupt_is_one_line_and_no_record(capsys, monkeypatch):
    def interrupted(A, B, alpha):
        raise KeyboardInterrupt

    check("lora.delta", interrupted)
    assert capsys.readouterr().out == "stopped; nothing was recorded\n"
    assert record.read()[0] == {} and not session.failed
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(AssertionError):
        check("lora.delta", interrupted)


# --- a case to try --------------------------------------------------------------------------------


def wrong_for_few(A, B, alpha):
    """Right where the rank is that of the first case of seed 5."""
    scale = A.shape[0] if A.shape == Reference(DELTA, 5).cases[0]["A"].shape else 1
    return alpha / scale * (B @ A)


def test_a_case_is_the_first_that_failed(capsys):
    check("lora.delta", wrong_for_few, seed=5)
    capsys.readouterr()
    inputs = case("lora.delta")
    said = capsys.readouterr().out
    assert said.startswith("case 2 of 4 of lora.delta, seed=5 (the first that failed): A (")
    drawn = Reference(DELTA, 5).cases[1]
    assert inputs.keys() == drawn.keys() - {"noise"}
    assert inputs["A"].equal(drawn["A"]) and inputs["alpha"] == drawn["alpha"]
    inputs["A"].zero_()
    assert case("lora.delta")["A"].any()


def test_a_case_of_another_seed_is_one_where_the_answer_fails(capsys):
    check("lora.delta", wrong, seed=5)
    assert case("lora.delta", seed=6)["B"].equal(Reference(DELTA, 6).cases[0]["B"])
    assert "seed=6 (the first that failed)" in capsys.readouterr().out
    check("lora.delta", lora_delta)
    assert case("lora.delta", seed=6)["B"].equal(Reference(DELTA, 6).cases[0]["B"])
    assert "no answer is known to fail: the first" in capsys.readouterr().out
    assert case("lora.report") is None


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda exercise: exercise.id)
def test_a_case_holds_inputs_alone(exercise):
    """Nothing that only the judge may see: neither words about it nor where it was drawn."""
    inputs = case(exercise.id, seed=0)
    assert inputs and not {"noise", "about", "expected", "seed"} & inputs.keys()


# --- model answers --------------------------------------------------------------------------------


def test_a_model_answer_comes_after_three_attempts_and_is_noted(capsys):
    solution("lora.delta")
    assert "3 attempts are missing" in capsys.readouterr().out
    check("lora.delta")
    for _ in range(2):
        check("lora.delta", wrong)
    capsys.readouterr()
    solution("lora.delta")
    assert "1 attempt is missing" in capsys.readouterr().out
    progress("03_lora")
    assert "seen" not in capsys.readouterr().out
    check("lora.delta", wrong)
    capsys.readouterr()
    solution("lora.delta")
    said = capsys.readouterr().out
    assert "def lora_delta(" in said and DELTA.meaning in said and DELTA.hints[-1] in said
    progress("03_lora")
    [line] = [line for line in capsys.readouterr().out.splitlines() if "lora.delta" in line]
    assert line.endswith("(model answer seen)") and "·" in line


def test_who_solved_it_may_look_at_once_and_has_seen_nothing(capsys):
    check("lora.delta", lora_delta)
    solution("lora.delta")
    assert "def lora_delta(" in capsys.readouterr().out
    progress("03_lora")
    assert "seen" not in capsys.readouterr().out


def test_a_model_answer_in_words_comes_after_its_hints(capsys):
    written = find("lora.report")
    solution("lora.report")
    assert "3 hints are not" in capsys.readouterr().out
    hint("lora.report", 3)
    capsys.readouterr()
    solution("lora.report")
    assert written.model_answer in capsys.readouterr().out


def test_a_graded_course_has_no_model_answers(capsys, monkeypatch):
    stripped = {name: {"name": solutions.name(name)} for name in EXERCISES}
    monkeypatch.setattr(solutions, "_stored", lambda: stripped)
    for _ in range(3):
        check("lora.delta", wrong)
    capsys.readouterr()
    for name in ("lora.delta", "lora.report"):
        solution(name)
        assert "belongs to a graded course" in capsys.readouterr().out
    assert "seen" not in record.read()[0]["lora.delta"]
    check(lora_delta)
    assert 'check("lora.delta", lora_delta)' in capsys.readouterr().out


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda exercise: exercise.id)
def test_a_model_answer_is_whole_and_right(exercise):
    """With what a lab imports, and nothing else, it passes its check."""
    space: dict = {}
    exec(
        "from __future__ import annotations\n"
        "import contextlib, math, re, statistics\nfrom collections.abc import Callable\n"
        "from typing import Any\nimport torch\nimport torch.nn.functional as F\n"
        "from torch import Tensor, nn\n" + solutions.source(exercise.id),
        space,
    )
    assert assess(exercise, space[solutions.name(exercise.id)], 0).correct
    assert "SOLUTION" not in solutions.source(exercise.id)


# --- your code runs the course --------------------------------------------------------------------


def test_what_passed_runs_and_nothing_else(capsys):
    def library(*arguments):
        return "the library's"

    assert yours("lora.delta", library) is library
    assert "lora.delta: the library's runs here, until" in capsys.readouterr().out
    check("lora.delta", lora_delta)
    capsys.readouterr()
    run = yours("lora.delta", library)
    assert capsys.readouterr().out == "lora.delta: your lora_delta runs here\n"
    assert run(torch.ones(2, 3), torch.ones(4, 2), 2.0).equal(torch.full((4, 3), 2.0))
    check("lora.delta", wrong)
    assert yours("lora.delta", library) is library
    assert yours("lora.init") is find("lora.init").solution


def test_an_answer_that_fails_in_the_experiment_says_so_once(capsys):
    check("lora.delta", lora_delta)
    run = yours("lora.delta", lambda A, B, alpha: "the library's")
    capsys.readouterr()
    for _ in range(2):
        assert run([1], [2], 3.0) == "the library's"
    said = capsys.readouterr().out
    assert said.startswith("lora.delta: your lora_delta failed here (AttributeError: 'list'")
    assert said.endswith("the library's goes on\n") and said.count("\n") == 1


def test_a_block_that_cannot_be_entered_is_the_library_s(capsys):
    import contextlib

    @contextlib.contextmanager
    def merged(layer):
        layer.enabled = not layer.enabled
        yield layer

    session.passed["lora.merge"] = merged
    run = yours("lora.merge", lambda layer: contextlib.nullcontext("the library's"))
    with run(object()) as got:
        assert got == "the library's"
    assert "your merged failed here" in capsys.readouterr().out
