"""What enters the sandbox says nothing of what is right."""

import gc
import sys
import types

import pytest
import torch

from peftcourse.exercises import EXERCISES
from peftcourse.exercises.explain import Reference
from peftcourse.exercises.observe import observe
from peftcourse.grading.marking import probe_file
from peftcourse.grading.sandbox import WORKER_FILES
from peftcourse.grading.sealing import Sealed, exercise_seed, sealed

SEED = 2**40 + 11
# Parts of an outcome that are inputs by their nature: what has to be left as it is, or is chosen.
INPUTS = {
    "lora.save": {"A1", "B1", "A2", "B2", "A3", "B3"},
    "practice.choose": {"failed"},
    "practice.allocate": {"goal"},
    "practice.accumulate": {"sizes", "weight"},
    "dora.layer": {"W", "bias"},
    "dora.merge": {"bias"},
    "adapters.layer": {"h", "up_weight"},
    "adapters.ia_merge": {"bias"},
    "adapters.biases": {"values"},
    "adapters.overhead": {"rounds"},
    "prompts.init": {"table"},
    "library.tied": {"embedding", "delta"},
    "rank.factors": {"rank"},
    "memory.storage": {"base"},  # of one task there is one copy
    "quantization.dequantize": {"shape"},  # 23 digits, and 23 columns
    "choose.rate": {"runs"},
    "evaluate.temperature": {"candidates"},
}


@pytest.fixture(scope="module")
def references():
    return {name: Reference(exercise, 7) for name, exercise in EXERCISES.items()}


def leaves(value, place=""):
    """All numbers, tensors and texts in an input, with the name of the input."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield place or key, key
            yield from leaves(item, place or key)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item, place)
    else:
        yield place, value


def tells(right, given) -> bool:
    """Whether an input is an expected value; numbers up to 20 are equal by chance."""
    if isinstance(right, torch.Tensor):
        if not isinstance(given, torch.Tensor) or right.shape != given.shape:
            return False
        return len(right.unique()) > 1 and bool((right.double() == given.double()).all())
    return type(right) is type(given) and right == given and abs(right) > 20


@pytest.mark.parametrize("name", EXERCISES)
def test_no_input_is_an_expected_value(references, name):
    exercise, reference = EXERCISES[name], references[name]
    telling = set()
    for seal, expected in zip(sealed(exercise, reference.cases), reference.expected, strict=True):
        for right in expected.values():
            if not isinstance(right, (torch.Tensor, int, float)):
                continue
            right = right.real if isinstance(right, torch.Tensor) and right.is_complex() else right
            telling |= {place for place, given in leaves(seal.case) if tells(right, given)}
    assert telling - {"noise"} <= INPUTS.get(name, set())


@pytest.mark.parametrize("name", EXERCISES)
def test_the_probe_runs_on_what_is_sealed_and_its_labels_come_back(references, name):
    exercise, reference = EXERCISES[name], references[name]
    for case, expected in zip(reference.cases, reference.expected, strict=True):
        seal = Sealed.of(exercise, case)
        assert not {*exercise.secret} & seal.case.keys()
        seen = seal.opened(observe(exercise.probe, exercise.solution, seal.case))
        assert seen["error"] is None and seen["outcome"].keys() == expected.keys()
        assert exercise.judge(case, seen["outcome"], expected).correct


def test_the_counts_of_verify_and_the_causes_of_diagnose_stay_outside(references):
    verify = Sealed.of(EXERCISES["library.verify"], references["library.verify"].cases[0]).case
    assert verify.keys() == {"model", "file", "noise"}
    orders = {
        tuple(Sealed.of(EXERCISES["evaluate.diagnose"], case).labels.values())
        for case in references["evaluate.diagnose"].cases * 4
    }
    assert len(orders) > 1  # not in the order of the table


SOURCES = sorted({probe_file(e) for e in EXERCISES.values()} | {*WORKER_FILES.values()})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_runs_inside_knows_nothing_of_ours(path):
    """Neither the package nor a solution is imported there, or stands there under another name."""
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith(("import ", "from ")):
            assert not line.split()[1].startswith(("peftlab", "peftcourse")), line
    assert "solution(" not in text.replace('"solution"', "")
    assert "seed=" not in text.replace("exercise_seed=", "")


@pytest.mark.parametrize("name", EXERCISES)
def test_an_answer_finds_no_expected_value_and_no_solution(references, name):
    """Every object that the frames above an answer hold, and what these refer to."""
    exercise, reference = EXERCISES[name], references[name]
    forbidden = {id(exercise), id(reference), id(exercise.solution), id(reference.expected)}
    forbidden |= {id(value) for outcome in reference.expected for value in outcome.values()
                  if isinstance(value, torch.Tensor)}  # fmt: skip
    found, looks = [], []

    class Spied(Exception):
        pass

    def spy(*_, **__):
        seen, waiting, frame = set(), [], sys._getframe(1)
        while (
            frame
            and frame.f_code is not test_an_answer_finds_no_expected_value_and_no_solution.__code__
        ):
            waiting += frame.f_locals.values()
            waiting += [v for k, v in frame.f_globals.items() if not k.startswith("__")]
            frame = frame.f_back
        for _ in range(4):
            found.extend(id(thing) for thing in waiting if id(thing) in forbidden)
            seen |= {id(thing) for thing in waiting}
            skipped = (types.ModuleType, type, types.FunctionType, types.FrameType)
            inner = gc.get_referents(*(t for t in waiting if not isinstance(t, skipped)))
            waiting = [thing for thing in inner if id(thing) not in seen]
        looks.append(len(seen))
        raise Spied

    spy.apply = spy.backward = spy  # of an autograd.Function
    # As in the sandbox, where the probe's caller holds the sealed case and nothing else.
    observe(exercise.probe, spy, Sealed.of(exercise, reference.cases[0]).case)
    assert looks and not found


def test_an_exercises_seed_is_its_own():
    seeds = {
        exercise_seed(seed, name) for seed in range(50) for name in ("lora.delta", "lora.init")
    }
    assert len(seeds) == 100 and max(seeds) > 2**31
    assert exercise_seed(SEED, "lora.delta") == exercise_seed(SEED, "lora.delta")
