"""Lesson 05: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. It counts and
copies; whether a value is right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
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

    def forward(self, x: Tensor) -> Tensor:
        V = self.base.weight + self.scaling * (self.B @ self.A)
        return self.magnitude / V.norm(dim=1).detach() * (x @ V.T) + self.base.bias


class Descent(TorchDispatchMode):
    """Follows which tensors are made of A, which of B and which of both, through all operations.

    What is made of both and has an axis as long as a row of A is B A, or a part of it. Products,
    broadcasting, einsum and loops over rows are all seen, for each is made of operations.
    """

    def __init__(self, A: Tensor, B: Tensor) -> None:
        super().__init__()
        A.made_of, B.made_of = {"A"}, {"B"}
        self.columns = A.shape[1]
        self.most = B.shape[0] * A.shape[0] ** 2  # what r columns in two factors come to
        self.rows_of_the_product = self.wide = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled; torch would import its compiler for seconds to make sure."""
        return False

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        made_of = set().union(
            *(getattr(t, "made_of", ()) for t in _tensors((args, kwargs or {}))),
        )
        for tensor in _tensors(result):
            tensor.made_of = getattr(tensor, "made_of", set()) | made_of
            if tensor.made_of == {"A", "B"}:
                if self.columns in tensor.shape:
                    self.rows_of_the_product = 1
                elif tensor.numel() > self.most:
                    self.wide = 1
        return result


class Arrays(TorchFunctionMode):
    """Counts the tensors that are handed to NumPy, where no operation is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (Tensor.numpy, Tensor.__array__):
            self.count += int("A" in getattr(args[0], "made_of", ()))
        return function(*args, **(kwargs or {}))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for one in value for t in _tensors(one)] if isinstance(value, (list, tuple)) else []


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
    """A new layer; then, with values of the case, its output and its gradients in both modes."""
    base = linear(case["W"], case["bias"])
    made = answer(base, case["rank"], case["alpha"])
    values = {name: case[name] for name in ("A", "B", "magnitude")}
    # Sizes are compared before values are copied: copy_ would stretch a tensor of one row.
    outcome: Outcome = {
        f"{name} (its size)": torch.zeros_like(getattr(made, name)) for name in values
    }
    if any(getattr(made, name).shape != value.shape for name, value in values.items()):
        return outcome
    outcome["magnitude of a new layer"] = made.magnitude.detach().clone()
    outcome["BA of a new layer"] = made.B @ made.A
    y = made(case["x"])
    outcome["output of a new layer"] = y.detach().clone()
    _pull(y, case)
    outcome["whether A or B of a new layer gets a gradient"] = int(
        any(bool(_gradient(getattr(made, name)).count_nonzero()) for name in ("A", "B"))
    )
    with torch.no_grad():
        for name, value in values.items():
            getattr(made, name).copy_(value)
    made.eval()
    for name in values:
        getattr(made, name).grad = None
    y = made(case["x"])
    outcome["output in evaluation mode"] = y
    _pull(y, case)
    outcome["gradient of A in evaluation mode"] = _gradient(made.A).clone()
    made.train()
    for name in values:
        getattr(made, name).grad = None
    x = case["x"].clone().requires_grad_()
    y = made(x)
    outcome["output"] = y
    _pull(y, case)
    for name in values:
        outcome[f"gradient of {name}"] = _gradient(getattr(made, name))
    outcome["gradient of x"] = _gradient(x)
    outcome["weight of the base afterwards"] = base.weight
    outcome["bias of the base afterwards"] = base.bias
    own = {"the base's weight": [base.weight], "the base's bias": [base.bias]}
    own["A, B and the magnitude"] = [getattr(made, name) for name in values]
    train = {id(p): p.numel() for p in made.parameters() if p.requires_grad}
    for whose, parameters in own.items():
        outcome[f"numbers of {whose} that train"] = sum(train.pop(id(p), 0) for p in parameters)
    outcome["other numbers that train"] = sum(train.values())
    return outcome


def _pull(y: Tensor, case: Case) -> None:
    """The gradients of a sum of the outputs with weights of the case, if they have any."""
    if y.requires_grad and y.shape == case["weights"].shape:
        (y * case["weights"]).sum().backward()


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def gradients(answer: Any, case: Case) -> Outcome:
    """Both gradients, and what a second call with the same tensors returns."""
    inputs = [case[name] for name in ("G", "V", "magnitude", "detach")]
    magnitude, direction = answer(*inputs)
    outcome = {"gradient of m": magnitude, "gradient of V": direction}
    outcome = {
        name: value.detach().clone() if isinstance(value, Tensor) else value
        for name, value in outcome.items()
    }
    again = answer(*inputs)
    return {**outcome, "second call: gradient of m": again[0], "second call: of V": again[1]}


def cheap_norm(answer: Any, case: Case) -> Outcome:
    with Arrays() as arrays, Descent(case["A"], case["B"]) as descent:
        result = answer(case["W"], case["A"], case["B"], case["scaling"])
    return {
        "result": result,
        "whether BA was made, or rows of it": descent.rows_of_the_product,
        "whether anything else of A and B is wide": descent.wide,
        "arrays of NumPy": arrays.count,
    }


def merge(answer: Any, case: Case) -> Outcome:
    base = linear(case["W"], case["bias"])
    made = Adapted(base, case["A"], case["B"], case["magnitude"], case["scaling"])
    merged = answer(made)
    outcome: Outcome = {"whether it is an nn.Linear": int(isinstance(merged, nn.Linear))}
    if not isinstance(merged, nn.Linear):
        return outcome
    bias = torch.zeros(0, dtype=base.weight.dtype) if merged.bias is None else merged.bias
    outcome |= {
        "weight of the merged layer": merged.weight,
        "bias of the merged layer": bias,
    }
    if merged.weight.shape == base.weight.shape and merged.weight.dtype == base.weight.dtype:
        outcome["output of the merged layer"] = merged(case["x"])
    outcome |= {
        "weights of the base that changed": int((base.weight != case["W"]).sum()),
        "biases of the base that changed": int((base.bias != case["bias"]).sum()),
        "times that the base itself is returned": int(merged is base),
        "times that layer.base is still the base": int(made.base is base),
        "weights that share memory with the base": int(
            merged.weight.data_ptr() == base.weight.data_ptr()
        ),
    }
    return outcome
