"""Two tables of lesson 10: when to use which method, and LoRA or full fine-tuning.

What can be counted or was measured is computed from the estimate and from a recorded comparison;
what is left are sentences with their sources, as in ``rules``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from peftcourse.calculator.report import gib, size
from peftcourse.compare import claims
from peftcourse.compare.tables import Comparison
from peftcourse.recommend import evidence
from peftcourse.recommend.rules import COMPUTED, RECORDED
from peftlab.memory.estimate import Estimate, estimate
from peftlab.memory.settings import Settings

SHAPE = "llama-2-7b"
EVERYWHERE = {"rank": 8, "targets": "all-linear"}
TASKS = 50  # a number of tasks at which storage begins to matter


@dataclass(frozen=True)
class Use:
    """A method, and when to take it.

    Attributes:
        method: its name in the comparison.
        name: what the table calls it.
        lesson: the page that teaches it.
        settings: for the estimate on `SHAPE`; None where the estimate does not know the method.
        take: when to take it: a sentence without its capital and full stop.
        sources: as in ``rules.Reason``.
    """

    method: str
    name: str
    lesson: str
    settings: Settings | None
    take: str
    sources: tuple[str, ...]

    def estimate(self) -> Estimate | None:
        """Its memory on `SHAPE`, one sequence of 512 tokens."""
        return None if self.settings is None else estimate(SHAPE, self.settings)


USES = (
    Use(
        "full", "Full fine-tuning", "01_memory", Settings(method="full"),
        "much is new to the model, there is one task, and the memory is there",
        ("biderman2024lora", RECORDED, COMPUTED),
    ),
    Use(
        "lora-8", "LoRA", "03_lora", Settings(**EVERYWHERE),
        "in doubt: it is known best, merges without a trace, and switches",
        ("schulman2025lora", RECORDED),
    ),
    Use(
        "qlora-8", "QLoRA, checkpointing", "06_quantization",
        Settings(method="qlora", gradient_checkpointing=True, **EVERYWHERE),
        "the base does not fit in 16 bit; slower steps are acceptable",
        ("dettmers2023qlora", RECORDED, COMPUTED),
    ),
    Use(
        "dora-8", "DoRA", "05_dora", Settings(method="dora", **EVERYWHERE),
        "LoRA falls short at its best rate and slower training is acceptable",
        ("liu2024dora", RECORDED),
    ),
    Use(
        "bottleneck", "Bottleneck adapters", "07_adapters", Settings(method="bottleneck"),
        "adapters of several tasks are to be combined and nothing has to merge",
        ("pfeiffer2020adapterfusion", RECORDED),
    ),
    Use(
        "ia3", "IA³", "07_adapters", Settings(method="ia3"),
        "the model is capable, examples are few, and a task may cost only kilobytes",
        ("liu2022ia3", RECORDED),
    ),
    Use(
        "norms", "Norms or biases", "07_adapters", None,
        "a smallest baseline is wanted: what it reaches needs no adapter",
        ("benzaken2021bitfit", RECORDED),
    ),
    Use(
        "last-layer", "Last layer", "11_evaluate", None,
        "a first baseline is wanted that trains fast",
        (RECORDED,),
    ),
    Use(
        "prefix", "Prefix tuning", "08_prompts", Settings(method="prefix"),
        "no weight may change and a prompt is too weak; its rate and start need a search",
        ("li2021prefix", RECORDED),
    ),
    Use(
        "prompt", "Prompt tuning", "08_prompts", Settings(method="prompt"),
        "the model is large and many tasks share a batch",
        ("lester2021prompt", RECORDED),
    ),
)  # fmt: skip


def gains(comparison: Comparison, method: str) -> dict[str, tuple[float, float]]:
    """Model → the least and the most that a method gains, in percent of full fine-tuning's gain."""
    found: dict[str, list[float]] = {}
    for place in evidence.PLACES:
        found.setdefault(place[0], []).append(evidence.gain(comparison, method, place))
    return {model: (min(values), max(values)) for model, values in found.items()}


# --- LoRA or full fine-tuning --------------------------------------------------------------------

LORA, FULL, OPEN = "LoRA", "full", "depends"


@dataclass(frozen=True)
class Question:
    """What is asked, what either answers, who is better (`LORA`, `FULL`, `OPEN`), and where from.

    Attributes:
        lesson: the page that says more.
        sources: as in ``rules.Reason``.
    """

    text: str
    lora: str
    full: str
    better: str
    lesson: str
    sources: tuple[str, ...]


def lora_or_full(comparison: Comparison) -> list[Question]:
    """The questions that decide between LoRA and full fine-tuning, answered."""
    full, lora = (estimate(SHAPE, use.settings) for use in USES[:2])
    models = 2 * full.parameters  # a model in 16 bit
    best = _verdicts(comparison, "Full fine-tuning beats LoRA.")
    kept = _verdicts(comparison, "LoRA forgets less than full fine-tuning.")
    steps = [comparison.cost(model, "lora-8")["step_ratio"] for model in evidence.MODELS]
    ratios = _rate_ratios(comparison)
    return [
        Question(
            "Who scores higher, in five places?",
            f"LoRA in {best[claims.FAILS]}",
            f"full in {best[claims.HOLDS]}",
            _more(best[claims.FAILS], best[claims.HOLDS]),
            "10_choose",
            (RECORDED,),
        ),
        Question(
            "Who forgets less, in five places?",
            f"LoRA in {kept[claims.HOLDS]}",
            f"full in {kept[claims.FAILS]}, open in {kept[claims.OPEN]}",
            _more(kept[claims.HOLDS], kept[claims.FAILS]),
            "11_evaluate",
            (RECORDED,),
        ),
        Question(
            "What if much is new, as in continued pretraining?",
            "85 % of it on code, 69 % on mathematics",
            "100 %",
            FULL,
            "04_practice",
            ("biderman2024lora",),
        ),
        Question(
            "How much memory for 7B, one text of 512 tokens?",
            gib(lora.peak_bytes),
            gib(full.peak_bytes),
            LORA if lora.peak_bytes < full.peak_bytes else FULL,
            "01_memory",
            (COMPUTED,),
        ),
        Question(
            f"What do {TASKS} tasks take on disk?",
            f"{size(models + TASKS * lora.file_bytes)}, base included",
            size(TASKS * models),
            LORA,
            "01_memory",
            (COMPUTED,),
        ),
        Question(
            "How long is a step of a small model on a GPU?",
            f"{min(steps):.1f} to {max(steps):.1f} times as long",
            "1",
            FULL if min(steps) > 1 else OPEN,
            "09_library",
            (RECORDED,),
        ),
        Question(
            "What does the trained model cost when it runs?",
            "nothing, once merged",
            "nothing",
            OPEN,
            "03_lora",
            ("hu2021lora",),
        ),
        Question(
            "Where does the search for a rate begin?",
            f"{min(ratios):.0f} to {max(ratios):.0f} times as high",
            "low",
            OPEN,
            "04_practice",
            (RECORDED, "schulman2025lora"),
        ),
    ]


def _verdicts(comparison: Comparison, text: str) -> Counter[str]:
    """How often a claim holds, fails and is open."""
    claim = next(claim for claim in claims.CLAIMS if claim.text == text)
    return Counter(finding.verdict for finding in claim.findings(comparison))


def _more(lora: int, full: int) -> str:
    """Who is ahead; a lead of one place in five is none."""
    return OPEN if abs(lora - full) < 2 else LORA if lora > full else FULL


def _rate_ratios(comparison: Comparison) -> list[float]:
    rates = {
        (row["model"], row["task"], row["method"]): row["learning_rate"]
        for row in comparison.chosen
    }
    return [rates[(*place, "lora-8")] / rates[(*place, "full")] for place in evidence.PLACES]
