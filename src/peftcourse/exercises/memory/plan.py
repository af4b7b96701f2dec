"""Lesson 01: the plan for a client, marked by a person.

Its numbers are those of section 8 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

PLAN = Written(
    id="memory.plan",
    title="a plan for a client",
    objective="recommend a way to fine-tune, with numbers that others can check.",
    points=3,
    difficulty=3,
    minutes=12,
    section="Will it fit?",
    hints=(
        "Start from what the card may hold. Which plans are out because of a single part?",
        "Among those that fit, memory that stays unused is worth nothing. What would you buy with "
        "it: rank, targets, batch?",
        "An estimate is not a run, and what fits need not learn. What would you try in the first "
        "hour, before you promise anything?",
    ),
    prompt="""\
A client wants Llama 2 13B to do three tasks of their own: summaries, replies in the house style,
and answers about their products. There is one card of 24 GB, and no text has more than 1,024
tokens. Answer in at most 220 words, from the numbers that the cells above printed.

1. **The plan.** What do you recommend, with all settings that matter? What does it take, and what
   may it take?
2. **What you rejected.** Two other ways, and for each the part that rules it out. What would have
   to change for it to come back?
3. **Three tasks, and a doubt.** What do three tasks cost on disk, done either way? What do your
   numbers *not* tell the client, and how will you find it out?

Other plans than ours can earn all points.""",
    model_answer="""\
**The plan.** QLoRA: a base in NF4 with double quantization, r = 16 on all linear layers, gradient
checkpointing, batches of 8. One text of 1,024 tokens takes 9.5 GiB, and 21.6 GiB may be used. Ten
texts would fit; I keep two as a margin. Against r = 8 on q and v I pay 0.8 GiB, which I have.

**What I rejected.** Full fine-tuning in 16 bit: AdamW's states alone take 48.72 GiB, twice the
card. It needs several large cards. LoRA on a 16-bit base: the frozen weights take 24.39 GiB, more
than the card, and no rank or batch changes that. On a card of 48 GB it fits, at 25.3 GiB, and I
would take it: no rounding to 4 bits.

**Three tasks, and a doubt.** Three full copies in 16 bit take 78 GB on disk; one base and three
adapters of 250 MB take 27 GB. The numbers do not say whether 4 bits and r = 16 are good enough: I
would train r = 16 and r = 64 on one task, two seeds each, and compare their loss on held-out texts.
And they are estimates: I first run ten steps on the longest texts and read
`torch.cuda.max_memory_allocated`. If it is too much, I halve the batch and accumulate.""",
    rubric=(
        Criterion(
            1,
            "The plan: names method, precision of the base, rank, targets, checkpointing and "
            "batch, and compares the estimate for it with what the card allows after a reserve, "
            "both in GiB. Not enough: a plan without a batch; a peak compared with the whole 24; "
            "GB and GiB mixed; settings whose estimate was not computed.",
        ),
        Criterion(
            1,
            "What was rejected: two other ways, for each the one part (weights, gradients, "
            "optimizer states, activations) that is too large, with its size, and a change that "
            "would bring the way back, such as a larger card. Not enough: “does not fit”; a total "
            "without its part; a remedy that leaves that part as it is, such as a lower rank "
            "against the weights of the base.",
        ),
        Criterion(
            1,
            "Three tasks and a doubt: disk space of three copies and of one base with three "
            "adapters, in numbers; and one thing that memory does not decide (such as quality, "
            "time, or whether the estimate holds on this card) with a test that would. Not "
            "enough: “adapters are small”; “we have to see how good it is” without saying how.",
        ),
    ),
)
