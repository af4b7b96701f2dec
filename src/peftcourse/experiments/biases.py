"""Biases of zero for a model that has none, as Llama: something for BitFit to train."""

from __future__ import annotations

import torch
from torch import nn

from peftlab.errors import PeftlabError
from peftlab.layers import linear_features
from peftlab.targets import ALL_LINEAR, match_targets


def add_biases(model: nn.Module) -> nn.Module:
    """Give every linear layer but the output head a bias of zero, in place.

    The model computes exactly what it did, and BitFit has something to train. Norms stay as they
    are: an RMSNorm has no bias to give.

    Args:
        model: a model without adapters; its linear layers may be in 4 bit.

    Returns:
        The same model, for chaining.

    Raises:
        PeftlabError: each linear layer has a bias already.
    """
    layers = [model.get_submodule(path) for path in match_targets(model, ALL_LINEAR)]
    bare = [layer for layer in layers if layer.bias is None]
    if not bare:
        raise PeftlabError(f"every linear layer of {type(model).__name__} has a bias already.")
    norm = next(p for p in model.parameters() if p.dim() == 1)  # of the model's own precision
    for layer in bare:
        size = linear_features(layer)[1]
        layer.bias = nn.Parameter(torch.zeros(size, dtype=norm.dtype, device=norm.device))
    return model
