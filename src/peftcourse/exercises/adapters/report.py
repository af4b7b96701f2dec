"""Lesson 07: the report on what to deploy, marked by a person.

Its numbers are those of sections 3 to 8 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

REPORT = Written(
    id="adapters.report",
    title="merge, or not?",
    objective="decide from measurements which adapter to deploy, and in which form.",
    points=3,
    difficulty=3,
    minutes=15,
    section="What to deploy",
    hints=(
        "Section 6 printed losses before and after merging; sections 4 and 8 what happens if "
        "affine maps stand in for the adapter. Which of these are the same number?",
        "“Cannot be merged exactly” and “loses much when it is merged” are two statements. So are "
        "“costs time” and “costs time in this product”.",
        "A merged base serves one voice. What does that mean for the second product? And which of "
        "your numbers is smaller than what another seed would change?",
    ),
    prompt="""\
You trained LoRA, an adapter, IA³ and BitFit on the pirate voice. Two products want it. The first
tells pirate stories and nothing else, to one user at a time, as fast as possible. The second serves
fifty voices from one base model, many of them in one batch. Answer in at most 200 words, from the
numbers that your cells printed.

1. **What merges.** For each of the four: can it be merged? Give the loss before and after. For one
   that cannot: the loss with the best affine maps in its place, and what you conclude.
2. **What to deploy.** Which method, and in which form, in each product? Say what it costs at run
   time.
3. **What it does not show.** Name one conclusion that these numbers do not support, and the run
   that would decide it.""",
    model_answer="""\
**What merges.** LoRA (1.53 nats per token), IA³ (1.96) and BitFit (2.47) have the same loss merged,
to four digits. The adapter cannot be merged. Affine maps in its place miss 12 % of what varies and
cost 0.02: 1.79 becomes 1.81. After 90 steps they miss 20 % and cost 0.05: 1.15 becomes 1.20. It is
nearly affine, never exactly, and less so the longer it trains.

**What to deploy.** First product: LoRA, merged. It has the lowest loss and takes the base's time;
unmerged it took 23 % longer. “Base, again” varied by 1 %, so that is real. Second product: nothing
merged, since a merged base serves one voice. I take LoRA if 23 % are affordable; if not, the
adapter, 7 % slower, for 0.26 in loss. IA³ is smallest, 7,680 numbers a voice, and 3 % slower, but
0.43 behind LoRA.

**What it does not show.** That LoRA is the better method: one seed, 30 steps, rates not tuned, and
after 90 steps the adapter reaches 1.15. I would tune each rate on validation texts and train three
seeds for 200 steps. If LoRA's lead is below two standard errors, run time decides.\
""",
    rubric=(
        Criterion(
            1,
            "What merges: LoRA, IA³ and BitFit exactly, with losses before and after; the adapter "
            "not, with the loss of the affine maps, and a conclusion that keeps “not exactly” "
            "apart from “not without loss”. Not enough: “adapters are non-linear” without a "
            "number.",
        ),
        Criterion(
            1,
            "What to deploy: something merged for the first product, something unmerged for the "
            "second, with the reason (a merged base serves one voice), quality and run time both "
            "weighed with measured numbers. Not enough: one answer for both products; run time "
            "without the spread of “base, again”.",
        ),
        Criterion(
            1,
            "What it does not show: a conclusion that the numbers invite and do not support (such "
            "as that LoRA is the better method, or that affine maps will always do), the reason "
            "(one seed, few steps, rates not tuned, a small model, this machine), and a run whose "
            "outcome would decide it.",
        ),
    ),
)
