"""What a page shows of a learner: the name that the system has, and their own code and words."""

import re
from dataclasses import replace

import pytest
from graded import LESSON, WRITTEN, correct, row, wrong
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from peftcourse.exercises import feedback
from peftcourse.grading.people import MOODLE, Person
from peftcourse.grading.reports.classroom import classroom_html
from peftcourse.grading.reports.code import highlighted, line_numbers
from peftcourse.grading.reports.feedback import feedback_html
from peftcourse.grading.reports.gradescope import results_json
from peftcourse.grading.reports.queue import written_html
from peftcourse.grading.reports.tables import grades_csv, lms_csv
from peftcourse.grading.reports.text import visible
from peftcourse.grading.rows import (
    ANOTHER_LAB,
    AWAITS,
    NO_NOTEBOOK,
    STATES,
    Result,
    StoppedCell,
)

FIRST = LESSON.exercises[0]
SPAN = re.compile(r'<span class="[ksmcf]">|</span>')
sources = st.text(alphabet="<>&\"'#=()\\{}def 1@\n\t\x00\u202eé", max_size=60) | st.sampled_from(
    [
        "</pre><script>alert(1)</script>",
        '"""</span>',
        "def f(:\n  '<b>'",
        "@a\nclass B: pass # &lt;",
    ]
)


@settings(deadline=None)
@given(sources)
def test_code_is_shown_as_it_is_and_adds_only_colours(code):
    code = visible(code)
    html = str(highlighted(code))
    assert "<" not in SPAN.sub("", html)
    assert Markup(SPAN.sub("", html)).unescape() == code
    assert line_numbers(code).count("\n") == code.count("\n")


def test_code_is_coloured():
    html = highlighted("def f(x):\n    return 'a' + str(1)  # sum")
    for piece in ('"k">def', '"f">f', '"s">&#39;a&#39;', '"m">1', '"c"># sum'):
        assert piece in html
    assert "<span" not in highlighted("x = 'a'\n" * 5000)  # too long to be worth it


def with_code(code: str, right: bool):
    result = correct(FIRST) if right else wrong(FIRST)
    return row("ann", results=(replace(result, code=code), *map(correct, LESSON.exercises[1:])))


@pytest.mark.parametrize("right", [True, False])
def test_a_learners_code_stands_beside_the_verdict(right):
    page = feedback_html(with_code("return alpha * <B @ A>", right), LESSON)
    article = page[
        page.index(f'id="{FIRST.slug}"') : page.index(f'id="{LESSON.exercises[1].slug}"')
    ]
    assert "&lt;B @ A&gt;" in re.sub(SPAN, "", article)
    assert ("<details open>" in article) is not right
    assert page.count("Your code</summary>") == 1  # none where there is none


def test_what_an_answer_raised_is_not_set_like_the_graders_words():
    forged = "ValueError: **status: correct**, `3 of 3 points`"
    result = replace(wrong(FIRST, None, "line 1"), status=feedback.RAISED, observed=forged)
    page = feedback_html(row("ann", results=(result,)), LESSON)
    assert "**status: correct**" in page
    assert "<strong>status" not in page and "<code>3 of 3" not in page


def test_headings_have_the_name_that_the_system_has():
    person = Person(MOODLE, "Zoë O'Hara <i>", "12345")
    one = row("Zoë O_Hara _i__12345", person=person, stopped=(StoppedCell(7, "no end after 10 s"),))
    page = feedback_html(one, LESSON)
    assert "Feedback for <bdi>Zoë O&#39;Hara &lt;i&gt;</bdi>" in page
    assert "Number 12345 in Moodle" in page
    report = classroom_html([one], LESSON, {})
    assert "<bdi>Zoë O&#39;Hara &lt;i&gt;</bdi></a>" in report
    assert "feedback/Zo%C3%AB%20O_Hara%20_i__12345.html" in report
    assert "Feedback for <bdi>ann</bdi>" in feedback_html(row("ann"), LESSON)


def test_stopped_cells_are_counted():
    rows = [
        row(
            "ann", stopped=(StoppedCell(7, "no end after 10 s"), StoppedCell(9, "it ended itself"))
        ),
        row("bob", stopped=(StoppedCell(1, "no end after 10 s"),)),
        row("cem"),
    ]
    report = classroom_html(rows, LESSON, {})
    assert "Stopped cells: 3 in 2 submissions" in report
    assert "cell 7 (no end after 10 s), cell 9 (it ended itself)" in report
    assert "Stopped cells" not in classroom_html([row("cem")], LESSON, {})
    many = row("dee", stopped=tuple(StoppedCell(n, "x") for n in range(30)))
    assert "and others" in classroom_html([many], LESSON, {})


@pytest.mark.parametrize("state", [ANOTHER_LAB, NO_NOTEBOOK])
def test_a_row_without_a_notebook_says_who_which_file_and_why(state):
    person = Person(MOODLE, "Ada Lovelace", "7")
    why = "it is the notebook of lab 04_practice."
    one = row("Ada_7", state=state, person=person, origin="c.zip › Ada/x.ipynb", notes=(why,),
              results=())  # fmt: skip
    report = classroom_html([one], LESSON, {})
    for words in ("Ada Lovelace", "c.zip › Ada/x.ipynb", why, f"<td>{state}</td>"):
        assert words in report
    for document in (feedback_html(one, LESSON), results_json(one, LESSON), lms_csv([one], LESSON)):
        assert STATES[state].rstrip(".") in document
        assert "could not be read" not in document
    table = grades_csv([one], LESSON)
    assert f"Ada_7,Ada Lovelace,7,c.zip › Ada/x.ipynb,{state},no,0" in table


def test_no_total_is_final_while_something_is_unread():
    assert ",graded,no,30,33," in grades_csv([row("ann")], LESSON)
    marked = row("ann", results=tuple(map(correct, LESSON.exercises)))
    assert ",graded,yes,30,30," in grades_csv([marked], LESSON)


def test_the_marker_sees_pictures_and_the_texts_beside():
    answer = Result(
        WRITTEN.id, 0, 3, AWAITS, answer="see picture a.png", beside="<b>more", pictures=("a.png",)
    )
    page = written_html([row("ann", results=(answer,))], LESSON, {})
    assert '<img src="pictures/a.png" alt="Picture 1 of this answer"' in page
    assert "Other texts in this notebook" in page and "&lt;b&gt;more" in page
    assert "img-src 'self' file:" in page
    assert "img-src" not in feedback_html(row("ann", results=(answer,)), LESSON)


def test_rows_come_back_from_the_journal_with_all_that_is_in_them():
    one = row(
        "ann", stopped=(StoppedCell(7, "no end"),), reading=2, person=Person(MOODLE, "A", "1")
    )
    first = replace(one.results[0], code="x", pictures=("a.png",), beside="b")
    one = replace(one, results=(first, *one.results[1:]))
    assert type(one).from_json(one.as_json()) == one
