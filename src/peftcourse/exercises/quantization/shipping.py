"""Lesson 06: in which form to ship an adapter, marked by a person.

Its numbers are those of sections 5 to 9 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

SHIPPING = Written(
    id="quantization.shipping",
    title="in which form to ship it",
    objective="choose how to deliver a QLoRA adapter, and defend it with measurements.",
    points=3,
    difficulty=3,
    minutes=15,
    section="Merging, three ways",
    hints=(
        "Which forms keep exactly what was trained? Which of them is small?",
        "Section 8 has the loss of each way to merge. Compare the differences with those between "
        "two seeds of one setting, in sections 7 and 9.",
        "Section 9 has a bad base beside a good one. What does merging into the original weights "
        "lose on each, and why is it not the same?",
    ),
    prompt="""\
A client has trained an adapter on an NF4 base, as you did in section 7. It goes to two places: a
server with plenty of memory, and small devices that can hold a 4-bit model only. Answer in at most
200 words, from the numbers that your cells printed.

1. **What to ship where.** Which form for the server, which for the devices, and what does each cost
   in loss?
2. **What you advise against.** One way that looks sensible and loses: how much, and why?
3. **How sure you are.** Is what you report larger than what a seed changes? What would you measure
   before the client signs?""",
    model_answer="""\
**What to ship where.** Server: the adapter merged into the dequantized base, kept in 16 bit. Its
loss is 1.614, that of the unmerged model: nothing is lost. Devices: the NF4 base with the adapter
beside it, also 1.614. If they cannot run an adapter: merged and quantized again, at 1.631.

**What I advise against.** Quantizing again unmeasured. It rounds most of a small update away: on
the int4 base with one scale, 1.655 becomes 1.858, while NF4 loses 0.017 at most. Merging into the
original weights loses too, because the adapter was trained with the base's errors: 1.655 becomes
1.695 on int4. On NF4 it is 0.002.

**How sure I am.** Two QLoRA seeds are 0.007 apart (1.607, 1.614). Each merge is compared with its
own adapter, so the seed cancels; but quantizing again costs 0.007 with one seed and 0.018 with the
other, so I know it only roughly. The 0.002 is undecided. And 12 steps make a small update. Before
the client signs, I measure all forms of *their* adapter on held-out texts. If quantizing again adds
less than the seeds differ by, the devices get one merged file; if more, the adapter stays apart.\
""",
    rubric=(
        Criterion(
            1,
            "What to ship where: a form for each place that fits it, with the loss before and "
            "after. For the server the merge into the dequantized base, or base and adapter "
            "apart; for the devices base and adapter apart, or merged and quantized again with "
            "its cost accepted. Not enough: a form without its loss; a 16-bit model for the "
            "devices.",
        ),
        Criterion(
            1,
            "Advice against: a way that loses, the loss it adds in numbers, and the reason: the "
            "adapter was trained on the dequantized base, or the update is rounded away. Not "
            "enough: “less exact”; the weight error alone, without what the model says to it.",
        ),
        Criterion(
            1,
            "How sure: compares a difference with that between two seeds, keeps apart what is "
            "exact by construction and what was measured, and names a measurement (other seeds, "
            "the client's own task, the real model) with an outcome that would change the advice. "
            "Not enough: “more tests”; a difference smaller than a seed's called a result.",
        ),
    ),
)
