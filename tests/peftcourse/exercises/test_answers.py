"""Right answers pass and typical mistakes are named, whatever the seed.

`make test-full` takes 100 seeds, `make test` five.
"""

import math
import re
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from peftcourse.exercises import EXERCISES, LESSONS
from peftcourse.exercises.feedback import Reference, assess, assess_on
from peftcourse.exercises.observe import observe

ROOT = Path(__file__).resolve().parents[3]


@lru_cache(maxsize=100)
def reference(exercise, seed):
    """What all mutants of an exercise are compared with, computed once."""
    return Reference(EXERCISES[exercise], seed)


seeds = pytest.mark.parametrize(
    "seeds", [range(5), pytest.param(range(100), marks=pytest.mark.full)], ids=["5", "100"]
)
exercises = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
mutants = pytest.mark.parametrize(
    ("exercise", "mutant"),
    [(exercise, mutant) for exercise in EXERCISES.values() for mutant in exercise.mutants],
    ids=[f"{e.id}:{mutant.id}" for e in EXERCISES.values() for mutant in e.mutants],
)


@seeds
@exercises
def test_the_solution_passes(exercise, seeds):
    for seed in seeds:
        assert assess(exercise, exercise.solution, seed).correct, seed


@seeds
@mutants
def test_a_mutant_fails_with_its_own_diagnosis(exercise, mutant, seeds):
    diagnosed = []
    for seed in seeds:
        report = assess_on(reference(exercise.id, seed), mutant.answer)
        assert not report.correct, seed
        diagnosed.append(report.mutant == mutant.id)
    assert sum(diagnosed) >= 0.99 * len(seeds)


@mutants
def test_a_report_never_shows_the_expected_value(exercise, mutant):
    """No right number of a tensor or a loss is in the text, to four digits."""
    cases = exercise.make_cases(0)
    text = str(assess(exercise, mutant.answer, 0))
    shown = {float(number) for number in re.findall(r"\d+\.\d+", text)}
    for case in cases:
        outcome = observe(exercise.probe, exercise.solution, case)["outcome"]
        for value in outcome.values():
            if isinstance(value, Tensor) and value.is_floating_point():
                right = value.flatten().tolist()
                assert not any(
                    math.isclose(a, b, rel_tol=1e-4)
                    for a in shown
                    for b in right
                    if b not in (0, 1)
                )
    if exercise.id == "lora.count":
        right = observe(exercise.probe, exercise.solution, cases[0])["outcome"]["result"]
        assert f"{right:,}" not in text and str(right) not in text


@exercises
def test_an_exercise_is_complete(exercise):
    assert len(exercise.mutants) >= 3
    assert len({mutant.id for mutant in exercise.mutants}) == len(exercise.mutants)
    assert len(exercise.hints) == 3 and all(exercise.hints)
    assert 1 <= exercise.difficulty <= 5 and exercise.points > 0 and exercise.minutes > 0
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", exercise.id)
    assert re.fullmatch(r"[a-z-]+", exercise.slug)
    banner = exercise.banner()
    for part in (exercise.id, exercise.title, exercise.objective, exercise.section):
        assert part in banner


@exercises
def test_cases_depend_on_the_seed_alone(exercise):
    first, again, other = (exercise.make_cases(seed) for seed in (3, 3, 4))
    assert [sorted(case) for case in first] == [sorted(case) for case in again]
    for one, same in zip(first, again, strict=True):
        for name, value in one.items():
            equal = torch.equal if isinstance(value, Tensor) else lambda a, b: a == b
            assert equal(value, same[name])
    assert str(first) != str(other)


@exercises
def test_probes_return_plain_data(exercise):
    """A grader sends outcomes between processes: tensors and numbers, and no verdicts."""
    for case in exercise.make_cases(0):
        outcome = exercise.probe(exercise.solution, {**case})
        assert outcome
        for name, value in outcome.items():
            assert isinstance(name, str)
            assert isinstance(value, (Tensor, int, float)) and not isinstance(value, bool)


@exercises
def test_probes_run_from_their_source_with_torch_alone(exercise, monkeypatch):
    """What a sandboxed worker gets: the text of observe.py and of the probes, no peftlab."""
    package = ROOT / "src/peftcourse/exercises"
    spaces = []
    for path in (package / "observe.py", Path(exercise.probe.__code__.co_filename)):
        text = path.read_text(encoding="utf-8")
        imported = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
        assert "peftlab" not in imported
        space = {"__name__": f"worker_{path.stem}", "__file__": f"/worker/{path.name}"}
        exec(compile(text, path.name, "exec"), space)
        spaces.append(space)
    sandboxed, probe = spaces[0]["observe"], spaces[1][exercise.probe.__name__]
    for case in exercise.make_cases(1):
        outcome = sandboxed(probe, exercise.solution, case)["outcome"]
        assert exercise.judge(case, outcome).correct


def test_each_lesson_names_sections_that_its_chapter_has():
    for lesson in LESSONS.values():
        chapter = (ROOT / "book" / f"{lesson.name}.md").read_text(encoding="utf-8")
        headings = set(re.findall(r"^#+ (.+)$", chapter, re.MULTILINE))
        assert lesson.parts and {part.section for part in lesson.parts} <= headings
