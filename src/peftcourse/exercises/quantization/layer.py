"""Lesson 06, the layer: a product with a 4-bit weight, rightly and wrongly."""

from __future__ import annotations

from functools import partial

import torch

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.quantization import seen


class QuantizedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        weight = dequantize(packed, x.dtype)
        return x @ weight.T

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        again = ctx.dequantize(packed, grad.dtype)
        return grad @ again, None, None


_linear = partial(slip, QuantizedProduct)
_SAVE, _UNPACK = "ctx.save_for_backward(packed)", "(packed,) = ctx.saved_tensors"
_FORWARD, _BACKWARD = "= dequantize(packed, x.dtype)", "ctx.dequantize(packed, grad.dtype)"
_OUTPUT, _GRADIENTS = "return x @ weight.T", "return grad @ again, None, None"
_AGAIN = f"again = {_BACKWARD}"

LINEAR = (
    _linear(
        "keeps-the-weight",
        _OUTPUT,
        "ctx.save_for_backward(weight)\n        return x @ weight.T",
        "the dequantized weight is kept (saved) for the backward pass: every layer's at once, in "
        "16 bit",
        "Save packed, and dequantize again in backward",
        (_UNPACK, "(again,) = ctx.saved_tensors"),
        (_AGAIN, ""),
        (_SAVE, ""),
    ),
    _linear(
        "hides-the-weight",
        _OUTPUT,
        "ctx.weight = weight\n        return x @ weight.T",
        "the dequantized weight stays on ctx until the backward pass: kept, as large as if it were "
        "saved",
        "Save packed, and dequantize again in backward",
        (_AGAIN, "again = ctx.weight"),
    ),
    _linear(
        "keeps-the-input",
        _SAVE,
        "ctx.save_for_backward(packed, x)",
        "the input is kept (saved): only the gradient of the weight needs it, and the weight is "
        "frozen",
        "Save packed alone",
        (_UNPACK, "packed, _ = ctx.saved_tensors"),
    ),
    _linear(
        "hides-the-input",
        _SAVE,
        "ctx.save_for_backward(packed)\n        ctx.x = x",
        "the input is kept on ctx: only the gradient of the weight needs it, and the weight is "
        "frozen",
        "Keep packed alone",
    ),
    _linear(
        "stops-the-gradient",
        _GRADIENTS,
        "return 0 * (grad @ again), None, None",
        "the gradient of the input is zero: the layers below, and their adapters, learn nothing",
        "Return grad @ W for x: frozen means no gradient of W, and one of x as ever",
    ),
    _linear(
        "no-gradient",
        _GRADIENTS,
        "return None, None, None",
        "the gradient of x is None, left out where it is needed (ctx.needs_input_grad): the layers "
        "below, and their adapters, learn nothing",
        "Return grad @ W for x: frozen means no gradient of W, and one of x as ever",
    ),
    _linear(
        "float32-backward",
        _BACKWARD,
        "ctx.dequantize(packed, torch.float32).to(grad.dtype)",
        "dequantized to float32 in backward whatever dtype the gradient has: digits lost in one "
        "case, memory in another",
        "Dequantize to the dtype of grad",
    ),
    _linear(
        "float32-forward",
        _FORWARD,
        "= dequantize(packed, torch.float32).to(x.dtype)",
        "dequantized to float32 in forward whatever dtype x has: digits lost in one case, memory "
        "in another",
        "Dequantize to the dtype of x",
    ),
    _linear(
        "always-float32",
        _FORWARD,
        "= dequantize(packed, torch.float32).to(x.dtype)",
        "dequantized to float32 whatever dtype the input has: digits lost in one case, memory in "
        "another",
        "Dequantize to the dtype of x, and of grad",
        (_BACKWARD, "ctx.dequantize(packed, torch.float32).to(grad.dtype)"),
    ),
    _linear(
        "always-bfloat16",
        _OUTPUT,
        "return (x.bfloat16() @ weight.T).to(x.dtype)",
        "computed in bfloat16 whatever dtype x has, and converted back: rounded on the way",
        "Dequantize to the dtype of x, and of grad, and convert neither",
        (_FORWARD, "= dequantize(packed, torch.bfloat16)"),
        (_BACKWARD, "ctx.dequantize(packed, torch.bfloat16)"),
        (_GRADIENTS, "return (grad.bfloat16() @ again).to(grad.dtype), None, None"),
    ),
    _linear(
        "computed-in-float32",
        _OUTPUT,
        "return (x.float() @ weight.T).to(x.dtype)",
        "computed in float32 whatever dtype x has, and converted back: digits lost in one case, "
        "memory in another",
        "Dequantize to the dtype of x, and of grad, and convert neither",
        (_FORWARD, "= dequantize(packed, torch.float32)"),
        (_BACKWARD, "ctx.dequantize(packed, torch.float32)"),
        (_GRADIENTS, "return (grad.float() @ again).to(grad.dtype), None, None"),
    ),
    _linear(
        "gradient-for-packed",
        _GRADIENTS,
        "return grad @ again, torch.zeros_like(packed), None",
        "backward returns a gradient for packed; it has no gradient: None, not zeros",
        "Return None for packed and for dequantize",
    ),
    _linear(
        "keeps-the-weight-in-half",
        _OUTPUT,
        "ctx.save_for_backward(weight.bfloat16())\n        return x @ weight.T",
        "the dequantized weight is kept (saved) for the backward pass, rounded to bfloat16: a "
        "16-bit weight for every layer at once",
        "Save packed, and dequantize again in backward",
        (_UNPACK, "(again,) = ctx.saved_tensors"),
        (_AGAIN, "again = again.to(grad.dtype)"),
        (_SAVE, ""),
    ),
    _linear(
        "keeps-codes-as-numbers",
        _SAVE,
        "ctx.save_for_backward(packed.to(x.dtype))",
        "packed is kept as floating-point numbers, many times as large",
        "Save packed as it is",
        (_UNPACK, "packed = ctx.saved_tensors[0].to(torch.uint8)"),
    ),
    _linear(
        "leading-dimensions-lost",
        _OUTPUT,
        "return x.reshape(-1, x.shape[-1]) @ weight.T",
        "the leading dimensions of x are lost: the output is a matrix, flattened",
        "Keep the shape of x but for its last dimension: x @ W.T does",
    ),
    _linear(
        "gradient-of-a-sum",
        _GRADIENTS,
        "return torch.ones_like(grad) @ again, None, None",
        "the gradient that arrives is not used: the gradient of x is that of a plain sum",
        "Multiply the gradient that arrives: grad @ W",
    ),
)

_WRONG_DTYPE = "Dequantize to the dtype of x, and of grad, and convert neither"


def _measured(part: str, cause: str, action: str) -> Symptom:
    """A symptom of a part that is there: an output of another shape ends the measurement."""
    return Symptom(
        part, cause, action, lambda case, expected, observed: part in observed, decides=True
    )


LINEAR_SYMPTOMS = (
    Symptom(
        "output",
        "the output is not (…, d_out), with the leading dimensions of x",
        "Keep the shape of x but for its last dimension: x @ W.T does",
        seen.other_shape("output"),
    ),
    _measured(
        "bytes of numbers saved for the backward pass",
        "floating-point numbers are kept (saved) for the backward pass, such as the dequantized "
        "weight or the input; packed is all that is needed",
        "Save packed alone, and dequantize again in backward",
    ),
    _measured(
        "bytes of numbers kept on ctx",
        "floating-point numbers are kept on ctx until the backward pass, such as the dequantized "
        "weight or the input; packed is all that is needed",
        "Keep packed alone, and dequantize again in backward",
    ),
    _measured(
        "bytes of codes kept beyond those of packed",
        "whole numbers are kept that are larger than packed, such as codes in int64",
        "Save packed as it is",
    ),
    _measured(
        "numbers in the gradient of the input",
        "the gradient of x is None: the layers below, and their adapters, learn nothing",
        "Return grad @ W for x: frozen means no gradient of W, and one of x as ever",
    ),
    _measured(
        "gradients of packed and dequantize",
        "backward returns a gradient for packed or dequantize, which have none: None belongs there",
        "Return None for packed and for dequantize",
    ),
    _measured(
        "backward passes that dequantize",
        "the weight is not dequantized again in backward: it was kept from forward, or is not used",
        "Call ctx.dequantize in backward",
    ),
    _measured(
        "digits of the weight, forward",
        "the weight is dequantized forward into another dtype than that of x",
        _WRONG_DTYPE,
    ),
    _measured(
        "digits of the weight, backward",
        "the weight is dequantized backward into another dtype than that of the gradient and x",
        _WRONG_DTYPE,
    ),
    _measured(
        "numbers made in another dtype",
        "it is computed in another dtype than that of x, and converted: rounded in one case, "
        "larger in another",
        _WRONG_DTYPE,
    ),
    Symptom(
        "output",
        "the output is not x times the dequantized weight, transposed: x @ W.T, and nothing more",
        "Return x @ dequantize(packed, x.dtype).T",
        seen.wrong("output"),
    ),
    Symptom(
        "gradient of the input",
        "the output is right, the gradient of x is not: it is grad times the dequantized weight",
        "Return grad @ W for x",
        seen.both(seen.right("output"), seen.wrong("gradient of the input")),
    ),
)
