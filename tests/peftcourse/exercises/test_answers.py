"""Right answers pass and typical mistakes are named, whatever the seed.

`make test-full` takes 100 seeds, `make test` two or five.
"""

import math
import re
from collections import Counter
from pathlib import Path

import pytest
from torch import Tensor

from peftcourse.exercises import EXERCISES, LESSONS
from peftcourse.exercises.explain import Reference
from peftcourse.exercises.feedback import RAISED, WRONG_SHAPE, WRONG_VALUE, assess, assess_on
from peftcourse.exercises.observe import same

ROOT = Path(__file__).resolve().parents[3]

seeds = pytest.mark.parametrize(
    "seeds", [range(5), pytest.param(range(100), marks=pytest.mark.full)], ids=["5", "100"]
)
exercises = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


@seeds
@exercises
def test_the_solution_passes(exercise, seeds):
    for seed in seeds:
        assert assess(exercise, exercise.solution, seed).correct, seed


few_seeds = pytest.mark.parametrize(
    "seeds", [range(2), pytest.param(range(100), marks=pytest.mark.full)], ids=["2", "100"]
)


@few_seeds
@exercises
def test_a_mutant_fails_with_its_own_diagnosis(exercise, seeds):
    named = Counter()
    for seed in seeds:
        reference = Reference(exercise, seed)
        for mutant in exercise.mutants:
            report = assess_on(reference, mutant.answer)
            assert report.status in (WRONG_VALUE, WRONG_SHAPE, RAISED), (mutant.id, seed)
            named[mutant.id] += report.mutant == mutant.id
    rarely = [m.id for m in exercise.mutants if named[m.id] < 0.99 * len(seeds)]
    assert not rarely


@pytest.mark.parametrize(
    "exercise",
    # Of values that are drawn at random none is the right one.
    [exercise for exercise in EXERCISES.values() if exercise.special_judge is None],
    ids=lambda exercise: exercise.id,
)
def test_a_report_never_shows_the_expected_value(exercise):
    """No right number of a tensor or a loss is in the text, to four digits."""
    reference = Reference(exercise, 0)
    given = {v for case in reference.cases for v in case.values() if isinstance(v, (int, float))}
    right = {
        number
        for outcome in reference.expected
        for value in outcome.values()
        if isinstance(value, Tensor) and value.is_floating_point()
        for number in value.flatten().tolist()
    } - {0.0, 1.0}
    for mutant in exercise.mutants:
        text = str(assess_on(reference, mutant.answer))
        shown = {float(number) for number in re.findall(r"\d+\.\d+", text)} - given
        found = [(a, b) for a in shown for b in right if math.isclose(a, b, rel_tol=1e-4)]
        assert not found, (mutant.id, text)
        if exercise.id == "lora.count":
            result = reference.expected[0]["result"]
            assert f"{result:,}" not in text and str(result) not in text


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
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
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
