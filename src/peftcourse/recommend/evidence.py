"""What the recorded comparison says about the rules: sentences computed from its rows.

The package does not carry the rows, so ``measured`` keeps the sentences; a test computes them again
and compares. To write them after a new run: ``python -m peftcourse.recommend.evidence``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from math import log10
from pathlib import Path
from textwrap import wrap

from peftcourse.compare.tables import BASE, Comparison, load

# In the order in which the sentences name them; a test keeps them to what the file holds.
PLACES = (
    ("tiny", "voice"),
    ("tiny", "slots"),
    ("tiny", "facts"),
    ("smollm2", "slots"),
    ("smollm2", "sentiment"),
)
MODELS = {"tiny": "ours", "smollm2": "SmolLM2"}


def gain(comparison: Comparison, method: str, place: tuple[str, str]) -> float:
    """The method's mean gain over the base model, in percent of full fine-tuning's."""
    score, full, base = (comparison.interval(*place, name).mean for name in (method, "full", BASE))
    return 100 * (score - base) / (full - base)


def points(comparison: Comparison, first: str, second: str) -> list[float]:
    """Mean score of the first minus the second in each place, in points of 100."""
    return [100 * comparison.difference(*place, first, second).mean for place in PLACES]


def beside_best(
    comparison: Comparison, model: str, task: str, method: str
) -> list[tuple[int, float]]:
    """(half decades from the method's best rate, validation loss above its best) of its search.

    Runs that diverged are left out.
    """
    tried = [run for run in comparison.tried(model, task, method) if run[1] is not None]
    best_rate, best = min(tried, key=lambda run: run[1])
    return [(round(2 * log10(rate / best_rate)), loss - best) for rate, loss in tried]


def off_by(
    comparison: Comparison, model: str, task: str, *steps: int, methods: Sequence[str] = ()
) -> float:
    """The median loss, over methods, of a rate so many half decades from the method's best one.

    Args:
        steps: half decades; above the best rate if positive, below it if negative.
        methods: over which; all by default.
    """
    chosen = methods or comparison.methods
    points = [point for name in chosen for point in beside_best(comparison, model, task, name)]
    return statistics.median(loss for step, loss in points if step in steps)


def best_to_median(
    comparison: Comparison, model: str, task: str, methods: Sequence[str] = ()
) -> float:
    """How much worse the median method's best validation loss is than the best method's."""
    best = [
        min(loss for _, loss in comparison.tried(model, task, method) if loss is not None)
        for method in methods or comparison.methods
    ]
    return statistics.median(best) - min(best)


def lora(comparison: Comparison) -> str:
    """How near LoRA comes to full fine-tuning."""
    return f"LoRA of rank 8 reached {_gains(comparison, 'lora-8')} of full fine-tuning's gain."


def forgetting(comparison: Comparison) -> str:
    """What LoRA and full fine-tuning forget."""
    lora, full = (
        _ranges(
            [comparison.interval(*place, method, "forgetting").mean for place in PLACES], "{:.1f}"
        )
        for method in ("lora-8", "full")
    )
    return f"Its loss on stories grew by {lora} nats per token, that of full fine-tuning by {full}."


def qlora(comparison: Comparison) -> str:
    """What the 4-bit base costs."""
    return f"QLoRA scored {_points(comparison, 'qlora-8', 'lora-8')} points more than LoRA."


def rank(comparison: Comparison) -> str:
    """What a higher rank brings, at the same alpha."""
    return (
        f"At the same alpha rank 8 scored {_points(comparison, 'lora-8', 'lora-1')} points more "
        f"than rank 1; rank 64 {_points(comparison, 'lora-64', 'lora-8')} more than rank 8, and "
        f"with rank-stabilized scaling {_points(comparison, 'rslora-64', 'lora-8')}."
    )


def rate(comparison: Comparison) -> str:
    """What a wrong rate costs, beside what a wrong method costs."""

    def ratios(*steps: int) -> str:
        step = [best_to_median(comparison, *place) for place in PLACES]
        lost = [off_by(comparison, *place, *steps) for place in PLACES]
        return _ranges([a / b for a, b in zip(lost, step, strict=True)], "{:.1f}")

    return (
        f"A rate half a decade from the best one cost {ratios(-1, 1)} times as much loss as the "
        f"step from the best method to the median one; a rate a decade too high {ratios(2)} times."
    )


def dora(comparison: Comparison) -> str:
    """What DoRA adds to LoRA."""
    slower = [
        comparison.cost(model, "dora-8")["step_ratio"]
        / comparison.cost(model, "lora-8")["step_ratio"]
        for model in MODELS
    ]
    return (
        f"DoRA scored {_points(comparison, 'dora-8', 'lora-8')} points more than LoRA, and its "
        f"steps took {_by_model(slower, '{:.1f}')} times as long."
    )


def variants(comparison: Comparison) -> str:
    """What other starts, rates and scalings add to LoRA of rank 8."""
    pissa, plus, stable = (
        _points(comparison, name, "lora-8") for name in ("pissa-8", "lora+-8", "rslora-64")
    )
    return (
        f"In points more than LoRA of rank 8: PiSSA {pissa}; LoRA+ {plus}; rsLoRA of rank 64 "
        f"{stable}."
    )


def ia3(comparison: Comparison) -> str:
    """What IA³ reaches."""
    return f"IA³ reached {_gains(comparison, 'ia3')} of full fine-tuning's gain."


def soft_prompts(comparison: Comparison) -> str:
    """What prefix and prompt tuning reach."""
    return (
        f"Prefix tuning reached {_gains(comparison, 'prefix')} of full fine-tuning's gain, prompt "
        f"tuning {_gains(comparison, 'prompt')}."
    )


def bottleneck(comparison: Comparison) -> str:
    """What bottleneck adapters reach, and what they cost at inference."""
    slower = [comparison.cost(model, "bottleneck")["overhead_unmerged"] for model in MODELS]
    return (
        f"Adapters reached {_gains(comparison, 'bottleneck')} of full fine-tuning's gain; a "
        f"forward pass took {_by_model(slower, '{:.2f}')} times the bare model's time."
    )


def rates(comparison: Comparison) -> str:
    """The best rates of LoRA and of full fine-tuning."""
    lora, full = (
        _ranges([_rate(comparison, place, method) for place in PLACES], "{:.2g}")
        for method in ("lora-8", "full")
    )
    return f"The best rate of LoRA of rank 8 was {lora}, that of full fine-tuning {full}."


def full_rate(comparison: Comparison) -> str:
    """How LoRA's rate compares with full fine-tuning's."""
    ratios = [
        _rate(comparison, place, "lora-8") / _rate(comparison, place, "full") for place in PLACES
    ]
    return f"LoRA's best rate was {_ranges(ratios, '{:.0f}')} times full fine-tuning's."


SENTENCES: dict[str, Callable[[Comparison], str]] = {
    function.__name__: function
    for function in (
        lora, forgetting, qlora, rank, rate, dora, variants, ia3, soft_prompts, bottleneck,
        rates, full_rate,
    )
}  # fmt: skip


def _rate(comparison: Comparison, place: tuple[str, str], method: str) -> float:
    """The rate that the search chose."""
    wanted = (*place, method)
    return next(
        row["learning_rate"]
        for row in comparison.chosen
        if (row["model"], row["task"], row["method"]) == wanted
    )


def _gains(comparison: Comparison, method: str) -> str:
    return _ranges([gain(comparison, method, place) for place in PLACES], "{:.0f}", " %")


def _points(comparison: Comparison, first: str, second: str) -> str:
    return _ranges(points(comparison, first, second), "{:+.0f}")


def _ranges(values: Sequence[float], shape: str, unit: str = "") -> str:
    """``77 to 99 % (ours) and 81 to 106 % (SmolLM2)``: from the least task to the most."""
    parts = []
    for model, name in MODELS.items():
        here = [v for v, (where, _) in zip(values, PLACES, strict=True) if where == model]
        ends = dict.fromkeys(_number(end, shape) for end in (min(here), max(here)))
        parts.append(f"{' to '.join(ends)}{unit} ({name})")
    return " and ".join(parts)


def _by_model(values: Sequence[float], shape: str) -> str:
    """``1.6 (ours) and 1.7 (SmolLM2)``."""
    return " and ".join(
        f"{_number(value, shape)} ({name})"
        for value, name in zip(values, MODELS.values(), strict=True)
    )


def _number(value: float, shape: str) -> str:
    """With a true minus; what rounds to nothing has no sign."""
    text = shape.format(value)
    if text in ("-0", "+0"):
        return "0"
    return f"−{text[1:]}" if text.startswith("-") else text  # not in 1e-05


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
