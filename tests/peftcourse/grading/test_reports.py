"""What is written from rows: tables, Gradescope's format, pages."""

import csv
import io
import json
import re
import string
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from graded import LESSON, WRITTEN, correct, row, wrong
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.exercises import feedback
from peftcourse.grading.people import CANVAS, MOODLE, Person
from peftcourse.grading.reports import summary, write_all
from peftcourse.grading.reports.classroom import classroom_html
from peftcourse.grading.reports.feedback import feedback_html
from peftcourse.grading.reports.gradescope import results_json
from peftcourse.grading.reports.queue import written_html
from peftcourse.grading.reports.tables import grades_csv, lms_csv
from peftcourse.grading.reports.text import ANSWER, FORMULA, LINE, number, visible
from peftcourse.grading.rows import MARKED, MISSING, STOPPED, UNJUDGED, UNREADABLE, Result
from peftlab.errors import PeftlabError

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></style><style>*{display:none}</style>",
    "{{ 7 * 7 }}{% raw %}",
    "<!-- ",
    "&lt;b&gt;",
    "`<i>code</i>` **<b>bold</b>**",
    "\x00\x1b[31m\u202egnirts\u2066\ud800\x85",
    "javascript:alert(1)",
]
text = st.one_of(
    st.sampled_from(NASTY),
    st.text(alphabet="<>\"'&`*/=x {}%\x00\r\n\t\u202e\ud800", min_size=1, max_size=30),
)


def table(document: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(document, newline="")))


class Page(HTMLParser):
    """Reads a page, and complains of elements that are not closed in order."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def nasty_row(word: str):
    """A row in which everything that can come from a submission holds the word."""
    first, second, *others = LESSON.exercises
    results = (
        replace(wrong(first, None, word), status=feedback.RAISED, action=word),
        Result(second.id, 0, second.points, STOPPED, word, word, word),
        *map(correct, others),
        Result(WRITTEN.id, 1, WRITTEN.points, MARKED, word, word, word, answer=word, comment=word),
    )
    return row("n", origin=word, notes=(word,), results=results, digest="d")


def pages(rows) -> dict[str, str]:
    return {
        "feedback": feedback_html(rows[0], LESSON),
        "classroom": classroom_html(rows, LESSON, {}),
        "written": written_html(rows, LESSON, {}),
    }


def tags(document: str) -> list[tuple[str, dict]]:
    """All tags but those of `code` and **bold**: a text can ask for them, and they do nothing."""
    # The code of a written answer depends on the answer.
    page = Page(re.sub(r"\ba[0-9a-f]{7}\b", "CODE", document))
    return [one for one in page.tags if one[0] not in ("code", "strong")]


# --- pages ----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(text)
def test_what_a_submission_wrote_adds_nothing_but_text_to_a_page(word):
    harmless = pages([nasty_row("harmless")])
    for name, document in pages([nasty_row(word)]).items():
        document.encode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", document)
        mine, theirs = tags(document), tags(harmless[name])
        assert mine == theirs


@pytest.mark.parametrize("word", ["<script>alert(1)</script>", "&lt;b&gt; \"quoted\" 'too'"])
def test_what_a_submission_wrote_is_shown_as_it_is(word):
    assert word in Page(feedback_html(nasty_row(word), LESSON)).text


def test_letters_that_garble_are_replaced_by_symbols():
    assert visible("a\x00b\u202ec\ud800\r\nd") == "a␀b⟨U+202E⟩c\ufffd\nd"


@pytest.mark.parametrize("name", ["feedback", "classroom", "written"])
def test_pages_stand_alone_and_have_a_language_and_ordered_headings(name):
    document = pages([row("ann", 3), row("bob", notes=("a note",))])[name]
    page = Page(document)
    assert page.tags[0] == ("html", {"lang": "en"})
    assert not re.search(r"https?://|//\w|url\(|@import", document)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "base"}
    assert len(page.ids) == len(set(page.ids))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    targets = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert all(target.startswith(("#", "feedback/", "written.html")) for target in targets)


def test_colours_of_text_reach_contrast_aa_on_both_themes():
    style = feedback_html(row("ann"), LESSON)
    themes = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colour = dict(re.findall(r"--(\w+): (#\w+)", theme))
        # The strongest colour of the map of misconceptions.
        heat = [int(value) for value in re.search(r"--heat: ([\d, ]+)", theme)[1].split(",")]
        page = rgb(colour["page"])
        hottest = [0.42 * h + 0.58 * p for h, p in zip(heat, page, strict=True)]
        assert contrast(rgb(colour["text"]), hottest) >= 4.5
        for name in ("text", "muted", "accent", "right", "wrong", "second"):
            for surface in ("page", "card"):
                assert contrast(rgb(colour[name]), rgb(colour[surface])) >= 4.5, (name, surface)


def rgb(colour: str) -> list[float]:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    return [int(digits[i : i + 2], 16) for i in (0, 2, 4)]


def contrast(one, other) -> float:
    """WCAG 2.2, contrast ratio."""

    def luminance(colour):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in (value / 255 for value in colour)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_feedback_shows_the_four_lines_and_the_points_of_each_exercise():
    page = Page(feedback_html(row("ann", 9), LESSON))
    for line in ("it means", "likely cause", "observed", "next", "✓ correct", "✗ wrong value"):
        assert line in page.text
    for part in LESSON.parts:
        assert part.slug in page.ids and part.title in page.text
    assert "27 of 33 points so far" in page.text
    assert "1 answer has still to be marked" in page.text


def test_the_model_answer_appears_only_once_the_answer_is_marked():
    start = WRITTEN.rubric[0].text[:20].replace("*", "")
    waiting = row("ann")
    marked = nasty_row("fine")
    assert "One answer that earns all points" not in Page(feedback_html(waiting, LESSON)).text
    assert "One answer that earns all points" in Page(feedback_html(marked, LESSON)).text
    assert start in Page(feedback_html(waiting, LESSON)).text


def test_an_unreadable_submission_is_told_why_and_gets_no_table():
    results = tuple(Result(part.id, 0, part.points, MISSING) for part in LESSON.parts)
    lost = row("ann", state=UNREADABLE, notes=("The file is empty.",), results=results)
    page = Page(feedback_html(lost, LESSON))
    assert "The file is empty." in page.text
    assert "table" not in {tag for tag, _ in page.tags}


def test_texts_are_bounded_and_written_answers_are_shown_whole():
    whole, long = "w" * ANSWER, "y" * (LINE + 50)
    results = (wrong(LESSON.exercises[0], None, long), row("ann", answer=whole).results[-1])
    document = feedback_html(row("ann", results=results), LESSON)
    assert whole in document
    assert "y" * (LINE + 1) not in document and "(50 more characters)" in document
    longer = row("ann", answer=whole + "w")
    assert "w" * (ANSWER + 1) not in feedback_html(longer, LESSON)


# --- the class report -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_small_class_has_a_report(size):
    rows = [row(name, 4) for name in string.ascii_lowercase[:size]]
    page = Page(classroom_html(rows, LESSON, {}))
    assert f"{size} submission" in page.text
    assert ("fewer than 10 submissions" in page.text) == bool(size)


def test_a_class_in_which_nothing_could_be_read_has_a_report():
    rows = [row(name, state=UNREADABLE, results=()) for name in "ab"]
    assert "Nothing to grade: 2" in Page(classroom_html(rows, LESSON, {})).text


def test_who_needs_a_person_is_named_with_a_link():
    first, *others = LESSON.exercises
    for status, words in ((UNJUDGED, "Could not be judged: 1"), (STOPPED, "Stopped answers: 1")):
        results = (Result(first.id, 0, 2, status), *map(correct, others))
        page = Page(classroom_html([row("ann b", results=results)], LESSON, {}))
        assert words in page.text
        assert ("a", {"href": "feedback/ann%20b.html"}) in page.tags


def test_identical_files_are_a_hint():
    rows = [row("ann", digest="same"), row("bob", digest="same"), row("cem"), row("d", digest="")]
    assert [[one.submission for one in group] for group in summary.identical(rows)] == [
        ["ann", "bob"]
    ]
    assert "byte for byte" in Page(classroom_html(rows, LESSON, {})).text


@given(st.lists(st.floats(0, 33), max_size=40), st.integers(1, 200))
def test_every_total_is_in_one_bar(totals, most):
    totals = [min(total, most) for total in totals]
    bars = summary.histogram(totals, most)
    assert sum(bar.count for bar in bars) == len(totals)
    assert len(bars) <= 12 and bars[0].low == 0 and bars[-1].high == most
    for bar in bars[:-1]:
        assert bar.count == sum(bar.low <= total < bar.high for total in totals)


def test_difficulty_counts_solved_wrong_and_waiting():
    rows = [row("a", 10), row("b", 1), row("c", 0)]
    first, *_, last = summary.difficulty(rows, LESSON)
    assert (first.solved, first.wrong, first.unattempted, first.waiting) == (2, 1, 0, 0)
    assert first.mean == pytest.approx(4 / 3)
    assert (last.waiting, last.mean) == (3, None)


def test_discrimination_is_high_where_the_good_solve_it_and_absent_where_it_means_nothing():
    rows = [row(f"s{n}", n) for n in range(1, 11)]
    found = {one.part.id: one for one in summary.difficulty(rows, LESSON)}
    assert found["lora.count"].discrimination > 0.7
    assert found["lora.delta"].discrimination is None
    assert found["lora.delta"].obstacle == "all solved it"
    few = summary.difficulty(rows[:9], LESSON)
    assert {one.obstacle for one in few} == {"fewer than 10 submissions"}


def test_misconceptions_are_ranked_and_the_rest_is_counted():
    first, *others = LESSON.exercises
    kinds = [0, 1, 1, None]
    rows = [
        row(f"s{n}", results=(wrong(first, kind), *map(correct, others)))
        for n, kind in enumerate(kinds)
    ]
    line = summary.mistakes(rows, LESSON)[0]
    ids = [mutant.id for mutant in first.mutants]
    assert [(one.mutant.id, one.count) for one in line.known[:3]] == [
        (ids[1], 2), (ids[0], 1), (ids[2], 0)
    ]  # fmt: skip
    assert line.other == 1 and line.known[0].share == 0.5
    page = Page(classroom_html(rows, LESSON, {}))
    assert "exactly …× too large and r = …" in page.text
    assert first.mutants[1].action in page.text


def test_only_times_that_can_be_one_are_counted():
    first = LESSON.exercises[0].id
    values = [1.0, 2.0, 3.0, float("nan"), float("inf"), -1.0, 1e9, "5", None]
    rows = [row(f"s{n}", times={first: value}) for n, value in enumerate(values)]
    _, found = summary.minutes(rows, LESSON)[0]
    assert found == summary.Spread(3, 1.5, 2.0, 2.5)
    assert "3 of 9 submissions" in Page(classroom_html(rows, LESSON, {})).text


# --- tables ---------------------------------------------------------------------------------------


def test_grades_have_a_line_per_submission_and_two_columns_per_exercise():
    first = LESSON.exercises[0].id
    head, *lines = table(grades_csv([row("bob", 1), row("ann", notes=("n1", "n2"))], LESSON))
    found = [dict(zip(head, line, strict=True)) for line in lines]
    assert [line["submission"] for line in found] == ["ann", "bob"]
    assert found[0]["points"] == "30" and found[0]["max_points"] == "33"
    assert found[1][first] == "2" and found[1][f"{first} status"] == "correct"
    assert found[1]["lora.init"] == "0" and found[1]["lora.init status"] == "wrong value"
    assert found[0]["notes"] == "n1; n2"


@given(st.text(max_size=20), st.sampled_from(sorted(FORMULA)))
def test_no_cell_of_a_table_is_a_formula(tail, start):
    nasty = row("x", notes=(start + tail,), origin=f"{start}{tail}/a.ipynb")
    nasty = replace(nasty, submission=start + tail)
    for document in (
        grades_csv([nasty], LESSON),
        lms_csv([nasty], LESSON, "moodle"),
        lms_csv([nasty], LESSON, "canvas"),
    ):
        document.encode()
        assert "\r" not in document and "\0" not in document
        rows = table(document)
        assert not [cell for line in rows for cell in line if cell.startswith(tuple(FORMULA))]
        assert {len(line) for line in rows} == {len(rows[0])}


def test_grades_depend_on_the_rows_alone():
    rows = [row("ann", 3, seconds=1.0), row("bob", seconds=2.0)]
    other = [replace(one, seconds=9.0, times={"lora.delta": 1.0}) for one in reversed(rows)]
    assert grades_csv(rows, LESSON) == grades_csv(other, LESSON)


def test_moodle_gets_the_names_and_numbers_of_its_own_folders():
    person = Person(MOODLE, "Ann de Vries", "314")
    graded = [replace(one, points=3, status=MARKED) if one.answer else one
              for one in row("x").results]  # fmt: skip
    rows = [row("ann", person=person, results=tuple(graded)), row("bob")]
    head, ann, bob = table(lms_csv(rows, LESSON))
    assert head[:4] == ["Identifier", "Full name", "Grade", "Maximum Grade"]
    assert head[4:] == ["Last modified (grade)", "Feedback comments"]
    assert ann[:4] == ["Participant 314", "Ann de Vries", "33", "33"]
    # An answer waits for a person: no grade yet.
    assert bob[:4] == ["bob", "bob", "", "33"] and "so far" in bob[5]


def test_canvas_gets_its_columns_and_the_points_possible():
    rows = [row("ann", person=Person(CANVAS, "vriesann", "77")), row("bob")]
    head, possible, ann, bob = table(lms_csv(rows, LESSON, "canvas"))
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", LESSON.title]
    assert possible == ["    Points Possible", "", "", "", "", "33"]
    assert ann[:2] == ["vriesann", "77"] and bob[:2] == ["bob", ""]


def test_an_unknown_format_is_refused():
    with pytest.raises(PeftlabError, match='"blackboard"; use moodle or canvas'):
        lms_csv([], LESSON, "blackboard")


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), (2.5, "2.5"), (0.0, "0"), (10, "10")])
def test_numbers_have_no_needless_zeros(value, shown):
    assert number(value) == shown


# --- Gradescope -----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(text)
def test_gradescope_gets_the_fields_and_types_of_its_specification(word):
    data = json.loads(results_json(nasty_row(word), LESSON).encode())
    assert data["score"] == pytest.approx(sum(test["score"] for test in data["tests"]))
    assert isinstance(data["output"], str)
    assert len(data["tests"]) == len(LESSON.parts)
    for test in data["tests"]:
        assert isinstance(test["score"], int | float) and isinstance(test["max_score"], int | float)
        assert 0 <= test["score"] <= test["max_score"]
        assert all(isinstance(test[key], str) for key in ("name", "number", "output"))
        assert test["status"] in ("passed", "failed")
        assert test["visibility"] in ("visible", "hidden", "after_due_date", "after_published")
        # Anything else would let Gradescope interpret what a submission wrote.
        assert test["output_format"] == "text"


def test_gradescope_shows_written_answers_only_with_the_published_grades():
    *code, words = json.loads(results_json(row("ann", 3), LESSON))["tests"]
    assert {test["visibility"] for test in code} == {"visible"}
    assert [test["status"] for test in code[:4]] == ["passed", "passed", "passed", "failed"]
    assert words["visibility"] == "after_published" and "status" not in words


# --- all of it ------------------------------------------------------------------------------------


def test_all_files_are_written_once_and_left_alone_when_nothing_changes(tmp_path):
    rows = [row("ann", 3), row("bob")]
    write_all(rows, LESSON, tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert names == {
        "grades.csv", "lms.csv", "report.html", "written.csv", "written.html",
        "feedback/ann.html", "feedback/bob.html", "gradescope/ann.json", "gradescope/bob.json",
    }  # fmt: skip
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in tmp_path.rglob("*.*")}
    write_all(rows[::-1], LESSON, tmp_path)
    assert before == {
        path: (path.stat().st_ino, path.read_bytes()) for path in tmp_path.rglob("*.*")
    }
    write_all([row("ann", 4), rows[1]], LESSON, tmp_path)
    bob = tmp_path / "feedback" / "bob.html"
    assert bob.stat().st_ino == before[bob][0]
    assert (tmp_path / "feedback" / "ann.html").stat().st_ino != before[
        tmp_path / "feedback" / "ann.html"
    ][0]


def test_a_wrong_format_writes_nothing(tmp_path):
    with pytest.raises(PeftlabError):
        write_all([row("ann")], LESSON, tmp_path, lms="x")
    assert not list(tmp_path.iterdir())
