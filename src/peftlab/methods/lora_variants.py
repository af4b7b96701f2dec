"""Around LoRA: PiSSA's initialisation and LoRA+'s learning rates.

They change where training starts and how fast each factor moves, not what the layer computes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.inject import adapter_layers

if TYPE_CHECKING:
    from peftlab.methods.lora import LoRALinear


# --- PiSSA (Meng et al. 2024, arXiv 2404.02948) ---------------------------------------------------


@torch.no_grad()
def pissa(layer: LoRALinear, weight: Tensor) -> None:
    r"""Start A and B from the r largest singular values of the weight.

    .. math::
        W = U S V^\top, \qquad
        A_0 = \sqrt{S_r / s}\ V_r^\top, \qquad B_0 = U_r \sqrt{S_r / s}

    so that :math:`s B_0 A_0` is the best approximation of W of rank r, with s the layer's scaling.
    The paper freezes the residual W - s B₀ A₀ in place of W. Here the base weight is never
    touched: the layer subtracts the frozen s B₀ A₀ itself, y = W x + s (B A - B₀ A₀) x. That is
    the same function and the same gradient, and switching the adapter off, removing it or putting
    a second one on the same layer needs no undoing. A and B start where the gradient of both is
    large, instead of at zero.

    A file holds [A; A₀] and [B, -B₀], a plain LoRA of rank 2r for the original model. PEFT writes
    the same with ``save_pretrained(path_initial_model_for_weight_conversion=…)``.

    Args:
        layer: receives A, B, and the frozen copies A0, B0.
        weight: W, (d_out, d_in).

    Raises:
        PeftlabError: the layer has fewer singular values than the rank.
    """
    rank = layer.A.shape[0]
    if rank > min(weight.shape):
        raise PeftlabError(
            f"PiSSA needs a rank of at most {min(weight.shape)} for a layer of "
            f"{tuple(weight.shape)}, not {rank}; lower the rank, or use rank_pattern."
        )
    if weight.is_meta:  # no values: shapes alone matter, as when parameters are counted
        left, values, right = layer.B, torch.ones(rank, device="meta"), layer.A
    else:
        left, values, right = torch.linalg.svd(weight.to(layer.A.dtype), full_matrices=False)
    root = (values[:rank] / layer.scaling).sqrt()
    layer.A.copy_(root[:, None] * right[:rank])  # (r, d_in)
    layer.B.copy_(left[:, :rank] * root)  # (d_out, r)
    layer.register_buffer("A0", layer.A.detach().clone())
    layer.register_buffer("B0", layer.B.detach().clone())


def doubled_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """PEFT's fields for the LoRA of rank 2r that stands for PiSSA, with the scaling unchanged."""
    # s = alpha / r, or alpha / √r: twice the rank needs twice alpha, or √2 times.
    factor = math.sqrt(2) if fields["use_rslora"] else 2
    return fields | {
        "r": 2 * fields["r"],
        "lora_alpha": factor * fields["lora_alpha"],
        "rank_pattern": {key: 2 * rank for key, rank in fields["rank_pattern"].items()},
        "alpha_pattern": {key: factor * alpha for key, alpha in fields["alpha_pattern"].items()},
    }


# --- LoRA+ (Hayou et al. 2024, arXiv 2402.12354) --------------------------------------------------


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
        Two groups for any optimizer of torch, or for ``train(..., groups=)``, which reads
        ``lr_ratio`` to keep the ratio while its schedule moves the rate.

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
