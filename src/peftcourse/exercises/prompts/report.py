"""Lesson 08: the report on what to put in front, marked by a person.

Its numbers are those of section 8 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

REPORT = Written(
    id="prompts.report",
    title="what to put in front",
    objective="advise on a soft prompt or a prefix from measurements, and say how far they reach.",
    points=3,
    difficulty=3,
    minutes=15,
    section="Start and learning rate",
    hints=(
        "Two questions are in the numbers: the start, and where the virtual tokens go in. Which "
        "lines differ in one of them only?",
        "How far apart are two seeds of one setting? How far are two settings?",
        "Every run was short and had one learning rate. Which of your conclusions could a longer "
        "run turn over?",
    ),
    prompt="""\
A colleague wants ten virtual tokens for a new voice and asks how to start them, and whether soft
tokens will do or a prefix in every layer is needed. Answer in at most 200 words, from the numbers
that your cell printed.

1. **Advice.** Which start, and which method? Give the losses it rests on.
2. **How sure you are.** Compare the differences with the spread between seeds.
3. **What it does not show.** Which conclusion should your colleague not draw, and which run would
   decide it?""",
    model_answer="""\
**Advice.** Start from a text about the voice, and take a prefix. For soft tokens only the start
differs: 4.79 and 4.83 nats per token from a random start, 3.60 and 3.63 from the text, where the
bare model has 5.39. A prefix from the same text reaches 2.26 and 2.36.

**How sure I am.** Two seeds of one setting are at most 0.10 apart, and each step of the comparison
is more than a whole nat. For this task and model that is not chance, although two seeds say little
about the spread itself.

**What it does not show.** That soft tokens cannot reach the prefix. Ten tokens of a prefix are
20,480 parameters, ten soft tokens 2,560, and their rates differ too. I would train 80 soft tokens,
as many parameters, at three rates for 200 steps. If they come within 0.10 of a prefix trained as
long, its advantage here was size; if not, it is the place. Nor do 20 steps show that a random
start stays worse: they measure speed. If it catches up with the text's loss after 200 steps, the
text only saves time.""",
    rubric=(
        Criterion(
            1,
            "Advice: recommends a start and a method, each with the losses of the settings "
            "compared, and changes only one thing in each comparison. Not enough: a recommendation "
            "without numbers; the training loss.",
        ),
        Criterion(
            1,
            "How sure: sets each difference against the difference between seeds of one setting, "
            "with numbers, and claims no more than that allows. Not enough: one seed; a verdict "
            "without this comparison.",
        ),
        Criterion(
            1,
            "What it does not show: names a conclusion that the numbers invite and do not support "
            "(such as that a random start stays worse, or that soft tokens cannot reach the "
            "prefix), what in the experiment is the reason (few steps, one rate, unequal numbers "
            "of parameters, a small model), and a run whose outcome would decide it. Not enough: "
            "“train longer” without saying what each outcome would mean.",
        ),
    ),
)
