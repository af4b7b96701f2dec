"""Lesson 02: is fine-tuning low-rank? A verdict in words, marked by a person.

Its numbers are those of section 7 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

VERDICT = Written(
    id="rank.verdict",
    title="is fine-tuning low-rank?",
    objective="tell a claim about a matrix from a claim about what a model can learn.",
    points=3,
    difficulty=3,
    minutes=12,
    section="Is an update low-rank?",
    hints=(
        "“Low-rank” can be about the matrix ΔW, about what is enough of it, or about what is "
        "enough to train. Which of your numbers speaks to which?",
        "Compare three losses at rank 8: the cut update, LoRA trained at that rank, and the full "
        "update. How far apart are the seeds, and the two learning rates?",
        "The cut and LoRA were made by different trainings. What besides the rank differs between "
        "them, and which run would take that difference away?",
    ),
    prompt="""\
A colleague writes: “Fine-tuning updates are low-rank. So we can train all weights, cut the update
to rank 8 afterwards, and lose next to nothing.” Answer in at most 200 words, from the numbers that
your cells printed.

1. **The claim about ΔW.** Is the update low-rank? Say by which measure, and compare with W.
2. **The plan.** What does cutting to rank 8 do, and what would you do instead?
3. **Your doubt.** Name one conclusion that your numbers invite and do not support, and the run that
   would decide it.""",
    model_answer="""\
**The claim about ΔW.** Its energy is more concentrated than the weight's: rank 8 keeps 48.5 %, of W
23.1 %. But that is not low-rank: 90.2 % take rank 64 of 128 or 256.

**The plan.** Only if measured. At the rate 3e-4 the losses of the two seeds, cut to rank 8, are
1.66 and 1.73; the full updates have 1.21 and 1.27, the base 5.33. Nearly nine tenths of the gain
are left, with half of the energy. At 1e-3 rank 8 keeps more energy, 55.0 %, and less of the gain:
2.66 after 1.43. “Next to nothing” is wrong each time. I would train LoRA at rank 8 from the
start: 1.26 and 1.33, and no seed of one way comes near the other.

**My doubt.** That a cut update is worse because it was cut. LoRA's rate, 4e-3, was chosen by nobody
here, and after 20 steps a loss measures speed. I would tune each way on other texts, the cut one by
its loss after the cut, and train for 300 steps. If LoRA still leads by more than the seeds differ,
the plan is worse; if not, it was only slower.""",
    rubric=(
        Criterion(
            1,
            "The claim about ΔW: gives a measure with its number (such as the energy kept at a "
            "rank) for ΔW and for W, and says that the update is more concentrated but not of low "
            "rank. Not enough: “yes” or “no” without a measure; a number for ΔW alone.",
        ),
        Criterion(
            1,
            "The plan: compares the losses of both seeds at rank 8 with those of the full update "
            "and of the base, says that the outcome hangs on the learning rate, and sets LoRA "
            "trained at that rank against it with its losses. Not enough: energy in place of "
            "loss; one seed; one rate; no alternative.",
        ),
        Criterion(
            1,
            "The doubt: names a conclusion that these numbers invite, what in the experiment "
            "does not support it (untuned or different rates, few steps, one task, a narrow "
            "model), and a run with what each outcome would mean. Not enough: “more steps” or “a "
            "larger model” without an outcome that would change the conclusion.",
        ),
    ),
)
