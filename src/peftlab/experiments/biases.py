"""A twin of a Llama that has biases, all zero: the same function, and something for BitFit."""

from __future__ import annotations

import copy

import torch
from torch import nn

from peftlab.errors import PeftlabError


def with_biases(model: nn.Module) -> nn.Module:
    """A copy of the model whose linear layers have biases of zero, except for the head's.

    It computes exactly what the model does. Norms stay as they are: an RMSNorm has no bias.

    Args:
        model: a transformers Llama without adapters.

    Raises:
        PeftlabError: the model is of another kind, or has biases already.
    """
    config = copy.deepcopy(model.config)
    if getattr(config, "mlp_bias", None) is not False or config.attention_bias is not False:
        raise PeftlabError(f"{type(model).__name__} is no Llama without biases; use the tiny one.")
    config.attention_bias = config.mlp_bias = True
    weight = next(model.parameters())
    twin = type(model)(config).to(device=weight.device, dtype=weight.dtype)
    missing = twin.load_state_dict(model.state_dict(), strict=False).missing_keys
    with torch.no_grad():
        for name in missing:
            twin.get_parameter(name).zero_()
    return twin.train(model.training)
