"""Lesson 07: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. It counts and
copies; whether a value is right is judged elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Case = dict[str, Any]
Outcome = dict[str, Any]

# What the parts of a block are made of: each is differentiable.
BLOCK_WEIGHTS = ("attention", "feed_forward", "gain_1", "gain_2", "adapter_1", "adapter_2")


def count(answer: Any, case: Case) -> Outcome:
    names = ("style", "layers", "hidden_size", "size")
    return {"result": answer(*(case[name] for name in names))}


def layer(answer: Any, case: Case) -> Outcome:
    """What a new adapter returns and trains; then its output and gradients with given weights."""
    h = case["h"]
    before = h.clone()

    def new() -> Any:
        return answer(h.shape[-1], case["size"]).to(h.dtype)

    adapter = new()
    outcome: Outcome = {}
    for end in ("down", "up"):
        for kind in ("weight", "bias"):
            given = getattr(getattr(adapter, end), kind)
            # A projection without a bias has one of no numbers.
            size = torch.zeros(0, dtype=h.dtype) if given is None else torch.zeros_like(given)
            outcome[f"{kind} of {end} (its size)"] = size
            if size.shape != case[f"{end}_{kind}"].shape:
                return outcome
    filled = new()
    with torch.no_grad():
        for end in ("down", "up"):
            for kind in ("weight", "bias"):
                getattr(getattr(filled, end), kind).copy_(case[f"{end}_{kind}"])
        given_weights = filled(h)
        if not torch.equal(h, before):
            return {"output with given weights": given_weights}
        start = adapter(h)
    outcome["output of a new adapter"] = start
    # Counted, because the smallest change counts; where shapes differ, the output is wrong anyway.
    if start.shape == h.shape:
        outcome["values of h that a new adapter changes"] = int((start != h).sum())
    _pull(adapter(h).square())
    gradient = adapter.up.weight.grad
    outcome["whether the up-projection of a new adapter gets a gradient"] = int(
        gradient is not None and bool(gradient.count_nonzero())
    )
    ends = {id(p) for end in (adapter.down, adapter.up) for p in end.parameters()}
    train = {id(p): p.numel() for p in adapter.parameters() if p.requires_grad}
    outcome["numbers of down and up that train"] = sum(
        count for key, count in train.items() if key in ends
    )
    outcome["other numbers that train"] = sum(n for key, n in train.items() if key not in ends)
    outcome["output with given weights"] = given_weights
    outcome["weight of up after a forward pass"] = filled.up.weight.detach().clone()
    x = h.clone().requires_grad_()
    y = filled(x)
    if y.shape == case["pull"].shape:
        _pull(case["pull"] * y)
    outcome["gradient of h"] = _gradient(x)
    for end in ("down", "up"):
        for kind in ("weight", "bias"):
            outcome[f"gradient of the {kind} of {end}"] = _gradient(
                getattr(getattr(filled, end), kind)
            )
    with torch.no_grad():
        outcome["output in evaluation mode"] = filled.eval()(h)
    return outcome


def _pull(terms: Tensor) -> None:
    """The gradients of the sum of these terms, if anything in them has one."""
    if terms.requires_grad:
        terms.sum().backward()


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def block(answer: Any, case: Case) -> Outcome:
    """The block's output and gradients; no part of it can be confused with another."""

    def norm(gain: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: gain * x / x.square().mean(-1, keepdim=True).sqrt()

    def attention(x: Tensor) -> Tensor:
        mean = x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None]
        return mean @ case["attention"]

    def network(weight: Tensor, activation: Callable[[Tensor], Tensor]) -> Any:
        return lambda x: activation(x @ weight) @ weight.T

    def run(x: Tensor) -> Tensor:
        return answer(
            x,
            attention,
            network(case["feed_forward"], torch.sin),
            norm(case["gain_1"]),
            norm(case["gain_2"]),
            network(case["adapter_1"], torch.relu),
            network(case["adapter_2"], torch.relu),
            case["style"],
        )

    x = case["x"].clone().requires_grad_()
    weights = {name: case[name].requires_grad_() for name in BLOCK_WEIGHTS}
    stream = x * 1  # no leaf, so that it can be changed in place
    y = run(stream)
    outcome = {"result": y}
    if not torch.equal(stream, case["x"]):
        case["x"] = stream.detach()  # the caller's stream, as the answer left it
        return outcome
    if y.shape == x.shape:
        _pull(case["pull"] * y)
    for name, leaf in {"x": x, **weights}.items():
        outcome[f"gradient of {name}"] = _gradient(leaf)
    return outcome


def ia3(answer: Any, case: Case) -> Outcome:
    weight, bias = answer(case["W"], case["bias"], case["scale"], case["where"])
    return {"weight": weight, "bias": bias}


def biases(answer: Any, case: Case) -> Outcome:
    """Which parameters of a model train, what became of them, and how many numbers that is said."""
    model = nn.Module()
    left = case["values"]
    for name, shape in case["shapes"].items():
        count = math.prod(shape)
        value, left = left[:count].view(shape), left[count:]
        *path, last = name.split(".")
        module = model
        for depth, part in enumerate(path):
            if part not in dict(module.named_children()):
                kind = case["kinds"].get(".".join(path[: depth + 1]))
                module.add_module(part, _empty(kind))
            module = module.get_submodule(part)
        trains = name not in case["frozen"]
        setattr(module, last, nn.Parameter(value.clone(), requires_grad=trains))
    counted = answer(model)
    after = dict(model.named_parameters())
    outcome: Outcome = {}
    for group, names in case["groups"].items():
        outcome[f"{group}, 1 for each that trains"] = torch.tensor(
            [int(after[name].requires_grad) for name in names]
        )
    outcome["result"] = counted
    outcome["values of the parameters"] = torch.cat(
        [after[name].detach().flatten() for name in case["shapes"]]
    )
    return outcome


def _empty(kind: str | None) -> nn.Module:
    """A module whose parameters are still to be set."""
    if kind == "linear":
        return nn.Linear(1, 1)
    return nn.LayerNorm(1) if kind == "norm" else nn.Module()


def affine(answer: Any, case: Case) -> Outcome:
    M, c, residual = answer(case["u"], case["added"])
    return {
        "M": M,
        "c": c,
        # A tensor, so that zero is allowed its rounding errors.
        "residual": torch.as_tensor(residual, dtype=torch.float64).reshape(()),
    }


def overhead(answer: Any, case: Case) -> Outcome:
    """The measured overhead, twice, on a machine that this probe makes up, and who ran when."""

    def measure() -> tuple[Any, list[int]]:
        order: list[int] = []

        def contestant(which: int, seconds: float) -> Callable[[], float]:
            def run() -> float:
                # The machine changes after every second run.
                now = min(len(order) // 2, case["machine"].shape[1] - 1)
                cold = case["cold"][which] if order.count(which) < case["warmup"] else 1.0
                order.append(which)
                return seconds * cold * case["machine"][which, now].item()

            return run

        base, adapted = case["base"], case["base"] * case["slower"]
        found = answer(contestant(0, base), contestant(1, adapted), case["rounds"], case["warmup"])
        return found, order

    result, order = measure()
    counted = order[max(0, len(order) - 2 * case["rounds"]) :]
    turns = zip(counted[::2], counted[1::2], strict=False)
    return {
        "result": float(result),
        "runs of the base": order.count(0),
        "runs of the adapted model": order.count(1),
        "rounds with one run of each": sum(one != other for one, other in turns),
        "result of measuring the same again": float(measure()[0]),
    }
