"""AdaLoRA: adaptive budget allocation (Zhang et al. 2023, arXiv 2303.10512).

Every layer starts with the same rank. While training goes on, the directions that matter least,
anywhere in the model, are switched off, until the average rank is the one asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.inject import select
from peftlab.layers import AdapterLayer, linear_features, new_parameter
from peftlab.methods import checks
from peftlab.targets import ALL_LINEAR, linear_targets


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

    def __post_init__(self) -> None:
        for name in ("total_steps", "rank", "target_rank", "every"):
            checks.whole_number(name, getattr(self, name))
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
        checks.positive("alpha", self.alpha)
        checks.dropout(self.dropout)
        if not self.orthogonality >= 0:
            raise PeftlabError(f"orthogonality must be at least 0, not {self.orthogonality!r}.")
        object.__setattr__(self, "targets", checks.linear_targets(self.targets))

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """An AdaLoRA layer for each target."""
        layers = linear_targets(model, self.targets)
        for path in self.ranks.keys() - layers:
            raise PeftlabError(f"ranks names {path!r}, which is none of the layers to adapt.")
        return {
            path: AdaLoRALinear(layer, self, adapter, self.ranks.get(path, self.rank))
            for path, layer in layers.items()
        }


class AdaLoRALinear(AdapterLayer):
    r"""A frozen linear layer plus an update in the form of a singular value decomposition.

    .. math::
        y = W x + b + s\, P \Lambda Q x, \qquad s = \frac{\alpha}{r}, \qquad
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
        d_in, d_out = linear_features(base)
        r = method.rank if rank is None else rank
        self.P = new_parameter(d_out, r, like=self.innermost.weight)
        self.lam = new_parameter(r, 1, like=self.innermost.weight)
        self.Q = new_parameter(r, d_in, like=self.innermost.weight)
        self.register_buffer("kept", torch.ones(r, dtype=torch.bool, device=self.Q.device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """P and Q ~ N(0, 0.02²), as in the authors' code, and Λ = 0."""
        nn.init.normal_(self.P, std=0.02)
        nn.init.zeros_(self.lam)
        nn.init.normal_(self.Q, std=0.02)

    @property
    def scaling(self) -> float:
        """s, with r the rank at the start: shrinking does not change what is left.

        The authors' code divides by r + 1e-5, where r may become 0, and PEFT does the same.
        """
        return self.method.alpha / (self.method.rank + 1e-5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)  # W x + b
        if not self.active:
            return y
        x = F.dropout(x.to(self.Q.dtype), self.method.dropout, self.training)
        branch = F.linear(F.linear(x, self.lam * self.Q), self.P)  # (..., d_in) → r → (..., d_out)
        return torch.add(y, branch, alpha=self.scaling).to(y.dtype)

    def delta_weight(self) -> Tensor:
        """s P Λ Q, what merging adds to W: (d_out, d_in)."""
        return self.scaling * (self.P @ (self.lam * self.Q))


class RankAllocator:
    """Shares the rank budget among the layers while they train.

    Call it after every step, while the gradients are still there, and add its penalty to the
    loss::

        allocator = RankAllocator(model)
        for step in range(1, total_steps + 1):
            optimizer.zero_grad()
            (loss(model) + allocator.penalty()).backward()
            optimizer.step()
            allocator(step, model)

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
            model: not used; a training loop passes it to what it calls after a step.
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
