"""Lesson 06, the layer: a product with a 4-bit weight, and merging, rightly and wrongly."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- quantization.linear --------------------------------------------------------------------------


class QuantizedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return x @ dequantize(packed, x.dtype).T

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, grad.dtype), None, None


class _KeepsWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        weight = dequantize(packed, x.dtype)
        ctx.save_for_backward(weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, grad):
        (weight,) = ctx.saved_tensors
        return grad @ weight, None, None


class _HidesWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.weight = dequantize(packed, x.dtype)
        return x @ ctx.weight.T

    @staticmethod
    def backward(ctx, grad):
        return grad @ ctx.weight, None, None


class _KeepsInput(QuantizedProduct):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(x, packed)
        ctx.dequantize = dequantize
        return x @ dequantize(packed, x.dtype).T

    @staticmethod
    def backward(ctx, grad):
        _, packed = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, grad.dtype), None, None


class _StopsGradient(QuantizedProduct):
    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return 0 * (grad @ ctx.dequantize(packed, grad.dtype)), None, None


class _AlwaysFloat32(QuantizedProduct):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return x @ dequantize(packed, torch.float32).T.to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, torch.float32).to(grad.dtype), None, None


LINEAR = (
    Mutant(
        "keeps-the-weight",
        _KeepsWeight,
        "the dequantized weight is kept for the backward pass: every layer's at once, in 16 bit",
        "Save packed, and dequantize again in backward",
    ),
    Mutant(
        "hides-the-weight",
        _HidesWeight,
        "the dequantized weight stays on ctx until the backward pass: as large as if it were saved",
        "Save packed, and dequantize again in backward",
    ),
    Mutant(
        "keeps-the-input",
        _KeepsInput,
        "the input is kept: only the gradient of the weight needs it, and the weight is frozen",
        "Save packed alone",
    ),
    Mutant(
        "stops-the-gradient",
        _StopsGradient,
        "the gradient of the input is zero: the layers below, and their adapters, learn nothing",
        "Return grad @ W for x: frozen means no gradient of W, and one of x as ever",
    ),
    Mutant(
        "always-float32",
        _AlwaysFloat32,
        "dequantized to float32 whatever the input is: digits lost in one case, memory in another",
        "Dequantize to the dtype of x, and of grad",
    ),
)

# --- quantization.merge ---------------------------------------------------------------------------


def merge(base, A: Tensor, B: Tensor, scaling: float, dtype: torch.dtype) -> Tensor:
    return (base.dequantize() + scaling * (B @ A)).to(dtype)


def _merge_rounded_first(base, A, B, scaling, dtype):
    return base.dequantize().to(dtype) + (scaling * (B @ A)).to(dtype)


MERGE = (
    Mutant(
        "into-the-original",
        lambda base, A, B, scaling, dtype: (base.original + scaling * (B @ A)).to(dtype),
        "merged into the weight from before quantization: the adapter was not trained on that one",
        "Start from base.dequantize()",
    ),
    Mutant(
        "quantized-again",
        lambda base, A, B, scaling, dtype: (
            base.quantize(base.dequantize() + scaling * (B @ A)).dequantize().to(dtype)
        ),
        "quantized again after the merge: most of the update is rounded away",
        "Keep the merged weight in 16 bit",
    ),
    Mutant(
        "not-scaled",
        lambda base, A, B, scaling, dtype: (base.dequantize() + B @ A).to(dtype),
        "the update is not scaled: α/r is missing",
        "Add scaling * (B @ A)",
    ),
    Mutant(
        "rounded-first",
        _merge_rounded_first,
        "rounded before the sum: weight and update lose digits, and their sum once more",
        "Add in full precision, then convert once",
    ),
    Mutant(
        "base-alone",
        lambda base, A, B, scaling, dtype: base.dequantize().to(dtype),
        "the base alone: what was learned is not in it",
        "Add scaling * (B @ A)",
    ),
)
