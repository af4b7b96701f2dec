"""Twins of prefix tuning and prompt tuning in Hugging Face PEFT, and of BitFit in plain PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from peftlab.inject import adapter_layers
from peftlab.layers import AdapterLayer
from peftlab.methods.bitfit import BitFitConfig
from peftlab.methods.prefix import PrefixConfig
from peftlab.methods.prompt import PromptConfig
from peftlab.peft_format.virtual import task_type

# Our parameter, and PEFT's inside its prompt encoder.
_PREFIX = {"prefix": "embedding.weight"}
_PREFIX_MLP = {
    "E": "embedding.weight",
    "W1": "transform.0.weight",
    "b1": "transform.0.bias",
    "W2": "transform.2.weight",
    "b2": "transform.2.bias",
}
_PROMPT = {"prompt": "embedding.weight"}


def twin(base: nn.Module, method: PrefixConfig | PromptConfig, ours: nn.Module) -> nn.Module:
    """PEFT's model with the same virtual tokens as ours.

    Args:
        base: the model without an adapter; it is copied.
        method: the configuration that was applied to ours.
        ours: a copy of the base with our adapter, and nothing else, in it.

    Returns:
        The model wrapped by PEFT, in evaluation mode and in the base's dtype.
    """
    import peft

    options = {"task_type": task_type(base), "num_virtual_tokens": method.tokens}
    if isinstance(method, PromptConfig):
        config = peft.PromptTuningConfig(**options)
    else:
        config = peft.PrefixTuningConfig(
            prefix_projection=method.mlp_size is not None,
            encoder_hidden_size=method.mlp_size,
            **options,
        )
    theirs = peft.get_peft_model(copy.deepcopy(base), config).eval().to(base.dtype)
    with torch.no_grad():
        for mine, other in pairs(ours, theirs):
            other.copy_(mine)
    return theirs


def pairs(ours: nn.Module, theirs: nn.Module) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """(our parameter, PEFT's) for every parameter of the adapter."""
    layer = next(layer for _, layer in adapter_layers(ours) if layer.PARAMETERS)
    names = _PROMPT if isinstance(layer.method, PromptConfig) else _PREFIX
    if getattr(layer.method, "mlp_size", None) is not None:
        names = _PREFIX_MLP
    encoder = theirs.prompt_encoder["default"]
    return [(layer.get_parameter(a), encoder.get_parameter(b)) for a, b in names.items()]


def logits(theirs: nn.Module, method: PrefixConfig | PromptConfig, **inputs: Any) -> torch.Tensor:
    """PEFT's logits at the caller's positions.

    PEFT returns those of the soft tokens of a prompt too, except where one pooled position is
    classified.
    """
    found = theirs(**inputs).logits
    if isinstance(method, PromptConfig) and found.ndim == 3:
        found = found[:, method.tokens :]  # (B, T + n, V) → (B, n, V)
    return found


# --- BitFit --------------------------------------------------------------------------------------


def bitfit_twin(base: nn.Module, ours: nn.Module) -> nn.Module:
    """A plain copy of the base whose biases train, with the values b + δ that ours computes with.

    BitFit has no twin in PEFT; this is the method as its paper has it.
    """
    theirs = copy.deepcopy(base).requires_grad_(False)
    with torch.no_grad():
        for layer, bias in bitfit_pairs(ours, theirs):
            bias.add_(layer.delta)
            bias.requires_grad_(True)
    return theirs


def bitfit_pairs(ours: nn.Module, theirs: nn.Module) -> Iterator[tuple[AdapterLayer, nn.Parameter]]:
    """(our layer, the bias in the plain model) for every bias that trains."""
    for path, layer in adapter_layers(ours):
        if isinstance(layer.method, BitFitConfig):
            yield layer, theirs.get_submodule(path).bias
