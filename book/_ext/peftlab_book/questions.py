"""``{predict}`` and ``{quiz}``: the reader answers first.

Both are written as a question, a list of choices that start with ``[ ]`` (or ``[x]``, a right
one), and ``---`` between parts. Choices and feedback are ordinary MyST: mathematics and code work.

    ```{predict}                          ```{quiz}
    How many numbers does $BA$ hold?      Which matrix starts at zero?

    - [ ] $r \\cdot d$                      - [ ] $A$
    - [ ] $d^2$
    ---                                     If $A$ were zero too, neither would ever learn.
    $d^2$, but only $2rd$ are free.       - [x] $B$
    ```
                                            Yes: so training starts from the base model.
                                          ---
                                          The next question …
                                          ```

A ``{predict}`` without choices takes free text. ``:cover: 1`` hides the output of the next code
cell, and what stands from the question to the cell, file or heading after it, until the reader has
committed. Without JavaScript everything is there, the answers folded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx

from peftlab_book.html import BookDirective, ContentError, tag, text

MARK = re.compile(r"^\[([ xX])\]\s+")


@dataclass
class Choice:
    """One answer that the reader can pick."""

    label: list[nodes.Node]
    right: bool
    feedback: list[nodes.Node]


def take_choices(question: nodes.Element) -> list[Choice]:
    """Remove the list of choices from the end of a question.

    Args:
        question: Parsed content; loses its last child if that is a list of choices.

    Returns:
        The choices; empty if there is no such list.

    Raises:
        ContentError: Some items of the list start with ``[ ]`` or ``[x]`` and others do not.
    """
    if not (question.children and isinstance(question[-1], nodes.bullet_list)):
        return []
    items = [item.children for item in question[-1]]
    marks = [MARK.match(item[0].astext()) if item else None for item in items]
    if not any(marks):
        return []
    choices = []
    for item, mark in zip(items, marks, strict=True):
        if mark is None:
            raise ContentError("a choice lacks its mark; start each with `[ ]`, or `[x]` if right")
        label = item[0]
        label[0] = nodes.Text(MARK.sub("", label[0].astext()))
        choices.append(Choice(label.children, mark[1] != " ", item[1:]))
    question.pop()
    return choices


class Predict(BookDirective):
    """A question whose answer shows after the reader has committed to one."""

    option_spec: ClassVar = {"cover": directives.nonnegative_int}

    def render(self) -> list[nodes.Node]:
        parts = self.parts()
        if len(parts) != 2:
            self.fail(
                f"has {len(parts)} part(s) and needs two: the question, a line `---`, the answer"
            )
        question, answer = (self.parse(*part) for part in parts)
        identifier = self.unique_id("predict", question)
        choices = take_choices(question)
        if not question.children:
            self.fail("has no question before its choices")
        if not answer.children:
            self.fail("has no answer after `---`")
        if len(choices) == 1:
            self.fail("has one choice; give two or more, or none for free text")
        if any(choice.feedback for choice in choices):
            self.fail("explains a choice; put explanations after `---`, or use {quiz}")

        form = tag("form", classes="pl-form")
        legend = tag("legend", text("Your prediction"), classes="pl-hidden")
        fieldset = tag("fieldset", legend)
        for index, choice in enumerate(choices):
            fieldset += tag(
                "label",
                tag("input", type="radio", name=identifier, value=str(index)),
                tag("span", *choice.label, classes="pl-choice-text"),
                classes="pl-choice pl-right" if choice.right else "pl-choice",
            )
        if not choices:
            fieldset += tag(
                "textarea", rows="2", aria_label="Your prediction", placeholder="I expect …"
            )
        form += fieldset
        form += tag("button", text("Commit"), type="submit", classes="pl-button", hidden="hidden")

        card = tag(
            "section",
            tag("p", text("Predict"), classes="pl-label"),
            tag("div", *question.children, classes="pl-question-text"),
            form,
            tag("p", classes="pl-status", role="status"),
            tag(
                "details",
                tag("summary", text("Answer")),
                tag("div", *answer.children, classes="pl-answer-text"),
                classes="pl-answer",
            ),
            classes="pl-card pl-predict",
            aria_label="Predict",
            data_key=f"{self.env.docname}:{identifier}",
            data_cover=str(self.options.get("cover", 0)),
        )
        card["ids"].append(identifier)
        return [card]


class Quiz(BookDirective):
    """Questions with feedback for each choice."""

    def render(self) -> list[nodes.Node]:
        card = tag("section", classes="pl-card pl-quiz", aria_label="Quiz")
        card += tag("p", text("Quiz"), classes="pl-label")
        for number, part in enumerate(self.parts(), start=1):
            card += self.question(number, self.parse(*part))
        card += tag("p", classes="pl-status pl-score", role="status")
        return [card]

    def question(self, number: int, content: nodes.Element) -> nodes.Element:
        """Render one question.

        Args:
            number: Its place in the quiz, from 1.
            content: Its parsed text and choices.

        Raises:
            ContentError: It lacks a text, two choices, a right one, or feedback for each.
        """
        identifier = self.unique_id("quiz", content)
        choices = take_choices(content)
        if not content.children:
            self.fail(f"question {number} has no text before its choices")
        if len(choices) < 2:
            self.fail(
                f"question {number} needs two or more choices at its end, "
                "each `- [ ] …` or `- [x] …`"
            )
        right = sum(choice.right for choice in choices)
        if right == 0:
            self.fail(f"question {number} has no right choice; mark it `- [x]`")
        for choice in choices:
            if not choice.feedback:
                label = "".join(node.astext() for node in choice.label)
                self.fail(
                    f"question {number}, choice “{label}”, has no feedback; "
                    "add an indented paragraph below it"
                )

        kind = "radio" if right == 1 else "checkbox"
        heading = tag("div", *content.children, classes="pl-question-text")
        heading["ids"].append(f"{identifier}-text")
        form = tag(
            "form",
            classes="pl-form pl-question",
            role="radiogroup" if right == 1 else "group",
            aria_labelledby=f"{identifier}-text",
        )
        form += heading
        if right > 1:
            form += tag("p", text("More than one is right."), classes="pl-note")
        for index, choice in enumerate(choices):
            form += tag(
                "label",
                tag("input", type=kind, name=identifier, value=str(index)),
                tag("span", *choice.label, classes="pl-choice-text"),
                classes="pl-choice pl-right" if choice.right else "pl-choice",
            )
            form += tag(
                "details",
                tag("summary", text("Right" if choice.right else "Not this one")),
                tag("div", *choice.feedback),
                classes="pl-feedback",
            )
        form += tag("button", text("Check"), type="submit", classes="pl-button", hidden="hidden")
        form += tag("p", classes="pl-status", role="status")
        form["ids"].append(identifier)
        return form


def setup(app: Sphinx) -> None:
    """Register the directives."""
    app.add_directive("predict", Predict)
    app.add_directive("quiz", Quiz)
