"""Lesson 03: the report on the learner's own experiment, marked by a person.

Its numbers are those of section 11 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

REPORT = Written(
    id="lora.report",
    title="what your experiment shows",
    objective="report an experiment so that somebody else can decide by it.",
    points=3,
    difficulty=3,
    minutes=15,
    section="The training loop",
    hints=(
        "Start from the numbers that the cell printed. Which of them answer your question?",
        "How far apart are two seeds of the same setting? A difference between settings that is no "
        "larger says nothing yet.",
        "After so few steps, is a lower loss a better adapter or a faster one? Which run would "
        "tell the two apart, and what would you see in either case?",
    ),
    prompt="""\
A colleague has to choose a setting for an adapter and asks what you found. Answer in at most 200
words, from the numbers that your cell printed.

1. **Question and result.** What did you ask, what did you expect, and what came out?
2. **How sure you are.** Is the difference larger than chance? Two seeds per setting are the least.
3. **What it does not show.** Which conclusion might your colleague draw from these numbers, and
   should not? Which run would decide it?

A result that you did not expect, or no difference at all, is worth as many points as any other.""",
    model_answer="""\
**Question and result.** Does a pirate's voice need rank 8? I expected rank 1 to do: its rules are
simple. I changed the rank and kept α/r = 2, the learning rate, the data and 20 steps. The
validation loss fell from 5.14 to 1.92 and 1.95 nats per token with r = 1 (two seeds), and to 1.46
and 1.51 with r = 8.

**How sure I am.** Seeds of one rank are at most 0.05 apart, the ranks at least 0.41: not chance.
After 20 steps, on this task and model, r = 8 is better. I was wrong.

**What it does not show.** That rank 1 cannot learn the voice. Its loss still fell from 2.21 to 1.92
in the last ten steps: 20 steps measure how fast it learns, not how far it gets. To decide, I would
train r = 1 for 60 steps, because section 7 has r = 8 there, at 1.20. If r = 1 ends within 0.05 of
that, the higher rank bought only speed. If it stays above, I would try other learning rates before
I blame the rank: this one comes from section 7, where r = 8.""",
    rubric=(
        Criterion(
            1,
            "Question and result: says what differs between the settings and what was kept equal, "
            "and gives the validation loss of each after the same number of steps. Not enough: "
            "“better” without the losses; the training loss; a second difference between the "
            "settings that is not mentioned.",
        ),
        Criterion(
            1,
            "How sure: compares the difference between settings with the difference between seeds "
            "of one setting (at least two seeds each, with their numbers), and claims no more than "
            "that allows; a difference that is not clearly larger is undecided. Not enough: one "
            "seed; a verdict without this comparison.",
        ),
        Criterion(
            1,
            "What it does not show: names a conclusion that these numbers invite and do not "
            "support, what in this experiment is the reason (its few steps, one learning rate, one "
            "task, one small model), and a run that would decide it, with what each outcome would "
            "mean. Not enough: “more steps”, “more data” or “a larger model” without an outcome "
            "that would change the conclusion.",
        ),
    ),
)
