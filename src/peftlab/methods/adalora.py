"""AdaLoRA: adaptive budget allocation (Zhang et al. 2023, arXiv 2303.10512).

Every layer starts with the same rank. While training goes on, the directions that matter least,
anywhere in the model, are switched off, until the average rank is the one asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.inject import select
from peftlab.layers import AdapterLayer, adapter_dtype, is_conv1d, linear_features
from peftlab.targets import ALL_LINEAR, compact_targets, linear_targets


@dataclass(frozen=True)
class AdaLoRAConfig:
    """How to adapt a model with AdaLoRA.

    Attributes:
        total_steps: how many optimizer steps the training has; the schedule depends on it.
        rank: rank of every layer at the start.
        target_rank: average rank of a layer at the end.
        alpha: the update is scaled by ``alpha / rank``, before and after ranks shrink.
        targets: which linear layers; see ``targets.match_targets``.
        dropout: probability of dropping an input of the low-rank branch while training.
        warmup_steps: steps at the full budget (the paper's t_i).
        final_steps: steps at the final budget, with fixed ranks (t_f).
        every: steps between two allocations (ΔT).
        beta1: decay of the moving average of the sensitivity.
        beta2: decay of the moving average of its uncertainty.
        orthogonality: weight of the penalty that keeps P and Q orthogonal (γ).
        ranks: ranks of layers, by name, of an adapter that was allocated already.

    Raises:
        PeftlabError: a value is out of range.
    """

    total_steps: int
    rank: int = 12
    target_rank: int = 8
    alpha: float = 16.0
    targets: str | tuple[str, ...] = ALL_LINEAR
    dropout: float = 0.0
    warmup_steps: int = 0
    final_steps: int = 0
    every: int = 1
    beta1: float = 0.85
    beta2: float = 0.85
    orthogonality: float = 0.5
    ranks: Mapping[str, int] = field(default_factory=dict)

    PEFT_TYPE: ClassVar[str] = "ADALORA"
    PEFT_NAMES: ClassVar[dict[str, str]] = {"Q": "lora_A", "lam": "lora_E", "P": "lora_B"}
    PEFT_OFF: ClassVar[dict[str, Any]] = {"trainable_token_indices": None, "use_dora": False}

    def __post_init__(self) -> None:
        for name in ("total_steps", "rank", "target_rank", "every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise PeftlabError(f"{name} must be a whole number of at least 1, not {value!r}.")
        if self.target_rank > self.rank:
            raise PeftlabError(
                f"target_rank {self.target_rank} is above the rank at the start, {self.rank}; "
                "ranks can only shrink."
            )
        if min(self.warmup_steps, self.final_steps) < 0 or (
            self.warmup_steps + self.final_steps >= self.total_steps
        ):
            raise PeftlabError(
                f"warmup_steps {self.warmup_steps} and final_steps {self.final_steps} must leave "
                f"some of the {self.total_steps} steps between them."
            )
        for name in ("beta1", "beta2"):
            if not 0 < getattr(self, name) < 1:
                raise PeftlabError(f"{name} must be between 0 and 1, not {getattr(self, name)!r}.")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise PeftlabError(f"alpha must be a positive number, not {self.alpha!r}.")
        if not 0 <= self.dropout < 1:
            raise PeftlabError(f"dropout must be at least 0 and below 1, not {self.dropout!r}.")
        if not self.orthogonality >= 0:
            raise PeftlabError(f"orthogonality must be at least 0, not {self.orthogonality!r}.")
        if not self.targets:
            raise PeftlabError(f'targets is empty; name a layer, or use "{ALL_LINEAR}".')
        if not isinstance(self.targets, str):
            object.__setattr__(self, "targets", tuple(self.targets))

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """An AdaLoRA layer for each target."""
        layers = linear_targets(model, self.targets)
        return {
            path: AdaLoRALinear(layer, self, adapter, self.ranks.get(path, self.rank))
            for path, layer in layers.items()
        }

    def peft_fields(self, model: nn.Module, layers: dict[str, AdapterLayer]) -> dict[str, Any]:
        """What PEFT's ``AdaLoraConfig`` calls these settings, and which directions are kept."""
        kept = {path: layer.kept.tolist() for path, layer in layers.items()}
        pattern = {
            f"{path}.lora_E": mask + [False] * (self.rank - len(mask))
            for path, mask in kept.items()
        }
        allocated = any(not all(mask) for mask in pattern.values())
        return {
            "init_r": self.rank,
            "target_r": self.target_rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "total_step": self.total_steps,
            "tinit": self.warmup_steps,
            "tfinal": self.final_steps,
            "deltaT": self.every,
            "beta1": self.beta1,
            "beta2": self.beta2,
            "orth_reg_weight": self.orthogonality,
            "rank_pattern": pattern if allocated else None,
            "target_modules": list(compact_targets(model, list(layers))),
            "fan_in_fan_out": any(is_conv1d(layer.innermost) for layer in layers.values()),
        }

    @classmethod
    def from_peft(cls, fields: dict[str, Any], model: nn.Module, paths: list[str]) -> AdaLoRAConfig:
        """The configuration that PEFT's fields describe, for the layers that a file adapts."""
        pattern = fields.get("rank_pattern") or {}
        return cls(
            total_steps=fields["total_step"],
            rank=fields["init_r"],
            # PEFT ignores the target in a file that it only loads.
            target_rank=min(fields["target_r"], fields["init_r"]),
            alpha=fields["lora_alpha"],
            dropout=fields.get("lora_dropout", 0.0),
            warmup_steps=fields.get("tinit", 0),
            final_steps=fields.get("tfinal", 0),
            every=fields.get("deltaT", 1),
            beta1=fields.get("beta1", 0.85),
            beta2=fields.get("beta2", 0.85),
            orthogonality=fields.get("orth_reg_weight", 0.5),
            ranks={name.removesuffix(".lora_E"): sum(mask) for name, mask in pattern.items()},
            targets=compact_targets(model, paths),
        )


class AdaLoRALinear(AdapterLayer):
    r"""A frozen linear layer plus an update in the form of a singular value decomposition.

    .. math::
        y = W x + b + \frac{\alpha}{r} P \Lambda Q x, \qquad
        P \in \mathbb{R}^{d_{out} \times r},\ Q \in \mathbb{R}^{r \times d_{in}}

    Λ is diagonal and starts at zero, P and Q start random and small; a penalty draws PᵀP and QQᵀ
    towards the identity. Setting an entry of Λ to zero takes one direction out and leaves the
    others as they are, which is what makes the rank adjustable (AdaLoRA §3.1).

    Shapes:
        input ``(..., d_in)``, output ``(..., d_out)``.

    Attributes:
        lam: Λ's diagonal, (r, 1).
        kept: which directions the budget leaves to this layer, (r,) of bool.
    """

    PARAMETERS = ("P", "lam", "Q")
    ADDITIVE = True

    def __init__(
        self,
        base: nn.Module,
        method: AdaLoRAConfig,
        adapter: str = "default",
        rank: int | None = None,
    ) -> None:
        super().__init__(base, method, adapter)
        rank = method.rank if rank is None else rank
        weight = self.weight
        d_in, d_out = linear_features(self.innermost)
        options = {"device": weight.device, "dtype": adapter_dtype(weight)}
        self.P = nn.Parameter(torch.empty(d_out, rank, **options))
        self.lam = nn.Parameter(torch.zeros(rank, 1, **options))
        self.Q = nn.Parameter(torch.empty(rank, d_in, **options))
        self.register_buffer("kept", torch.ones(rank, dtype=torch.bool, device=weight.device))
        for factor in (self.P, self.Q):
            nn.init.normal_(factor, std=0.02)  # as in the authors' code

    @property
    def scaling(self) -> float:
        """alpha / r, with the rank at the start: shrinking does not change what is left.

        The authors' code divides by r + 1e-5, where r may become 0, and PEFT does the same.
        """
        return self.method.alpha / (self.method.rank + 1e-5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)  # (..., d_out)
        if not self.active:
            return y
        dropped = F.dropout(x.to(self.Q.dtype), self.method.dropout, self.training)
        update = F.linear(F.linear(dropped, self.lam * self.Q), self.P)
        return torch.add(y, update, alpha=self.scaling).to(y.dtype)

    def delta_weight(self) -> Tensor:
        """scaling · P Λ Q in the layout of the base weight: (d_out, d_in), or its transpose."""
        delta = self.scaling * (self.P @ (self.lam * self.Q))
        return delta.T if is_conv1d(self.innermost) else delta

    @torch.no_grad()
    def merged_weight(self, weight: Tensor) -> Tensor:
        """W + scaling · P Λ Q, computed in the adapter's precision and rounded once."""
        return (weight.to(self.P.dtype) + self.delta_weight()).to(weight.dtype)

    def saved_parameters(self) -> dict[str, Tensor]:
        """The directions that are kept, without the others."""
        if self.kept.all():
            return self.adapter_parameters()
        return {"P": self.P[:, self.kept], "lam": self.lam[self.kept], "Q": self.Q[self.kept]}


class RankAllocator:
    """Shares the rank budget among the layers while they train.

    Call it after every step, while the gradients are still there, and add its penalty to the
    loss. Both are hooks of the training loop::

        allocator = RankAllocator(model)
        train(model, examples, config, on_step=allocator, penalty=allocator.penalty)

    Its moving averages live as long as it does: they are not part of a training checkpoint.

    Attributes:
        layers: the AdaLoRA layers, by name.
    """

    def __init__(self, model: nn.Module, name: str | None = None) -> None:
        """Look up the layers of an adapter.

        Raises:
            PeftlabError: the model has no AdaLoRA adapter of that name.
        """
        self.layers = {
            path: layer for path, layer in select(model, name) if isinstance(layer, AdaLoRALinear)
        }
        if not self.layers:
            raise PeftlabError("the adapter is not AdaLoRA; apply an AdaLoRAConfig first.")
        self.method: AdaLoRAConfig = next(iter(self.layers.values())).method
        self.start = sum(layer.lam.numel() for layer in self.layers.values())
        self.goal = self.method.target_rank * len(self.layers)
        self._sensitivity: dict[nn.Parameter, Tensor] = {}
        self._uncertainty: dict[nn.Parameter, Tensor] = {}

    def __call__(self, step: int, model: nn.Module) -> None:
        """Update importances, and switch directions off if an allocation is due.

        Args:
            step: 1 for the first optimizer step.
            model: not used; the training loop passes it.
        """
        last = self.method.total_steps - self.method.final_steps
        if step < last:
            self._observe()
        if step > last:
            self._mask()  # ranks are final, and the optimizer must not bring directions back
        elif step == last or (step > self.method.warmup_steps and step % self.method.every == 0):
            self._allocate(self.budget(step))
            self._mask()

    def budget(self, step: int) -> int:
        """Total rank of all layers after a step: a cubic from the start to the goal (Eq. 12)."""
        last = self.method.total_steps - self.method.final_steps
        if step <= self.method.warmup_steps:
            return self.start
        if step > last:
            return self.goal
        left = 1 - (step - self.method.warmup_steps) / (last - self.method.warmup_steps)
        return int(self.goal + (self.start - self.goal) * left**3)

    def penalty(self, model: nn.Module | None = None) -> Tensor:
        """γ times the mean of ‖PᵀP - I‖ and ‖QQᵀ - I‖ over the layers, to add to the loss.

        The paper adds up squared norms (Eq. 4). This is the mean of the norms themselves, as in
        the authors' code and PEFT, which keeps its size independent of the number of layers.
        """
        norms = []
        for layer in self.layers.values():
            for gram in (layer.Q @ layer.Q.T, layer.P.T @ layer.P):
                identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
                norms.append(torch.linalg.matrix_norm(gram - identity))
        return self.method.orthogonality * torch.stack(norms).mean()

    @torch.no_grad()
    def _observe(self) -> None:
        """Sensitivity |w · ∂L/∂w| of every weight, smoothed, and how much it varies (Eq. 8-10)."""
        beta1, beta2 = self.method.beta1, self.method.beta2
        for layer in self.layers.values():
            for weight in layer.adapter_parameters().values():
                if weight.grad is None:
                    raise PeftlabError(
                        "AdaLoRA needs the gradients of the step; call the allocator after "
                        "backward() and before zero_grad()."
                    )
                seen = (weight * weight.grad).abs()
                zeros = torch.zeros_like(weight)
                smooth = beta1 * self._sensitivity.get(weight, zeros) + (1 - beta1) * seen
                varies = beta2 * self._uncertainty.get(weight, zeros)
                self._sensitivity[weight] = smooth
                self._uncertainty[weight] = varies + (1 - beta2) * (seen - smooth).abs()

    def _importance(self, layer: AdaLoRALinear) -> Tensor:
        """Importance of each direction, (r,): of its λ, and the mean over its two vectors."""

        def score(weight: nn.Parameter) -> Tensor:
            return self._sensitivity[weight] * self._uncertainty[weight]

        return score(layer.lam)[:, 0] + score(layer.Q).mean(dim=1) + score(layer.P).mean(dim=0)

    def _allocate(self, budget: int) -> None:
        """Keep the most important directions of the whole model, as many as the budget allows."""
        importance = {path: self._importance(layer) for path, layer in self.layers.items()}
        everything = torch.cat(list(importance.values()))
        removed = len(everything) - budget
        if removed > 0:
            threshold = everything.kthvalue(removed).values
            for path, layer in self.layers.items():
                layer.kept = importance[path] > threshold

    @torch.no_grad()
    def _mask(self) -> None:
        for layer in self.layers.values():
            layer.lam.masked_fill_(~layer.kept[:, None], 0.0)
