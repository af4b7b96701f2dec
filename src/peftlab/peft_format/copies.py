"""What trains in full beside an adapter, in PEFT's files: heads, norms, biases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from peftlab.copies import trains_beside
from peftlab.layers import AdapterLayer, innermost
from peftlab.peft_format.format import Fields
from peftlab.targets import named_layers

# Our names and PEFT's for which biases train.
PEFT_BIAS = {"none": "none", "targets": "lora_only", "all": "all"}
OUR_BIAS = {theirs: ours for ours, theirs in PEFT_BIAS.items()}

NOTHING_NEW = object()


def write(layers: Sequence[tuple[str, AdapterLayer]]) -> Fields:
    """What PEFT calls the settings of an adapter's copies; nothing if it has none."""
    method = next((layer.method for _, layer in layers if trains_beside(layer)), None)
    if method is None:
        return {}
    fields: Fields = {"modules_to_save": list(method.modules) or None}
    if method.bias != "none":
        fields["bias"] = PEFT_BIAS[method.bias]
    if method.tied:
        fields["ensure_weight_tying"] = True
    return fields


def module_of(name: str, tensor: Tensor, fields: Fields, model: nn.Module) -> Any:
    """To which module that trains in full a tensor of a file belongs.

    Args:
        name: the tensor's name, without PEFT's prefix.
        tensor: its value.
        fields: the file's ``adapter_config.json``.
        model: the model to load into.

    Returns:
        The module's name; ``""`` for a bias that trains by itself; ``NOTHING_NEW`` for a tensor
        that the model holds already or that nothing reads; ``None`` for one it has no place for.
    """
    path, _, parameter = name.rpartition(".")
    saved = fields.get("modules_to_save") or []
    for module in saved:
        # With bias="all", PEFT writes the biases of saved modules again under these names.
        if any(f"{module}.{copy}." in name for copy in ("original_module", "modules_to_save")):
            return NOTHING_NEW
    layers = dict(named_layers(model))
    owner = innermost(layers.get(path.removesuffix(".base_layer"), nn.Identity()))
    current = owner._parameters.get(parameter)
    if current is None:
        return None
    parts = path.split(".")
    prefixes = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for prefix in prefixes:
        if any(prefix.endswith(module) for module in saved):
            return prefix
    if parameter == "bias" and fields.get("bias", "none") != "none":
        return ""
    # PEFT adds the whole embedding when it was adapted or resized: a copy, unless it is the same.
    if tensor.shape == current.shape and torch.equal(tensor.to(current), current):
        return NOTHING_NEW
    return None if path.endswith(".base_layer") else path
