"""Marks of written answers: what a person typed is read back, applied, and never lost."""

import csv
import io
from dataclasses import replace

import pytest
from graded import LESSON, WRITTEN, row
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.grading.reports import Mark, apply_marks, read_marks, write_all
from peftcourse.grading.reports.marks import COLUMNS, answer_digest, unused_marks
from peftcourse.grading.reports.queue import written_csv, written_html
from peftcourse.grading.reports.tables import lms_csv
from peftcourse.grading.rows import AWAITS, MARKED
from peftlab.errors import PeftlabError


def table(document: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(document, newline="")))


def sheet(path) -> list[dict]:
    """The file as somebody who opens it sees it."""
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def save(path, lines, *, delimiter=",", end="\n", encoding="utf-8-sig"):
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(lines)
    path.write_bytes(buffer.getvalue().encode(encoding))


def line(submission="ann", points="2", comment="", answer="Rank 1 is enough.", **cells):
    return {
        "submission": submission,
        "exercise": WRITTEN.id,
        "max_points": "3",
        "points": points,
        "comment": comment,
        "answer_digest": answer_digest(answer),
        "answer": answer,
    } | cells


def result(rows, name):
    return next(one for one in rows if one.submission == name).results[-1]


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_marks_are_read_as_any_spreadsheet_saves_them(tmp_path, delimiter, end, encoding):
    path = tmp_path / "written.csv"
    comment = 'Très bien; but,\nwhy "alone"?'
    save(
        path,
        [line(points="2,5", comment=comment), dict.fromkeys(COLUMNS, "")],
        delimiter=delimiter,
        end=end,
        encoding=encoding,
    )
    (key,), (mark,) = read_marks(path), read_marks(path).values()
    assert key == ("ann", WRITTEN.id, answer_digest("Rank 1 is enough."))
    assert (mark.points, mark.comment) == (2.5, comment)


def test_without_a_file_there_are_no_marks(tmp_path):
    assert read_marks(tmp_path / "written.csv") == {}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"points": "4"}, r"row 3 \(bob, lora.report\): points 4 is outside 0 to 3"),
        ({"points": "-1"}, "points -1 is outside"),
        ({"points": "two"}, 'points "two" is not a number'),
        ({"points": "nan"}, 'points "nan" is not a number'),
        ({"points": "03. May"}, 'points "03. May" is not a number'),
        ({"max_points": ""}, 'max_points "" is not a number'),
        ({"answer_digest": "1.2E+24"}, 'answer_digest "1.2E\\+24" is not one'),
    ],
)
def test_a_mark_that_cannot_be_one_is_refused_and_nothing_is_lost(tmp_path, cells, message):
    path = tmp_path / "written.csv"
    save(path, [line(), line("bob", **cells)])
    before = path.read_bytes()
    with pytest.raises(PeftlabError, match=message):
        write_all([row("ann"), row("bob")], LESSON, tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column submission"),
        ("submission,points\nann,2\n", "has no column exercise"),
        (",".join([*COLUMNS, "marker"]) + "\nann,lora.report,3,2,,a,x,Kim\n", '"Kim" stands in'),
        (",".join(COLUMNS) + "\nann,lora.report,3,2,good,but short,a,x\n", '"x" stands in none'),
    ],
)
def test_a_file_that_lost_its_shape_is_refused(tmp_path, text, message):
    path = tmp_path / "written.csv"
    path.write_text(text)
    with pytest.raises(PeftlabError, match=message):
        read_marks(path)


def test_two_lines_on_one_answer_must_agree(tmp_path):
    path = tmp_path / "written.csv"
    save(path, [line(points=""), line(), line(), line(points="")])
    (mark,) = read_marks(path).values()
    assert mark.points == 2
    save(path, [line(), line(points="3")])
    with pytest.raises(PeftlabError, match=r"row 3: ann, lora\.report is marked twice"):
        read_marks(path)


# --- applying -------------------------------------------------------------------------------------


def test_a_mark_is_applied_to_the_answer_it_was_given_for(tmp_path):
    path = tmp_path / "written.csv"
    save(path, [line(comment="Why?")])
    rows = write_all([row("ann"), row("bob", answer="Another.")], LESSON, tmp_path)
    assert (result(rows, "ann").status, result(rows, "ann").points) == (MARKED, 2)
    assert result(rows, "ann").comment == "Why?"
    assert result(rows, "bob").status == AWAITS
    assert rows[0].points == 32


def test_a_mark_of_an_answer_that_changed_is_kept_and_not_applied(tmp_path):
    path = tmp_path / "written.csv"
    save(path, [line(comment="Why?")])
    rows = write_all([row("ann", answer="Something new.")], LESSON, tmp_path)
    assert result(rows, "ann").status == AWAITS
    old, new = sorted(sheet(path), key=lambda one: one["points"], reverse=True)
    assert (old["points"], old["comment"]) == ("2", "Why?")
    assert old["answer"] == "Rank 1 is enough."
    assert (new["points"], new["answer"]) == ("", "Something new.")
    (stale,) = unused_marks(rows, read_marks(path))
    assert stale.reason == "the answer has changed since"
    for page in ("report.html", "written.html"):
        assert "the answer has changed since" in (tmp_path / page).read_text()
    # The old answer comes back: so does its mark.
    rows = write_all([row("ann")], LESSON, tmp_path)
    assert result(rows, "ann").points == 2


def test_a_mark_counts_for_nobody_else():
    """Whether a copy of a marked text earns the same is for a person to say."""
    rows = [row("ann"), row("bob"), row("cem", answer=" Rank 1 is enough.\r\n")]
    digest = answer_digest("Rank 1 is enough.")
    found = apply_marks(rows, {("bob", WRITTEN.id, digest): Mark(2, "Why?", 3)})
    assert [one.results[-1].status for one in found] == [AWAITS, MARKED, AWAITS]
    assert [one.results[-1].points for one in found] == [0, 2, 0]
    assert [line["Grade"] for line in table(lms_csv(found, LESSON))] == ["", "32", ""]


def test_a_comment_without_points_leaves_the_answer_waiting_and_stays(tmp_path):
    path = tmp_path / "written.csv"
    save(path, [line(points="", comment="look again")])
    rows = write_all([row("ann")], LESSON, tmp_path)
    assert result(rows, "ann").status == AWAITS
    assert sheet(path)[0]["comment"] == "look again"


def test_code_is_never_marked_by_hand():
    rows = [row("ann")]
    first = rows[0].results[0]
    key = ("ann", first.exercise, answer_digest(first.answer))
    assert apply_marks(rows, {key: Mark(0, "", 2)}) == rows


def test_a_mark_above_what_the_exercise_is_worth_now_is_refused():
    key = ("ann", WRITTEN.id, answer_digest("Rank 1 is enough."))
    with pytest.raises(PeftlabError, match=r"5 points in written\.csv"):
        apply_marks([row("ann")], {key: Mark(5, "", 5)})


# --- the queue ------------------------------------------------------------------------------------


def test_the_queue_shows_answers_once_and_without_names():
    rows = [row("Ann Ominous"), row("Bob Benign"), row("Cem", answer="Another.")]
    page = written_html(rows, LESSON, {})
    assert page.count('class="card"') == 2
    assert page.count("2 submissions hold this same text") == 1
    assert "Ominous" not in page and "Benign" not in page
    code = answer_digest("Another.")[:8]
    assert code in page
    assert code in written_csv(rows, LESSON, {})


def test_names_and_answers_come_back_though_a_spreadsheet_would_change_them(tmp_path):
    names = ["007", "=1+1", "'quoted", "-dash", "1e5"]
    path = tmp_path / "written.csv"
    path.write_text(written_csv([row(name, answer=f"={name}") for name in names], LESSON, {}))
    assert {key[0] for key in read_marks(path)} == set(names)
    for cells in sheet(path):
        assert cells["submission"][0] == "'" and cells["answer"][0] == "'"
        with pytest.raises(ValueError):
            float(cells["answer_digest"])


# What can happen between two runs of the grader: submissions come, change and go; a person marks.
NAMES, ANSWERS = ("ann", "bob", "=c"), ("one", "two", "thrée\n=x", "")
comments = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
steps = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ANSWERS)),
        st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", "0", "1,5", "3"]), comments)),
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_no_mark_and_no_comment_is_ever_lost(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("out") / "written.csv"
    given: dict = {}
    for classroom, edits in steps:
        rows = [row(name, answer=answer) for name, answer in classroom.items()]
        marks = read_marks(path)
        path.write_bytes(written_csv(apply_marks(rows, marks), LESSON, marks).encode())
        lines = sheet(path)
        for place, points, comment in edits:
            if place < len(lines):
                cells = lines[place]
                cells["points"], cells["comment"] = points, comment
                key = (cells["submission"], cells["answer_digest"])
                given[key] = (points.replace(",", "."), comment)
        save(path, lines, delimiter=";", end="\r\n")
    marks = read_marks(path)
    path.write_bytes(written_csv([], LESSON, marks).encode())
    kept = {(one["submission"], one["answer_digest"]): one for one in sheet(path)}
    for key, (points, comment) in given.items():
        if points or comment:
            assert kept[key]["points"] == points
            assert plain(kept[key]["comment"]) == plain(comment)


def plain(comment: str) -> str:
    """A comment without the apostrophe that keeps it from being a formula; one kind of line end."""
    return comment.replace("\r\n", "\n").replace("\r", "\n").lstrip("'")


def test_a_run_that_is_not_finished_keeps_the_marks_of_everybody(tmp_path):
    rows = [row("ann"), row("bob", answer="Another.")]
    write_all(rows, LESSON, tmp_path)
    path = tmp_path / "written.csv"
    save(path, [cells | {"points": "3", "comment": "ok"} for cells in sheet(path)])
    write_all([], LESSON, tmp_path)
    finished = write_all(rows, LESSON, tmp_path)
    assert [one.results[-1].points for one in finished] == [3, 3]


def test_a_result_that_was_marked_before_follows_the_file():
    key = ("ann", WRITTEN.id, answer_digest("Rank 1 is enough."))
    (once,) = apply_marks([row("ann")], {key: Mark(1, "", 3)})
    (again,) = apply_marks([once], {key: Mark(3, "", 3)})
    assert again.results[-1] == replace(once.results[-1], points=3)
