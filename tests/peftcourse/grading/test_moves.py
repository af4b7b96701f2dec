"""Rows follow their files, and marks by hand follow the person."""

import csv
import json
from dataclasses import replace

import pytest
from graded import LESSON, row
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.grading import reports
from peftcourse.grading.journal import Journal
from peftcourse.grading.moves import follow
from peftcourse.grading.people import MOODLE, Person
from peftcourse.grading.reports.marks import read_marks
from peftcourse.grading.submissions import Submission

ADA, BEN = Person(MOODLE, "Ada", "1"), Person(MOODLE, "Ben", "2")


def handed_in(name: str, digest: str = "", **more) -> Submission:
    return Submission(name, f"{name}.ipynb", digest=digest or f"digest of {name}", **more)


def rows(*found) -> dict:
    return {one.submission: one for one in found}


def test_a_row_goes_with_its_file():
    moves = follow([handed_in("ann")], rows(row("ann"), row("bob")))
    assert set(moves.rows) == {"ann"}
    assert moves.gone == moves.dropped == ("bob",) and moves.changed == ()
    assert moves.notes() == ["1 row goes, its file is not among the submissions any more: bob"]


def test_a_renamed_file_keeps_its_row():
    old = row("ann", 7, notes=("old place", "said while it ran"), reading=1)
    new = handed_in("anna", "digest of ann", notes=("new place",))
    moves = follow([new], rows(old))
    [moved] = moves.changed
    assert moves.renamed == {"ann": "anna"} and moves.rows == {"anna": moved}
    assert (moved.submission, moved.origin, moved.points) == ("anna", "anna.ipynb", old.points)
    assert moved.notes == ("new place", "said while it ran") and moved.reading == 1


def test_a_learner_who_comes_again_late_under_another_name_keeps_the_row():
    """Moodle's number says who it is, though name and file are others."""
    old = row("Ada_1", person=ADA)
    new = handed_in("Ada Lovelace_1", person=replace(ADA, name="Ada Lovelace"))
    moves = follow([new], rows(old))
    assert moves.renamed == {"Ada_1": "Ada Lovelace_1"}
    assert moves.rows["Ada Lovelace_1"].digest != new.digest  # and so it is graded again


@pytest.mark.parametrize(
    ("there", "now"),
    [
        ([row("ann")], [handed_in("x", "digest of ann"), handed_in("y", "digest of ann")]),
        ([row("ann", digest="d"), row("bob", digest="d")], [handed_in("x", "d")]),
        ([row("Ada_1", person=ADA, digest="d")], [handed_in("Ben_2", "d", person=BEN)]),
        ([row("ann", digest="")], [Submission("x", "x.ipynb")]),
    ],
    ids=["two new", "two old", "another learner", "no bytes"],
)
def test_nobody_takes_over_a_row_that_may_be_anothers(there, now):
    moves = follow(now, rows(*there))
    assert not moves.renamed and not moves.rows and set(moves.gone) == {r.submission for r in there}


NAMES = st.sampled_from(["a", "b", "c", "d"])
DIGESTS = st.sampled_from(["", "d1", "d2"])
PEOPLE = st.sampled_from([None, ADA, BEN])


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(NAMES, st.tuples(DIGESTS, PEOPLE)),
    st.dictionaries(NAMES, st.tuples(DIGESTS, PEOPLE)),
)
def test_no_row_is_stale_doubled_or_given_to_another(before, after):
    there = {
        name: row(name, digest=digest, person=person) for name, (digest, person) in before.items()
    }
    now = [Submission(n, n, digest=digest, person=person) for n, (digest, person) in after.items()]
    moves = follow(now, there)
    assert set(moves.rows) <= set(after)
    assert set(moves.rows) >= set(before) & set(after)
    assert len(moves.rows) + len(moves.gone) == len(before)
    assert not set(moves.renamed.values()) & set(before)
    for old, new in moves.renamed.items():
        assert moves.rows[new].results == there[old].results
        persons = before[old][1], after[new][1]
        assert None in persons or persons[0] == persons[1]
    again = follow(now, moves.rows)
    assert again.rows == moves.rows and not again.changed and not again.dropped


def test_marks_follow_the_person(tmp_path):
    """And what was written from the old name goes."""
    reports.write_all([row("ann"), row("bob", answer="Another.")], LESSON, tmp_path)
    path = tmp_path / "written.csv"
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        line |= {"points": "2", "comment": f"for {line['submission']}"}
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(lines[0]))
        table.writeheader()
        table.writerows(lines)
    for _ in range(2):  # killed before the journal knew, the same is done again
        reports.move(tmp_path, LESSON, {"ann": "anna"}, ["ann"])
    assert sorted(key[0] for key in read_marks(path)) == ["anna", "bob"]
    marked, _ = reports.write_all([row("anna"), row("bob", answer="Another.")], LESSON, tmp_path)
    assert marked.results[-1].comment == "for ann"
    pages = sorted(page.name for page in (tmp_path / "feedback").iterdir())
    assert pages == ["anna.html", "bob.html"]


def test_the_journal_forgets_a_row_that_is_gone(tmp_path):
    with Journal(tmp_path) as journal:
        with journal.writing() as add:
            for entry in (row("ann"), row("bob"), "ann", "nobody"):
                add(entry)
        assert set(journal.read()) == {"bob"}
        with journal.writing() as add:
            add(row("ann", 3))
        assert journal.read()["ann"] == row("ann", 3)
    last = (tmp_path / "journal.jsonl").read_text(encoding="utf-8").splitlines()[2]
    assert json.loads(last) == {"gone": "ann"}
