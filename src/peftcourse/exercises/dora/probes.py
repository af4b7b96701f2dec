"""Lesson 05: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. It counts and
copies; whether a value is right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Case = dict[str, Any]
Outcome = dict[str, Any]


# --- what answers work on -------------------------------------------------------------------------


class Adapted(nn.Module):
    """A DoRA layer, as the answers to merge meet it."""

    def __init__(
        self, base: nn.Linear, A: Tensor, B: Tensor, magnitude: Tensor, scaling: float
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(A.clone())
        self.B = nn.Parameter(B.clone())
        self.magnitude = nn.Parameter(magnitude.clone())
        self.scaling = scaling


class Products(TorchDispatchMode):
    """Counts the matrix products whose result has more entries than ``limit``."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.large = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        product = operation.overloadpacket.__name__ in ("mm", "bmm", "addmm", "baddbmm")
        self.large += int(product and result.numel() > self.limit)
        return result


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer with copies of these values."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


# --- one probe per exercise -----------------------------------------------------------------------


def decompose(answer: Any, case: Case) -> Outcome:
    magnitude, direction = answer(case["W"])
    return {"direction": direction, "magnitude": magnitude}


def change(answer: Any, case: Case) -> Outcome:
    magnitude, direction = answer(case["before"], case["after"])
    return {"ΔM": float(magnitude), "ΔD": float(direction)}


def correlation(answer: Any, case: Case) -> Outcome:
    r, low, high = answer(case["x"], case["y"])
    return {"r": float(r), "lower end": float(low), "upper end": float(high)}


def forward(answer: Any, case: Case) -> Outcome:
    names = ("x", "W", "bias", "A", "B", "magnitude", "scaling")
    return {"result": answer(*(case[name] for name in names))}


def layer(answer: Any, case: Case) -> Outcome:
    """A new layer's output; then, with values of the case, its output and its gradients."""
    base = linear(case["W"], case["bias"])
    made = answer(base, case["rank"], case["alpha"])
    outcome: Outcome = {"output of a new layer": made(case["x"])}
    values = {name: case[name] for name in ("A", "B", "magnitude")}
    for name in values:
        # Sizes are compared before values are copied: copy_ would stretch a tensor of one row.
        outcome[f"{name} (its size)"] = torch.zeros_like(getattr(made, name))
    if any(getattr(made, name).shape != value.shape for name, value in values.items()):
        return outcome
    with torch.no_grad():
        for name, value in values.items():
            getattr(made, name).copy_(value)
    y = made(case["x"])
    outcome["output"] = y
    (y * case["weights"]).sum().backward()
    for name, value in values.items():
        gradient = getattr(made, name).grad
        outcome[f"gradient of {name}"] = torch.zeros_like(value) if gradient is None else gradient
    outcome["trainable parameters"] = sum(p.numel() for p in made.parameters() if p.requires_grad)
    return outcome


def gradients(answer: Any, case: Case) -> Outcome:
    magnitude, direction = answer(case["G"], case["V"], case["magnitude"], case["detach"])
    return {"gradient of m": magnitude, "gradient of V": direction}


def cheap_norm(answer: Any, case: Case) -> Outcome:
    inputs = [case[name] for name in ("W", "A", "B", "scaling")]
    result = answer(*inputs)
    rank = case["A"].shape[0]
    with Products(limit=rank * max(case["W"].shape)) as products:
        answer(*inputs)
    return {"result": result, "products as large as W": products.large}


def merge(answer: Any, case: Case) -> Outcome:
    base = linear(case["W"], case["bias"])
    made = Adapted(base, case["A"], case["B"], case["magnitude"], case["scaling"])
    merged = answer(made)
    return {
        "output of the merged layer": merged(case["x"]),
        "weight of the merged layer": merged.weight,
        "weights of the base that changed": int((base.weight != case["W"]).sum()),
        "times that the base itself is returned": int(merged is base),
    }
