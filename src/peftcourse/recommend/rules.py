"""The rules of the recommendation, as data.

Each cites its sources: keys of ``book/references.bib``; ``COMPUTED``, which is arithmetic of
`peftlab.memory`; or ``RECORDED``, this course's own comparison, ``results/compare_full.json``, of
which ``measured`` keeps the sentences. A rule whose evidence is thin says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peftcourse.compare.methods import METHODS
from peftcourse.compare.rates import Rate
from peftcourse.recommend.measured import MEASURED

COMPUTED = "computed"  # follows from the estimate
RECORDED = "compare_full"  # 17 methods, five seeds each

TASKS = {
    "generation": "answers, summaries, instructions, a style",
    "classification": "labels, or short answers of a fixed form",
    "domain": "much that is new to the model: a language, code, mathematics",
}
SERVING = {
    "any": "not decided",
    "merged": "one model without an adapter at run time",
    "many": "adapters that are switched, or mixed in a batch, on one base",
}


@dataclass(frozen=True)
class Reason:
    """A sentence, where it comes from, and whether that is enough to rely on."""

    text: str
    sources: tuple[str, ...]
    thin: bool = False


def _ours(*names: str) -> str:
    """What our own comparison adds to what others published."""
    models = "our model of 7 M parameters (three tasks) and SmolLM2-135M (two)"
    return " ".join([f" Measured on {models}:", *map(MEASURED.get, names)])


@dataclass(frozen=True)
class Rung:
    """A way to train, and what speaks for it or has to be paid."""

    name: str
    settings: dict[str, Any]
    reasons: tuple[Reason, ...]


FULL = Reason(
    "Everything trains. Full fine-tuning learned more than LoRA when code and mathematics were new "
    "to the model: LoRA reached 85 % and 69 % of it after continued pretraining.",
    ("biderman2024lora",),
)
LORA = Reason(
    "On all linear layers LoRA matches full fine-tuning on data of the size of instruction sets; "
    "on attention alone it falls behind at an equal number of parameters."
    + _ours("lora", "forgetting"),
    ("schulman2025lora", RECORDED),
)
QLORA = Reason(
    "LoRA on a 4-bit base (NF4, double quantization) scored 53.1 on MMLU, on a 16-bit one 53.0: no "
    "loss that the paper could measure. Each step also unpacks the weights, which takes time."
    + _ours("qlora"),
    ("dettmers2023qlora", RECORDED),
)
CHECKPOINTING = Reason(
    "Checkpointing computes each block's forward pass a second time and changes no result.",
    ("chen2016checkpointing",),
)
SMALLEST = Reason(
    "A smaller adapter with 8-bit states saves the last of what trains. The paged optimizer guards "
    "against peaks; it does not lower the average.",
    ("dettmers2023qlora",),
)

_CHECKPOINTED = {"gradient_checkpointing": True}
_FULL = {"method": "full", "precision": "mixed"}

# From what gives most to what needs least.
LADDER = (
    Rung("full fine-tuning", _FULL, (FULL,)),
    Rung(
        "full fine-tuning with gradient checkpointing",
        _FULL | _CHECKPOINTED,
        (FULL, CHECKPOINTING),
    ),
    Rung("LoRA on a 16-bit base", {"method": "lora"}, (LORA,)),
    Rung(
        "LoRA on a 16-bit base with gradient checkpointing",
        {"method": "lora"} | _CHECKPOINTED,
        (LORA, CHECKPOINTING),
    ),
    Rung(
        "QLoRA with gradient checkpointing",
        {"method": "qlora"} | _CHECKPOINTED,
        (QLORA, CHECKPOINTING),
    ),
    Rung(
        "QLoRA at rank 4 with gradient checkpointing and paged 8-bit AdamW",
        {"method": "qlora", "rank": 4, "optimizer": "paged_adamw_8bit"} | _CHECKPOINTED,
        (QLORA, CHECKPOINTING, SMALLEST),
    ),
)
FIRST_LORA = 2  # where the ladder starts if the base stays frozen

# The first row whose task matches (None: any) and whose number of examples is not exceeded.
RANKS: tuple[tuple[str | None, float, int, Reason], ...] = (
    (
        None,
        1_000,
        8,
        Reason(
            "Rank 8: few examples hold little to learn, and ranks from 1 to 64 differed by 0.4 "
            "points on WikiSQL. One data set; nobody has published a law.",
            ("hu2021lora",),
            thin=True,
        ),
    ),
    (
        "domain",
        float("inf"),
        256,
        Reason(
            "Rank 256, because the update of full fine-tuning on new material has 10 to 100 times "
            "the rank of the usual LoRA; rank 16 reached 72 % of it in code, rank 256 all of it.",
            ("biderman2024lora",),
        ),
    ),
    (
        "classification",
        float("inf"),
        8,
        Reason(
            "Rank 8: LoRA with 0.3 M parameters averaged 87.2 on GLUE, full fine-tuning 86.4.",
            ("hu2021lora",),
        ),
    ),
    (
        None,
        50_000,
        16,
        Reason(
            "Rank 16, a usual choice. The evidence is thin: ranks from 1 to 64 differed by 0.4 "
            "points on WikiSQL, and capacity matters only once the data exceed it." + _ours("rank"),
            ("hu2021lora", "schulman2025lora", RECORDED),
            thin=True,
        ),
    ),
    (
        None,
        float("inf"),
        64,
        Reason(
            "Rank 64, because an adapter too small for its data falls behind full fine-tuning. "
            "Where that begins for your data is not known: try 16 too.",
            ("schulman2025lora",),
            thin=True,
        ),
    ),
)

# From so many examples of a domain, training everything can pay. A guess: LoRA fell behind in
# continued pretraining on billions of tokens, and not on instruction sets of thousands of examples.
MANY_EXAMPLES = 20_000
FEW_EXAMPLES = 500

FEW = Reason(
    "With a few hundred examples a held-out set is small too: differences of some points between "
    "methods are noise. Stop early, and compare with the prompted base model first.",
    ("liu2022ia3",),
    thin=True,
)
ALPHA = Reason(
    "Alpha is twice the rank, as in the comparison cited; others keep it at the rank.",
    ("biderman2024lora",),
    thin=True,
)


# The learning rate from which a sweep starts: (of full fine-tuning, of large models, of others).
LARGE = 20e9  # parameters
FULL_RATE, LARGE_RATE, RATE = 2e-5, 1e-4, 2e-4
FULL_RATE_REASON = Reason(
    "The best learning rate of LoRA is about ten times that of full fine-tuning; this is a tenth "
    "of LoRA's usual one. Sweep around it: it matters more than the method."
    + _ours("rates", "full_rate", "rate"),
    ("schulman2025lora", "peft2025comparison", RECORDED),
    thin=True,
)
RATE_REASON = Reason(
    "QLoRA's authors used a learning rate of 2e-4 for models of 7 and 13 billion parameters and "
    "1e-4 for larger ones; much smaller models take much higher ones. Sweep around it: it moves a "
    "result more than the choice of method does." + _ours("rates", "rate"),
    ("dettmers2023qlora", "peft2025comparison", RECORDED),
    thin=True,
)

# Where the recorded comparison has the model itself: its names of the methods, and of tasks that
# are of the kind that is asked for. Rank 8 stands for all: the update is scaled by the same factor,
# alpha over rank.
RECORDED_METHODS = {"full": "full", "lora": "lora-8", "qlora": "qlora-8"}
RECORDED_TASKS = {"classification": "sentiment"}


def found_rate(method: str, found: Rate) -> Reason:
    """Why to start from a rate that was found for this model."""
    name = METHODS[RECORDED_METHODS[method]].label
    scaled = "" if method == "full" else " with the same alpha over rank"
    return Reason(
        f"This course searched rates for this very model, with batches of 16 or 32 sequences; best "
        f"for {name}{scaled} was {found}. Accumulate gradients up to such batches, and sweep "
        "around it." + _ours("rate"),
        (RECORDED,),
    )


# Methods that may be worth a trial beside the one recommended.
DORA = Reason(
    "DoRA beat LoRA in its own paper (LLaMA-7B 78.4 against 74.7) and not in peft's comparison "
    "(46.9 against 47.8, one standard error being 1.4). Its steps are slower." + _ours("dora"),
    ("liu2024dora", "peft2025comparison", RECORDED),
    thin=True,
)
VARIANTS = Reason(
    "Other starts, rates and scalings of LoRA (PiSSA, LoRA+, rsLoRA) cost nothing extra. Each was "
    "better than LoRA in its own paper; here only rsLoRA, at rank 64, was worse on no task."
    + _ours("variants"),
    ("meng2024pissa", "hayou2024loraplus", "kalajdzievski2023rslora", RECORDED),
    thin=True,
)
IA3 = Reason(
    "IA³ beat full fine-tuning from few examples on T0-3B (64.6 against 63.3), but in peft's "
    "comparison it reached 31 to 45 where LoRA reached 47.8. Its files are the smallest."
    + _ours("ia3"),
    ("liu2022ia3", "peft2025comparison", RECORDED),
    thin=True,
)
SOFT_PROMPTS = Reason(
    "Prefix and prompt tuning are left out: they depend on learning rate and initialisation (18 to "
    "42 and 6 to 34 where LoRA reached 47.8), and prompts match full tuning only in the largest "
    "models." + _ours("soft_prompts"),
    ("peft2025comparison", "lester2021prompt", RECORDED),
)
BOTTLENECK = Reason(
    "Bottleneck adapters are left out: they cannot merge, and added 20 to 30 % to the latency of a "
    "single request." + _ours("bottleneck"),
    ("hu2021lora", RECORDED),
)
OTHERS = (DORA, VARIANTS, SOFT_PROMPTS, BOTTLENECK)
