"""What autograd keeps between the forward and the backward pass, counted tensor by tensor.

PyTorch offers every tensor that a backward pass will need to a pair of hooks
(``torch.autograd.graph.saved_tensors_hooks``). Counting there gives exact bytes on any device and
without an allocator's rounding. Weights are not counted: they are in memory anyway.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Saved:
    """Bytes of saved tensors over one training step.

    Attributes:
        curve: bytes held after each change: a tensor was saved, or the last use of one freed it.
        turn: how many entries of the curve belong to the forward pass.
    """

    curve: tuple[int, ...]
    turn: int

    @property
    def forward(self) -> int:
        """Bytes held when the forward pass ends."""
        return self.curve[self.turn - 1]

    @property
    def peak(self) -> int:
        """The most bytes held at any time, what checkpointing computes again included."""
        return max(self.curve)


class _Counter:
    """Hooks that count saved tensors by their storage, so that a shared one counts once."""

    def __init__(self, model: nn.Module) -> None:
        own = [*model.parameters(), *model.buffers()]
        self.weights = {tensor.untyped_storage().data_ptr() for tensor in own}
        self.uses: Counter[int] = Counter()
        self.curve = [0]

    def pack(self, tensor: Tensor) -> _Kept:
        """Called by autograd when it saves a tensor."""
        return _Kept(tensor, self)

    def count(self, storage: int, size: int, change: int) -> None:
        """One use more or one less of a storage of ``size`` bytes."""
        if storage in self.weights:
            return
        before = self.uses[storage]
        self.uses[storage] += change
        if 0 in (before, self.uses[storage]):
            self.curve.append(self.curve[-1] + change * size)


class _Kept:
    """A saved tensor; autograd drops it when no backward pass needs it any more."""

    def __init__(self, tensor: Tensor, counter: _Counter) -> None:
        self.tensor = tensor.detach()  # an output that kept itself would never be freed
        self.counter = counter
        storage = tensor.untyped_storage()
        self.key = storage.data_ptr(), storage.nbytes()
        counter.count(*self.key, +1)

    def __del__(self) -> None:
        self.counter.count(*self.key, -1)


def saved(model: nn.Module, ids: Tensor) -> Saved:
    """Count what autograd saves in one forward and backward pass of a causal language model.

    The gradients stay in the parameters. For the peak under gradient checkpointing, switch it on
    with ``use_reentrant=True``: the other kind hides what it computes again from these hooks.

    Args:
        model: A transformers model; something in it must require gradients.
        ids: Token ids of shape (batch, tokens).

    Returns:
        The bytes over the step.
    """
    counter = _Counter(model)
    with torch.autograd.graph.saved_tensors_hooks(counter.pack, lambda kept: kept.tensor):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        turn = len(counter.curve)
        loss.backward()
    del loss
    return Saved(tuple(counter.curve), turn)
