"""What the cells between exercises may do: run what the learner wrote, and never write it out."""

import io
import keyword
import re
import textwrap
import tokenize
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from peftcourse import labs
from peftcourse.exercises import LESSONS
from peftcourse.labs.generate import ANSWER

ROOT = Path(__file__).resolve().parents[3]
# As many tokens in a row that an answer and a cell have in common are no accident, nor are fewer
# if two of them are names of functions or methods.
MANY, SEVERAL = 12, 9


def statements(source: str) -> list[list[str]]:
    """The tokens of each statement; a variable is as good as any other, and so is a number."""
    left_out = {
        tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.STRING,
        tokenize.ENDMARKER,
    }  # fmt: skip
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in left_out
    ]
    found: list[list[str]] = [[]]
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        word = token.string
        if token.type == tokenize.NEWLINE:
            found.append([])
            continue
        called = (before and before.string == ".") or (after and after.string == "(")
        variable = token.type == tokenize.NAME and not keyword.iskeyword(word) and not called
        found[-1].append("_" if variable or token.type == tokenize.NUMBER else word)
    return [statement for statement in found if statement]


def in_common(one: list[str], other: list[str]) -> list[str]:
    """The longest run of tokens in both, if it is long enough to tell something."""
    match = SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
    run = one[match.a : match.a + match.size]
    names = [t for t in run if t.isidentifier() and t != "_" and not keyword.iskeyword(t)]
    return run if len(run) >= MANY or (len(run) >= SEVERAL and len(names) >= 2) else []


def given_away(source: Path, root: Path) -> Iterator[str]:
    """What the cells between an exercise and the next one have in common with its answer."""
    _, solution = labs.generate(source, root)
    exercise, answer = "", []
    for cell in solution.cells:
        if cell.cell_type != "code":
            if cell.source.startswith("### Exercise"):
                answer = []
        elif ANSWER.search(cell.source):
            blocks = [textwrap.dedent(match[2]) for match in ANSWER.finditer(cell.source)]
            exercise, answer = cell.id, [s for block in blocks for s in statements(block)]
        elif not re.match(r"check\(", cell.source):
            for statement in statements(cell.source) if answer else ():
                for own in answer:
                    if run := in_common(own, statement):
                        yield f"{exercise}: {' '.join(run)}"


@pytest.mark.parametrize("name", LESSONS)
def test_no_cell_below_an_exercise_contains_its_answer(name):
    assert not list(given_away(ROOT / "solutions" / f"{name}.md", ROOT))


@pytest.mark.parametrize("name", LESSONS)
def test_what_a_lab_runs_of_the_learner_s_has_had_its_check(name):
    """`yours` asks for an exercise of this lab whose check stands above."""
    student, _ = labs.generate(ROOT / "solutions" / f"{name}.md", ROOT)
    checked: set[str] = set()
    for cell in student.cells:
        if cell.cell_type == "code":
            checked |= set(re.findall(r'^check\("([\w.]+)"', cell.source, re.MULTILINE))
            assert set(re.findall(r'\byours\("([\w.]+)"', cell.source)) <= checked
    assert checked == {exercise.id for exercise in LESSONS[name].exercises}


@pytest.mark.parametrize("name", LESSONS)
def test_a_lab_brings_all_that_it_offers_in_one_line(name):
    source = (ROOT / "solutions" / f"{name}.md").read_text(encoding="utf-8")
    [line] = re.findall(r"^from peftcourse import (.+)$", source, re.MULTILINE)
    assert line.startswith("check, hint, case, solution, progress, yours")


@pytest.mark.parametrize(
    ("answer", "below"),
    [
        (
            "positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0) + tokens",
            "places = (padded.cumsum(dim=1) - 1).clamp(min=0)",
        ),
        (
            "over = scores.mean(dim=0).std() / math.sqrt(scores.shape[1])",
            "error = (by_note.std() / math.sqrt(len(by_note))).item()",
        ),
        (
            "d = torch.tensor([first[seed] - second[seed] for seed in first if seed in second])",
            "found = t_interval([run[seed] - reference[seed] for seed in SEEDS])",
        ),
    ],
)
def test_an_answer_in_other_words_is_found(answer, below):
    [one], [other] = statements(answer), statements(below)
    assert in_common(one, other)


def test_what_any_code_has_is_no_answer():
    [one], [other] = (
        statements(line)
        for line in ("x = y.weight.detach().clone()", "original = layer.A.detach().clone()")
    )
    assert not in_common(one, other)
