"""``{exercise-list} lora``: the banners of a lesson's exercises, from `peftcourse.exercises`."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from peftlab_book.html import BookDirective, tag, text


class SectionLink(nodes.inline):
    """The title of a section; becomes a link on the page that has this section."""


def sentence(words: str) -> str:
    """Titles and objectives are written to stand within a sentence; here they begin one."""
    return words[:1].upper() + words[1:]


def link_sections(app: Sphinx, doctree: nodes.document) -> None:
    """Point each `SectionLink` at the section of its page that bears the title."""
    ids = {section[0].astext(): section["ids"][0] for section in doctree.findall(nodes.section)}
    for link in list(doctree.findall(SectionLink)):
        title = link["section"]
        if title in ids:
            target = nodes.reference("", title, refid=ids[title])
            link.replace_self(nodes.inline("", "", target))
        else:
            link.replace_self(nodes.Text(title))


class ExerciseList(BookDirective):
    """Every exercise whose id starts with the lesson's name and a dot."""

    required_arguments = 1
    has_content = False

    def render(self) -> list[nodes.Node]:
        import peftcourse.exercises

        for source in Path(peftcourse.exercises.__file__).parent.rglob("*.py"):
            self.env.note_dependency(str(source))
        lesson = self.arguments[0]
        parts = [part for each in peftcourse.exercises.LESSONS.values() for part in each.parts]
        chosen = [part for part in parts if part.id.startswith(f"{lesson}.")]
        if not chosen:
            lessons = ", ".join(sorted({part.id.partition(".")[0] for part in parts})) or "none"
            self.fail(f"no exercise of the lesson “{lesson}”; there are exercises of: {lessons}")

        listing = tag("ol", classes="pl-exercises")
        for exercise in chosen:
            difficulty = "●" * exercise.difficulty + "○" * (5 - exercise.difficulty)
            marked = "marked by a person · " if exercise.kind == "written" else ""
            objective, messages = self.state.inline_text(sentence(exercise.objective), self.lineno)
            facts = tag(
                "p",
                tag(
                    "span",
                    text(difficulty),
                    classes="pl-difficulty",
                    role="img",
                    aria_label=f"difficulty {exercise.difficulty} of 5",
                ),
                text(f" {exercise.minutes} min · {exercise.points} points · {marked}"),
                nodes.literal("", exercise.id),
                text(" · "),
                SectionLink("", exercise.section, section=exercise.section),
                classes="pl-facts",
            )
            title = tag("p", text(sentence(exercise.title)), classes="pl-exercise-title")
            body = nodes.paragraph("", "", *objective)
            listing += tag("li", title, facts, body, *messages)
        minutes = sum(exercise.minutes for exercise in chosen)
        points = sum(exercise.points for exercise in chosen)
        total = f"{len(chosen)} exercises, {points} points, about {minutes} minutes."
        return [listing, tag("p", text(total), classes="pl-note")]


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("exercise-list", ExerciseList)
    app.connect("doctree-read", link_sections)
