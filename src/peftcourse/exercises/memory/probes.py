"""Lesson 01: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. It counts and
copies; whether a value is right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

Case = dict[str, Any]
Outcome = dict[str, Any]

FLOATS = {8: torch.float64, 4: torch.float32, 2: torch.bfloat16}

# --- the small models that answers work on --------------------------------------------------------


class Reader(nn.Module):
    """Tokens in, one number out. What autograd keeps of it is of many kinds: token ids, a boolean
    mask, a view of a larger tensor, one tensor for two operations, parameters as they are and
    transposed."""

    def __init__(self, width: int, hidden: int, part: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.embed = nn.Embedding(17, width, dtype=dtype)
        self.up = nn.Linear(width, hidden, dtype=dtype)
        self.down = nn.Linear(part, width, bias=False, dtype=dtype)
        # A view that begins after its storage does.
        self.scale = nn.Parameter(torch.full((width + 3,), 0.5, dtype=dtype)[3:])
        self.part = part
        # Of results that nobody but autograd holds on to.
        self.kept: list[StorageWeakRef] = []

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        h = torch.tanh(self.up(self.embed(ids)))  # (batch, tokens, hidden)
        whole = h.flatten()  # the same place and another shape
        g = self.down(h[..., -self.part :])  # (batch, tokens, width), from the end of a storage
        for _ in range(3):
            g = torch.tanh(g)
            self.kept.append(StorageWeakRef(g.untyped_storage()))
        same = g.view_as(g)  # the same place and shape
        mean = g.mean((0, 1))  # of the shape of a parameter
        shares = torch.where(mask, g * g * same, g * self.scale)
        return shares.sum() + (whole * whole).sum() + (mean * mean).sum()


class Block(nn.Module):
    """A feed-forward network with dropout beside a skip connection; counts its runs."""

    def __init__(self, up: Tensor, down: Tensor, dropout: float) -> None:
        super().__init__()
        self.up, self.down = nn.Parameter(up.clone()), nn.Parameter(down.clone())
        self.dropout = dropout
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        h = F.dropout(torch.tanh(x @ self.up.T), self.dropout, self.training)
        return x + h @ self.down.T


class Kept:
    """Bytes of the floating-point tensors that autograd keeps within a ``with`` block, those of
    the given parameters left out. A generator's state, which is bytes, does not count."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self._known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
        self._found: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor)

    def _note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in self._known:
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


# --- one probe per exercise -----------------------------------------------------------------------


def parameters(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["config"])}


def adapter(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["config"], case["rank"], case["targets"])}


def states(answer: Any, case: Case) -> Outcome:
    names = ("frozen", "trained", "frozen_bits", "trained_bytes", "moment_bytes", "master")
    return named(
        answer(*(case[name] for name in names)),
        "bytes of weights",
        "bytes of gradients",
        "bytes of optimizer states",
    )


def named(results: Any, *names: str) -> Outcome:
    """Several results by name; what has no order is no such result."""
    if isinstance(results, (dict, set)):
        return dict.fromkeys(names, results)
    if len(names) == 2:
        first, second = results
        return dict(zip(names, (first, second), strict=True))
    first, second, third = results
    return dict(zip(names, (first, second, third), strict=True))


def quantized(answer: Any, case: Case) -> Outcome:
    outcome: Outcome = {}
    for label, double in (("block constants in 32 bit", False), ("double quantization", True)):
        result = outcome[label] = answer(case["rows"], case["columns"], double)
        fraction = result % 1 if isinstance(result, (int, float)) else 0
        outcome[f"{label}: fraction of a byte"] = fraction
    return outcome


def saved(answer: Any, case: Case) -> Outcome:
    """One model three times: all of it trains, the last layer alone, nothing but the first."""
    torch.default_generator.manual_seed(case["noise"])
    dtype = FLOATS[case["itemsize"]]
    model = Reader(case["width"], case["hidden"], case["part"], dtype)
    ids = torch.randint(17, (case["batch"], case["tokens"]))
    mask = torch.rand(case["batch"], case["tokens"], case["width"]) < 0.5
    outcome: Outcome = {}
    for label, trains in (
        ("everything trains", [model]),
        ("the last layer trains", [model.down]),
        ("the embedding trains", [model.embed]),
    ):
        model.requires_grad_(False)
        for module in trains:
            module.requires_grad_(True)
        results: list[Tensor] = []

        def forward(results: list[Tensor] = results) -> Tensor:
            results.append(model(ids, mask))
            return results[-1]

        outcome[label] = answer(forward, list(model.parameters()))
        outcome[f"{label}: times that forward ran"] = len(results)
        lost = sum(storage.expired() for storage in model.kept)
        outcome[f"{label}: kept tensors that are gone"] = lost
        model.kept.clear()
    return outcome


def checkpoint(answer: Any, case: Case) -> Outcome:
    blocks = [
        Block(up, down, case["dropout"]) for up, down in zip(case["up"], case["down"], strict=True)
    ]
    parameters = [parameter for block in blocks for parameter in block.parameters()]
    for parameter in parameters:  # as after an earlier backward pass, to which this one adds
        parameter.grad = torch.ones_like(parameter)
    x = case["x"].clone().requires_grad_()
    torch.default_generator.manual_seed(case["noise"])
    h = x
    with Kept(parameters) as kept:
        for block in blocks:
            h = answer.apply(block, h)
    outcome: Outcome = {"output": h}
    # What other code draws between the two passes.
    between = torch.rand(3, dtype=torch.float64)
    loss = (h * case["weights"]).sum()
    if loss.requires_grad:
        loss.backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in (x, *parameters)]
    added = [(gradient - 1).flatten() for gradient in gradients[1:]]
    return outcome | {
        "gradient of the input": gradients[0],
        "gradients of the parameters": torch.cat(added),
        "bytes kept for the backward pass": kept.bytes,
        "times that the blocks ran": sum(block.runs for block in blocks),
        "random numbers drawn before and after the backward pass": torch.cat(
            [between, torch.rand(3, dtype=torch.float64)]
        ),
    }


def storage(answer: Any, case: Case) -> Outcome:
    results = answer(case["base"], case["adapter"], case["tasks"])
    return named(results, "full copies", "a base and its adapters")


def batch(answer: Any, case: Case) -> Outcome:
    return {
        "result": answer(case["fixed"], case["per_sequence"], case["card"], case["reserve"]),
    }
