"""AdapterFusion: combine trained bottleneck adapters (Pfeiffer et al. 2020, arXiv 2005.00247)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.inject import select
from peftlab.layers import AdapterLayer
from peftlab.methods.bottleneck import BottleneckLayer, hidden, with_hidden
from peftlab.targets import named_layers


@dataclass(frozen=True)
class FusionConfig:
    """How to combine bottleneck adapters that are in the model already (AdapterFusion).

    Attributes:
        adapters: their names. They stay as they are; only the combination trains.

    Raises:
        PeftlabError: there is no name, or one twice.
    """

    adapters: tuple[str, ...]

    def __post_init__(self) -> None:
        names = self.adapters
        if isinstance(names, str) or not names or len(set(names)) < len(names):
            raise PeftlabError(f"adapters must be different names, such as ('a', 'b'): {names!r}.")
        object.__setattr__(self, "adapters", tuple(names))

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A fusion for each module that the adapters are on."""
        places = []
        for name in self.adapters:
            layers = select(model, name)
            if not all(isinstance(m, BottleneckLayer) and not m.method.parallel for _, m in layers):
                raise PeftlabError(
                    f"{name!r} cannot be fused: AdapterFusion combines bottleneck adapters of "
                    "style houlsby or pfeiffer."
                )
            places.append({path for path, _ in layers})
        if any(paths != places[0] for paths in places):
            raise PeftlabError(
                f"the adapters {', '.join(self.adapters)} are not on the same modules, so they "
                "cannot be fused; give them the same style and targets."
            )
        modules = dict(named_layers(model))
        return {
            path: FusionLayer(module, self, adapter)
            for path, module in modules.items()
            if path in places[0]
        }


class FusionLayer(AdapterLayer):
    r"""Attention over what N frozen adapters would add (Pfeiffer et al.).

    .. math::
        a_n = \mathrm{adapter}_n(h), \qquad
        s = \mathrm{softmax}_n\bigl((Q h)^\top (K a_n)\bigr), \qquad
        y = h + \sum_n s_n\, V a_n

    Q, K and V are d × d. V starts as the identity, so the fusion starts close to the mean of the
    adapters. While it is on, the adapters add nothing by themselves, whether they are switched on
    or not.
    """

    PARAMETERS = ("Q", "K", "V")
    MERGES = ()
    CANNOT_MERGE = "how much of each adapter it takes depends on the input"

    def __init__(self, base: nn.Module, method: FusionConfig, adapter: str = "default") -> None:
        super().__init__(base, method, adapter)
        W_up = self.fused()[0].W_up
        d = len(W_up)
        self.Q, self.K, self.V = (nn.Parameter(W_up.new_empty(d, d)) for _ in range(3))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Q and K small and random, V the identity."""
        nn.init.normal_(self.Q, std=0.02)
        nn.init.normal_(self.K, std=0.02)
        nn.init.eye_(self.V)

    def fused(self) -> list[BottleneckLayer]:
        """The adapters to combine, which are below this layer.

        Raises:
            PeftlabError: one of them has been removed.
        """
        below: dict[str, AdapterLayer] = {}
        layer = self.base
        while isinstance(layer, AdapterLayer):
            below[layer.adapter] = layer
            layer = layer.base
        for name in self.method.adapters:
            if name not in below:
                raise PeftlabError(
                    f"{self.adapter!r} combines the adapter {name!r}, which is not in the model "
                    "any more; remove the fusion too, or load the adapter and fuse anew."
                )
        return [below[name] for name in self.method.adapters]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not self.active:
            return self.base(*args, **kwargs)
        adapters = self.fused()
        with _silent(adapters):
            output = self.base(*args, **kwargs)
        h = hidden(output)  # (..., d)
        a = torch.stack([layer.branch(h) for layer in adapters], dim=-2)  # (..., N, d)
        mixed = torch.einsum("...n,...nd->...d", self.weights(h, a), F.linear(a, self.V))
        return with_hidden(output, (h + mixed).to(h.dtype))

    def weights(self, h: Tensor, a: Tensor) -> Tensor:
        """s, how much each token takes of each adapter: (..., d), (..., N, d) → (..., N)."""
        query = F.linear(h.to(a.dtype), self.Q)
        scores = torch.einsum("...d,...nd->...n", query, F.linear(a, self.K))
        return scores.softmax(dim=-1)


@contextlib.contextmanager
def _silent(layers: list[BottleneckLayer]) -> Iterator[None]:
    """Within the ``with`` block these adapters add nothing."""
    before = [layer.enabled for layer in layers]
    try:
        for layer in layers:
            layer.enabled = False
        yield
    finally:
        for layer, enabled in zip(layers, before, strict=True):
            layer.enabled = enabled
