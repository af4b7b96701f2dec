"""A recommendation in words, and as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from textwrap import fill
from typing import Any

from peftcourse.calculator import report
from peftcourse.calculator.report import gib, size
from peftcourse.recommend.ladder import Recommendation, capital
from peftcourse.recommend.rules import Reason
from peftlab.memory.gpus import usable


def as_json(recommendation: Recommendation) -> dict[str, Any]:
    """The recommendation as plain data; sizes in bytes."""
    need, chosen = recommendation.need, recommendation.chosen
    shape = need.shape
    data: dict[str, Any] = {
        "method": chosen.settings.method if chosen else None,
        "name": chosen.rung.name if chosen else None,
        "model": {
            "shape": shape.name,
            "parameters": shape.parameters,
            "assumed_for": shape.asked,
        },
        "gpu_bytes": need.gpu_bytes,
        "usable_bytes": usable(need.gpu_bytes),
        "settings": None,
        "memory": None,
        "training": None,
        "reasons": [asdict(reason) for reason in recommendation.reasons],
        "others": [asdict(reason) for reason in recommendation.others],
        "better": [asdict(change) for change in recommendation.better],
    }
    if chosen:
        data["settings"] = asdict(chosen.settings)
        data["memory"] = report.as_json(chosen.estimate)
        data["training"] = {
            "alpha": recommendation.alpha,
            "learning_rate": recommendation.learning_rate,
        }
    return data


def describe(recommendation: Recommendation) -> str:
    """The recommendation as text for a terminal."""
    need, chosen = recommendation.need, recommendation.chosen
    shape = need.shape
    model = f"{shape.name} ({shape.parameters:,} parameters)"
    if shape.asked:
        model = f"{shape.asked / 1e9:g} billion parameters: assumed the shape of {model}"
    lines = [f"Model: {model}"]
    if chosen is None:
        lines += [
            f"Nothing in the table fits {need.gpu_gib:g} GB with sequences of {need.seq_len} tokens"
            f" in batches of {need.batch_size}. What would:"
        ]
        return "\n".join(
            lines + _items(f"{capital(change.text)}." for change in recommendation.better)
        )

    made = chosen.estimate
    lines += [
        f"Recommended: {chosen.rung.name}",
        f"  {_settings(recommendation)}",
        f"  predicted peak {gib(made.peak_bytes)}; of {need.gpu_gib:g} GB, "
        f"{gib(usable(need.gpu_bytes))} count as usable",
        f"  {made.trained:,} parameters train; the file for the task has {size(made.file_bytes)}",
        "",
        "Why:",
        *_items(_cited(reason) for reason in recommendation.reasons),
    ]
    if recommendation.better:
        lines += ["", "For the next better option:"]
        lines += _changes(recommendation)
    if recommendation.others:
        lines += ["", "Other methods:", *_items(map(_cited, recommendation.others))]
    lines += [
        "",
        "Keys in brackets are those of the book's bibliography; compare_full is the comparison of "
        "its lesson 10.",
    ]
    return "\n".join(lines)


def _settings(recommendation: Recommendation) -> str:
    settings = recommendation.chosen.settings
    parts = []
    if settings.method != "full":
        parts.append(f"rank {settings.rank}, alpha {recommendation.alpha}, all linear layers")
    if settings.quantized:
        parts.append(f"{settings.quantization} with double quantization")
    parts += [f"{settings.precision}", settings.optimizer]
    parts.append(f"learning rate {recommendation.learning_rate:g} to start from")
    parts.append(f"batches of {settings.batch_size} × {settings.seq_len} tokens")
    if settings.gradient_checkpointing:
        parts.append("gradient checkpointing")
    return ", ".join(parts)


def _changes(recommendation: Recommendation) -> list[str]:
    return _items(f"{capital(change.text)}." for change in recommendation.better)


def _cited(reason: Reason) -> str:
    thin = "; thin evidence" if reason.thin else ""
    return f"{reason.text} [{', '.join(reason.sources)}{thin}]"


def _items(texts: Iterable[str]) -> list[str]:
    return [
        fill(text, 88, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)
        for text in texts
    ]
