"""No answer stands uncovered above or beside its question: assertions fold, text waits."""

import re
import subprocess
import sys

import pytest

from book import execution

EXTENSIONS = str(execution.BOOK / "_ext")


@pytest.fixture(scope="module")
def split():
    sys.path.insert(0, EXTENSIONS)
    from peftlab_book.assertions import split

    yield split
    sys.path.remove(EXTENSIONS)


CELL = """\
value = 6 * 7
# That is
assert value == 42

assert value > 0
print(value)
for one in (1, 2):
    print(one)
    assert (
        one < 3
    )
for one in (1, 2):
    if one:
        assert one


def shape(x):
    assert x
    return x"""


LAST_ASSERTIONS = """\
    assert (
        one < 3
    )
for one in (1, 2):
    if one:
        assert one"""


def test_code_is_cut_where_it_asserts(split):
    assert split(CELL) == [
        ("value = 6 * 7\n# That is", 0),
        ("assert value == 42\n\nassert value > 0", 2),
        ("print(value)\nfor one in (1, 2):\n    print(one)", 0),
        (LAST_ASSERTIONS, 2),
        ("def shape(x):\n    assert x\n    return x", 0),
    ]
    assert split("x = 1") == [("x = 1", 0)] and split("assert 1") == [("assert 1", 1)]


PAGE = """---
kernelspec:
  name: python3
  display_name: Python 3
jupytext:
  text_representation:
    format_name: myst
---

# Title

```{code-cell} python
value = 6 * 7
print(value)
assert value == 42
```

```{code-cell} python
:tags: [hide-input]
assert value == 43
```
"""


def test_a_page_folds_the_assertions_of_its_visible_cells(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {EXTENSIONS!r})\n"
        'extensions = ["myst_nb", "peftlab_book"]\nhtml_theme = "basic"\n'
        'nb_execution_mode = "off"\n'
    )
    (source / "index.md").write_text(PAGE)
    # In a process of its own: myst_nb would take over the Markdown of other tests.
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", source, out]
    built = subprocess.run(command, capture_output=True, text=True, check=True)
    # Without an execution nobody says in which language the cells are; nothing else is amiss.
    assert all("myst-nb.lexer" in line for line in built.stderr.splitlines()), built.stderr
    html = (out / "index.html").read_text(encoding="utf-8")
    [fold] = re.findall(r'<details class="pl-assertions">(.*?)</details>', html, re.DOTALL)
    assert "Checked: 1 assertion<" in fold
    text = re.sub(r"<[^>]+>", "", fold)
    assert "assert value == 42" in text and "print" not in text
    shown = re.sub(r"<details.*?</details>", "", html, flags=re.DOTALL)
    shown = re.sub(r"<[^>]+>", "", shown)
    assert "value = 6 * 7" in shown and "assert" not in shown


def parts(chapter):
    """A page's cells, questions, headings and text, in order, as (kind, content)."""
    text = chapter.read_text(encoding="utf-8")
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    pattern = re.compile(
        r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[a-z-]+)\}.*?^(?P=fence)$"
        r"|^(?P<heading>#{1,6} [^\n]*)$",
        re.DOTALL | re.MULTILINE,
    )
    found, end = [], 0
    for match in pattern.finditer(text):
        if text[end : match.start()].strip():
            found.append(("text", text[end : match.start()].strip()))
        found.append((match["name"] or "heading", match[0]))
        end = match.end()
    return [*found, ("text", text[end:].strip())]


def sections(chapter):
    """The parts under each heading."""
    found = [[]]
    for kind, content in parts(chapter):
        if kind == "heading":
            found.append([])
        found[-1].append((kind, content))
    return found


def code_of(cell):
    """A cell's code, without its fences and options."""
    body = re.sub(r"\A---\n.*?\n---\n", "", "\n".join(cell.split("\n")[1:-1]), flags=re.DOTALL)
    return "\n".join(line for line in body.split("\n") if not line.startswith(":"))


def is_hidden(cell):
    return re.search(r"^:tags: \[.*(hide-input|hide-cell|remove-cell)", cell, re.MULTILINE)


@pytest.mark.parametrize("chapter", execution.chapters(), ids=lambda path: path.stem)
def test_no_assertion_of_a_chapter_shows(chapter, split):
    for kind, cell in parts(chapter):
        if kind == "code-cell" and not is_hidden(cell):
            shown = [piece for piece, number in split(code_of(cell)) if not number]
            # What is left inside functions is what the function does.
            outside = [p for p in shown if re.search(r"^\s*assert ", p, re.M) and "def " not in p]
            assert not outside, outside
            # No loop loses its body to the fold.
            assert not [piece for piece in shown if piece.rstrip().endswith(":")]


def questions(chapter):
    """For each prediction: (question and answer, cells covered, its section before and after)."""
    for section in sections(chapter):
        for place, (kind, content) in enumerate(section):
            if kind == "predict":
                cover = re.search(r"^:cover: (\d+)$", content, re.MULTILINE)
                count = int(cover[1]) if cover else 0
                yield content, count, section[:place], section[place + 1 :]


def visible_after(after, cover, split):
    """What a reader sees of the rest of a section before committing."""
    seen, cells, covering = [], 0, cover > 0
    for kind, content in after:
        if kind == "code-cell":
            cells += 1
            covering = cells <= cover
            if not is_hidden(content):
                seen += [piece for piece, number in split(code_of(content)) if not number]
        elif kind == "predict":
            covering = False
            seen.append(content.split("\n---\n")[0])
        elif kind == "text" and not covering:
            seen.append(content)
        elif kind == "literalinclude" and cells == cover:
            covering = False
    return seen


@pytest.mark.parametrize("chapter", execution.chapters(), ids=lambda path: path.stem)
def test_a_question_covers_the_result_that_answers_it(chapter):
    for content, cover, _, after in questions(chapter):
        kinds = [kind for kind, _ in after]
        upto = kinds.index("predict") if "predict" in kinds else len(kinds)
        cells = kinds[:upto].count("code-cell")
        assert min(cells, 1) <= cover <= cells, f"covers {cover} of {cells} cells: {content}"


def numbers(text):
    """The numbers in a text or code, however their thousands are set apart."""
    # "16-bit" is a name.
    found = re.findall(r"\d[\d,_]*(?:\.\d+)?(?:e-?\d+)?(?![\d.]|[- ]bit\b)", text)
    return {float(number.replace(",", "").replace("_", "")) for number in found}


@pytest.mark.parametrize("chapter", execution.chapters(), ids=lambda path: path.stem)
def test_the_number_of_a_right_choice_stands_nowhere_else_before_the_reader_commits(chapter, split):
    for content, cover, before, after in questions(chapter):
        question, _ = content.split("\n---\n", 1)
        stem = question.split("\n- [", 1)[0]
        choices = re.findall(r"^- \[([ x])\] (.*)$", question, re.MULTILINE)
        right = set().union(*(numbers(text) for mark, text in choices if mark == "x"), set())
        other = set().union(*(numbers(text) for mark, text in choices if mark == " "), set())
        telling = {n for n in right - other - numbers(stem) if n >= 10 or n % 1}
        seen = [c for kind, c in before if kind == "text"] + visible_after(after, cover, split)
        for number in telling:
            found = [text for text in seen if number in numbers(text)]
            assert not found, f"{number} of “{stem[-80:]}” stands in: {found}"
