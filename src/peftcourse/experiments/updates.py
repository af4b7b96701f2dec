"""What training did to the matrices of a model: take them out, subtract, put others in their place.

"The matrices" are the weights of all linear layers but the output head, as for LoRA's
``"all-linear"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from peftlab import lowrank
from peftlab.errors import PeftlabError
from peftlab.targets import ALL_LINEAR, match_targets


def matrices(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the model's matrices, (d_out, d_in) each, by the path of their layer.

    Raises:
        PeftlabError: a weight is stored in 4 or 8 bits and does not train.
    """
    found = {
        path: model.get_submodule(path).weight.detach().clone()
        for path in match_targets(model, ALL_LINEAR)
    }
    for path, weight in found.items():
        if not weight.is_floating_point():
            raise PeftlabError(
                f"{path} is stored as {weight.dtype}; load the model in 16 or 32 bit."
            )
    return found


def updates(model: nn.Module, before: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ΔW of each matrix: what it is now less what it was, by path.

    Args:
        model: after training.
        before: from `matrices`, before it.
    """
    return {path: weight - before[path] for path, weight in matrices(model).items()}


def nearest_cosines(before: Tensor, after: Tensor, leading: int = 10) -> Tensor:
    """How near each leading singular vector of a tuned matrix is to one of the matrix before.

    For the first left singular vectors of ``after``: the largest cosine, its sign left out, with
    any left singular vector of ``before``. A small value is an intruder dimension: a direction of
    much weight that the pretrained matrix has nothing like (Shuttleworth et al. 2024, arXiv
    2410.21228).

    Args:
        before, after: (d_out, d_in), the same matrix before and after training.
        leading: how many singular vectors of ``after`` to look at, largest first.

    Returns:
        (leading,), each between 0 and 1.

    Raises:
        PeftlabError: the shapes differ, or there are fewer singular vectors than ``leading``.
    """
    if before.shape != after.shape:
        raise PeftlabError(
            f"the matrices have shapes {tuple(before.shape)} and {tuple(after.shape)}; compare a "
            "matrix with itself, before and after."
        )
    if not 1 <= leading <= min(before.shape):
        raise PeftlabError(
            f"leading must be from 1 to {min(before.shape)}, the number of singular vectors, "
            f"not {leading!r}."
        )
    old, new = lowrank.svd(before).U, lowrank.svd(after).U  # (d_out, k)
    return (new[:, :leading].T @ old).abs().amax(dim=1).clamp(max=1)


@contextmanager
def replaced(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Within the block, the layers with these paths have these weights; afterwards their own."""
    layers = {path: model.get_submodule(path) for path in weights}
    own = {path: layer.weight.detach().clone() for path, layer in layers.items()}
    try:
        _fill(layers, weights)
        yield
    finally:
        _fill(layers, own)


@torch.no_grad()
def _fill(layers: Mapping[str, nn.Module], weights: Mapping[str, Tensor]) -> None:
    for path, layer in layers.items():
        layer.weight.copy_(weights[path])
