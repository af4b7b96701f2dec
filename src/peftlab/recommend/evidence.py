"""What the recorded comparison says about the rules: sentences computed from its rows.

The package does not carry the rows, so ``measured`` keeps the sentences; a test computes them again
and compares. To write them after a new run: ``python -m peftlab.recommend.evidence``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from math import log10
from pathlib import Path
from textwrap import wrap

from peftlab.compare.tables import BASE, Comparison, load

# The bundled model's tasks. The sentences say so, and stay as they are when the file grows.
PLACES = (("tiny", "voice"), ("tiny", "slots"))
MODEL = "tiny"


def gain(comparison: Comparison, method: str, place: tuple[str, str]) -> float:
    """The method's mean gain over the base model, in percent of full fine-tuning's."""
    score, full, base = (comparison.interval(*place, name).mean for name in (method, "full", BASE))
    return 100 * (score - base) / (full - base)


def points(comparison: Comparison, first: str, second: str) -> list[float]:
    """Mean score of the first minus the second on each of our tasks, in points of 100."""
    return [100 * comparison.difference(*place, first, second).mean for place in PLACES]


def off_by(comparison: Comparison, model: str, task: str, *steps: int) -> float:
    """The median loss, over methods, of a rate so many half decades from the method's best one.

    Args:
        steps: half decades; above the best rate if positive, below it if negative.
    """
    lost = []
    for method in comparison.methods:
        tried = [(rate, loss) for rate, loss in comparison.tried(model, task, method) if loss]
        best_rate, best = min(tried, key=lambda point: point[1])
        lost += [loss - best for rate, loss in tried if round(2 * log10(rate / best_rate)) in steps]
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
    lora, full = (
        _by_task(
            [comparison.interval(*place, method, "forgetting").mean for place in PLACES], "{:.2f}"
        )
        for method in ("lora-8", "full")
    )
    return f"It got worse at stories by {lora} nats per token, full fine-tuning by {full}."


def qlora(comparison: Comparison) -> str:
    """What the 4-bit base costs."""
    return f"QLoRA scored {_points(comparison, 'qlora-8', 'lora-8')} more than LoRA."


def rank(comparison: Comparison) -> str:
    """What a higher rank brings, at the same alpha."""
    return (
        f"Rank 8 scored {_points(comparison, 'lora-8', 'lora-1')} more than rank 1; rank 64 "
        f"{_points(comparison, 'lora-64', 'lora-8')} more than rank 8, and with rank-stabilized "
        f"scaling {_points(comparison, 'rslora-64', 'lora-8')}."
    )


def rate(comparison: Comparison) -> str:
    """What a wrong rate costs, beside what a wrong method costs."""

    def ratios(*steps: int) -> str:
        step = [best_to_median(comparison, *place) for place in PLACES]
        lost = [off_by(comparison, *place, *steps) for place in PLACES]
        return _by_task([a / b for a, b in zip(lost, step, strict=True)], "{:.1f}")

    return (
        f"A rate half a decade from the best one cost {ratios(-1, 1)} times as much loss as the "
        f"step from the best method to the median one, a rate a decade too high {ratios(2)} times."
    )


def dora(comparison: Comparison) -> str:
    """What DoRA adds to LoRA."""
    slower = (
        comparison.cost(MODEL, "dora-8")["step_ratio"]
        / comparison.cost(MODEL, "lora-8")["step_ratio"]
    )
    return (
        f"DoRA scored {_points(comparison, 'dora-8', 'lora-8')} more than LoRA, and its "
        f"steps took {slower:.1f} times as long."
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
    slower = comparison.cost(MODEL, "bottleneck")["overhead_unmerged"]
    return (
        f"Adapters gained {_gains(comparison, 'bottleneck')} of what full fine-tuning gained, and "
        f"a forward pass took {slower:.2f} times as long as the bare model's."
    )


def full_rate(comparison: Comparison) -> str:
    """How LoRA's rate compares with full fine-tuning's."""
    chosen = {
        (row["model"], row["task"], row["method"]): row["learning_rate"]
        for row in comparison.chosen
    }
    ratios = [chosen[(*place, "lora-8")] / chosen[(*place, "full")] for place in PLACES]
    return f"LoRA's best rate was {_by_task(ratios, '{:.0f}')} times full fine-tuning's."


SENTENCES: dict[str, Callable[[Comparison], str]] = {
    function.__name__: function
    for function in (
        lora, forgetting, qlora, rank, rate, dora, ia3, soft_prompts, bottleneck, full_rate
    )
}  # fmt: skip


def _gains(comparison: Comparison, method: str) -> str:
    return _by_task([gain(comparison, method, place) for place in PLACES], "{:.0f} %")


def _points(comparison: Comparison, first: str, second: str) -> str:
    return _by_task(points(comparison, first, second), "{:+.1f}") + " points"


def _by_task(values: Sequence[float], shape: str) -> str:
    """``97 % (voice) and 77 % (slots)``."""
    numbers = (shape.format(value).replace("-", "−") for value in values)
    return " and ".join(
        f"{number} ({task})" for number, (_, task) in zip(numbers, PLACES, strict=True)
    )


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
