"""LoRA: low-rank adaptation (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, adapter_dtype, dense_weight, is_conv1d, linear_features
from peftlab.methods.lora_variants import doubled_fields, pissa
from peftlab.targets import ALL_LINEAR, compact_targets, linear_targets


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
        init: ``"kaiming"`` (A random, B zero) or ``"pissa"`` (the weight's largest singular
            vectors; see ``lora_variants.pissa``).
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
    init: str = "kaiming"
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    PEFT_TYPE: ClassVar[str] = "LORA"
    # Our parameter names and those in PEFT's files.
    PEFT_NAMES: ClassVar[dict[str, str]] = {"A": "lora_A.weight", "B": "lora_B.weight"}
    # Options of PEFT that change what is computed, with the value that means "off".
    PEFT_OFF: ClassVar[dict[str, Any]] = {
        "use_dora": False,
        "lora_bias": False,
        "trainable_token_indices": None,
        "target_parameters": None,
        "alora_invocation_tokens": None,
        "arrow_config": None,
        "kasa_config": None,
        "layer_replication": None,
        "monteclora_config": None,
        "use_bdlora": None,
    }
    # Initialisations of PEFT that change the base weights too.
    PEFT_RESIDUAL: ClassVar[tuple[str, ...]] = ("pissa", "olora", "corda", "lora_ga", "loftq")

    def __post_init__(self) -> None:
        for rank in (self.rank, *self.rank_pattern.values()):
            if not isinstance(rank, int) or rank < 1:
                raise PeftlabError(f"rank must be a whole number of at least 1, not {rank!r}.")
        for pattern in (*self.rank_pattern, *self.alpha_pattern):
            try:
                re.compile(pattern)
            except re.error as error:
                raise PeftlabError(
                    f"{pattern!r} is not a regular expression ({error}); write the end of a "
                    "layer's name, such as 'q_proj'."
                ) from None
        for alpha in (self.alpha, *self.alpha_pattern.values()):
            if not (math.isfinite(alpha) and alpha > 0):
                raise PeftlabError(f"alpha must be a positive number, not {alpha!r}.")
        if not 0 <= self.dropout < 1:
            raise PeftlabError(f"dropout must be at least 0 and below 1, not {self.dropout!r}.")
        if self.init not in ("kaiming", "pissa"):
            raise PeftlabError(f'init must be "kaiming" or "pissa", not {self.init!r}.')
        if not self.targets:
            raise PeftlabError(f'targets is empty; name a layer, or use "{ALL_LINEAR}".')
        if not isinstance(self.targets, str):
            object.__setattr__(self, "targets", tuple(self.targets))

    def rank_of(self, path: str) -> int:
        """r of the layer of this name."""
        return from_pattern(self.rank_pattern, path, self.rank)

    def scaling_of(self, path: str) -> float:
        """alpha / r, the factor of a layer's update (LoRA §4.1); alpha / √r if rank-stabilized."""
        rank = self.rank_of(path)
        alpha = from_pattern(self.alpha_pattern, path, self.alpha)
        return alpha / math.sqrt(rank) if self.rank_stabilized else alpha / rank

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A LoRA layer for each target."""
        layers = linear_targets(model, self.targets)
        return {path: LoRALinear(layer, self, adapter, path) for path, layer in layers.items()}

    def peft_fields(self, model: nn.Module, layers: dict[str, AdapterLayer]) -> dict[str, Any]:
        """What PEFT's ``LoraConfig`` calls these settings."""
        fields = {
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "use_rslora": self.rank_stabilized,
            "rank_pattern": dict(self.rank_pattern),
            "alpha_pattern": dict(self.alpha_pattern),
            "target_modules": list(compact_targets(model, list(layers))),
            "fan_in_fan_out": any(is_conv1d(layer.innermost) for layer in layers.values()),
        }
        return doubled_fields(fields) if self.init == "pissa" else fields

    @classmethod
    def from_peft(cls, fields: dict[str, Any], model: nn.Module, paths: list[str]) -> LoRAConfig:
        """The configuration that PEFT's fields describe, for the layers that a file adapts.

        Raises:
            PeftlabError: the file belongs to a base whose weights PEFT changed.
        """
        init = str(fields.get("init_lora_weights")).lower()
        if init.startswith(cls.PEFT_RESIDUAL):
            raise PeftlabError(
                f"the adapter was made with init_lora_weights={init!r}, which changes the base; "
                "save it in PEFT with path_initial_model_for_weight_conversion, as a plain LoRA."
            )
        return cls(
            rank=fields["r"],
            alpha=fields["lora_alpha"],
            dropout=fields.get("lora_dropout", 0.0),
            rank_stabilized=fields.get("use_rslora", False),
            rank_pattern=fields.get("rank_pattern") or {},
            alpha_pattern=fields.get("alpha_pattern") or {},
            targets=compact_targets(model, paths),
        )


def from_pattern(pattern: Mapping[str, Any], path: str, default: Any) -> Any:
    """The value of the first key that matches a layer's name, or the end of it after a dot.

    Keys are regular expressions, matched as in PEFT: ``q_proj`` and ``layers.0.*`` match
    ``model.layers.0.q_proj``, ``proj`` does not.
    """
    for key, value in pattern.items():
        if re.match(rf"(.*\.)?({key})$", path):
            return value
    return default


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

    Attributes:
        scaling: the factor of the update, a number.
    """

    PARAMETERS = ("A", "B")
    ADDITIVE = True

    def __init__(
        self, base: nn.Module, method: LoRAConfig, adapter: str = "default", path: str = ""
    ) -> None:
        super().__init__(base, method, adapter)
        weight = self.weight
        rank = method.rank_of(path)
        d_in, d_out = linear_features(self.innermost)
        options = {"device": weight.device, "dtype": adapter_dtype(weight)}
        self.scaling = method.scaling_of(path)
        self.A = nn.Parameter(torch.empty(rank, d_in, **options))
        self.B = nn.Parameter(torch.empty(d_out, rank, **options))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """A ~ U(-1/√d_in, 1/√d_in), B = 0; with PiSSA, singular vectors of the weight.

        The first is Kaiming's uniform initialisation with a = √5, the default of ``nn.Linear`` and
        of the authors' code; the paper writes "random Gaussian".
        """
        if self.method.init == "pissa":
            pissa(self, dense_weight(self))
        else:
            nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
            nn.init.zeros_(self.B)

    def factors(self) -> tuple[Tensor, Tensor]:
        """(A, B) of the update. With PiSSA, those of 2r that stand for B A - B₀ A₀."""
        if self.method.init != "pissa":
            return self.A, self.B
        return torch.cat([self.A, self.A0]), torch.cat([self.B, -self.B0], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)  # (..., d_out)
        if not self.active:
            return y
        A, B = self.factors()
        dropped = F.dropout(x.to(A.dtype), self.method.dropout, self.training)
        update = F.linear(F.linear(dropped, A), B)  # (..., d_in) → (..., r) → (..., d_out)
        # `alpha` of torch.add is the factor of its second operand: scaled without another pass.
        return torch.add(y, update, alpha=self.scaling).to(y.dtype)

    def delta_weight(self) -> Tensor:
        """scaling · B A in the layout of the base weight: (d_out, d_in), or its transpose."""
        A, B = self.factors()
        delta = self.scaling * (B @ A)
        return delta.T if is_conv1d(self.innermost) else delta

    @torch.no_grad()
    def merged_weight(self, weight: Tensor) -> Tensor:
        """W + scaling · B A, computed in the adapter's precision and rounded once."""
        return (weight.to(self.A.dtype) + self.delta_weight()).to(weight.dtype)

    def saved_parameters(self) -> dict[str, Tensor]:
        """A and B; with PiSSA, those of the LoRA of rank 2r that does the same."""
        A, B = self.factors()
        return self.adapter_parameters() | {"A": A, "B": B}
