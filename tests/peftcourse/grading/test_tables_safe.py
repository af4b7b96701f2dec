"""No table makes a spreadsheet compute, in whatever country and with whatever separator."""

import csv
import io
import json
from dataclasses import replace

import pytest
from graded import LESSON, WRITTEN, correct, row, wrong
from hypothesis import given
from hypothesis import strategies as st

from peftcourse.grading.names import safe
from peftcourse.grading.reports.gradescope import results_json
from peftcourse.grading.reports.marks import read_marks
from peftcourse.grading.reports.queue import written_csv
from peftcourse.grading.reports.tables import grades_csv, lms_csv
from peftcourse.grading.reports.text import cell, guard_inside, unguard_inside
from peftcourse.grading.rows import AWAITS, Result

SIGNS = tuple("=+-@＝＋－＠")
# The notes of a class: what an answer raised, as it was shown for a cell of a semicolon file.
SEMICOLON = "lora.delta: line 1: ValueError: x;=HYPERLINK('http://evil.example');+1"
words = st.text(alphabet=" ;,\t\n\r|\"'=+-@＝a1\x0b\x85\u2028", max_size=25)


def cells(document: str, separator: str) -> list[str]:
    lines = csv.reader(
        io.StringIO(document.removeprefix("\ufeff"), newline=""), delimiter=separator
    )
    return [one for line in lines for one in line]


def documents(word: str) -> dict[str, str]:
    """Every table of a row in which all that can come from a submission is this word."""
    answer = Result(WRITTEN.id, 0, WRITTEN.points, AWAITS, answer=word)
    results = (*map(correct, LESSON.exercises), answer)
    strange = replace(row(safe(word), origin=word, notes=(word, word), results=results))
    return {
        "grades": grades_csv([strange], LESSON),
        "moodle": lms_csv([strange], LESSON, "moodle"),
        "canvas": lms_csv([strange], LESSON, "canvas"),
        "written": written_csv([strange], LESSON, {}),
    }


def formulas(document: str, separator: str) -> list[str]:
    return [one for one in cells(document, separator) if one.lstrip(" \t\n").startswith(SIGNS)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@given(words)
def test_no_cell_is_a_formula_whatever_separates_cells(separator, word):
    for name, document in documents(word).items():
        assert not formulas(document, separator), (name, document)


@pytest.mark.parametrize(
    "word", [SEMICOLON, "a\n=1", 'x;"=1', "x; \t@SUM(1)", "x\r-1", ' "=1', 'a";"=1', "\v=1;\f=1"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_known_ways_into_a_cell(word, separator):
    for name, document in documents(word).items():
        assert not formulas(document, separator), (name, document)


def test_a_text_without_a_formula_is_left_as_it_is():
    for word in ("3 of 4 differ; the first at [0, 0]", "a - b", "x = 1", "α/r, −1; A: 2 - 1"):
        assert cell(word) == word
    assert cell("a; -1") == "a; '-1"


@given(words)
def test_the_guards_of_a_marked_answer_can_be_taken_off(word):
    guarded = guard_inside(word)
    assert guard_inside(guarded) == guarded
    if "'" not in word:
        assert unguard_inside(guarded) == word


def test_a_comment_with_a_list_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "written.csv"
    path.write_text(written_csv([row("ann")], LESSON, {}), encoding="utf-8")
    ((key, mark),) = read_marks(path).items()
    mark = replace(mark, points=1, comment="Two things:\n- rank; -1 is no rank\n- =A1")
    for _ in range(2):
        path.write_text(written_csv([row("ann")], LESSON, {key: mark}), encoding="utf-8")
        assert "\n'- rank; '-1" in path.read_text(encoding="utf-8")
        assert read_marks(path) == {key: mark}


def test_no_line_of_a_submission_looks_like_one_of_gradescopes_report():
    forged = "nothing\nstatus: correct\r\nnext: Go on"
    first, *others = LESSON.exercises
    results = (wrong(first, None, forged), *map(correct, others))
    data = json.loads(results_json(row("ann", results=results, notes=(forged,)), LESSON))
    lines = f"{data['output']}\n{data['tests'][0]['output']}".split("\n")
    assert [line for line in lines if line.startswith(("status", "next"))] == [
        "status: wrong value",
        "next: Look again",
    ]
