"""Lesson 04: run an answer on one case and return what it did, as plain data.

Imports torch alone: a grader runs this file where the answer runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

Case = dict[str, Any]
Outcome = dict[str, Any]


def scale(answer: Any, case: Case) -> Outcome:
    factor, alpha = answer(case["alpha"], case["rank"], case["new_rank"], case["stabilized"])
    return {"factor": factor, "alpha": alpha}


def count(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["shape"], case["rank"], tuple(case["targets"]))}


def schedule(answer: Any, case: Case) -> Outcome:
    steps = case["steps"]
    rates = [answer(step, steps, case["peak"], case["warmup"]) for step in range(1, steps + 1)]
    return {"rates": torch.tensor([float(rate) for rate in rates], dtype=torch.float64)}


def accumulate(answer: Any, case: Case) -> Outcome:
    """Gradients, loss, and the largest batch that the model was given at once."""
    model = nn.Linear(*case["weight"].T.shape, bias=False, dtype=case["weight"].dtype)
    model.weight.data.copy_(case["weight"])
    rows = []
    model.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    parts = list(
        zip(case["x"].split(case["sizes"]), case["labels"].split(case["sizes"]), strict=True)
    )
    loss = answer(model, parts)
    gradient = torch.zeros_like(model.weight) if model.weight.grad is None else model.weight.grad
    return {"gradient": gradient, "loss": loss, "largest batch": max(rows, default=0)}


def choose(answer: Any, case: Case) -> Outcome:
    """The run that failed becomes NaN here, since two NaN are not equal and cases must be."""
    losses = case["losses"].clone()
    losses[tuple(case["failed"])] = torch.nan
    rank, rate, edge = answer(losses)
    return {"rank": rank, "rate": rate, "edge": 1 if edge else 0}


class Factors(nn.Module):
    """A layer with LoRA's two factors beside a frozen weight."""

    def __init__(self, d_in: int, d_out: int, rank: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(d_out, d_in), requires_grad=False)
        self.A = nn.Parameter(torch.zeros(rank, d_in))
        self.B = nn.Parameter(torch.zeros(d_out, rank))


def ratio(answer: Any, case: Case) -> Outcome:
    """The learning rate that each parameter gets; 0 where it is in no group."""
    d_in, d_out, rank = case["sizes"]
    model = nn.Module()
    model.Blocks = nn.ModuleList(Factors(d_in, d_out, rank) for _ in range(case["layers"]))
    model.norm = nn.LayerNorm(d_out)
    groups = [dict(group) for group in answer(model, case["rate"], case["factor"])]
    found = {id(p): group["lr"] for group in groups for p in group["params"]}
    trained = [p for p in model.parameters() if p.requires_grad]
    frozen = [p for p in model.parameters() if not p.requires_grad]
    return {
        "rates": torch.tensor([float(found.get(id(p), 0.0)) for p in trained]),
        "frozen": sum(id(p) in found for p in frozen),
    }


def allocate(answer: Any, case: Case) -> Outcome:
    names = ("step", "total", "warmup", "final", "goal")
    budget, ranks = answer(case["importance"], *(case[name] for name in names))
    return {"budget": budget, "ranks": ranks}


def pack(answer: Any, case: Case) -> Outcome:
    ids, labels, positions, mask = answer([list(sequence) for sequence in case["sequences"]])
    return {"ids": ids, "labels": labels, "positions": positions, "mask": mask}
