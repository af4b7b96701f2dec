"""LoRA+: B learns faster than A (Hayou et al. 2024, arXiv 2402.12354)."""

from __future__ import annotations

from typing import Any

from torch import nn

from peftlab.errors import PeftlabError
from peftlab.inject import adapter_layers


def parameter_groups(
    model: nn.Module, learning_rate: float, ratio: float = 16.0
) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer in which every B learns ``ratio`` times as fast.

    In wide layers A and B contribute equally to what is learned only if B's rate is much the
    higher one (LoRA+ §4); the authors recommend a ratio of 16.

    Args:
        model: a model with LoRA or DoRA layers.
        learning_rate: the rate of A and of everything else that trains.
        ratio: rate of B divided by ``learning_rate``.

    Returns:
        Two groups for any optimizer of torch. A schedule that moves the rate keeps the ratio by
        multiplying each group's with its ``lr_ratio``.

    Raises:
        PeftlabError: the ratio is not positive, or no layer has a trainable B.
    """
    if not ratio > 0:
        raise PeftlabError(f"ratio must be positive, not {ratio!r}.")
    layers = [layer for _, layer in adapter_layers(model) if "B" in layer.PARAMETERS]
    fast = [layer.B for layer in layers if layer.B.requires_grad]
    if not fast:
        raise PeftlabError("LoRA+ needs LoRA layers that train; apply a LoRAConfig first.")
    chosen = {id(parameter) for parameter in fast}
    slow = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    return [
        {"params": slow, "lr": learning_rate, "lr_ratio": 1.0},
        {"params": fast, "lr": ratio * learning_rate, "lr_ratio": ratio},
    ]
