"""BitFit: train the biases and nothing else (Ben Zaken et al. 2021, arXiv 2106.10199)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, innermost, is_linear, new_parameter
from peftlab.methods import checks
from peftlab.methods.places import match_modules
from peftlab.targets import named_layers

ALL = "all"
SUBSET = "query+intermediate"
# Where the two biases of the paper's smaller variant are: b_q of the query, and b_m2 of the layer
# that widens the hidden state inside the feed-forward network.
_SUBSET = (r".*\.(query|q_proj|q)", r".*\.(intermediate\.dense|fc1|c_fc|up_proj)")


@dataclass(frozen=True)
class BitFitConfig:
    """How to adapt a model with BitFit.

    Attributes:
        biases: which of them: ``"all"``; ``"query+intermediate"``, the subset with which the paper
            keeps most of the accuracy at half the parameters; or names of modules, ends of
            names, or regular expressions.

    Raises:
        PeftlabError: no bias is named.
    """

    biases: str | tuple[str, ...] = ALL

    def __post_init__(self) -> None:
        biases = checks.patterns("biases", self.biases, f'name a module, or use "{ALL}"')
        object.__setattr__(self, "biases", biases)

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A layer around every module whose bias trains."""
        with_bias = {path: m for path, m in named_layers(model) if path and _has_bias(innermost(m))}
        if not with_bias:
            raise PeftlabError(
                f"{type(model).__name__} has no biases for BitFit to train; use a model that has, "
                "such as GPT-2 or BERT, or another method."
            )
        if self.biases == ALL:
            chosen = with_bias
        elif self.biases == SUBSET:
            chosen = self._subset(model)
        else:
            chosen = match_modules(model, self.biases, _has_bias, "module with a bias")
        return {path: BiasOffset(module, self, adapter) for path, module in chosen.items()}

    def _subset(self, model: nn.Module) -> dict[str, nn.Module]:
        try:
            return match_modules(model, _SUBSET, _has_bias, "module with a bias")
        except PeftlabError:
            raise PeftlabError(
                f"{type(model).__name__} has no separate biases for the query and for the "
                f'intermediate layer (GPT-2 computes query, key and value together); use "{ALL}" '
                "or name modules."
            ) from None


def _has_bias(module: nn.Module) -> bool:
    """Whether this is a layer with a bias of its own; a container only shares a layer's."""
    bias = module._parameters.get("bias")
    return bias is not None and not any(module.children())


class BiasOffset(AdapterLayer):
    r"""A frozen module with a bias, and a trainable offset of that bias.

    .. math::
        y = \mathrm{base}(x) + \delta, \qquad \delta \in \mathbb{R}^{d_{out}}

    The bias is a term of the output in linear layers and in LayerNorm alike, so δ has the gradient
    that the bias would have, and the model computes what it would with the bias b + δ; but the
    base stays as it was, and δ can be switched off. A decay of δ pulls towards the pretrained
    bias, not towards zero.
    """

    PARAMETERS = ("delta",)
    MERGES = ("bias",)
    ADDITIVE = True

    def __init__(self, base: nn.Module, method: BitFitConfig, adapter: str = "default") -> None:
        super().__init__(base, method, adapter)
        bias = self.innermost.bias
        self.delta = new_parameter(*bias.shape, like=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """δ = 0."""
        nn.init.zeros_(self.delta)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        if not self.active:
            return self.base(*args, **kwargs)
        if is_linear(self.innermost) or isinstance(self.innermost, nn.LayerNorm):
            y = self.base(*args, **kwargs)
            return (y + self.delta).to(y.dtype)
        # Where the bias is not one number for each of the last axis: a convolution, a router.
        name, layer = "bias", self.base
        while isinstance(layer, AdapterLayer):
            name, layer = f"base.{name}", layer.base
        bias = self.merged_bias(self.innermost.bias).to(self.innermost.bias.dtype)
        return functional_call(self.base, {name: bias}, args, kwargs)

    def merged_bias(self, bias: Tensor) -> Tensor:
        """b + δ."""
        return bias + self.delta
