"""Lesson 09: the report on a change of library, marked by a person.

Its numbers are those of section 8 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

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
**What it is.** Two fields. PEFT adapts query and value projections, peftlab all linear layers: with
`all-linear` and nothing else changed, PEFT's loss falls from 3.06 and 3.03 nats per token to 1.38
and 1.48. Its alpha is 8, peftlab's 16: with 16 it falls on to 1.04 and 1.07. Now every field
agrees, and peftlab has 1.04 and 1.06.

**How sure I am.** Two seeds of one line are at most 0.10 apart. The targets are worth more than one
and a half nats, alpha 0.34 and 0.41: both far above that spread. What is left between the libraries
is 0.01, far below it.

**What it does not show.** That all layers and alpha 16 are better for good, or PEFT's defaults bad.
Eight steps measure speed. All lines had one rate, and a larger alpha acts much like a larger rate;
all-linear also trains several times as many parameters. I would search the rate for each line and
train 200 steps with five seeds. If alpha 8 then catches up, it only wanted a larger rate. If query
and value stay behind at a rank that gives them as many parameters, the place is what counts.""",
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
