"""Where a model looks, and with what: shares of the attention, and the kernels that compute it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

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


class FusedAttention(TorchDispatchMode):
    """While it is active, notes the fused attention kernels that run and the dtype they run in.

    PyTorch picks a kernel from the device, the dtypes and the shapes that are left below autocast,
    which is where this listens. Without a fused kernel attention is two products and a softmax,
    with a matrix of (tokens, tokens) for each head in memory between them; nothing is noted then.

    Attributes:
        seen: dtypes of the queries, by the name of the kernel: ``"flash"``, ``"efficient"``, …
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        _, found, after = func.overloadpacket.__name__.partition("scaled_dot_product_")
        if found and not after.endswith("backward"):
            self.seen.setdefault(after.partition("_attention")[0], set()).add(args[0].dtype)
        return func(*args, **(kwargs or {}))
