"""Lesson 02: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. Whether a value is
right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch

Case = dict[str, Any]
Outcome = dict[str, Any]


def outer(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["weights"], case["columns"], case["rows"])}


def numerical(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["matrix"], case["tolerance"])}


def savings(answer: Any, case: Case) -> Outcome:
    rows, columns, rank = case["rows"], case["columns"], case["rank"]
    share, break_even = answer(rows, columns, rank)
    return {"share saved": share, "break-even rank": break_even}


def truncate(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["matrix"], case["rank"])}


def energy(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["sigma"], case["share"])}


def factors(answer: Any, case: Case) -> Outcome:
    """The factors themselves are not unique: their shapes, their product, and how they share it."""
    B, A = answer(case["delta"], case["rank"], case["alpha"])
    outcome: Outcome = {}
    for name, factor in (("B", B), ("A", A)):
        outcome[f"dimensions of {name}"] = factor.dim()
        for what, size in zip(("rows", "columns"), factor.shape, strict=False):
            outcome[f"{what} of {name}"] = size
    fit = B.dim() == A.dim() == 2 and B.shape[1] == A.shape[0]
    outcome["B @ A"] = B @ A if fit else torch.zeros(0)
    norms = B.norm(dim=0) / A.norm(dim=1) if fit else torch.zeros(0)
    return outcome | {"norms of B's columns over those of A's rows": norms}


def similarity(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["first"], case["second"], case["i"], case["j"])}


def project(answer: Any, case: Case) -> Outcome:
    """The weights, and what a loss on them gives to the coordinates that drive any."""
    coordinate, sign = case["coordinate"], case["sign"]
    outcome: Outcome = {"result": answer(case["z"], coordinate, sign)}
    z = case["z"].clone().requires_grad_()
    weights = answer(z, coordinate, sign)
    if isinstance(weights, torch.Tensor):
        if weights.requires_grad and weights.shape == case["slopes"].shape:
            (weights * case["slopes"]).sum().backward()
        gradient = torch.zeros_like(z) if z.grad is None else z.grad
        outcome["gradient of z"] = gradient[coordinate.unique()]
    return outcome
