"""How training changed a weight: its magnitude, its direction, and whether the two go together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.inject import adapter_layers
from peftlab.layers import dense_weight
from peftlab.targets import match_targets


@dataclass(frozen=True)
class Change:
    """What training had done to one weight by some step; see `weight_change`.

    Attributes:
        layer: its place in the model, from 0.
        step: of the training run.
        magnitude: ΔM.
        direction: ΔD.
    """

    layer: int
    step: int
    magnitude: float
    direction: float


def linear_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model's linear layers as they act now, with what an adapter adds.

    Args:
        model: with an adapter that can be merged and is not, whose layers are taken; or without
            one, and then all linear layers but the head are.

    Returns:
        (d_out, d_in) by path, in float32 or better; copies, without a graph.
    """
    adapted = adapter_layers(model)
    if adapted:
        return {
            path: (dense_weight(layer) + layer.delta_weight()).detach() for path, layer in adapted
        }
    layers = {path: model.get_submodule(path) for path in match_targets(model, "all-linear")}
    return {path: dense_weight(layer).float().clone() for path, layer in layers.items()}


def weight_change(before: Tensor, after: Tensor) -> tuple[float, float]:
    """(ΔM, ΔD) of a weight in the layout of ``nn.Linear``, one vector for each output feature.

    ΔM is the mean of ‖w'‖ - ‖w‖ without its sign, ΔD the mean of 1 - cos(w', w), over the rows w.
    The analysis is that of the DoRA paper (Liu et al. 2024, arXiv 2402.09353, §3.2).

    Args:
        before: (d_out, d_in).
        after: (d_out, d_in).

    Returns:
        ΔM in the unit of the weights, ΔD from 0 (same direction) to 2; both computed in float64.
    """
    before, after = before.detach().double(), after.detach().double()
    change = (after.norm(dim=1) - before.norm(dim=1)).abs().mean()
    turn = (1 - F.cosine_similarity(before, after, dim=1)).mean()
    return change.item(), turn.item()


def correlation(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """Pearson's r of two lists of numbers, and Fisher's 95 % interval for it.

    The interval takes the pairs for independent of each other; pairs that are not, such as one
    layer at several steps, hold less information, and the true interval is wider.

    Args:
        x: (n,) with n of at least 4.
        y: (n,).

    Returns:
        r, the interval's lower end, and its upper end.

    Raises:
        PeftlabError: there are fewer than four pairs, or one list is constant.
    """
    if len(x) < 4 or x.min() == x.max() or y.min() == y.max():
        raise PeftlabError(
            f"a correlation needs four pairs or more that are not all alike, not {len(x)}."
        )
    r = torch.corrcoef(torch.stack([x.double(), y.double()]))[0, 1].clamp(-1, 1)
    half = 1.959964 / math.sqrt(len(x) - 3)
    low, high = torch.tanh(torch.atanh(r) - half), torch.tanh(torch.atanh(r) + half)
    return r.item(), low.item(), high.item()
