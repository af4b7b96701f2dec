"""Small models that the tests share: those of ``peftlab parity``, and the bundled one cut down."""

from __future__ import annotations

from pathlib import Path

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
    "llama",
    "randomise_adapter",
    "relative_error",
    "save_one_layer",
    "token_ids",
]


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
