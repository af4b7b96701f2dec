"""Small models that the tests share: those of ``peftlab parity``, and the bundled one cut down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from peftcourse.experiments import models
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
    "build",
    "checkpoint_activations",
    "llama",
    "randomise_adapter",
    "relative_error",
    "save_one_layer",
    "token_ids",
]


def checkpoint_activations(model: nn.Module, options: dict[str, Any] | None = None) -> None:
    """Turn gradient checkpointing on, whatever this transformers calls the method."""
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    enable = next(getattr(model, name) for name in names if hasattr(model, name))
    enable(options)


def save_one_layer(folder: Path) -> Path:
    """Save the bundled model with the first of its eight layers alone; returns the folder.

    With PEFTLAB_MODEL set to it, a lab's training takes a quarter of the time.
    """
    model, tokenizer = models.load("tiny")
    model.model.layers = model.model.layers[:1]
    model.config.num_hidden_layers = 1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
