"""Lesson 06: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. It counts and
copies; whether a value is right is judged elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Case = dict[str, Any]
Outcome = dict[str, Any]


def storages(values: Iterable[Any]) -> dict[int, Tensor]:
    """The tensors among these values and in containers among them, one for each storage."""
    found = {}
    for value in values:
        if isinstance(value, Tensor):
            found[value.untyped_storage().data_ptr()] = value
        elif isinstance(value, (list, tuple)):
            found |= storages(value)
        elif isinstance(value, dict):
            found |= storages(value.values())
    return found


def bytes_of_numbers(tensors: Iterable[Tensor]) -> int:
    """What the storages of the floating-point tensors among these occupy."""
    return sum(t.untyped_storage().nbytes() for t in tensors if t.is_floating_point())


class OtherDtypes(TorchFunctionMode):
    """Counts the entries of the largest floating-point tensor made in another dtype than one.

    Every operation that an answer writes passes here: products, einsum, conversions. (A mode of
    torch's dispatcher would see more, and import a compiler of a second the first time.)
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.paused = False
        self.largest = 0

    def __torch_function__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if not self.paused:
            self.note(result)
        return result

    def note(self, result: Any) -> None:
        """Count what an operation made."""
        for tensor in storages([result]).values():
            if tensor.is_floating_point() and tensor.dtype != self.dtype:
                self.largest = max(self.largest, tensor.numel())


class Quantized:
    """A weight in whole numbers from -7 to 7 with one scale for each row."""

    def __init__(self, weight: Tensor) -> None:
        self.original = weight.clone()
        self.scale = weight.abs().amax(dim=1, keepdim=True) / 7
        self.codes = (weight / self.scale).round()

    def dequantize(self) -> Tensor:
        return self.codes * self.scale

    def quantize(self, weight: Tensor) -> Quantized:
        return Quantized(weight)


# --- one probe per exercise -----------------------------------------------------------------------


def absmax(answer: Any, case: Case) -> Outcome:
    codes, scale = answer(case["blocks"], case["bits"])
    return {"codes": codes, "absmax": wide(scale)}


def codebook(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["bits"], case["offset"])}


def quantize(answer: Any, case: Case) -> Outcome:
    codes, scale = answer(case["weight"], case["levels"], case["block_size"])
    return {"codes": codes, "absmax": wide(scale)}


def pack(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["codes"], case["pad"])}


def dequantize(answer: Any, case: Case) -> Outcome:
    names = ("packed", "levels", "absmax", "block_size")
    dtype = getattr(torch, case["dtype"])
    return of_dtype(answer(*(case[name] for name in names), tuple(case["shape"]), dtype))


def of_dtype(weight: Any) -> Outcome:
    """A weight, and the dtype that it came in.

    16-bit numbers are compared in 64 bit, where every one of them has its place.
    """
    if not isinstance(weight, Tensor):
        return {"weight": weight}
    return {"weight": weight.double(), "digits of its dtype": digits(weight.dtype)}


def digits(dtype: torch.dtype) -> int:
    """Binary digits of the fraction, another number for each floating-point dtype."""
    return round(-math.log2(torch.finfo(dtype).eps)) if dtype.is_floating_point else 0


def bits(answer: Any, case: Case) -> Outcome:
    names = ("bits", "block_size", "scale_bits", "outer_block")
    return {"result": answer(*(case[name] for name in names))}


def double(answer: Any, case: Case) -> Outcome:
    codes, outer, offset = answer(case["absmax"], case["block_size"])
    return {"codes": codes, "scales of the scales": wide(outer), "offset": wide(offset)}


def wide(scale: Any) -> Any:
    """A scale in float64: the text says whose magnitude it is, and names no dtype."""
    return scale.double() if isinstance(scale, Tensor) and scale.is_floating_point() else scale


def linear(answer: Any, case: Case) -> Outcome:
    x, packed = case["x"].clone().requires_grad_(), case["packed"]
    made = OtherDtypes(x.dtype)
    dtypes: list[torch.dtype] = []

    def dequantize(packed: Tensor, dtype: torch.dtype) -> Tensor:
        dtypes.append(dtype)
        made.paused = True
        weight = case["table"][packed.long()].view(case["d_out"], -1).to(dtype)
        made.paused = False
        made.note(weight)
        return weight

    saved: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with made, torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = answer.apply(x, packed, dequantize)
    node = y.grad_fn
    on_ctx = storages(vars(node).values()) if hasattr(node, "__dict__") else {}
    kept = {**storages(saved), **on_ctx}
    codes = [t for t in kept.values() if not t.is_floating_point() and t.numel() >= packed.numel()]
    outcome: Outcome = {
        "output": y,
        "bytes of numbers saved for the backward pass": bytes_of_numbers(storages(saved).values()),
        "bytes of numbers kept on ctx": bytes_of_numbers(on_ctx.values()),
        "bytes of codes kept beyond those of packed": max(
            0, sum(t.untyped_storage().nbytes() for t in codes) - packed.untyped_storage().nbytes()
        ),
        "digits of the weight, forward": max(map(digits, dtypes), default=0),
    }
    if y.shape != case["grad"].shape:
        return outcome
    dtypes.clear()
    (y * case["grad"]).sum().backward(retain_graph=True)
    outcome["backward passes that dequantize"] = min(1, len(dtypes))
    outcome["digits of the weight, backward"] = max(map(digits, dtypes), default=digits(x.dtype))
    outcome["numbers in the gradient of the input"] = 0 if x.grad is None else x.grad.numel()
    outcome["gradient of the input"] = torch.zeros_like(x) if x.grad is None else x.grad
    # Autograd drops a gradient that belongs to no number, so backward is asked itself.
    with made:
        _, *others = answer.backward(node, case["grad"])
    outcome["gradients of packed and dequantize"] = sum(one is not None for one in others)
    outcome["numbers made in another dtype"] = made.largest
    return outcome


def merge(answer: Any, case: Case) -> Outcome:
    base = Quantized(case["weight"])
    before = [base.codes.clone(), base.scale.clone(), base.original.clone()]
    dtype = getattr(torch, case["dtype"])
    outcome = of_dtype(answer(base, case["A"], case["B"], case["scaling"], dtype))
    after = [base.codes, base.scale, base.original]
    outcome["numbers of the base that changed"] = sum(
        int((one != other).sum()) for one, other in zip(before, after, strict=True)
    )
    return outcome
