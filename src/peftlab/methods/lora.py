"""LoRA: low-rank adaptation (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.layers import AdapterLayer, linear_features, new_parameter
from peftlab.methods import checks
from peftlab.targets import ALL_LINEAR, linear_targets


@dataclass(frozen=True)
class LoRAConfig:
    """How to adapt a model with LoRA.

    Attributes:
        rank: r, the rank of the update; the adapter has ``r * (d_in + d_out)`` parameters per
            layer.
        alpha: the update is scaled by ``alpha / rank``.
        targets: which linear layers; see ``targets.match_targets``.
        dropout: probability of dropping an input of the low-rank branch while training.
        rank_stabilized: scale by ``alpha / √rank`` instead, so that the size of the update does
            not shrink as the rank grows (rsLoRA, arXiv 2312.03732).
        rank_pattern: ranks of single layers, by a regular expression for the end of their names:
            ``{"down_proj": 16}``. The first that matches counts; the others have ``rank``.
        alpha_pattern: the same for ``alpha``.

    Raises:
        PeftlabError: a value is out of range.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: str | tuple[str, ...] = ALL_LINEAR
    dropout: float = 0.0
    rank_stabilized: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for rank in (self.rank, *self.rank_pattern.values()):
            checks.whole_number("rank", rank)
        for alpha in (self.alpha, *self.alpha_pattern.values()):
            checks.positive("alpha", alpha)
        for pattern in (*self.rank_pattern, *self.alpha_pattern):
            checks.regular_expression(pattern)
        checks.dropout(self.dropout)
        object.__setattr__(self, "targets", checks.linear_targets(self.targets))

    def rank_of(self, path: str) -> int:
        """r of the layer of this name."""
        return checks.from_pattern(self.rank_pattern, path, self.rank)

    def scaling_of(self, path: str) -> float:
        """alpha / r, the factor of a layer's update (LoRA §4.1); alpha / √r if rank-stabilized."""
        rank = self.rank_of(path)
        alpha = checks.from_pattern(self.alpha_pattern, path, self.alpha)
        return alpha / math.sqrt(rank) if self.rank_stabilized else alpha / rank

    def layers(self, model: nn.Module) -> dict[str, nn.Module]:
        """The targets by name.

        Raises:
            PeftlabError: a key of a pattern says nothing about any of them.
        """
        layers = linear_targets(model, self.targets)
        checks.all_used("rank_pattern", self.rank_pattern, list(layers))
        checks.all_used("alpha_pattern", self.alpha_pattern, list(layers))
        return layers

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A LoRA layer for each target."""
        layers = self.layers(model)
        return {path: LoRALinear(layer, self, adapter, path) for path, layer in layers.items()}


class LoRALinear(AdapterLayer):
    r"""A frozen linear layer plus a trainable update of rank r.

    .. math::
        y = W x + b + s\, B A x, \qquad s = \frac{\alpha}{r}, \qquad
        A \in \mathbb{R}^{r \times d_{in}},\ B \in \mathbb{R}^{d_{out} \times r}

    A projects down to r numbers, B projects up again. A starts random and B at zero, so that the
    layer first computes exactly what its base does, while the gradient of B is already non-zero
    (LoRA §4.1).

    Shapes:
        input ``(..., d_in)``, output ``(..., d_out)``.

    Attributes:
        scaling: s, a number.
    """

    PARAMETERS = ("A", "B")
    ADDITIVE = True

    def __init__(
        self, base: nn.Module, method: LoRAConfig, adapter: str = "default", path: str = ""
    ) -> None:
        super().__init__(base, method, adapter)
        d_in, d_out = linear_features(base)
        r = method.rank_of(path)
        self.scaling = method.scaling_of(path)
        self.A = new_parameter(r, d_in, like=self.innermost.weight)
        self.B = new_parameter(d_out, r, like=self.innermost.weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """A ~ U(-1/√d_in, 1/√d_in) and B = 0.

        That is Kaiming's uniform initialisation with a = √5, the default of ``nn.Linear`` and of
        the authors' code; the paper writes "random Gaussian".
        """
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        nn.init.zeros_(self.B)

    def factors(self) -> tuple[Tensor, Tensor]:
        """(A, B) of the update; PiSSA adds to them what it has frozen."""
        return self.A, self.B

    def branch(self, x: Tensor) -> Tensor:
        """B A x, in the precision of the adapter."""
        A, B = self.factors()
        x = F.dropout(x.to(A.dtype), self.method.dropout, self.training)
        return F.linear(F.linear(x, A), B)  # (..., d_in) → (..., r) → (..., d_out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)  # W x + b
        if not self.active:
            return y
        # `alpha` of torch.add is the factor of its second operand: scaled without another pass.
        return torch.add(y, self.branch(x), alpha=self.scaling).to(y.dtype)

    def delta_weight(self) -> Tensor:
        """s B A, what merging adds to W: (d_out, d_in)."""
        A, B = self.factors()
        return self.scaling * (B @ A)
