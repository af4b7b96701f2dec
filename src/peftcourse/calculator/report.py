"""An estimate in words, and as data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from peftlab.memory.gpus import GIB, GPUS, HEADROOM_PERCENT, by_size, usable

if TYPE_CHECKING:
    from peftlab.memory.estimate import Estimate

# What the components are called, in the order in which they are shown.
LABELS = {
    "weights": "weights",
    "quantization_constants": "quantization constants",
    "adapters": "adapters",
    "gradients": "gradients",
    "optimizer_states": "optimizer states",
    "activations": "saved activations",
    "logits_and_loss": "logits and loss",
    "temporary": "temporary",
}


def gib(count: int) -> str:
    """Bytes in GiB, to three significant digits: ``"4.94 GiB"``."""
    return f"{_short(count / GIB)} GiB"


def size(count: int) -> str:
    """Bytes in the decimal unit that suits them: ``"16.8 MB"``."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{_short(count / factor)} {unit}"
    return f"{count} bytes"


def as_json(made: Estimate) -> dict[str, Any]:
    """The estimate as plain data; the components sum to ``peak_bytes``."""
    return {
        "model": made.model,
        "settings": asdict(made.settings),
        "peak_bytes": made.peak_bytes,
        "components": dict(made.components),
        "moment": made.moment,
        "paged_bytes": made.paged_bytes,
        "parameters": made.parameters,
        "trained_parameters": made.trained,
        "file_bytes": made.file_bytes,
        "flops_per_step": made.flops,
        "fits": {f"{gpu.name}, {gpu.gib} GB": made.peak_bytes <= usable(gpu.bytes) for gpu in GPUS},
    }


def table(made: Estimate) -> str:
    """The estimate as a table for a terminal."""
    peak = made.peak_bytes
    lines = [f"{'component':<24} {'GB':>9} {'GiB':>9} {'share':>7}"]
    rows = [(LABELS[name], count) for name, count in made.components.items()]
    for label, count in (*rows, ("peak", peak)):
        lines.append(f"{label:<24} {count / 1e9:9.3f} {count / GIB:9.3f} {count / peak:7.1%}")
    share = made.trained / made.parameters
    lines += [
        "",
        f"peak          {peak:,} bytes, {made.moment}",
        f"trains        {made.trained:,} of {made.parameters:,} parameters ({share:.4%})",
        f"file to keep  {size(made.file_bytes)}",
        f"arithmetic    {_short(made.flops / 1e12)} TFLOP in a step",
    ]
    fits = [f"{gib} GB ({names})" for gib, names in by_size().items() if peak <= usable(gib * GIB)]
    lines += [
        f"fits          {f'a GPU of {fits[0]} or more' if fits else 'none of the common GPUs'},",
        f"              if {HEADROOM_PERCENT} % of its memory stays free for CUDA and gaps",
    ]
    if "paged" in made.settings.optimizer:
        lines += [
            f"not counted   {size(made.paged_bytes)} of paged states: managed memory, which",
            "              max_memory_allocated does not see. A state of fewer than 100,000",
            "              numbers is not paged, and counts.",
        ]
    return "\n".join(lines)


def _short(value: float) -> str:
    """Three significant digits without an exponent."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
