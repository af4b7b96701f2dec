"""A verdict as HTML: the same words, nothing that could run, and links where there is a book."""

import re
from html.parser import HTMLParser
from pathlib import Path

import docutils.nodes
import pytest
from IPython.core.formatters import DisplayFormatter
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from peftcourse.exercises import LESSONS, find, notebook, shown
from peftcourse.exercises.feedback import Report, assess
from peftcourse.exercises.shown import Shown, anchor, book

ROOT = Path(__file__).resolve().parents[3]
DELTA = find("lora.delta")
PAGE = ("03_lora", DELTA.section)


class Words(HTMLParser):
    """The text of some HTML, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(autouse=True)
def no_book(monkeypatch):
    monkeypatch.setenv("PEFTLAB_BOOK", "")


@pytest.mark.parametrize("answer", [DELTA.solution, DELTA.mutants[0].answer, lambda A, B: A])
def test_html_has_the_words_of_the_text(answer):
    report = assess(DELTA, answer, 0)
    page = Shown(report, [("note", "a note")], PAGE)
    words = Words(page._repr_html_())
    assert repr(page) == f"{report}\nnote          a note"
    plain = re.sub(r"\s+", "", words.text)
    for label, text in report.rows[1:]:
        assert re.sub(r"\s+", "", label + text) in plain
    assert re.sub(r"\s+", "", report.rows[0][1]) in plain


def test_html_escapes_what_an_answer_says():
    report = Report("lora.delta", "your code raised", "<script>alert(1)</script>", '"<b>"', "&amp;")
    words = Words(Shown(report)._repr_html_())
    assert "<script>alert(1)</script>" in words.text and '"<b>"' in words.text
    assert {tag for tag, _ in words.tags} == {"div", "span", "table", "tr", "th", "td"}


def test_a_link_leads_to_the_section_where_the_book_has_an_address(monkeypatch):
    report = assess(DELTA, DELTA.solution, 0)
    assert "<a " not in Shown(report, page=PAGE)._repr_html_()
    monkeypatch.setenv("PEFTLAB_BOOK", "https://example.org/book/")
    [attrs] = [a for tag, a in Words(Shown(report, page=PAGE)._repr_html_()).tags if tag == "a"]
    assert attrs["href"] == f"https://example.org/book/03_lora.html#{anchor(DELTA.section)}"
    monkeypatch.setenv("PEFTLAB_BOOK", "javascript:alert(1)//")
    assert book() == ""


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=lambda lesson: lesson.name)
def test_every_section_is_a_heading_with_that_anchor(lesson):
    chapter = (ROOT / "book" / f"{lesson.name}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", chapter, re.MULTILINE)
    for part in lesson.parts:
        assert part.section in headings
        assert anchor(part.section) == docutils.nodes.make_id(part.section)


def test_a_notebook_gets_both_and_everything_else_the_text(monkeypatch, capsys):
    page = Shown(assess(DELTA, DELTA.solution, 0))
    data, _ = DisplayFormatter().format(page)
    assert data["text/plain"] == repr(page) and data["text/html"].startswith("<div")

    displayed = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    monkeypatch.setattr("IPython.get_ipython", lambda: type("Shell", (), {"kernel": 1})())
    for name, value in (("PEFTLAB_VERDICTS", "plain"), ("NBGRADER_EXECUTION", "validate")):
        monkeypatch.setenv(name, value)
        notebook.check("lora.delta", DELTA.solution)
        assert "correct · lora.delta" in capsys.readouterr().out and not displayed
        monkeypatch.delenv(name)
    monkeypatch.delenv("PEFTLAB_VERDICTS", raising=False)
    notebook.check("lora.delta", DELTA.solution)
    assert capsys.readouterr().out == "" and len(displayed) == 1
    assert shown.in_notebook()


def test_colours_have_enough_contrast():
    def luminance(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for _, colour in [*shown._LOOKS.values(), shown._WRONG]:
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5


def test_in_a_kernel_a_verdict_is_html_and_an_endless_loop_ends(monkeypatch, tmp_path):
    monkeypatch.delenv("PEFTLAB_VERDICTS", raising=False)
    cells = [
        "from peftcourse import check\nfrom peftcourse.exercises import notebook\n"
        "notebook.TIME_LIMIT = 0.2\n"
        "def endless(A, B, alpha):\n    while True:\n        A = A + 1",
        'check("lora.delta", endless)',
        'check("lora.delta", lambda A, B, alpha: alpha / A.shape[0] * (B @ A))',
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    stopped, right = ([dict(o.data) for o in cell.outputs] for cell in notebook.cells[1:])
    assert len(stopped) == len(right) == 1
    assert stopped[0]["text/plain"].startswith("status        not finished · lora.delta · seed=")
    assert "of your code: A = A + 1" in stopped[0]["text/plain"]
    assert right[0]["text/plain"].startswith("status        correct · lora.delta\n")
    assert "✓ correct" in right[0]["text/html"] and "<script" not in right[0]["text/html"]
