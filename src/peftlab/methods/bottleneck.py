"""Bottleneck adapters: small networks inside each block.

Houlsby et al. 2019 (arXiv 1902.00751), Pfeiffer et al. 2020 (arXiv 2005.00247), and He et al. 2021
(arXiv 2110.04366) for parallel adapters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.layers import AdapterLayer, new_parameter
from peftlab.methods import checks
from peftlab.methods.places import (
    AFTER_ATTENTION,
    AFTER_FEED_FORWARD,
    entrance,
    features,
    match_modules,
    sublayers,
)
from peftlab.targets import named_layers

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh}
STYLES = ("houlsby", "pfeiffer", "parallel")


@dataclass(frozen=True)
class BottleneckConfig:
    """How to adapt a model with bottleneck adapters.

    Attributes:
        size: m, the width of the bottleneck; each adapter has ``2 d m + m + d`` parameters.
        style: ``"houlsby"``: after the attention and after the feed-forward network of each block;
            ``"pfeiffer"``: after the feed-forward network only, reading its output as He et al.
            write it (AdapterHub's ``seq_bn`` reads the stream that the output was added to);
            ``"parallel"``: beside it, on its input (He et al.).
        activation: σ: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        scaling: s, the factor of what the adapter adds; He et al. use 4 for parallel adapters.
        targets: which modules, instead of those that the style means: names, ends of names, or
            regular expressions.

    Raises:
        PeftlabError: a value is out of range.
    """

    size: int = 64
    style: str = "pfeiffer"
    activation: str = "relu"
    scaling: float = 1.0
    targets: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        checks.whole_number("size", self.size)
        checks.one_of("style", self.style, STYLES)
        checks.one_of("activation", self.activation, tuple(ACTIVATIONS))
        checks.positive("scaling", self.scaling)
        if self.targets is not None:
            targets = checks.patterns("targets", self.targets, "name a module, or leave it out")
            object.__setattr__(self, "targets", targets)

    @property
    def parallel(self) -> bool:
        """Whether the adapter reads the module's input instead of its output."""
        return self.style == "parallel"

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """An adapter for each target."""
        modules = dict(named_layers(model))
        found: dict[str, AdapterLayer] = {}
        for path, module in self.targets_of(model).items():
            first = entrance(path) if self.parallel and self.targets is None else path
            d_in, d_out = features(model, modules[first])[0], features(model, module)[1]
            layer = BottleneckLayer(module, self, adapter, d_in, d_out)
            if first != path:
                found[first] = ParallelInput(modules[first], self, adapter, layer)
            found[path] = layer
        return found

    def targets_of(self, model: nn.Module) -> dict[str, nn.Module]:
        """The modules whose output an adapter changes, by name."""
        if self.targets is not None:
            return match_modules(model, self.targets)
        after_feed_forward = sublayers(model, AFTER_FEED_FORWARD)
        if self.style != "houlsby":
            return after_feed_forward
        chosen = {**sublayers(model, AFTER_ATTENTION), **after_feed_forward}
        return {path: chosen[path] for path, _ in named_layers(model) if path in chosen}


class BottleneckLayer(AdapterLayer):
    r"""A frozen module and a small trainable network after it, or beside it.

    .. math::
        y = h + s\,\bigl(W_{up}\,\sigma(W_{down}\,u + b_{down}) + b_{up}\bigr), \qquad
        W_{down} \in \mathbb{R}^{m \times d},\ W_{up} \in \mathbb{R}^{d \times m}

    h is the module's output; u = h after the module, u = x, its input, in a parallel adapter.
    W_up starts at zero, so the model starts as it was: what makes training stable is this start
    near the identity (Houlsby et al.), and there is no LayerNorm inside.

    Shapes:
        input ``(..., d_in)``, output ``(..., d)``, or a tuple that starts with it, as attention
        modules return.
    """

    PARAMETERS = ("W_down", "b_down", "W_up", "b_up")
    MERGES = ()
    CANNOT_MERGE = "its activation makes the adapter non-linear, and a weight matrix is linear"

    def __init__(
        self,
        base: nn.Module,
        method: BottleneckConfig,
        adapter: str = "default",
        d_in: int = 0,
        d_out: int = 0,
    ) -> None:
        super().__init__(base, method, adapter)
        weight = next(self.innermost.parameters())
        d, m = (d_in if method.parallel else d_out), method.size
        self.W_down = new_parameter(m, d, like=weight)
        self.b_down = new_parameter(m, like=weight)
        self.W_up = new_parameter(d_out, m, like=weight)
        self.b_up = new_parameter(d_out, like=weight)
        self.seen: Tensor | None = None  # see ParallelInput
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """W_down as in ``nn.Linear``, everything else zero."""
        nn.init.kaiming_uniform_(self.W_down, a=math.sqrt(5))
        for parameter in (self.b_down, self.W_up, self.b_up):
            nn.init.zeros_(parameter)

    def branch(self, u: Tensor) -> Tensor:
        """What the adapter adds: (..., d) → (..., m) → (..., d)."""
        activation = ACTIVATIONS[self.method.activation]
        narrow = activation(F.linear(u.to(self.W_down.dtype), self.W_down, self.b_down))
        return self.method.scaling * F.linear(narrow, self.W_up, self.b_up)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = self.base(*args, **kwargs)
        if not self.active:
            return output
        h = hidden(output)
        u = self._input(*args, **kwargs) if self.method.parallel else h
        return with_hidden(output, (h + self.branch(u)).to(h.dtype))

    def _input(self, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """What a parallel adapter reads: the module's input, or what was seen further in front."""
        u = hidden_states if self.seen is None else self.seen
        self.seen = None
        return u


class ParallelInput(AdapterLayer):
    """The first layer of a feed-forward network that is no module of its own, as in OPT and BERT.

    It shows the network's input to the parallel adapter at the network's last layer.
    """

    MERGES = ()
    CANNOT_MERGE = BottleneckLayer.CANNOT_MERGE

    def __init__(
        self, base: nn.Module, method: BottleneckConfig, adapter: str, layer: BottleneckLayer
    ) -> None:
        super().__init__(base, method, adapter)
        # In a tuple, or torch would list the last layer as a part of the first.
        self._layer = (layer,)

    def forward(self, x: Tensor) -> Tensor:
        if self.active:
            self._layer[0].seen = x
        return self.base(x)


def hidden(output: Any) -> Tensor:
    """The hidden states in what a module returns: alone, or first in a tuple."""
    return output[0] if isinstance(output, tuple) else output


def with_hidden(output: Any, states: Tensor) -> Any:
    """What a module returns, with other hidden states in it."""
    return (states, *output[1:]) if isinstance(output, tuple) else states
