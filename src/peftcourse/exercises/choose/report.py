"""Lesson 10: the report on three projects, marked by a person.

Its numbers are those of the lab's small comparison; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

REPORT = Written(
    id="choose.report",
    title="three projects, three choices",
    objective="choose a method for a described project and defend it with measurements.",
    points=4,
    difficulty=4,
    minutes=25,
    section="Choose",
    hints=(
        "For each project, ask first what rules a method out: memory, size of the files, merging. "
        "Then look at what is left.",
        "Memory and file sizes are computed for 7B, but the losses are those of a small model, one "
        "task and 12 steps. Say so where it matters.",
        "A choice is as good as its alternative is named: what does the next best method lose or "
        "cost, with its interval?",
    ),
    prompt="""\
Three teams ask you which method to use. All start from a model of the shape of Llama 2 7B, with
sequences of 512 tokens, one at a time.

- **A.** One assistant, one GPU of 24 GB for training, served as one model without any adapter.
- **B.** The same assistant, but the only GPU is an older one of 12 GB.
- **C.** 3,000 customers, each with a style of its own, on one base model that stays loaded. Storage
  for all adapters together is 40 GB.

Answer in at most 200 words, from the numbers that your cells printed.

1. For each project: the method, what ruled out the better or smaller ones, and what the choice
   costs in loss, with an interval where you have one.
2. Which of your three choices rests on the weakest evidence, and which run comes first?""",
    model_answer="""\
**A: LoRA, r = 8**, merged. Full fine-tuning is better here (loss lower by 0.13 ± 0.05), but its
peak is 125.58 GiB; LoRA's is 17.21 GiB. Rank 1 saves only 0.20 GiB and loses 0.30 ± 0.04.

**B: QLoRA, r = 8.** No 16-bit base fits: even IA³ takes 15.74 GiB, QLoRA 9.30 GiB. On the same
seeds its loss differs from LoRA's by 0.00 ± 0.01. I would merge into the dequantized base.

**C: LoRA, r = 1**, unmerged. 3,000 files of rank 8 take 240 GB, of rank 1 30 GB. IA³ is smaller
still, but its loss is 2.16 ± 0.09, that of rank 1 1.71 ± 0.06.

**Weakest: C.** The losses come from a 7M model, one task, 12 steps and three seeds, and a third of
the rate alone costs LoRA 0.50: a better rate for IA³, or more steps, could close a gap of that
size. A customer's style may also need fewer parameters than pirate logs. First run: IA³ and rank 1
on five customers, each rate searched on other customers, paired by customer. If IA³ comes within
0.05, I take it.""",
    rubric=(
        Criterion(
            1,
            "Project A: a method that fits 24 GB and merges, with the peak memory of it and of "
            "what was ruled out. Not enough: “LoRA, because it is efficient”.",
        ),
        Criterion(
            1,
            "Project B: a 4-bit base, because no 16-bit one fits, and a paired difference that "
            "says what it costs. Not enough: the difference of two means without an interval.",
        ),
        Criterion(
            1,
            "Project C: the storage computed for 3,000 adapters, and of those that fit the best; "
            "unmerged, since one base serves all. Not enough: the smallest file without its loss.",
        ),
        Criterion(
            1,
            "Evidence: names what the lab cannot show (a 7M model, one task, few steps, few seeds, "
            "one rate), says which choice that could turn over, and a run with the outcome that "
            "would. Not enough: “more seeds” without saying what would change the choice.",
        ),
    ),
)
