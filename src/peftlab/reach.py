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

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, innermost
from peftlab.targets import named_layers

# A layer's tensor in a model's code, but not a look at its dtype or device.
_READ = re.compile(r"\.(\w+)\.(?:weight|bias)\b(?!\.(?:dtype|device|is_|shape|size))")
ANY = "*"  # what a class without source may read
_OTHER = re.compile(r"isinstance\([^()]*\)|\"[^\"\n]*\"")  # a look at the type; names in quotes


def marked(model: nn.Module, wrappers: list[tuple[str, AdapterLayer]]) -> list:
    """The wrappers, told whether code of the model reads the weight or bias of what they wrap.

    Raises:
        PeftlabError: an adapter cannot be in a weight that is read.
    """
    read = layers_read(model)
    for path, wrapper in wrappers:
        wrapper.read_at = path if path in read else ""
        if wrapper.read_at and wrapper.CANNOT_MERGE:
            raise PeftlabError(
                f"code of the model computes with the weight of {path!r} itself, where "
                f"{wrapper.adapter!r} does not act: {wrapper.CANNOT_MERGE}; leave the layer out."
            )
    return wrappers


def layers_read(model: nn.Module) -> set[str]:
    """Names of the modules whose weight or bias code of the model around them reads.

    Told from the source of their parents' classes; a class without source may read any child's.
    """
    found: set[str] = set()
    inside: dict[str, frozenset[str]] = {}  # what the code of a module and those around it reads
    for path, module in named_layers(model):
        parent, _, name = path.rpartition(".")
        outer = inside.get(parent, frozenset())
        if {name, ANY} & outer:
            found.add(path)
        inside[path] = outer | _names_read(type(innermost(module)))
    return found


@functools.cache
def _names_read(kind: type) -> frozenset[str]:
    """Of which attributes a class's own code reads ``weight`` or ``bias``."""
    names: set[str] = set()
    for base in kind.__mro__:
        if base is nn.Module or base.__name__.endswith("PreTrainedModel"):  # it initialises
            break
        try:
            names.update(_READ.findall(_OTHER.sub("", inspect.getsource(base))))
        except (OSError, TypeError):
            names.add(ANY)
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
                f"({len(missing)} layers): the loss does not depend on them; leave them out.",
                stacklevel=2,
            )

    handle = torch.autograd.graph.register_multi_grad_hook(
        [p for _, p in trains],
        lambda _: torch.autograd.Variable._execution_engine.queue_callback(look),
        mode="any",
    )
