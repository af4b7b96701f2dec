"""What training did to the matrices of a model: take them out, subtract, put others in their place.

"The matrices" are the weights of all linear layers but the output head, as for LoRA's
``"all-linear"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

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
