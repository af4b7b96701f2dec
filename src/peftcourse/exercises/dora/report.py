"""Lesson 05: what the learner's own measurement shows, marked by a person.

Its numbers are those of section 9 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

REPORT = Written(
    id="dora.report",
    title="does it replicate?",
    objective="say what a correlation shows, how sure it is, and what it does not show.",
    points=3,
    difficulty=4,
    minutes=15,
    section="What training changes",
    hints=(
        "Which of the three published signs do you find, and which not?",
        "Compare the seeds of one method, and look at the intervals. Then: 32 points, but how many "
        "layers? Can layer 3 at step 12 be far from layer 3 at step 8?",
        "A difference in pattern is not yet a difference in quality. Which two numbers would you "
        "have to compare, and which settings would have to be equal, or tuned?",
    ),
    prompt="""\
A colleague read that “LoRA couples magnitude and direction, and DoRA learns like full fine-tuning”,
and wants to switch to DoRA. Answer in at most 200 words, from the numbers that your cell printed.

1. **What you found.** Which of the three published correlations (full fine-tuning −0.62, DoRA
   −0.31, LoRA +0.83) do you find again, in order and in sign? Give yours.
2. **How sure you are.** Compare seeds and intervals. Why are the intervals too narrow?
3. **What to do.** Do these numbers say that DoRA is the better method? What would decide it?

Other choices than ours, of weights or steps, can earn all points; say which you made.""",
    model_answer="""\
**What I found.** Query matrices, 16 steps, two seeds. Over all steps LoRA has r = +0.97 and
+0.95, DoRA +0.80 and +0.90, full fine-tuning +0.16 and +0.24: the published order, and one sign
of three. Across layers at the last step full fine-tuning is negative too, −0.72 and −0.62; DoRA
is not.

**How sure I am.** LoRA against full fine-tuning is clear: seeds differ by less than 0.1, the
methods by 0.7. LoRA against DoRA is not: their intervals meet. All are too narrow, because 32
points are 8 layers seen four times, and within a run both numbers mostly grow, which alone makes
r positive. The last step has no such trend, but 8 points: DoRA's +0.29 and +0.65 are one result.

**What to do.** Nothing here ranks the methods. DoRA's loss is lower than LoRA's in both seeds,
by 0.03 and 0.10, but 16 steps at LoRA's rate decide little. I would tune the rate of each method
on validation data, train five seeds to the end, and compare held-out loss and time. If DoRA's
mean is not lower by two standard errors, I keep LoRA: its step is cheaper.""",
    rubric=(
        Criterion(
            1,
            "What was found: correlations of all three methods (of two on a 4-bit base) with the "
            "weights and steps they are of, and which published signs and which order hold. Not "
            "enough: “it replicates”; signs without numbers; one of several choices picked "
            "because it fits.",
        ),
        Criterion(
            1,
            "How sure: compares the difference between methods with seeds or intervals, and gives "
            "a reason why the points are not independent (same layers at several steps, both "
            "numbers growing with time, few layers). Not enough: intervals copied without a "
            "conclusion; “more data is needed”.",
        ),
        Criterion(
            1,
            "What to do: says that a correlation of changes is not a measure of quality, and names "
            "a comparison that is (held-out loss or task score, a rate tuned for each method, "
            "several seeds), with an outcome that would decide. Not enough: a verdict from the "
            "correlations; one loss against another without seeds.",
        ),
    ),
)
