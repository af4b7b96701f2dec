"""Lesson 04: ranks for three tasks, justified in words and marked by a person.

Its numbers are those of section 9 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

REPORT = Written(
    id="practice.report",
    title="three tasks, three ranks",
    objective="choose a rank by what there is to learn and how many examples show it.",
    points=4,
    difficulty=3,
    minutes=20,
    section="Three tasks, three ranks",
    hints=(
        "For each task: how much is new to the model, and how many examples show it? Which of the "
        "two is the tighter limit?",
        "Compare the ranks at few and at many examples. Is the gap between the ranks larger than "
        "the gap between the seeds, in both rows?",
        "A rank is not free to test: name two ranks per task, the measure that decides between "
        "them, and what you would see if the rank were too low, and if it were too high.",
    ),
    prompt="""\
Choose LoRA ranks for three tasks on a 7B model: translation into a new language with 50,000 pairs;
the style of a private API with 200 examples; general instructions with 100,000 mixed examples.
Answer in at most 200 words, and use the numbers that your cells printed.

1. **Three ranks.** One for each task, with the reason: what is new, and how many examples show it.
2. **Your evidence.** What the miniature says about rank and data, with its spread over the seeds.
3. **Its limits.** One thing that the miniature cannot tell you.
4. **The test.** What you would run before you commit, and what result would change your mind.""",
    model_answer="""\
**Three ranks.** Translation: 32. A whole vocabulary is new, and 50,000 pairs can fill that. The
API: 8. One format is new; with 200 examples these are the limit, not the rank. Instructions: 16.
Much data, but most skills are there already.

**My evidence.** With 16 examples, rank 1 reaches 3.93 and 3.99, rank 16 reaches 3.87 and 3.75: the
gap between the ranks is about that between the seeds. With 600, rank 1 stays at 3.56 and 3.56, and
rank 16 reaches 2.56 and 2.71. So rank pays where examples can use it; without them, data would
bring more.

**Its limits.** All ranks had one learning rate and 24 steps. Rank 1 may only be slower at that
rate, which would flatter rank 16. And a model of 7 million parameters cannot tell which rank is
enough for 7 billion.

**The test.** For translation ranks 8, 32 and 128, for the API 2 and 16; three rates each, chosen on
validation data; three seeds. If the smaller rank is within one standard error, I take it. If the
API's validation loss rises while its training loss falls, I stop earlier before I lower the
rank.""",
    rubric=(
        Criterion(
            1,
            "Three ranks: one for each task, ordered by what is to be learned and by the number of "
            "examples (the API's the lowest), each with a reason. Not enough: one rank for all "
            "without a reason; a rule such as “more data, more rank” alone.",
        ),
        Criterion(
            1,
            "The evidence: losses of at least two ranks at few and at many examples from the lab, "
            "set against the difference between the seeds. Not enough: one seed; a claim that the "
            "printed numbers contradict.",
        ),
        Criterion(
            1,
            "The limits: names what does not carry over (model size, number of steps, one learning "
            "rate for all ranks, one task) and which way it could mislead. Not enough: “the model "
            "is small”.",
        ),
        Criterion(
            1,
            "The test: two ranks or more for a task, a rate chosen for each on validation data, "
            "several seeds, and the result that would change the choice. Not enough: “try "
            "different ranks”.",
        ),
    ),
)
