"""Lesson 08: the report on what to put in front, marked by a person.

Its numbers are those of section 8 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftlab.exercises.core import Criterion, Written

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
    model_answer="TO BE WRITTEN",
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
