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
    """The number for the targets, and for each of the seven alone."""
    shape, rank, targets = case["shape"], case["rank"], tuple(case["targets"])
    return {
        "all of the targets": answer(shape, rank, targets),
        **{name: answer(shape, rank, (name,)) for name in case["each"]},
    }


def schedule(answer: Any, case: Case) -> Outcome:
    steps = case["steps"]
    rates = [answer(step, steps, case["peak"], case["warmup"]) for step in range(1, steps + 1)]
    return {"rates": torch.tensor([float(rate) for rate in rates], dtype=torch.float64)}


def accumulate(answer: Any, case: Case) -> Outcome:
    """Gradient, loss, the largest batch that the model was given at once, and its weight."""
    model = nn.Linear(*case["weight"].T.shape, bias=False, dtype=case["weight"].dtype)
    model.weight.data.copy_(case["weight"])
    rows = []
    model.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    parts = list(
        zip(case["x"].split(case["sizes"]), case["labels"].split(case["sizes"]), strict=True)
    )
    loss = answer(model, parts)
    gradient = torch.zeros_like(model.weight) if model.weight.grad is None else model.weight.grad
    return {
        "the gradient": gradient,
        "loss": loss,
        "largest batch": max(rows, default=0),
        "weight afterwards": model.weight,
    }


def choose(answer: Any, case: Case) -> Outcome:
    """The runs that failed become NaN here, since two NaN are not equal and cases must be."""
    losses = case["losses"].clone()
    for rank, rate, seed in case["failed"]:
        losses[rank, rate, seed] = torch.nan
    rank, rate, edge = answer(losses)
    return {"rank": rank, "rate": rate, "edge": 1 if edge else 0}


class Factors(nn.Module):
    """A layer with LoRA's two factors beside a frozen weight."""

    def __init__(self, d_in: int, d_out: int, rank: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(d_out, d_in), requires_grad=False)
        self.A = nn.Parameter(torch.zeros(rank, d_in))
        self.B = nn.Parameter(torch.zeros(d_out, rank))


def _add(model: nn.Module, name: str, trains: bool) -> None:
    """A parameter with this dotted name."""
    *path, last = name.split(".")
    for part in path:
        if not hasattr(model, part):
            model.add_module(part, nn.Module())
        model = getattr(model, part)
    model.register_parameter(last, nn.Parameter(torch.zeros(3), requires_grad=trains))


def ratio(answer: Any, case: Case) -> Outcome:
    """The learning rate that each parameter gets, 0 where it is in no group; and what is there."""
    d_in, d_out, rank = case["sizes"]
    model = nn.Module()
    model.Blocks = nn.ModuleList(Factors(d_in, d_out, rank) for _ in range(case["layers"]))
    model.norm = nn.LayerNorm(d_out)
    for name in case["others"]:
        _add(model, name, trains=True)
    for name in case["frozen"]:
        _add(model, name, trains=False)
    kinds = {p: "the others" for p in model.parameters() if p.requires_grad}
    for block in model.Blocks:
        kinds |= {block.A: "A", block.B: "B"}
    kinds |= {model.get_parameter(name): kind for name, kind in case["others"].items()}
    groups = [dict(group) for group in answer(model, case["rate"], case["factor"])]
    entries = [(entry, group["lr"]) for group in groups for entry in group["params"]]
    found = {id(entry): float(rate) for entry, rate in entries}
    known = {id(p): p for p in model.parameters()}
    return {
        **{
            f"rates of {kind}": torch.tensor(
                [found.get(id(p), 0.0) for p in kinds if kinds[p] == kind]
            )
            for kind in dict.fromkeys(kinds.values())
        },
        "frozen parameters in groups": sum(
            id(p) in found for p in known.values() if p not in kinds
        ),
        "groups": len(groups),
        "parameters in two groups": len(entries) - len(found),
        "entries that are no parameters of the model": sum(key not in known for key in found),
        "parameters that train afterwards": sum(p.requires_grad for p in known.values()),
    }


def allocate(answer: Any, case: Case) -> Outcome:
    names = ("step", "total", "warmup", "final", "goal")
    budget, ranks = answer(case["importance"], *(case[name] for name in names))
    return {"budget": budget, "ranks": ranks}


def pack(answer: Any, case: Case) -> Outcome:
    """Whole numbers of any size as int64: the text asks for no other."""
    ids, labels, positions, mask = answer([list(sequence) for sequence in case["sequences"]])
    return {
        "ids": _whole(ids),
        "labels": _whole(labels),
        "positions": _whole(positions),
        "mask": mask,
    }


def _whole(value: Any) -> Any:
    whole = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    return value.long() if isinstance(value, torch.Tensor) and value.dtype in whole else value
