"""PiSSA: start from the weight's largest singular values (Meng et al. 2024, arXiv 2404.02948).

It changes where training starts, not what a low-rank layer can compute; DoRA can start there, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, dense_weight
from peftlab.methods.dora import DoRAConfig, DoRALinear
from peftlab.methods.lora import LoRAConfig, LoRALinear


@dataclass(frozen=True)
class PiSSAConfig(LoRAConfig):
    """How to adapt a model with PiSSA: the settings are those of LoRA."""

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A PiSSA layer for each target.

        Raises:
            PeftlabError: a layer has fewer singular values than the rank.
        """
        layers = self.layers(model)
        return {path: PiSSALinear(layer, self, adapter, path) for path, layer in layers.items()}


class PiSSALinear(LoRALinear):
    r"""A LoRA layer that starts from the r largest singular values of its weight.

    .. math::
        W = U S V^\top, \qquad
        A_0 = \sqrt{S_r / s}\ V_r^\top, \qquad B_0 = U_r \sqrt{S_r / s}

    so that :math:`s B_0 A_0` is the best approximation of W of rank r, with s the layer's scaling.
    The paper freezes the residual W - s B₀ A₀ in place of W. Here the base weight is never
    touched: the layer subtracts the frozen s B₀ A₀ itself,

    .. math::
        y = W x + b + s\, (B A - B_0 A_0)\, x

    That is the same function and the same gradient, and switching the adapter off, removing it or
    putting a second one on the same layer needs no undoing. A and B start where the gradient of
    both is large, instead of at zero.

    Shapes:
        input ``(..., d_in)``, output ``(..., d_out)``.

    Attributes:
        A0, B0: where A and B started; they do not train.
    """

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """A = A₀ and B = B₀.

        Raises:
            PeftlabError: the layer has fewer singular values than the rank.
        """
        W = dense_weight(self)
        r = len(self.A)
        if r > min(W.shape):
            raise PeftlabError(
                f"PiSSA needs a rank of at most {min(W.shape)} for a layer of "
                f"{tuple(W.shape)}, not {r}; lower the rank, or use rank_pattern."
            )
        if W.is_meta:  # no values: shapes alone matter, as when parameters are counted
            U, S, Vt = self.B, torch.ones(r, device="meta"), self.A
        else:
            U, S, Vt = torch.linalg.svd(W.to(self.A.dtype), full_matrices=False)
        root = (S[:r] / self.scaling).sqrt()
        self.A.copy_(root[:, None] * Vt[:r])  # (r, d_in)
        self.B.copy_(U[:, :r] * root)  # (d_out, r)
        self.register_buffer("A0", self.A.detach().clone())
        self.register_buffer("B0", self.B.detach().clone())

    def factors(self) -> tuple[Tensor, Tensor]:
        """[A; A₀] and [B, -B₀], whose product is B A - B₀ A₀: the update has rank 2r."""
        return torch.cat([self.A, self.A0]), torch.cat([self.B, -self.B0], dim=1)


@dataclass(frozen=True)
class PiSSADoRAConfig(PiSSAConfig, DoRAConfig):
    """DoRA with a low-rank update that starts as PiSSA's: the settings are those of DoRA."""

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A layer that is both, for each target."""
        layers = self.layers(model)
        return {path: PiSSADoRALinear(layer, self, adapter, path) for path, layer in layers.items()}


class PiSSADoRALinear(PiSSALinear, DoRALinear):
    """DoRA's forward pass with PiSSA's start and factors: V = W + s (B A - B₀ A₀)."""
