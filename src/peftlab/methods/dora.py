"""DoRA: weight-decomposed low-rank adaptation (Liu et al. 2024, arXiv 2402.09353)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.layers import AdapterLayer, dense_weight, is_conv1d
from peftlab.methods.lora import LoRAConfig, LoRALinear
from peftlab.targets import linear_targets


@dataclass(frozen=True)
class DoRAConfig(LoRAConfig):
    """How to adapt a model with DoRA: the settings of LoRA and one more.

    Attributes:
        detach_norm: treat the norm as a constant in the backward pass, as the paper's §4.3 does to
            save memory. With ``False`` the gradient goes through it.
    """

    detach_norm: bool = True

    PEFT_NAMES: ClassVar[dict[str, str]] = {
        **LoRAConfig.PEFT_NAMES,
        "magnitude": "lora_magnitude_vector",
    }
    PEFT_OFF: ClassVar[dict[str, Any]] = {
        option: off for option, off in LoRAConfig.PEFT_OFF.items() if option != "use_dora"
    }

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A DoRA layer for each target."""
        layers = linear_targets(model, self.targets)
        return {path: DoRALinear(layer, self, adapter, path) for path, layer in layers.items()}

    def peft_fields(self, model: nn.Module, layers: dict[str, AdapterLayer]) -> dict[str, Any]:
        """What PEFT's ``LoraConfig`` calls these settings."""
        return super().peft_fields(model, layers) | {"use_dora": True}


class DoRALinear(LoRALinear):
    r"""A linear layer split into a magnitude, trained as it is, and a direction, trained by LoRA.

    .. math::
        y = \frac{m}{\lVert V \rVert} \odot V x + b, \qquad V = W + s B A

    with one magnitude m and one norm per output feature, that is per row of V, in the layout of
    ``nn.Linear``; the paper writes W transposed and says "column". m starts as the norm of the
    pretrained W, so that the layer first computes exactly what its base does.

    V is never built: with g = m / ‖V‖ the layer computes g ⊙ (W x + s B A x) + b, where its base's
    output less the bias serves as W x. Dropout acts on the low-rank branch alone. If other adapters
    wrap the same layer, each adds its own term, and W is still the model's own weight.

    Shapes:
        input ``(..., d_in)``, output ``(..., d_out)``.
    """

    PARAMETERS = ("A", "B", "magnitude")
    USES_WEIGHT = True

    def __init__(
        self, base: nn.Module, method: DoRAConfig, adapter: str = "default", path: str = ""
    ) -> None:
        super().__init__(base, method, adapter, path)
        self.magnitude = nn.Parameter(self.norm(dense_weight(self)).detach())  # (d_out,)

    def norm(self, weight: Tensor) -> Tensor:
        r"""‖W + s B A‖ of each row, (d_out,), without the matrix B A.

        .. math::
            \lVert W + s B A \rVert^2
                = \lVert W \rVert^2 + 2 s \langle W A^\top, B \rangle
                + s^2 \langle B (A A^\top), B \rangle

        Each ⟨·, ·⟩ is a sum along the row. The largest matrix made has r columns, not d_in. In
        the adapter's precision, which is at least float32, the error is about 1e-7.
        """
        A, B = self.factors()
        # Autocast would round the products to 16 bit; it does not know the meta device.
        with torch.autocast("cpu" if A.is_meta else A.device.type, enabled=False):
            weight = weight.to(A.dtype)
            squared = (
                torch.linalg.vector_norm(weight, dim=1).square()
                + 2 * self.scaling * (F.linear(weight, A) * B).sum(dim=1)
                + self.scaling**2 * ((B @ (A @ A.T)) * B).sum(dim=1)
            )
        # Rounding could leave a row of (almost) zeros below zero, and it must not divide by zero.
        return squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()

    def gain(self, weight: Tensor) -> Tensor:
        """g = m / ‖V‖, (d_out,)."""
        # "We suggest treating ‖V + ΔV‖ in Eq. (5) as a constant, thereby detaching it from the
        # gradient graph" (§4.3): it follows the updates of V but gets no gradient.
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.method.detach_norm):
            norm = self.norm(weight)
        return self.magnitude / norm

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)  # (..., d_out)
        if not self.active:
            return y
        A, B = self.factors()
        weight = dense_weight(self)
        dropped = F.dropout(x.to(A.dtype), self.method.dropout, self.training)
        update = F.linear(F.linear(dropped, A), B)  # (..., d_in) → (..., r) → (..., d_out)
        if isinstance(self.base, AdapterLayer):  # y has other adapters in it
            plain = F.linear(x, weight.to(x.dtype)).to(A.dtype)
            rest = y.to(A.dtype) - plain
        else:
            rest = self.base.bias
            plain = y.to(A.dtype) if rest is None else y.to(A.dtype) - rest
        adapted = self.gain(weight) * torch.add(plain, update, alpha=self.scaling)
        return (adapted if rest is None else adapted + rest).to(y.dtype)

    def delta_weight(self) -> Tensor:
        """g ⊙ (W + s B A) - W, what DoRA adds to the weight, in the base weight's layout."""
        weight = dense_weight(self)
        A, B = self.factors()
        adapted = weight.to(A.dtype) + self.scaling * (B @ A)
        delta = self.gain(weight)[:, None] * adapted - weight
        return delta.T if is_conv1d(self.innermost) else delta
