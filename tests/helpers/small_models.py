"""Small models that the tests share: those of ``peftlab parity``."""

from __future__ import annotations

from typing import Any

from torch import nn

import peftlab
from peftcourse.parity.models import (
    FAMILIES,
    GQA,
    build,
    llama,
    randomise_adapter,
    relative_error,
    token_ids,
)

__all__ = [
    "FAMILIES",
    "GQA",
    "apply_alone",
    "build",
    "checkpoint_activations",
    "llama",
    "randomise_adapter",
    "relative_error",
    "token_ids",
]


def apply_alone(model: nn.Module, method: Any, **options: Any) -> nn.Module:
    """``peftlab.apply``, without the head of a classifier: only what the method adds trains."""
    return peftlab.apply(model, method, train_head=False, **options)


def checkpoint_activations(model: nn.Module, options: dict[str, Any] | None = None) -> None:
    """Turn gradient checkpointing on, whatever this transformers calls the method."""
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    enable = next(getattr(model, name) for name in names if hasattr(model, name))
    enable(options)
