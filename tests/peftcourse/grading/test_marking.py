"""Whatever comes out of the sandbox is an observation or nothing, and no judge falls over it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.exercises import EXERCISES, feedback
from peftcourse.exercises.explain import Reference
from peftcourse.exercises.feedback import CORRECT, WRONG_VALUE, diagnose
from peftcourse.exercises.registry import LESSONS
from peftcourse.grading import marking, sandbox, visible, wire
from peftcourse.grading.marking import References
from peftcourse.grading.observed import quoted, read_work
from peftcourse.grading.rows import UNJUDGED, StoppedCell
from peftcourse.grading.sandbox import Ran, Sandbox, SandboxError
from peftcourse.grading.sealing import Sealed, exercise_seed

CASES = [Sealed({"A": 1, "seed": 0}, {}), Sealed({"A": 2, "seed": 1}, {"part 0": "right"})]


def framed(message: bytes) -> bytes:
    return wire.MARK + len(message).to_bytes(8, "big") + message


def read(data: bytes):
    return read_work(Ran("done", 0, data), {"a": CASES})


@st.composite
def tensors(draw):
    dtype = wire.DTYPES[draw(st.sampled_from(sorted(wire.DTYPES)))]
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    value = draw(st.sampled_from([0.0, 1.0, -7.0, float("nan"), float("inf")]))
    whole = not (dtype.is_floating_point or dtype.is_complex)
    return torch.full(shape, 3.0 if whole else value).to(dtype)


integers = st.integers(-(1 << 63), (1 << 63) - 1)
values = (
    tensors()
    | integers
    | st.floats()
    | st.text(max_size=5)
    | st.none()
    | st.lists(integers, max_size=2)
)
texts = st.none() | st.text() | integers
observations = st.fixed_dictionaries(
    {
        "outcome": st.dictionaries(st.sampled_from(["result", "A", ""]), values) | integers,
        "changed": st.lists(st.sampled_from(["A", "other"])) | st.none(),
        "error": st.none()
        | st.fixed_dictionaries({"type": texts, "message": texts, "line": texts, "code": texts}),
    }
)
replies = st.fixed_dictionaries(
    {
        "observations": st.lists(observations | integers, max_size=3),
        "notes": st.lists(st.text(), max_size=2) | st.none(),
    }
)


@given(replies | observations | integers)
def test_a_reply_is_checked_whole(reply):
    if isinstance(reply, dict):
        reply = {"exercise": "a", **reply}
    work = read(framed(wire.encode(reply)))
    assert all(isinstance(note, str) for note in work.notes)
    for found in work.found.values():
        assert found.missing or len(found.observations) == len(CASES)
        for observation in found.observations:
            assert set(observation["changed"]) <= {"A", "seed"}
            for value in observation["outcome"].values():
                assert type(value) in (torch.Tensor, int, float, str)
            if observation["error"]:
                error = observation["error"]
                assert isinstance(error["type"], str) and isinstance(error["message"], str)
                assert error["line"] is None or type(error["line"]) is int


NO_ANSWER = framed(wire.encode({"exercise": "a"}))


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_bytes_that_are_no_reply_do_not_hide_one(before, after):
    assert not read(before).found
    assert read(before + NO_ANSWER + after).found["a"].missing


@pytest.mark.parametrize("length", [0, 5, 10**6, 2**64 - 1])
def test_a_forged_length_does_not_hide_a_reply(length):
    forged = wire.MARK + length.to_bytes(8, "big") + b"{}"
    assert read(forged + NO_ANSWER + forged).found["a"].missing


@given(
    st.fixed_dictionaries(
        {"cell": values, "whole": values},
        optional={"status": values, "line": values, "said": values},
    )
)
def test_a_note_is_a_line_or_nothing(said):
    assert all("\n" not in note for note in read(framed(wire.encode(said))).notes)


def test_cells_that_were_cut_off_are_counted_once():
    said = [
        {"cell": 4, "status": -14},
        {"cell": 4, "status": 1},
        {"cell": 9, "status": 3},
        {"cell": "x", "status": 3},
        {"cell": 5, "status": "=1+1"},
        {"cell": 7, "line": 1, "said": "ValueError", "whole": True},
    ]
    work = read(b"".join(framed(wire.encode(one)) for one in said))
    assert work.stopped == [
        StoppedCell(4, "it ran out of time"),
        StoppedCell(9, "it ended its process"),
    ]
    many = read(b"".join(framed(wire.encode({"cell": i, "status": 1})) for i in range(500)))
    assert len(many.stopped) == 100


def test_labels_are_translated_back():
    outcome = {"part 0": 1, "part 0: x": 2, "part 7": 3, "whole": 4}
    seen = CASES[1].opened({"outcome": outcome, "changed": [], "error": None})
    assert seen["outcome"] == {"right": 1, "right: x": 2, "part 7": 3, "whole": 4}


@pytest.fixture(scope="module")
def references():
    return {name: Reference(exercise, 3) for name, exercise in EXERCISES.items()}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_outcome_makes_a_judge_fail_or_passes_by_chance(references, data):
    reference = references[data.draw(st.sampled_from(sorted(EXERCISES)))]
    forged = []
    for expected in reference.expected:
        # Some values right, some replaced by anything, some missing.
        outcome = dict(expected)
        name = data.draw(st.sampled_from(sorted(expected)))
        outcome[name] = data.draw(tensors() | st.floats() | st.text(max_size=3))
        if data.draw(st.booleans()):
            del outcome[data.draw(st.sampled_from(sorted(outcome)))]
        forged.append({"outcome": outcome, "changed": [], "error": None})
    report = diagnose(reference, forged)
    verdicts = reference.judge([observation["outcome"] for observation in forged])
    assert (report.status == CORRECT) == all(verdict.correct for verdict in verdicts)
    assert report.observed and report.cause and report.action


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(SandboxError, match="no_such_package"):
        visible.visible_paths(("no_such_package",))


def test_what_answers_see_is_torch_and_what_it_needs():
    names = {path.name for path in visible.visible_paths(("torch", "numpy"))}
    assert {"torch", "numpy"} <= names
    assert not names & {"peft", "peftlab", "bitsandbytes", "transformers", "pytest", "nbformat"}


@pytest.mark.skipif(
    sandbox.why_no_bubblewrap() is not None, reason=f"bubblewrap {sandbox.why_no_bubblewrap()}"
)
def test_a_server_that_is_gone_is_started_again(tmp_path):
    probe = tmp_path / "probes_test.py"
    probe.write_text("def probe(answer, case):\n    return {'result': answer(case['x'])}\n")
    cell = {"number": 1, "kind": "own", "source": "def double(x): return 2 * x", "exercise": "a"}
    request = marking.frame({"cells": [cell], "setup": "", "absent": [], "seconds": 10.0})
    request += marking.frame(
        {
            "exercise": "a",
            "target": "double",
            "probe": ["probes_test", "probe"],
            "cases": [{"x": 4, "noise": 0}],
        }
    )
    with Sandbox({"probes_test": probe}) as box:
        first = box.run(request)
        box._process.kill()
        lost, again = box.run(request), box.run(request)
    assert lost.end == sandbox.LOST
    for ran in (first, again):
        [observation] = read_work(ran, {"a": CASES[:1]}).found["a"].observations
        assert observation["outcome"] == {"result": 8}


# --- extreme numbers ------------------------------------------------------------------------------

EXTREME = [1e-320, 1e-45, 3e38, -3e38, 1.7e308, float("nan"), float("inf"), float("-inf")]


@pytest.fixture(scope="module")
def judges() -> dict[str, References]:
    lessons = {"lora": "03_lora", "rank": "02_rank"}
    return {prefix: References(LESSONS[name], 4) for prefix, name in lessons.items()}


def observed(outcomes: list[dict]) -> list[dict]:
    return [{"outcome": outcome, "changed": [], "error": None} for outcome in outcomes]


def filled(value, number: float, generator: torch.Generator):
    """A tensor of numbers of this size, of both signs as far as they have one."""
    if not isinstance(value, torch.Tensor):
        return number
    if not value.is_floating_point():
        return value
    return (torch.randn(value.shape, generator=generator, dtype=torch.double) * number).to(value)


@pytest.mark.parametrize("number", EXTREME, ids=str)
@pytest.mark.parametrize(
    "exercise",
    ["lora.init", "lora.delta", "lora.loss", "rank.savings", "rank.numerical", "rank.energy"],
)
def test_extreme_numbers_are_wrong_values(judges, exercise, number):
    generator = torch.Generator().manual_seed(0)
    outcomes = [
        {name: filled(value, number, generator) for name, value in right.items()}
        for right in Reference(EXERCISES[exercise], exercise_seed(4, exercise)).expected
    ]
    result = judges[exercise[:4]].judge(EXERCISES[exercise], observed(outcomes))
    assert (result.status, result.points) == (WRONG_VALUE, 0), result


@pytest.mark.parametrize("exercise", ["rank.savings", "rank.numerical"])
def test_whole_numbers_too_long_for_a_float_are_wrong_values(judges, exercise):
    outcomes = [
        {name: 10**400 for name in right}
        for right in Reference(EXERCISES[exercise], exercise_seed(4, exercise)).expected
    ]
    result = judges[exercise[:4]].judge(EXERCISES[exercise], observed(outcomes))
    assert (result.status, result.points) == (WRONG_VALUE, 0), result


def test_a_judge_that_fails_over_usual_numbers_asks_for_a_person(judges, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(feedback, "diagnose", fail)
    exercise = EXERCISES["lora.delta"]
    right = observed(Reference(exercise, exercise_seed(4, exercise.id)).expected)
    assert judges["lora"].judge(exercise, right).status == UNJUDGED
    strange = observed([{"result": torch.tensor([0.0, value])} for value in EXTREME])
    assert judges["lora"].judge(exercise, strange[: len(right)]).status == WRONG_VALUE


def test_a_note_of_a_submission_is_shown_as_its_words():
    forged = "all right”; lora.init: correct\n30 of 30 points, “says the grader"
    assert quoted(forged) == ('“all right"; lora.init: correct 30 of 30 points, "says the grader”')
