"""DoRA: weight-decomposed low-rank adaptation (Liu et al. 2024, arXiv 2402.09353)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.layers import AdapterLayer, dense_weight
from peftlab.methods.lora import LoRAConfig, LoRALinear


@dataclass(frozen=True)
class DoRAConfig(LoRAConfig):
    """How to adapt a model with DoRA: the settings of LoRA and one more.

    Attributes:
        detach_norm: treat the norm as a constant in the backward pass, as the paper's §4.3 does to
            save memory. With ``False`` the gradient goes through it.
    """

    detach_norm: bool = True

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A DoRA layer for each target."""
        layers = self.layers(model)
        return {path: DoRALinear(layer, self, adapter, path) for path, layer in layers.items()}


class DoRALinear(LoRALinear):
    r"""A linear layer split into a magnitude, trained as it is, and a direction, trained by LoRA.

    .. math::
        y = g \odot V x + b, \qquad g = \frac{m}{\lVert V \rVert}, \qquad V = W + s B A

    with one magnitude m and one norm per output feature, that is per row of V, in the layout of
    ``nn.Linear``; the paper writes W transposed and says "column". m starts as the norm of the
    pretrained W, so that the layer first computes exactly what its base does.

    V is never built: the layer computes V x as W x + s B A x, where its base's output less the bias
    serves as W x. Dropout acts on the low-rank branch alone. If other adapters wrap the same layer,
    each adds its own term, and W is still the model's own weight.

    Shapes:
        input ``(..., d_in)``, output ``(..., d_out)``.

    Attributes:
        magnitude: m, (d_out,).
    """

    PARAMETERS = ("A", "B", "magnitude")
    USES_WEIGHT = True

    def __init__(
        self, base: nn.Module, method: DoRAConfig, adapter: str = "default", path: str = ""
    ) -> None:
        super().__init__(base, method, adapter, path)
        self.magnitude = nn.Parameter(self.norm(dense_weight(self)).detach())

    def norm(self, W: Tensor) -> Tensor:
        r"""‖V‖ of each row, (d_out,), without the matrix B A.

        .. math::
            \lVert W + s B A \rVert^2
                = \lVert W \rVert^2 + 2 s \langle W A^\top, B \rangle
                + s^2 \langle B (A A^\top), B \rangle

        Each ⟨·, ·⟩ is a sum along the row. The largest matrix made has r columns, not d_in. In
        the adapter's precision, which is at least float32, the error is about 1e-7.
        """
        A, B = self.factors()
        s = self.scaling
        # Autocast would round the products to 16 bit; it does not know the meta device.
        with torch.autocast("cpu" if A.is_meta else A.device.type, enabled=False):
            W = W.to(A.dtype)
            squared = (
                torch.linalg.vector_norm(W, dim=1).square()
                + 2 * s * (F.linear(W, A) * B).sum(dim=1)
                + s**2 * ((B @ (A @ A.T)) * B).sum(dim=1)
            )
        # Rounding could leave a row of (almost) zeros below zero, and it must not divide by zero.
        return squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()

    def gain(self, W: Tensor) -> Tensor:
        """g = m / ‖V‖, (d_out,)."""
        # "We suggest treating ‖V + ΔV‖ in Eq. (5) as a constant, thereby detaching it from the
        # gradient graph" (§4.3): it follows the updates of V but gets no gradient.
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.method.detach_norm):
            norm = self.norm(W)
        return self.magnitude / norm

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)  # W x + b
        if not self.active:
            return y
        W = dense_weight(self)
        Wx, rest = self.split(x, y, W)
        adapted = self.gain(W) * torch.add(Wx, self.branch(x), alpha=self.scaling)
        return (adapted if rest is None else adapted + rest).to(y.dtype)

    def split(self, x: Tensor, y: Tensor, W: Tensor) -> tuple[Tensor, Tensor | None]:
        """(W x, the rest of y): the bias, if there is one, and what other adapters have added."""
        dtype = self.magnitude.dtype
        if isinstance(self.base, AdapterLayer):
            Wx = F.linear(x, W.to(x.dtype)).to(dtype)
            return Wx, y.to(dtype) - Wx
        b = self.base.bias
        return (y.to(dtype) if b is None else y.to(dtype) - b), b

    def delta_weight(self) -> Tensor:
        """g ⊙ V - W, what DoRA adds to W: (d_out, d_in)."""
        W = dense_weight(self)
        V = W + super().delta_weight()
        return self.gain(W)[:, None] * V - W
