"""Bottleneck adapters: small networks inside each block.

Houlsby et al. 2019 (arXiv 1902.00751), Pfeiffer et al. 2020 (arXiv 2005.00247, with AdapterFusion),
He et al. 2021 (arXiv 2110.04366, parallel adapters).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.inject import AdapterLayer, adapter_dtype, named_layers, select
from peftlab.methods.places import (
    AFTER_ATTENTION,
    AFTER_FEED_FORWARD,
    features,
    match_modules,
    sublayers,
)

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh}
STYLES = ("houlsby", "pfeiffer", "parallel")


@dataclass(frozen=True)
class BottleneckConfig:
    """How to adapt a model with bottleneck adapters.

    Attributes:
        size: m, the width of the bottleneck; each adapter has ``2 d m + m + d`` parameters.
        style: ``"houlsby"``: after the attention and after the feed-forward network of each block;
            ``"pfeiffer"``: after the feed-forward network only; ``"parallel"``: beside it, on its
            input (He et al. §3.3).
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

    PEFT_TYPE: ClassVar[str] = "BOTTLENECK"  # not a method of PEFT's
    PEFT_NAMES: ClassVar[dict[str, str]] = {
        "W_down": "adapter_down.weight",
        "b_down": "adapter_down.bias",
        "W_up": "adapter_up.weight",
        "b_up": "adapter_up.bias",
    }
    PEFT_OFF: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise PeftlabError(f"size must be a whole number of at least 1, not {self.size!r}.")
        if self.style not in STYLES:
            raise PeftlabError(f"style must be one of {', '.join(STYLES)}, not {self.style!r}.")
        if self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise PeftlabError(f"activation must be one of {known}, not {self.activation!r}.")
        if not (math.isfinite(self.scaling) and self.scaling > 0):
            raise PeftlabError(f"scaling must be a positive number, not {self.scaling!r}.")
        if self.targets is not None and not self.targets:
            raise PeftlabError("targets is empty; name a module, or leave it out.")
        if isinstance(self.targets, Sequence) and not isinstance(self.targets, str):
            object.__setattr__(self, "targets", tuple(self.targets))

    @property
    def parallel(self) -> bool:
        """Whether the adapter reads the module's input instead of its output."""
        return self.style == "parallel"

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """An adapter for each target."""
        return {
            path: BottleneckLayer(module, self, adapter, *features(model, module))
            for path, module in self._modules(model).items()
        }

    def _modules(self, model: nn.Module) -> dict[str, nn.Module]:
        if self.targets is not None:
            return match_modules(model, self.targets)
        after_feed_forward = sublayers(model, AFTER_FEED_FORWARD)
        if self.style == "houlsby":
            chosen = {**sublayers(model, AFTER_ATTENTION), **after_feed_forward}
            return {path: chosen[path] for path, _ in named_layers(model) if path in chosen}
        if self.parallel and not all(path.endswith(".mlp") for path in after_feed_forward):
            raise PeftlabError(
                f"the feed-forward network of {type(model).__name__} is not one module, so nothing "
                'can run beside it; use style="pfeiffer", or name modules with targets=.'
            )
        return after_feed_forward

    def peft_fields(self, model: nn.Module, layers: dict[str, AdapterLayer]) -> dict[str, Any]:
        """These settings, in a file of peftlab's own."""
        return {
            "size": self.size,
            "style": self.style,
            "activation": self.activation,
            "scaling": self.scaling,
        }

    @classmethod
    def from_peft(
        cls, fields: dict[str, Any], model: nn.Module, paths: list[str]
    ) -> BottleneckConfig:
        """The configuration that a file describes, for the modules that it adapts."""
        settings = {key: fields[key] for key in ("size", "style", "activation", "scaling")}
        return cls(**settings, targets=tuple(paths))


class BottleneckLayer(AdapterLayer):
    r"""A frozen module and a small trainable network after it, or beside it.

    .. math::
        y = h + s\,\bigl(W_{up}\,\sigma(W_{down}\,u + b_{down}) + b_{up}\bigr), \qquad
        W_{down} \in \mathbb{R}^{m \times d},\ W_{up} \in \mathbb{R}^{d \times m}

    h is the module's output; u = h after the module, u = x, its input, in a parallel adapter.
    W_up starts at zero, so the model starts as it was: what makes training stable is this start
    near the identity (Houlsby §2), and there is no LayerNorm inside.

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
        options = {"device": weight.device, "dtype": adapter_dtype(weight)}
        width = d_in if method.parallel else d_out
        self.W_down = nn.Parameter(torch.empty(method.size, width, **options))
        self.b_down = nn.Parameter(torch.empty(method.size, **options))
        self.W_up = nn.Parameter(torch.empty(d_out, method.size, **options))
        self.b_up = nn.Parameter(torch.empty(d_out, **options))
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
        h = _hidden(output)
        u = h
        if self.method.parallel:
            u = args[0] if args else kwargs["hidden_states"]
        return _with_hidden(output, (h + self.branch(u)).to(h.dtype))


def _hidden(output: Any) -> Tensor:
    """The hidden states in what a module returns: alone, or first in a tuple."""
    return output[0] if isinstance(output, tuple) else output


def _with_hidden(output: Any, hidden: Tensor) -> Any:
    """What a module returns, with other hidden states in it."""
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


# --- AdapterFusion -------------------------------------------------------------------------------


@dataclass(frozen=True)
class FusionConfig:
    """How to combine bottleneck adapters that are in the model already (AdapterFusion).

    Attributes:
        adapters: their names. They stay as they are; only the combination trains.

    Raises:
        PeftlabError: there is no name, or one twice.
    """

    adapters: tuple[str, ...]

    PEFT_TYPE: ClassVar[str] = "ADAPTER_FUSION"  # not a method of PEFT's
    PEFT_NAMES: ClassVar[dict[str, str]] = {"Q": "fusion_Q", "K": "fusion_K", "V": "fusion_V"}
    PEFT_OFF: ClassVar[dict[str, Any]] = {}

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

    def peft_fields(self, model: nn.Module, layers: dict[str, AdapterLayer]) -> dict[str, Any]:
        """These settings, in a file of peftlab's own."""
        return {"adapters": list(self.adapters)}

    @classmethod
    def from_peft(cls, fields: dict[str, Any], model: nn.Module, paths: list[str]) -> FusionConfig:
        """The configuration that a file describes."""
        return cls(tuple(fields["adapters"]))


class FusionLayer(AdapterLayer):
    r"""Attention over what N frozen adapters would add (Pfeiffer et al. §3.2).

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
        like = self.fused()[0].W_up
        for name in self.PARAMETERS:
            setattr(self, name, nn.Parameter(like.new_empty(len(like), len(like))))
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
        h = _hidden(output)  # (..., d)
        a = torch.stack([layer.branch(h) for layer in adapters], dim=-2)  # (..., N, d)
        query = F.linear(h.to(a.dtype), self.Q)
        scores = torch.einsum("...d,...nd->...n", query, F.linear(a, self.K))  # (..., N)
        mixed = torch.einsum("...n,...nd->...d", scores.softmax(dim=-1), F.linear(a, self.V))
        return _with_hidden(output, (h + mixed).to(h.dtype))


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
