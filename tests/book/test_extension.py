"""The book's own directives: what they render, and that bad content fails the build."""

import io
import json
import re
import sys
from collections import Counter
from html import unescape
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

BOOK = Path(__file__).resolve().parents[2] / "book"
# docutils and Sphinx announce their own deprecations.
pytestmark = pytest.mark.filterwarnings("ignore")

CONF = """
import sys
sys.path.insert(0, {ext!r})
extensions = ["myst_parser", "peftlab_book"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
html_theme = "basic"
"""


@pytest.fixture
def build(tmp_path):
    """Build one page; returns (its html, the warnings)."""
    sys.path.insert(0, str(BOOK / "_ext"))

    def run(text, **files):
        source, out = tmp_path / "source", tmp_path / "out"
        source.mkdir(exist_ok=True)
        (source / "conf.py").write_text(CONF.format(ext=str(BOOK / "_ext")))
        (source / "index.md").write_text(f"# Title\n\n{text}\n")
        for name, content in files.items():
            (source / ".".join(name.rsplit("_", 1))).write_bytes(content)
        warnings = io.StringIO()
        with docutils_namespace():
            app = Sphinx(
                source,
                source,
                out,
                tmp_path / "doctrees",
                "html",
                status=None,
                warning=warnings,
                freshenv=True,
            )
            app.build()
        clean = re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue())
        return (out / "index.html").read_text(encoding="utf-8"), clean

    yield run
    sys.path.remove(str(BOOK / "_ext"))


PREDICT = """
```{predict}
:cover: 1
What is $1 + 1$?

- [ ] `1`
- [x] `2`
---
It is **two**.
```
"""

QUIZ = """
```{quiz}
Which matrix starts at zero?

- [ ] $A$

  Then nothing would train.
- [x] $B$

  Right: `base(x)` is unchanged.
---
Which of these merge?

- [x] LoRA

  Linear.
- [x] DoRA

  Linear too.
- [ ] Adapters

  They bend.
```
"""


def test_a_prediction_shows_question_choices_and_a_folded_answer(build):
    html, warnings = build(PREDICT)
    assert warnings == ""
    assert 'data-cover="1"' in html
    assert html.count('type="radio"') == 2
    assert re.search(r"<details[^>]*>.*<strong>two</strong>.*</details>", html, re.DOTALL)
    assert '<span class="math' in html
    assert "[x]" not in html


def test_a_prediction_without_choices_takes_text(build):
    html, warnings = build("```{predict}\nHow many?\n---\nTwelve.\n```")
    assert warnings == ""
    assert "<textarea" in html


def test_a_quiz_has_feedback_for_every_choice(build):
    html, warnings = build(QUIZ)
    assert warnings == ""
    assert html.count('type="radio"') == 2
    assert html.count('type="checkbox"') == 3
    assert "More than one is right." in html
    assert html.count("pl-feedback") == 5
    assert html.count("pl-choice pl-right") == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```{predict}\nA question?\n```", "has 1 part"),
        ("```{predict}\n- [ ] a\n- [x] b\n---\nAnswer\n```", "has no question"),
        ("```{predict}\nQ?\n\n- [ ] a\n---\nAnswer\n```", "has one choice"),
        ("```{predict}\nQ?\n\n- [ ] a\n- b\n---\nAnswer\n```", "lacks its mark"),
        ("```{quiz}\nQ?\n\n- [ ] a\n\n  no\n- [ ] b\n\n  no\n```", "no right choice"),
        ("```{quiz}\nQ?\n\n- [x] a\n- [ ] b\n\n  no\n```", "“a”, has no feedback"),
        ("```{quiz}\nQ?\n\n- [x] a\n\n  yes\n```", "needs two or more choices"),
        ("```{exercise-list} nothing\n```", "no exercise of the lesson “nothing”"),
    ],
)
def test_content_that_cannot_be_rendered_is_a_warning_with_its_place(build, text, message):
    _, warnings = build(text)
    assert message in warnings
    assert re.search(r"index\.md:\d+: (WARNING|ERROR)", warnings)


def test_the_exercises_of_a_lesson_are_listed_with_their_points(build):
    from peftcourse.exercises import LESSONS

    html, warnings = build("```{exercise-list} lora\n```")
    assert warnings == ""
    lesson = LESSONS["03_lora"]
    assert all(part.id in html for part in lesson.parts)
    assert f"{len(lesson.parts)} exercises, {lesson.points} points" in html
    assert html.count("marked by a person") == len(lesson.written)


def rows(html):
    """The text of each cell of each table row, the tags of the cells left out."""
    found = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in found]
    return [[re.sub(r"<[^>]+>|\s+", " ", cell).strip() for cell in row] for row in cells]


def test_the_coverage_table_lists_every_exercise_and_adds_up(build):
    from peftcourse.exercises import LESSONS

    html, warnings = build("```{coverage}\n```")
    assert warnings == ""
    by_exercise = {row[0].split()[-1]: row for row in rows(html)}
    for lesson in LESSONS.values():
        for part in lesson.parts:
            row = by_exercise[part.id]
            assert row[2:5] == [str(part.points), str(part.minutes), str(len(part.hints))]
            if part.kind == "written":
                assert row[5] == "–"
                assert row[6].startswith(f"rubric of {len(part.rubric)} criteria")
            else:
                assert row[5] == str(len(part.make_cases(0)))
                assert row[6].split() == [
                    *f"{len(part.mutants)} named mistakes".split(),
                    *(mutant.id for mutant in part.mutants),
                ]
    parts = [part for lesson in LESSONS.values() for part in lesson.parts]
    total, of_answers = [row for row in rows(html) if row[0] == "All lessons"]
    recorded = json.loads((BOOK.parent / "results" / "learner_answers.json").read_text())
    counts = Counter()
    for row in recorded["numbers"]["lessons"].values():
        counts.update(row)
    assert int(of_answers[1]) + int(of_answers[5]) == counts.total() - counts["open"]
    assert of_answers[2] == str(counts["ACCEPTED"]) and of_answers[6] == str(counts["REJECTED"])
    assert total[1] == str(len(parts)) and total[3] == str(sum(part.points for part in parts))
    mutants = sum(len(part.mutants) for part in parts if part.kind == "code")
    assert total[-1] == str(mutants)


def test_a_lesson_that_is_registered_is_in_the_coverage_table(build, monkeypatch):
    from dataclasses import replace

    from peftcourse.exercises import LESSONS

    new = replace(LESSONS["03_lora"], name="99_new", title="99 Something new")
    monkeypatch.setitem(LESSONS, "99_new", new)
    html, warnings = build("```{coverage}\n```")
    assert warnings == ""
    assert html.count("99 · Something new") == 3  # among the totals, as a caption and its label


def test_the_coverage_table_links_to_the_chapters_there_are(build):
    chapter = b"---\norphan: true\n---\n# LoRA\n"
    html, warnings = build("```{coverage}\n```", **{"03_lora_md": chapter})
    assert warnings == ""
    assert html.count('href="03_lora.html"') == 3
    assert "05_dora.html" not in html


def test_the_compatibility_table_shows_every_cell_and_every_reason(build):
    record = BOOK.parent / "results" / "parity_families.json"
    cells = json.loads(record.read_text(encoding="utf-8"))["numbers"]["cells"]
    html, warnings = build("```{compatibility}\n```")
    assert warnings == ""
    marks = re.findall(r"<td[^>]*>\s*([✓–✗])\s*</td>", html)
    verdicts = Counter(cell["verdict"] for cell in cells)
    assert Counter(marks) == {"✓": verdicts["works"], "–": verdicts["refused"]} | (
        {"✗": verdicts["wrong"]} if verdicts["wrong"] else {}
    )
    plain = unescape(re.sub("<[^>]+>", "", html))
    assert all(cell["reason"] in plain for cell in cells)


def test_the_tests_that_the_coverage_page_names_exist():
    page = (BOOK / "coverage.md").read_text(encoding="utf-8")
    files = {name: (BOOK.parent / name) for name in re.findall(r"`(tests/[\w/]+\.py)`", page)}
    sources = "\n".join(path.read_text(encoding="utf-8") for path in files.values())
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) >= 8
    assert all(f"def {name}(" in sources for name in named)


def test_an_exercise_links_to_its_section_where_the_page_has_it(build):
    from peftcourse.exercises import EXERCISES

    section = EXERCISES["lora.merge"].section
    html, warnings = build(f"## {section}\n\n```{{exercise-list}} lora\n```")
    assert warnings == ""
    link = re.search(rf'<a[^>]* href="#([\w-]+)">{section}</a>', html)
    assert f'<section id="{link[1]}"' in html


def test_boxes_have_their_titles(build):
    html, warnings = build(":::{objectives}\n- one\n:::\n\n:::{misconception}\ntwo\n:::")
    assert warnings == ""
    assert "What you will be able to do" in html
    assert "What people get wrong" in html


PIXEL = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f"
    b"\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa75\x81\x84\x00\x00"
    b"\x00\x00IEND\xaeB`\x82"
)


def test_an_image_without_words_is_a_warning(build):
    _, warnings = build("```{image} dot.png\n```", dot_png=PIXEL)
    assert "has no alt text" in warnings
    _, warnings = build("```{image} dot.png\n:alt: A dot.\n```", dot_png=PIXEL)
    assert warnings == ""


def test_a_figure_without_a_caption_is_a_warning(build):
    drawing = '<figure class="pl-figure"><div role="img" aria-label="{}"></div>{}</figure>'
    _, warnings = build(drawing.format("A line rises.", ""))
    assert "no caption" in warnings
    _, warnings = build(drawing.format("", "<figcaption>It rises.</figcaption>"))
    assert "no aria-label" in warnings
    _, warnings = build(drawing.format("A line rises.", "<figcaption>It rises.</figcaption>"))
    assert warnings == ""
