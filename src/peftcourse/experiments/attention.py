"""Where a model looks: the share of the attention that goes to virtual tokens and to the first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from peftcourse.experiments.evaluate import evaluating
from peftcourse.experiments.tasks import Encoded, collate


def shares(
    model: nn.Module, examples: Sequence[Encoded], virtual: int = 0
) -> dict[str, list[float]]:
    """Mean attention of the texts' tokens, by layer, over heads, tokens and texts.

    Args:
        model: a causal language model from transformers.
        examples: encoded texts, as one batch.
        virtual: T, the number of virtual tokens in front of each text.

    Returns:
        For each layer the share, from 0 to 1, that goes to the ``virtual`` tokens, the share that
        goes to the ``first`` token of the text, and under ``even`` the share that virtual tokens
        would take if each token looked at all that it sees alike.

    Fused kernels return no attention weights, so they are computed eagerly here.
    """
    pad_id = getattr(model.config, "pad_token_id", None) or 0
    kernel = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with evaluating(model) as device:
        batch = {name: tensor.to(device) for name, tensor in collate(examples, pad_id).items()}
        mask = batch["attention_mask"].bool()  # (B, n)
        output = model(batch["input_ids"], attention_mask=mask.long(), output_attentions=True)
    model.set_attn_implementation(kernel)
    seen = torch.arange(1, mask.shape[1] + 1, device=device)
    even = (virtual / (virtual + seen)).expand(mask.shape)[mask].mean().item()

    def mean(weights: torch.Tensor) -> float:  # (B, heads, n)
        return weights.float().mean(dim=1)[mask].mean().item()

    return {
        "virtual": [mean(layer[..., :virtual].sum(-1)) for layer in output.attentions],
        "first": [mean(layer[..., virtual]) for layer in output.attentions],
        "even": [even] * len(output.attentions),
    }
