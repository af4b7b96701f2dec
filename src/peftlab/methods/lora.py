"""LoRA: low-rank adaptation (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.inject import (
    ALL_LINEAR,
    AdapterLayer,
    adapter_dtype,
    compact_targets,
    is_conv1d,
    linear_features,
    linear_targets,
)


@dataclass(frozen=True)
class LoRAConfig:
    """How to adapt a model with LoRA.

    Attributes:
        rank: r, the rank of the update; the adapter has ``r * (d_in + d_out)`` parameters per
            layer.
        alpha: the update is scaled by ``alpha / rank``.
        targets: which linear layers; see ``inject.match_targets``.
        dropout: probability of dropping an input of the low-rank branch while training.

    Raises:
        PeftlabError: a value is out of range.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: str | tuple[str, ...] = ALL_LINEAR
    dropout: float = 0.0

    PEFT_TYPE: ClassVar[str] = "LORA"
    # Our parameter names and those in PEFT's files.
    PEFT_NAMES: ClassVar[dict[str, str]] = {"A": "lora_A.weight", "B": "lora_B.weight"}
    # Options of PEFT that change what is computed, with the value that means "off".
    PEFT_OFF: ClassVar[dict[str, Any]] = {
        "use_dora": False,
        "use_rslora": False,
        "bias": "none",
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "trainable_token_indices": None,
    }

    def __post_init__(self) -> None:
        if not isinstance(self.rank, int) or self.rank < 1:
            raise PeftlabError(f"rank must be a whole number of at least 1, not {self.rank!r}.")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise PeftlabError(f"alpha must be a positive number, not {self.alpha!r}.")
        if not 0 <= self.dropout < 1:
            raise PeftlabError(f"dropout must be at least 0 and below 1, not {self.dropout!r}.")
        if not self.targets:
            raise PeftlabError(f'targets is empty; name a layer, or use "{ALL_LINEAR}".')
        if not isinstance(self.targets, str):
            object.__setattr__(self, "targets", tuple(self.targets))

    @property
    def scaling(self) -> float:
        """alpha / r, the factor of the update (LoRA §4.1)."""
        return self.alpha / self.rank

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A LoRA layer for each target."""
        layers = linear_targets(model, self.targets)
        return {path: LoRALinear(layer, self, adapter) for path, layer in layers.items()}

    def peft_fields(self, model: nn.Module, layers: dict[str, AdapterLayer]) -> dict[str, Any]:
        """What PEFT's ``LoraConfig`` calls these settings."""
        return {
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "target_modules": list(compact_targets(model, list(layers))),
            "fan_in_fan_out": any(is_conv1d(layer.innermost) for layer in layers.values()),
            "bias": "none",
        }

    @classmethod
    def from_peft(cls, fields: dict[str, Any], model: nn.Module, paths: list[str]) -> LoRAConfig:
        """The configuration that PEFT's fields describe, for the layers that a file adapts."""
        return cls(
            rank=fields["r"],
            alpha=fields["lora_alpha"],
            dropout=fields.get("lora_dropout", 0.0),
            targets=compact_targets(model, paths),
        )


class LoRALinear(AdapterLayer):
    r"""A frozen linear layer plus a trainable update of rank r.

    .. math::
        y = W x + b + \frac{\alpha}{r} B A x, \qquad
        A \in \mathbb{R}^{r \times d_{in}},\ B \in \mathbb{R}^{d_{out} \times r}

    A projects down to r numbers, B projects up again. A starts random and B at zero, so that the
    layer first computes exactly what its base does, while the gradient of B is already non-zero
    (LoRA §4.1).

    Shapes:
        input ``(..., d_in)``, output ``(..., d_out)``.
    """

    PARAMETERS = ("A", "B")

    def __init__(self, base: nn.Module, method: LoRAConfig, adapter: str = "default") -> None:
        super().__init__(base, method, adapter)
        weight = self.weight
        d_in, d_out = linear_features(self.innermost)
        options = {"device": weight.device, "dtype": adapter_dtype(weight)}
        self.A = nn.Parameter(torch.empty(method.rank, d_in, **options))
        self.B = nn.Parameter(torch.empty(d_out, method.rank, **options))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """A ~ U(-1/√d_in, 1/√d_in), B = 0.

        This is Kaiming's uniform initialisation with a = √5, the default of ``nn.Linear`` and of
        the authors' code; the paper writes "random Gaussian".
        """
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        nn.init.zeros_(self.B)

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)  # (..., d_out)
        if not self.active:
            return y
        dropped = F.dropout(x.to(self.A.dtype), self.method.dropout, self.training)
        update = F.linear(
            F.linear(dropped, self.A), self.B
        )  # (..., d_in) → (..., r) → (..., d_out)
        # `alpha` of torch.add is the factor of its second operand: scaled without another pass.
        return torch.add(y, update, alpha=self.method.scaling).to(y.dtype)

    def delta_weight(self) -> Tensor:
        """scaling · B A in the layout of the base weight: (d_out, d_in), or its transpose."""
        delta = self.method.scaling * (self.B @ self.A)
        return delta.T if is_conv1d(self.innermost) else delta

    @torch.no_grad()
    def merged_weight(self, weight: Tensor) -> Tensor:
        """W + scaling · B A, computed in the adapter's precision and rounded once."""
        return (weight.to(self.A.dtype) + self.delta_weight()).to(weight.dtype)
