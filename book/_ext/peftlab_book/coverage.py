"""``{coverage}``: every exercise and what guards it, from `peftcourse.exercises`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from peftlab_book.exercises import sentence
from peftlab_book.html import BookDirective, element, tag, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peftcourse.exercises.core import Exercise, Written
    from peftcourse.exercises.registry import Lesson

COLUMNS = ("Exercise", "Difficulty", "Points", "Minutes", "Hints", "Inputs", "What guards it")
# What a check makes of an answer, as tests/peftcourse/exercises/learners/measure.py records it.
ANSWERS = (
    "Lesson",
    "Wrong answers",
    "of them accepted",
    "cause named",
    "another cause named",
    "Right answers",
    "of them rejected",
)
RECORD = "learner_answers.json"
TOTALS = ("Lesson", "Exercises", "In words", "Points", "Minutes", "Hints", "Inputs", "Mistakes")


def row(kind: str, *cells: nodes.Node | str | int) -> element:
    """A table row of ``td`` or ``th`` cells, the first of which heads the row."""
    head, *rest = [text(str(cell)) if isinstance(cell, str | int) else cell for cell in cells]
    scope = "col" if kind == "th" else "row"
    others = [tag(kind, cell, scope="col") if kind == "th" else tag(kind, cell) for cell in rest]
    return tag("tr", tag("th", head, scope=scope), *others)


def table(
    caption: nodes.Node, columns: tuple[str, ...], body: list[element], foot: element
) -> element:
    """A table that scrolls within its own box, which the keyboard reaches too."""
    whole = tag(
        "table",
        tag("caption", caption),
        tag("thead", row("th", *columns)),
        tag("tbody", *body),
        tag("tfoot", foot),
        classes="table pl-coverage",
    )
    name = f"Table: {caption.astext()}"
    return tag("div", whole, classes="pl-wide", role="region", tabindex="0", aria_label=name)


def folded(summary: str, lines: list[nodes.Node]) -> element:
    """A line that opens to a list."""
    items = tag("ul", *(tag("li", line) for line in lines))
    return tag("details", tag("summary", text(summary)), items)


def guards(part: Exercise | Written) -> element:
    """The known mistakes of an exercise by name, or the rubric of a written one."""
    if part.kind == "written":
        lines = [text(f"{line.points}: {line.text}") for line in part.rubric]
        return folded(f"rubric of {len(lines)} criteria", lines)
    names = [nodes.literal("", mutant.id) for mutant in part.mutants]
    return folded(f"{len(names)} named mistakes", names)


def inputs(part: Exercise | Written) -> int:
    """How many cases an answer is judged on; a written one has none."""
    return 0 if part.kind == "written" else len(part.make_cases(0))


def mistakes(part: Exercise | Written) -> int:
    """How many typical wrong answers get a diagnosis of their own."""
    return 0 if part.kind == "written" else len(part.mutants)


def difficulty(part: Exercise | Written) -> element:
    """One to five dots."""
    dots = "●" * part.difficulty + "○" * (5 - part.difficulty)
    label = f"difficulty {part.difficulty} of 5"
    return tag("span", text(dots), classes="pl-difficulty", role="img", aria_label=label)


class Coverage(BookDirective):
    """A table of totals by lesson, and a table for each lesson."""

    has_content = False

    def render(self) -> list[nodes.Node]:
        import peftcourse.exercises

        for source in Path(peftcourse.exercises.__file__).parent.rglob("*.py"):
            self.env.note_dependency(str(source))
        lessons = list(peftcourse.exercises.LESSONS.values())
        everything = [part for lesson in lessons for part in lesson.parts]
        rows = [row("td", self.chapter(lesson), *self.sums(lesson.parts)) for lesson in lessons]
        total = row("td", "All lessons", *self.sums(everything))
        overall = table(text("What the labs ask, by lesson"), TOTALS, rows, total)
        return [overall, self.answers(lessons), *map(self.lesson, lessons)]

    def answers(self, lessons: Sequence[Lesson]) -> element:
        """What the checks made of answers written from the text of each exercise alone."""
        file = Path(__file__).resolve().parents[3] / "results" / RECORD
        self.env.note_dependency(str(file))
        recorded = json.loads(file.read_text(encoding="utf-8"))["numbers"]["lessons"]
        rows = [
            row("td", self.chapter(lesson), *self.answer_sums([recorded[lesson.name]]))
            for lesson in lessons
            if lesson.name in recorded
        ]
        total = row("td", "All lessons", *self.answer_sums(list(recorded.values())))
        caption = text(
            "Answers that learners give: what the checks make of them on 100 seeds (causes: on ten)"
        )
        return table(caption, ANSWERS, rows, total)

    @staticmethod
    def answer_sums(counts: Sequence[dict[str, int]]) -> list[str]:
        """The numbers of a row of `ANSWERS`; answers that a text leaves open are left out."""
        total = Counter()
        for count in counts:
            total.update(count)
        right = total["ok"] + total["REJECTED"]
        wrong = total.total() - right - total["open"]
        named = f"{total['named']} ({total['named'] / wrong:.1%})"
        accepted = total["ACCEPTED"] + total["CRASHED"]
        return [str(n) for n in (wrong, accepted, named, total["other cause"], right)] + [
            str(total["REJECTED"])
        ]

    def chapter(self, lesson: Lesson) -> nodes.Node:
        """The lesson's number and title, linked to its chapter where the book has one."""
        name = nodes.inline("", "", text(lesson.title.replace(" ", " · ", 1)))
        if lesson.name not in self.env.found_docs:
            return name
        link = addnodes.pending_xref(
            "",
            name,
            refdomain="std",
            reftype="doc",
            reftarget=f"/{lesson.name}",
            refdoc=self.env.docname,
            refexplicit=True,
            refwarn=True,
        )
        self.set_source_info(link)
        return nodes.inline("", "", link)  # Sphinx writes links within text only

    @staticmethod
    def sums(parts: Sequence[Exercise | Written]) -> list[int]:
        """The numbers of a row of `TOTALS`."""
        return [
            len(parts),
            sum(part.kind == "written" for part in parts),
            sum(part.points for part in parts),
            sum(part.minutes for part in parts),
            sum(len(part.hints) for part in parts),
            sum(map(inputs, parts)),
            sum(map(mistakes, parts)),
        ]

    def lesson(self, lesson: Lesson) -> element:
        """Its exercises in the order of its lab."""
        rows = []
        for part in lesson.parts:
            title, messages = self.state.inline_text(sentence(part.title), self.lineno)
            name = tag("span", *title, *messages, tag("div", nodes.literal("", part.id)))
            judged = str(inputs(part)) if part.kind == "code" else "–"
            facts = (part.points, part.minutes, len(part.hints), judged, guards(part))
            rows.append(row("td", name, difficulty(part), *facts))
        written, points, minutes, hints, cases, named = self.sums(lesson.parts)[1:]
        guarded = f"{named} named mistakes, {written} with a rubric"
        total = row("td", "Total", "", points, minutes, hints, cases, guarded)
        return table(self.chapter(lesson), COLUMNS, rows, total)


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("coverage", Coverage)
