"""Lesson 07: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. It counts and
copies; whether a value is right is judged elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Case = dict[str, Any]
Outcome = dict[str, Any]


def count(answer: Any, case: Case) -> Outcome:
    names = ("style", "layers", "hidden_size", "size")
    return {"result": answer(*(case[name] for name in names))}


def layer(answer: Any, case: Case) -> Outcome:
    """A new adapter, what trains in it, and what it computes with given weights."""
    h = case["h"]
    adapter = answer(h.shape[-1], case["size"]).to(h.dtype)
    start = adapter(h)
    start.square().sum().backward()
    gradient = adapter.up.weight.grad
    outcome: Outcome = {
        "output at the start": start,
        "parameters": sum(p.numel() for p in adapter.parameters() if p.requires_grad),
        "whether the up-projection gets a gradient": int(
            gradient is not None and bool(gradient.count_nonzero())
        ),
    }
    with torch.no_grad():
        for module, end in ((adapter.down, "down"), (adapter.up, "up")):
            module.weight.copy_(case[f"W_{end}"])
            if module.bias is not None:
                module.bias.copy_(case[f"b_{end}"])
    outcome["output with given weights"] = adapter(h)
    return outcome


def block(answer: Any, case: Case) -> Outcome:
    """The block's output; its parts are functions that cannot be confused with each other."""

    def norm(gain: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: gain * x / x.square().mean(-1, keepdim=True).sqrt()

    def attention(x: Tensor) -> Tensor:
        mean = x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None]
        return mean @ case["attention"]

    def network(weight: Tensor, activation: Callable[[Tensor], Tensor]) -> Any:
        return lambda x: activation(x @ weight) @ weight.T

    return {
        "result": answer(
            case["x"],
            attention,
            network(case["feed_forward"], torch.sin),
            norm(case["gains"][0]),
            norm(case["gains"][1]),
            network(case["adapter_1"], torch.relu),
            network(case["adapter_2"], torch.relu),
            case["style"],
        )
    }


def ia3(answer: Any, case: Case) -> Outcome:
    weight, bias = answer(case["W"], case["bias"], case["scale"], case["where"])
    return {"weight": weight, "bias": bias}


def biases(answer: Any, case: Case) -> Outcome:
    """Which parameters of a model train, and how many numbers the answer says they have."""
    model = nn.Module()
    for name, shape in case["shapes"].items():
        *path, last = name.split(".")
        module = model
        for part in path:
            if part not in dict(module.named_children()):
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        module.register_parameter(last, nn.Parameter(torch.zeros(shape)))
    counted = answer(model)
    trained = dict(model.named_parameters())
    return {
        "parameters that train, 1 for each": torch.tensor(
            [int(trained[name].requires_grad) for name in case["shapes"]]
        ),
        "result": counted,
    }


def affine(answer: Any, case: Case) -> Outcome:
    M, c, residual = answer(case["u"], case["added"])
    return {
        "M": M,
        "c": c,
        # A tensor, so that zero is allowed its rounding errors.
        "residual": torch.as_tensor(residual, dtype=torch.float64).reshape(()),
    }


def overhead(answer: Any, case: Case) -> Outcome:
    """The measured overhead, on a machine that this probe makes up."""
    runs = [0, 0]

    def contestant(which: int, seconds: float) -> Callable[[], float]:
        def run() -> float:
            now = sum(runs) // 2  # the machine changes after every second run
            cold = case["cold"][which] if runs[which] < case["warmup"] else 1.0
            runs[which] += 1
            return seconds * cold * case["machine"][which, now].item()

        return run

    result = answer(
        contestant(0, case["base"]),
        contestant(1, case["base"] * case["slower"]),
        case["rounds"],
        case["warmup"],
    )
    return {
        # To four digits after the point, so that any way to take a median will do.
        "result": round(float(result), 4),
        "runs of the base": runs[0],
        "runs of the adapted model": runs[1],
    }
