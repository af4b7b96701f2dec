"""Exercises that a person marks: what they hold, and what a learner's calls say of them."""

import re
from dataclasses import replace

import pytest

from peftcourse.exercises import EXERCISES, LESSONS, check, find, hint, progress
from peftlab.errors import PeftlabError

WRITTEN = {written.id: written for lesson in LESSONS.values() for written in lesson.written}

writtens = pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)


@writtens
def test_a_written_exercise_is_complete(written):
    assert written.kind == "written" and find(written.id) is written
    assert len(written.hints) == 3 and all(written.hints)
    assert 1 <= written.difficulty <= 5 and written.minutes > 0
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", written.id) and re.fullmatch(r"[a-z-]+", written.slug)
    assert all(criterion.points > 0 and criterion.text for criterion in written.rubric)
    banner = written.banner()
    for part in (written.id, written.title, written.objective, written.section, written.prompt):
        assert part in banner
    assert all(criterion.text in banner for criterion in written.rubric)
    assert not set(written.model_answer.splitlines()) & set(banner.splitlines()) - {""}


@writtens
def test_the_model_answer_keeps_to_the_length_that_the_prompt_allows(written):
    if limit := re.search(r"at most (\d+)\s+words", written.prompt):
        assert len(written.model_answer.split()) <= int(limit[1])


@writtens
def test_a_rubric_that_does_not_add_up_is_refused(written):
    with pytest.raises(PeftlabError, match=f"{written.id} is worth .* adds up to"):
        replace(written, points=written.points + 1)


def test_a_lesson_counts_both_kinds_and_keeps_them_apart():
    for lesson in LESSONS.values():
        both = [part.id for part in (*lesson.exercises, *lesson.written)]
        assert sorted(both) == sorted(part.id for part in lesson.parts)
        assert lesson.points == sum(part.points for part in lesson.parts)
        assert all(exercise.kind == "code" for exercise in lesson.exercises)
    assert not EXERCISES.keys() & WRITTEN.keys()


@writtens
def test_check_says_who_marks_it_and_by_what(written, monkeypatch, capsys):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")  # raises for anything that is not right
    check(written.id)
    shown = capsys.readouterr().out
    assert "marked by a person" in shown and written.id in shown
    assert all(criterion.text in shown for criterion in written.rubric)


@writtens
def test_hints_come_one_after_the_other(written, capsys):
    for number in (1, 2, 3):
        hint(written.id)
        assert f"hint {number} of 3   {written.hints[number - 1]}" in capsys.readouterr().out


@writtens
def test_progress_does_not_count_what_it_cannot_know(written, capsys):
    progress(next(lesson.name for lesson in LESSONS.values() if written in lesson.parts))
    [line] = [line for line in capsys.readouterr().out.splitlines() if written.id in line]
    assert line.endswith("(marked by your instructor)") and "·" not in line and "✓" not in line
