r"""Training in a random subspace: how many dimensions does fine-tuning need?

Instead of the D weights θ, train d numbers z, and let a fixed random matrix P say what they do to
the weights (Li et al. 2018, arXiv 1804.08838, §2):

.. math::
    \theta = \theta_0 + P z, \qquad P \in \mathbb{R}^{D \times d}, \quad d \ll D

The smallest d that reaches 90 % of full training's performance is the *intrinsic dimension* of a
task (there, §2). Aghajanyan et al. 2020 (arXiv 2012.13255) find a few hundred for RoBERTa on
sentence pairs, which is what made low-rank updates plausible.

P as a dense matrix is out of the question: with D = 7 million and d = 1,000 it would have 7 billion
entries. Li et al. use sparse and Fastfood projections for that reason; this module uses the
sparsest there is, with a single entry in each row (a *count sketch*, Charikar et al. 2002): weight
number i is driven by one coordinate h(i), with a random sign,

.. math::
    P_{ij} = \frac{\pm 1}{\sqrt{n_j}} \text{ if } j = h(i), \text{ else } 0

where n_j counts the weights that coordinate j drives. The columns have length 1 and no weight in
common, so PᵀP = I exactly: lengths and angles in the subspace are those of z. h and the signs come
from a hash of i and are computed anew whenever they are needed, so that P takes no memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, linear_features, new_parameter
from peftlab.methods import checks
from peftlab.targets import ALL_LINEAR, linear_targets

MASK = 0xFFFF_FFFF


@dataclass(frozen=True)
class SubspaceConfig:
    """How to train a model in a random subspace.

    Attributes:
        dimension: d, the number of trained numbers for all layers together.
        seed: which random subspace.
        targets: which linear layers; see ``targets.match_targets``.

    Raises:
        PeftlabError: a value is out of range.
    """

    dimension: int = 1000
    seed: int = 0
    targets: str | tuple[str, ...] = ALL_LINEAR

    def __post_init__(self) -> None:
        checks.whole_number("dimension", self.dimension)
        if self.dimension > MASK:
            raise PeftlabError(f"dimension must be at most {MASK:,}, not {self.dimension:,}.")
        checks.whole_number("seed", self.seed, least=0)
        object.__setattr__(self, "targets", checks.linear_targets(self.targets))

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A layer for each target; all of them hold the same z.

        Raises:
            PeftlabError: there are fewer weights than dimensions.
        """
        layers = linear_targets(model, self.targets)
        z = new_parameter(self.dimension, like=next(iter(layers.values())).weight)
        nn.init.zeros_(z)
        wrappers = {
            path: SubspaceLinear(layer, self, adapter, z=z, number=number)
            for number, (path, layer) in enumerate(layers.items())
        }
        counts = torch.zeros(self.dimension, dtype=torch.int64, device=z.device)
        for wrapper in wrappers.values():
            coordinate, _ = wrapper.projection()
            counts += torch.bincount(coordinate.to(z.device), minlength=self.dimension)
        if (counts == 0).any():
            raise PeftlabError(
                f"dimension={self.dimension} leaves coordinates without a weight to drive, among "
                f"{int(counts.sum()):,} weights; use fewer."
            )
        scale = counts.to(z.dtype).rsqrt()
        for wrapper in wrappers.values():
            wrapper.scale = scale
        return wrappers


class SubspaceLinear(AdapterLayer):
    r"""A frozen linear layer whose update is the layer's share of P z.

    .. math::
        y = W x + b + \Delta x, \qquad
        \Delta_{i} = \pm \, z_{h(i)} / \sqrt{n_{h(i)}} \text{ for weight number } i

    Shapes:
        input ``(..., d_in)``, output ``(..., d_out)``.

    Attributes:
        z: the trained numbers, shape (dimension,), the same parameter in all layers.
        scale: 1/√n_j for each coordinate, shape (dimension,).
        number: the layer's place among the adapted layers; part of what is hashed.
    """

    PARAMETERS = ("z",)
    ADDITIVE = True

    def __init__(
        self, base: nn.Module, method: SubspaceConfig, adapter: str, *, z: nn.Parameter, number: int
    ) -> None:
        super().__init__(base, method, adapter)
        self.z = z
        self.number = number
        self.d_in, self.d_out = linear_features(base)
        self.register_buffer("scale", torch.ones_like(z.data), persistent=False)

    def projection(self) -> tuple[Tensor, Tensor]:
        """h and the signs of this layer's rows of P: int64 and int8, shape (d_out · d_in,)."""
        index = torch.arange(self.d_out * self.d_in, device=self.z.device)
        layer = hash32(torch.tensor(self.method.seed & MASK, device=self.z.device))
        bits = hash32(index ^ hash32(layer ^ self.number))
        # One bit for the sign; the others choose the coordinate.
        return (bits >> 1) % self.method.dimension, ((bits & 1) * 2 - 1).to(torch.int8)

    def share(self, z: Tensor) -> Tensor:
        """This layer's share of P z, as a change of its weight: (d_out, d_in)."""
        coordinate, sign = self.projection()
        return ((z * self.scale)[coordinate] * sign).view(self.d_out, self.d_in)

    def project(self, gradient: Tensor) -> Tensor:
        """This layer's share of Pᵀ g, g (d_out, d_in) being the weight's gradient: (dimension,)."""
        coordinate, sign = self.projection()
        total = torch.zeros_like(self.z)
        return total.index_add_(0, coordinate, gradient.flatten() * sign) * self.scale

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)  # (..., d_out)
        if not self.active:
            return y
        update = _ProjectedProduct.apply(x.to(self.z.dtype), self.z, self)
        return (y + update).to(y.dtype)

    def delta_weight(self) -> Tensor:
        """Δ, what merging adds to W: (d_out, d_in)."""
        return self.share(self.z)


class _ProjectedProduct(torch.autograd.Function):
    """x @ Δ.T, forgetting Δ and P until the backward pass computes them again."""

    @staticmethod
    def forward(x: Tensor, z: Tensor, layer: SubspaceLinear) -> Tensor:
        return F.linear(x, layer.share(z))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, z, layer = inputs
        ctx.save_for_backward(x, z)
        ctx.layer = layer

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, z = ctx.saved_tensors
        grad_x = grad_z = None
        # Under autocast the product, and so its gradient, has 16 bits; z's is summed in 32.
        grad = grad.to(z.dtype)
        with torch.autocast(grad.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                grad_x = grad @ ctx.layer.share(z)
            if ctx.needs_input_grad[1]:
                rows, columns = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])
                grad_z = ctx.layer.project(rows.T @ columns)
        return grad_x, grad_z, None


def hash32(x: Tensor) -> Tensor:
    """Scatter whole numbers evenly over 0 … 2³² - 1; the same on every device.

    Args:
        x: int64, of which the lower 32 bits count; distinct ones give distinct results.

    Returns:
        int64 of the same shape, by the final mixing steps of MurmurHash3.
    """
    x = x & MASK
    x = x ^ (x >> 16)
    x = (x * 0x85EB_CA6B) & MASK
    x = x ^ (x >> 13)
    x = (x * 0xC2B2_AE35) & MASK
    return x ^ (x >> 16)
