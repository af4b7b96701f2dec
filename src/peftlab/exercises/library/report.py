"""Lesson 09: the report on a change of library, marked by a person.

Its numbers are those of section 8 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftlab.exercises.core import Criterion, Written

REPORT = Written(
    id="library.report",
    title="which of the two is better",
    objective="tell a difference of defaults from a difference of libraries, from measurements.",
    points=3,
    difficulty=3,
    minutes=15,
    section="Field by field",
    hints=(
        "Which two lines differ in nothing but the library? Which differ in one field?",
        "How far apart are two seeds of one line? How far are two lines?",
        "One learning rate served every line. Whom might that favour?",
    ),
    prompt="""\
A colleague has moved a training script from peftlab to PEFT, "with the same rank", and the loss has
gone up. He concludes that PEFT's LoRA is worse. Answer him in at most 200 words, from the numbers
that your cell printed.

1. **What it is.** Which fields explain the difference, and how much does each? Give the losses.
2. **How sure you are.** Compare the differences with the spread between seeds, and say what is
   left between the libraries when every field agrees.
3. **What it does not show.** Which conclusion should he not draw now, and which run would
   decide it?""",
    model_answer="""\
TO BE FILLED""",
    rubric=(
        Criterion(
            1,
            "What it is: names the fields in which the two sides differ (targets, alpha), with the "
            "losses of lines that differ in one field only. Not enough: “the defaults differ” "
            "without numbers; a comparison that changes two fields at once.",
        ),
        Criterion(
            1,
            "How sure: sets each difference against that between seeds of one line, with numbers, "
            "and says that with equal fields the libraries agree within it. Not enough: one seed; "
            "a verdict without this comparison.",
        ),
        Criterion(
            1,
            "What it does not show: names a conclusion that the numbers invite and do not support "
            "(such as that more targets or a larger alpha are better for good, or that PEFT's "
            "defaults are bad), what in the experiment is the reason (few steps, one rate, unequal "
            "numbers of parameters, a small model), and a run whose outcome would decide it. Not "
            "enough: “train longer” without saying what each outcome would mean.",
        ),
    ),
)
