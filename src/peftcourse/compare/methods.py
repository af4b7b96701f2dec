"""The methods that are compared: how each is put on a model, and where its search begins.

All LoRA variants adapt every linear layer with α = 16, the fixed value that LoRA's authors advise
(§4.1: tune the rate instead). So r = 64 is scaled by α/r = 0.25, and rsLoRA's by α/√r = 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

import peftlab
from peftlab import (
    AdaLoRAConfig,
    BottleneckConfig,
    DoRAConfig,
    IA3Config,
    LoRAConfig,
    PartialConfig,
    PiSSAConfig,
    PrefixConfig,
    PromptConfig,
)
from peftlab.errors import PeftlabError
from peftlab.methods.adalora import RankAllocator
from peftlab.methods.lora_plus import parameter_groups

NORMS = r".*norm"


@dataclass(frozen=True)
class Method:
    """One way to fine-tune.

    Attributes:
        label: its name in tables and plots.
        what: one sentence on what trains.
        rate: the learning rate in the middle of the first grid of the search; see ``rates`` for
            what was found.
        config: makes the adapter's configuration from the number of steps; None trains the whole
            model.
        b_ratio: LoRA+: the rate of B over that of A.
        four_bit: whether the base is quantized to NF4 first.
    """

    label: str
    what: str
    rate: float
    config: Callable[[int], Any] | None
    b_ratio: float | None = None
    four_bit: bool = False


@dataclass(frozen=True)
class Prepared:
    """What ``train.train`` needs beside a prepared model.

    Attributes:
        groups: parameter groups of the optimizer, if they are not all alike.
        on_step, penalty: AdaLoRA's hooks.
        cannot_merge: why the method cannot be merged; None if it can.
    """

    groups: Sequence[dict[str, Any]] | None = None
    on_step: Callable[[int, nn.Module], None] | None = None
    penalty: Callable[[nn.Module], Tensor] | None = None
    cannot_merge: str | None = None


def _lora(rank: int = 8, **options: Any) -> Callable[[int], Any]:
    return lambda steps: LoRAConfig(rank=rank, alpha=16, **options)


def _adalora(steps: int) -> AdaLoRAConfig:
    """A tenth of the steps at the full budget, a third at the final one."""
    return AdaLoRAConfig(
        total_steps=steps,
        rank=12,
        target_rank=8,
        warmup_steps=steps // 10,
        final_steps=steps // 3,
        every=max(1, steps // 30),
    )


METHODS: dict[str, Method] = {
    "full": Method("Full fine-tuning", "Every weight trains.", rate=3e-4, config=None),
    "last-layer": Method(
        "Last layer",
        "The last block and the final norm train. The head is tied to the embedding and stays.",
        rate=1e-3,
        config=lambda steps: PartialConfig(("last-block", "norm")),
    ),
    "lora-1": Method("LoRA, r = 1", "All linear layers, α = 16.", rate=1e-3, config=_lora(1)),
    "lora-8": Method("LoRA, r = 8", "All linear layers, α = 16.", rate=3e-3, config=_lora()),
    "lora-64": Method(
        "LoRA, r = 64",
        "All linear layers, α = 16.",
        rate=3e-3,
        config=_lora(64),
    ),
    "lora-8-qv": Method(
        "LoRA, r = 8, q and v",
        "Query and value projections only, as in the paper; α = 16.",
        rate=3e-3,
        config=_lora(targets=("q_proj", "v_proj")),
    ),
    "rslora-64": Method(
        "rsLoRA, r = 64",
        "LoRA scaled by α/√r in place of α/r; α = 16.",
        rate=1e-3,
        config=_lora(64, rank_stabilized=True),
    ),
    "pissa-8": Method(
        "PiSSA, r = 8",
        "LoRA that starts from the largest singular vectors.",
        rate=1e-3,
        config=lambda steps: PiSSAConfig(rank=8, alpha=16),
    ),
    "lora+-8": Method(
        "LoRA+, r = 8",
        "LoRA whose B learns 16 times as fast as A; the rate given is A's.",
        rate=3e-4,
        config=_lora(),
        b_ratio=16.0,
    ),
    "dora-8": Method(
        "DoRA, r = 8",
        "LoRA on the direction, and the magnitude of each row.",
        rate=3e-3,
        config=lambda steps: DoRAConfig(rank=8, alpha=16),
    ),
    "adalora-8": Method(
        "AdaLoRA, r = 12 → 8",
        "Updates in the form of an SVD; the rank budget shrinks to 8 a layer on average.",
        rate=1e-2,
        config=_adalora,
    ),
    "qlora-8": Method(
        "QLoRA, r = 8",
        "LoRA on a base in 4 bits (NF4).",
        rate=3e-3,
        config=_lora(),
        four_bit=True,
    ),
    "bottleneck": Method(
        "Bottleneck, m = 64",
        "A small network after each feed-forward block (Pfeiffer).",
        rate=1e-3,
        config=lambda steps: BottleneckConfig(size=64),
    ),
    "ia3": Method(
        "IA³",
        "A factor for each key, value and inner feature.",
        rate=3e-2,
        config=lambda steps: IA3Config(),
    ),
    "norms": Method(
        "Norms",
        "The weights of the norms: what stands for BitFit in models without biases.",
        rate=1e-2,
        config=lambda steps: PartialConfig(NORMS),
    ),
    "prefix": Method(
        "Prefix, 20 tokens",
        "Keys and values of 20 virtual tokens in every layer.",
        rate=1e-1,
        config=lambda steps: PrefixConfig(20),
    ),
    "prompt": Method(
        "Prompt, 20 tokens",
        "20 virtual tokens before the input.",
        rate=3e-2,
        config=lambda steps: PromptConfig(20),
    ),
}


def choose(names: Iterable[str]) -> list[str]:
    """The names, checked, in the order of the table.

    Raises:
        PeftlabError: there is no such method.
    """
    names = set(names)
    for name in sorted(names - METHODS.keys()):
        raise PeftlabError(f"there is no method {name!r}; choose from {', '.join(METHODS)}.")
    return [name for name in METHODS if name in names]


def prepare(model: nn.Module, name: str, learning_rate: float, steps: int) -> Prepared:
    """Put a method on a model, in place, so that just its parameters train.

    Args:
        model: a base model of the caller's own; a 4-bit method quantizes it.
        name: a key of ``METHODS``.
        learning_rate: the peak rate.
        steps: how many optimizer steps will follow; AdaLoRA's schedule needs to know.

    Raises:
        PeftlabError: the method does not fit the model.
    """
    method = METHODS[name]
    if method.four_bit:
        peftlab.quantize_model(model)
    if method.config is None:
        if model.dtype == torch.float16:  # the base of a GPU without bfloat16
            model.float()  # float16 cannot hold AdamW's small numbers
        model.requires_grad_(True)
        return Prepared()
    config = method.config(steps)
    peftlab.apply(model, config, name=name)
    reasons = (layer.CANNOT_MERGE for _, layer in peftlab.adapter_layers(model))
    prepared = Prepared(cannot_merge=next(filter(None, reasons), None))
    if method.b_ratio is not None:
        groups = parameter_groups(model, learning_rate, method.b_ratio)
        prepared = replace(prepared, groups=groups)
    if isinstance(config, AdaLoRAConfig):
        allocator = RankAllocator(model)
        prepared = replace(prepared, on_step=allocator, penalty=allocator.penalty)
    return prepared
