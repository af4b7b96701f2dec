"""What somebody wrote reaches the marker: whole, wherever in the notebook it stands."""

import base64
import json

import pytest
from grading.cases.notebooks import ROOT, Notebook, code_cell, text
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.exercises.registry import LESSONS
from peftcourse.grading.marking import MAX_WRITTEN, _written
from peftcourse.grading.matching import match
from peftcourse.grading.notebooks import parse
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.pictures import Album
from peftcourse.grading.rows import AWAITS

LESSON = LESSONS["03_lora"]
LAB = LabOutline.read(ROOT, "03_lora")
[REPORT] = LESSON.written
PNG = b"\x89PNG\r\n\x1a\n" + b"the rest of a picture"


def words_cell(source: str, name: str = "w1", **more) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source, **more}


class Paper(Notebook):
    """A lab in which somebody writes."""

    def place(self, what: str) -> int:
        """Where the question stands, the place for the answer, or the lab's next cell."""
        answer = next(i for i, cell in enumerate(self.cells) if cell["id"] == REPORT.slug)
        return answer + {"question": -1, "answer": 0, "next": 1}[what]

    def put(self, cell: dict, what: str, after: int = 0) -> "Paper":
        self.cells.insert(self.place(what) + after, cell)
        return self

    def write(self, what: str, source: str) -> "Paper":
        self.cells[self.place(what)]["source"] = source
        return self

    def drop(self, what: str) -> "Paper":
        del self.cells[self.place(what)]
        return self

    def typed_into(self, what: str, more: str) -> "Paper":
        return self.write(what, text(self.cells[self.place(what)]) + more)

    def words(self, album: Album | None = None):
        return match(parse(self.bytes()).cells, LESSON, LAB, album).words[REPORT.id]


BELOW = words_cell("Seeds differ by 0.05.")
PLACES = {
    "in its place": lambda p: p.write("answer", "Seeds differ by 0.05."),
    "below": lambda p: p.put(BELOW, "next"),
    "below a deleted place": lambda p: p.put(BELOW, "next").drop("answer"),
    "above the place": lambda p: p.put(BELOW, "answer"),
    "above the question": lambda p: p.put(BELOW, "question"),
    "in the question": lambda p: p.typed_into("question", "\n\nSeeds differ by 0.05."),
    "in the lab's next cell": lambda p: p.typed_into("next", "\n\nSeeds differ by 0.05."),
    "a comment in code": lambda p: p.put(code_cell("# Seeds differ by 0.05.", "c"), "next"),
    "a text in code": lambda p: p.put(code_cell('"""\nSeeds differ by 0.05.\n"""', "c"), "next"),
    "code that prints": lambda p: p.put(code_cell('print("Seeds differ by 0.05.")', "c"), "next"),
    "a raw cell": lambda p: p.put({**BELOW, "cell_type": "raw"}, "next"),
    "the place as code": lambda p: p.cells[p.place("answer")].update(
        cell_type="code", source="# Seeds differ by 0.05."
    ),
    "at the end": lambda p: p.cells.append(BELOW),
    "at the start": lambda p: p.cells.insert(0, BELOW),
    "comments above the question": lambda p: p.put(
        code_cell("# Seeds differ by 0.05.", "c"), "question"
    ),
}


@pytest.mark.parametrize("put", PLACES.values(), ids=PLACES)
def test_an_answer_is_found_wherever_it_stands(put):
    paper = Paper()
    put(paper)
    words = paper.words()
    assert "Seeds differ by 0.05." in words.text
    assert "Write your answer here" not in words.text and REPORT.title not in words.text


def test_an_untouched_lab_has_no_words():
    words = Paper().words()
    assert (words.text, words.beside, words.notes) == ("", "", ())


def test_an_answer_in_several_cells_is_shown_whole_and_in_order():
    paper = Paper().write("answer", "First.")
    for source in ("Third.", "second = 2"):
        cell = words_cell(source) if source[0] == "T" else code_cell(source, "c")
        paper.put(cell, "answer", after=1)
    words = paper.put(words_cell("Before all.", "w0"), "answer").words()
    assert words.text == "Before all.\n\nFirst.\n\nsecond = 2\n\nThird."
    assert words.notes == (f"answer to {REPORT.id}: it stands in 4 cells; all of them count",)


def test_other_texts_are_shown_beside_the_answer():
    paper = Paper().write("answer", "See the end.")
    paper.cells.insert(3, code_cell("x = 1  # mine", "c"))
    words = paper.put(words_cell("The end.", "w"), "next", after=2).words()
    assert (words.text, words.beside) == ("See the end.", "The end.")


def test_a_lab_of_another_release_is_not_taken_for_the_learners_words():
    """Its next cell has other words than this release's, and proves to be a lab's by its id."""
    path = "/".join((str(ROOT), "labs", "04_practice.ipynb"))
    with open(path, encoding="utf-8") as file:
        strangers = json.load(file)["cells"][:3]
    paper = Paper().write("answer", "Mine.")
    for cell in reversed(strangers):
        paper.put(cell, "next")
    words = paper.words()
    assert (words.text, words.beside) == ("Mine.", "")


def test_cells_without_ids_as_older_formats_have_them():
    paper = Paper().put(BELOW, "next")
    for cell in paper.cells:
        del cell["id"]
    assert paper.words().text == "Seeds differ by 0.05."


def test_pictures_reach_the_marker(tmp_path):
    encoded = base64.b64encode(PNG).decode()
    attached = words_cell(
        "![](attachment:image.png)\n\nThe curves.",
        attachments={
            "image.png": {"image/png": encoded},
            "more.svg": {"image/svg+xml": "PHN2Zz4="},
        },
    )
    pasted = words_cell(f"![p](data:image/png;base64,{encoded}) and picture 7", "w2")
    paper = Paper().put(pasted, "next").put(attached, "next")
    words = paper.words(Album(tmp_path / "pictures"))
    [name] = words.pictures
    assert (tmp_path / "pictures" / name).read_bytes() == PNG
    assert words.text == (
        f"![](picture {name})\n\nThe curves.\n"
        "(a picture that is not shown (it is neither PNG, JPEG nor GIF): open the notebook)\n\n"
        f"![p](picture {name}) and picture 7"
    )
    assert paper.words().text == words.text  # without a folder nothing is written


@pytest.mark.parametrize(
    "data",
    ["A" * 3, "%%%", base64.b64encode(b"<svg>").decode(), "", base64.b64encode(PNG[:4]).decode()],
)
def test_what_is_no_picture_is_not_kept(data, tmp_path):
    cell = words_cell(f"![](data:image/png;base64,{data})")
    words = Paper().put(cell, "next").words(Album(tmp_path / "pictures"))
    assert words.pictures == () and "open the notebook" in words.text
    assert not (tmp_path / "pictures").exists()


def test_a_very_long_answer_says_how_much_more_there_is():
    words = Paper().write("answer", "word " * 30_000).words()
    result = _written(REPORT, words)
    assert result.status == AWAITS
    more = len(words.text) - MAX_WRITTEN
    assert result.answer.endswith(f"[{more:,} more characters: open the notebook]")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# one\n\n# two", True),
        ("'a text'", True),
        ('"""one\ntwo"""', True),
        ('"""one"""  ;', True),
        ("%%markdown\nwords", True),
        ('"""one\n""" + str(1)', False),
        ("x = 1  # no", False),
        ("# yes\nx()", False),
        ("'''" * 100_000 + "x", False),
    ],
)
def test_words_in_a_cell_of_code(source, expected):
    """Elsewhere than at a question, code is not shown to the marker; texts are."""
    paper = Paper()
    paper.cells.append(code_cell(source, "c"))
    assert bool(paper.words().text) is expected


SOURCES = st.sampled_from(["My words 1.", "# my words 2", "x = 'my words 3'", " \n"])
KINDS = st.sampled_from(["markdown", "code", "raw"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 80), KINDS, SOURCES), max_size=4), st.booleans())
def test_no_text_is_lost_wherever_cells_are_put(cells, emptied):
    """All that is not code of the learner's own is in the answer or beside it."""
    paper = Paper()
    if emptied:
        paper.drop("answer")
    for place, kind, source in cells:
        cell = {**words_cell(source, f"n{place}"), "cell_type": kind}
        paper.cells.insert(min(place, len(paper.cells)), cell)
    words = paper.words()
    shown = words.text + words.beside
    for _, kind, source in cells:
        if kind != "code" or source.startswith("#"):
            assert source.strip() in shown
    assert bool(words.text) or not shown
    for cell in Notebook().cells:
        assert len(text(cell)) < 20 or text(cell) not in shown
