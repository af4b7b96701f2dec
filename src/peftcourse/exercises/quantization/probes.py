"""Lesson 06: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. It counts and
copies; whether a value is right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Case = dict[str, Any]
Outcome = dict[str, Any]

FLOATS = {8: torch.float64, 4: torch.float32, 2: torch.bfloat16}


class Kept:
    """Bytes of the floating-point tensors that autograd keeps within a ``with`` block."""

    def __init__(self) -> None:
        self._found: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor)

    def _note(self, tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            storage = tensor.untyped_storage()
            self._found[storage.data_ptr()] = storage.nbytes()
        return tensor

    def __enter__(self) -> Kept:
        self._hooks.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._hooks.__exit__(*problem)

    @property
    def bytes(self) -> int:
        return sum(self._found.values())


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
    return {"codes": codes, "absmax": scale}


def codebook(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["bits"], case["offset"])}


def quantize(answer: Any, case: Case) -> Outcome:
    codes, scale = answer(case["weight"], case["levels"], case["block_size"])
    return {"codes": codes, "absmax": scale}


def pack(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["codes"], case["pad"])}


def dequantize(answer: Any, case: Case) -> Outcome:
    names = ("packed", "levels", "absmax", "block_size")
    dtype = FLOATS[case["itemsize"]]
    weight = answer(*(case[name] for name in names), tuple(case["shape"]), dtype)
    # 16-bit numbers are compared in 32 bit, where every one of them has its place.
    return {"weight": weight.float(), "bytes of an entry": weight.element_size()}


def bits(answer: Any, case: Case) -> Outcome:
    names = ("bits", "block_size", "scale_bits", "outer_block")
    return {"result": float(answer(*(case[name] for name in names)))}


def double(answer: Any, case: Case) -> Outcome:
    codes, outer, offset = answer(case["absmax"], case["block_size"])
    return {"codes": codes, "scales of the scales": outer, "offset": offset}


def linear(answer: Any, case: Case) -> Outcome:
    calls = []

    def dequantize(packed: Tensor, dtype: torch.dtype) -> Tensor:
        calls.append(dtype)
        return case["table"][packed.long()].view(tuple(case["shape"])).to(dtype)

    x = case["x"].clone().requires_grad_()
    with Kept() as kept:
        y = answer.apply(x, case["packed"], dequantize)
    outcome: Outcome = {"output": y, "bytes of numbers kept for the backward pass": kept.bytes}
    outcome["times that the weight was dequantized forward"] = len(calls)
    y.backward(case["grad"])
    outcome["times that the weight was dequantized in all"] = len(calls)
    outcome["gradient of the input"] = torch.zeros_like(x) if x.grad is None else x.grad
    return outcome


def merge(answer: Any, case: Case) -> Outcome:
    base = Quantized(case["weight"])
    before = base.codes.clone()
    dtype = FLOATS[case["itemsize"]]
    weight = answer(base, case["A"], case["B"], case["scaling"], dtype)
    return {
        "weight": weight.double(),
        "bytes of an entry": weight.element_size(),
        "codes of the base that changed": int((base.codes != before).sum()),
    }
