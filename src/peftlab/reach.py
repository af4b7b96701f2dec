"""Does an adapter reach what the model computes? Layers that the model passes by, found early.

A wrapper acts when the model calls its layer. Some models read the layer's weight and compute with
it themselves (WavLM's attention, Mamba's ``dt_proj``, ``nn.MultiheadAttention``): they are shown
the weight with the adapter in it (``AdapterLayer.read``). What cannot be shown that way, or is not
used at all, gets no gradient: the first backward pass tells.
"""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections.abc import Sequence

import torch
from torch import nn

from peftlab.layers import AdapterLayer, innermost
from peftlab.targets import named_layers

# A layer's tensor in a model's code, but not a look at its dtype or device.
_READ = re.compile(r"\.(\w+)\.(?:weight|bias)\b(?!\.(?:dtype|device|is_|shape|size))")
_OTHER = re.compile(r"isinstance\([^()]*\)|\"[^\"\n]*\"")  # a look at the type; names in quotes


def layers_read(model: nn.Module) -> set[str]:
    """Names of the modules whose weight or bias code of the model around them reads.

    Told from the source of their parents' classes; a class without source may read any child's.
    """
    found = set()
    inside: dict[str, frozenset[str] | None] = {"": frozenset()}
    for path, module in named_layers(model):
        parent, _, name = path.rpartition(".")
        outer = inside.get(parent, frozenset())
        if path and (outer is None or name in outer):
            found.add(path)
        own = _names_read(type(innermost(module)))
        inside[path] = None if own is None or outer is None else own | outer
    return found


@functools.cache
def _names_read(kind: type) -> frozenset[str] | None:
    """Of which attributes a class's own code reads ``weight`` or ``bias``; ``None`` if unknown."""
    names: set[str] = set()
    for base in kind.__mro__:
        if base is nn.Module or base.__name__ == "PreTrainedModel":
            break
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):
            return None
        names.update(_READ.findall(_OTHER.sub("", source)))
    return frozenset(names)


def watch(layers: Sequence[tuple[str, AdapterLayer]]) -> None:
    """Warn at the end of the first backward pass if adapters got no gradient, with their names."""
    trains = [
        (path, p) for path, x in layers for p in x.adapter_parameters().values() if p.requires_grad
    ]
    if not trains:
        return

    def look() -> None:
        # With reentrant checkpointing a block's backward pass runs inside that of the model;
        # torch.autograd.grad leaves gradients elsewhere.
        nested = torch._C._current_autograd_node() is not None
        if nested or all(p.grad is None for _, p in trains):
            return
        handle.remove()
        reached = {path for path, p in trains if p.grad is not None or not p.requires_grad}
        missing = {path for path, _ in trains} - reached
        if missing:
            warnings.warn(
                f"no gradient reached the adapters of {', '.join(sorted(missing)[:3])} "
                f"({len(missing)} layers): this loss does not depend on them, or the model "
                "computes with their weights without calling them. If always so, leave them out.",
                stacklevel=2,
            )

    handle = torch.autograd.graph.register_multi_grad_hook(
        [p for _, p in trains],
        lambda _: torch.autograd.Variable._execution_engine.queue_callback(look),
        mode="any",
    )
