"""What the recorded comparison says about the rules: sentences computed from its rows.

The package does not carry the rows, so ``measured`` keeps the sentences; a test computes them again
and compares. To write them after a new run: ``python -m peftlab.recommend.evidence``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap

from peftlab.compare.tables import BASE, Comparison, load

# Half a decade, give or take the rounding of rates.
HALF_DECADE = (10**0.45, 10**0.55)


def gain(comparison: Comparison, method: str, place: tuple[str, str]) -> float:
    """The method's mean gain over the base model, in percent of full fine-tuning's."""
    score, full, base = (comparison.interval(*place, name).mean for name in (method, "full", BASE))
    return 100 * (score - base) / (full - base)


def points(comparison: Comparison, first: str, second: str) -> list[float]:
    """Mean score of the first minus the second on each task, in points of 100."""
    return [100 * comparison.difference(*place, first, second).mean for place in comparison.pairs]


def off_by_half_a_decade(comparison: Comparison, model: str, task: str) -> float:
    """The median loss, over methods and sides, of a rate half a decade from the method's best."""
    lost = []
    for method in comparison.methods:
        tried = [(rate, loss) for rate, loss in comparison.tried(model, task, method) if loss]
        best_rate, best = min(tried, key=lambda point: point[1])
        for rate, loss in tried:
            ratio = max(rate, best_rate) / min(rate, best_rate)
            if HALF_DECADE[0] < ratio < HALF_DECADE[1]:
                lost.append(loss - best)
    return statistics.median(lost)


def best_to_median(comparison: Comparison, model: str, task: str) -> float:
    """How much worse the median method's best validation loss is than the best method's."""
    best = [
        min(loss for _, loss in comparison.tried(model, task, method) if loss)
        for method in comparison.methods
    ]
    return statistics.median(best) - min(best)


def lora(comparison: Comparison) -> str:
    """How near LoRA comes to full fine-tuning."""
    return f"LoRA of rank 8 gained {_gains(comparison, 'lora-8')} of what full fine-tuning gained."


def forgetting(comparison: Comparison) -> str:
    """What LoRA and full fine-tuning forget."""
    forgot = {
        method: [
            comparison.interval(*place, method, "forgetting").mean for place in comparison.pairs
        ]
        for method in ("lora-8", "full")
    }
    return (
        f"On stories, LoRA of rank 8 got worse by {_between(forgot['lora-8'], 2)} nats per token, "
        f"full fine-tuning by {_between(forgot['full'], 2)}."
    )


def qlora(comparison: Comparison) -> str:
    """What the 4-bit base costs."""
    return (
        f"QLoRA's score differed from LoRA's by {_signed(points(comparison, 'qlora-8', 'lora-8'))}."
    )


def rank(comparison: Comparison) -> str:
    """What a higher rank brings."""
    return (
        "On all linear layers, rank 8 scored "
        f"{_signed(points(comparison, 'lora-8', 'lora-1'))} more than rank 1, and rank 64 "
        f"{_signed(points(comparison, 'lora-64', 'lora-8'))} more than rank 8."
    )


def rate(comparison: Comparison) -> str:
    """What a wrong rate costs, beside what a wrong method costs."""
    ratios = [
        off_by_half_a_decade(comparison, *place) / best_to_median(comparison, *place)
        for place in comparison.pairs
    ]
    return (
        "A rate half a decade from a method's best one cost "
        f"{_between(ratios, 1)} times as much loss as the step from the best method to the median "
        "one."
    )


def dora(comparison: Comparison) -> str:
    """What DoRA adds to LoRA."""
    slower = [
        comparison.cost(model, "dora-8")["step_seconds"]
        / comparison.cost(model, "lora-8")["step_seconds"]
        for model in _models(comparison)
    ]
    return (
        f"DoRA scored {_signed(points(comparison, 'dora-8', 'lora-8'))} more than LoRA, and its "
        f"steps took {_between(slower, 2)} times as long."
    )


def ia3(comparison: Comparison) -> str:
    """What IA³ reaches."""
    return f"IA³ gained {_gains(comparison, 'ia3')} of what full fine-tuning gained."


def soft_prompts(comparison: Comparison) -> str:
    """What prefix and prompt tuning reach."""
    return (
        f"Prefix tuning gained {_gains(comparison, 'prefix')} of what full fine-tuning gained, "
        f"prompt tuning {_gains(comparison, 'prompt')}."
    )


def bottleneck(comparison: Comparison) -> str:
    """What bottleneck adapters reach, and what they cost at inference."""
    slower = [
        comparison.cost(model, "bottleneck")["overhead_unmerged"] for model in _models(comparison)
    ]
    return (
        f"Adapters gained {_gains(comparison, 'bottleneck')} of what full fine-tuning gained, and "
        f"a forward pass took {_between(slower, 2)} times as long as the bare model's."
    )


def full_rate(comparison: Comparison) -> str:
    """How LoRA's rate compares with full fine-tuning's."""
    chosen = {
        (row["model"], row["task"], row["method"]): row["learning_rate"]
        for row in comparison.chosen
    }
    ratios = [chosen[(*place, "lora-8")] / chosen[(*place, "full")] for place in comparison.pairs]
    return f"LoRA's best rate was {_between(ratios, 0)} times full fine-tuning's."


SENTENCES: dict[str, Callable[[Comparison], str]] = {
    function.__name__: function
    for function in (
        lora, forgetting, qlora, rank, rate, dora, ia3, soft_prompts, bottleneck, full_rate
    )
}  # fmt: skip


def _models(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(model for model, _ in comparison.pairs))


def _gains(comparison: Comparison, method: str) -> str:
    values = [gain(comparison, method, place) for place in comparison.pairs]
    return f"{_between(values, 0)} %"


def _between(values: Sequence[float], digits: int) -> str:
    """``85 to 99``, or one number if both round to the same."""
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _signed(values: Sequence[float]) -> str:
    """``−0.5 to +2.1 points``."""
    low, high = (f"{value:+.1f}".replace("-", "−") for value in (min(values), max(values)))
    return f"{low} points" if low == high else f"{low} to {high} points"


def write(comparison: Comparison, file: Path) -> None:
    """Write the sentences as the module ``measured``."""
    lines = ['"""What results/compare_full.json says, in words; written by ``evidence``."""', ""]
    lines += ["MEASURED = {"]
    for name, sentence in SENTENCES.items():
        parts = wrap(sentence(comparison), 86, drop_whitespace=False, break_on_hyphens=False)
        lines += [f'    "{name}": (', *(f'        "{part}"' for part in parts), "    ),"]
    file.write_text("\n".join([*lines, "}", ""]), encoding="utf-8")


if __name__ == "__main__":
    write(load(), Path(__file__).with_name("measured.py"))
