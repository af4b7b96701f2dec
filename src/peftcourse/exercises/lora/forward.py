"""Lesson 03, the layer as a module, rightly and wrongly."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F  # noqa: F401  (words of slips)
from torch import Tensor, nn

from peftcourse.exercises.core import slip


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        weight = base.weight
        self.A = nn.Parameter(torch.empty(rank, base.in_features, dtype=weight.dtype))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank, dtype=weight.dtype))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.scaling = alpha / rank
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.dropout(x) @ self.A.T @ self.B.T
        return self.base(x) + self.scaling * branch


_FORWARD = partial(slip, LoRALinear)
_NEW_A = "nn.Parameter(torch.empty(rank, base.in_features, dtype=weight.dtype))"
_NEW_B = "nn.Parameter(torch.zeros(base.out_features, rank, dtype=weight.dtype))"
_BRANCH = "branch = self.dropout(x) @ self.A.T @ self.B.T"
_SUM = "self.base(x) + self.scaling * branch"

FORWARD = (
    _FORWARD(
        "base-not-frozen",
        "base.requires_grad_(False)",
        "base",
        "the base layer is not frozen: this is full fine-tuning with an adapter on top",
        "Call base.requires_grad_(False) in __init__",
    ),
    _FORWARD(
        "alpha-not-divided",
        "alpha / rank",
        "alpha",
        "the branch is {rank} times too strong and r = {rank}: α instead of α/r",
        "Scale the branch by alpha / rank",
    ),
    _FORWARD(
        "no-dropout",
        "self.dropout(x)",
        "x",
        "no dropout in training mode: the branch gets x as it is",
        "Apply nn.Dropout to x in the branch",
    ),
    _FORWARD(
        "scaling-forgotten",
        "self.scaling * branch",
        "branch",
        "the branch is not scaled: the factor α/r is missing",
        "Multiply the branch by alpha / rank",
    ),
    _FORWARD(
        "bias-lost",
        "self.base(x) +",
        "x @ self.base.weight.T +",
        "the base's bias is lost: its weight was used without its bias",
        "Call the layer itself, self.base(x)",
    ),
    _FORWARD(
        "b-random",
        "torch.zeros(",
        "torch.randn(",
        "a fresh layer does not yet compute what its base does: B does not start at zero",
        "Create B with torch.zeros",
    ),
    _FORWARD(
        "a-zero",
        "nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))",
        "nn.init.zeros_(self.A)",
        "A and B both start at zero: each one's gradient is a product with the other, so neither "
        "ever moves",
        "Draw A at random (Kaiming-uniform), and leave B at zero",
    ),
    _FORWARD(
        "not-parameters",
        _NEW_A,
        _NEW_A.removeprefix("nn.Parameter"),
        "A and B are plain tensors, no nn.Parameter: no optimizer would ever see them",
        "Wrap both in nn.Parameter",
        (_NEW_B, _NEW_B.removeprefix("nn.Parameter")),
    ),
    _FORWARD(
        "dropout-on-base",
        "branch = self.dropout(x) @",
        "x = self.dropout(x)\n        branch = x @",
        "dropout hits the base too: x was replaced by its dropped-out copy for both terms",
        "Give the dropped-out input to the branch only",
    ),
    _FORWARD(
        "dropout-after-a",
        "self.dropout(x) @ self.A.T",
        "self.dropout(x @ self.A.T)",
        "dropout after A: it drops whole directions of the update instead of inputs",
        "Apply dropout to x, before A",
    ),
    _FORWARD(
        "dropout-on-branch",
        "self.dropout(x) @ self.A.T @ self.B.T",
        "self.dropout(x @ self.A.T @ self.B.T)",
        "dropout on what the branch puts out, after B: it acts on x, before A",
        "Apply dropout to x, before A",
    ),
    _FORWARD(
        "dropout-on-output",
        _SUM,
        f"self.dropout({_SUM})",
        "dropout on the output of the whole layer, base included: it acts on x, in the branch",
        "Apply dropout to x, before A",
        ("self.dropout(x)", "x"),
    ),
    _FORWARD(
        "dropout-in-eval",
        "self.dropout(x)",
        "F.dropout(x, self.dropout.p)",
        "dropout goes on in eval mode: F.dropout trains unless told otherwise",
        "Use nn.Dropout, or pass training=self.training",
    ),
    _FORWARD(
        "keeps-what-it-should-drop",
        "nn.Dropout(dropout)",
        "nn.Dropout(1 - dropout)",
        "dropout drops the share 1 - p of x: `dropout` is the share that is dropped, not kept",
        "Pass nn.Dropout the share to drop, dropout",
    ),
    _FORWARD(
        "bias-not-frozen",
        "base.requires_grad_(False)",
        "base\n        base.weight.requires_grad_(False)",
        "the base is frozen but for its bias, which still trains",
        "Freeze all of it: base.requires_grad_(False)",
    ),
    _FORWARD(
        "bias-twice",
        "self.base(x) +",
        "self.base(x) + self.base.bias +",
        "the bias is added twice: self.base(x) adds it already",
        "Leave the bias to self.base(x)",
    ),
    _FORWARD(
        "whole-division",
        "alpha / rank",
        "alpha // rank",
        "α // r is rounded down to a whole number: an integer division",
        "Divide with one slash, alpha / rank",
    ),
    _FORWARD(
        "scaling-inverted",
        "alpha / rank",
        "rank / alpha",
        "the branch is scaled by r/α instead of α/r",
        "Turn the fraction over",
    ),
    _FORWARD(
        "multiplied-by-rank",
        "alpha / rank",
        "alpha * rank",
        "the branch is scaled by α·r instead of α/r: multiplied by the rank, not divided",
        "Divide alpha by rank",
    ),
    _FORWARD(
        "divided-by-d-in",
        "alpha / rank",
        "alpha / base.in_features",
        "the branch is scaled by α/d_in: divided by in_features, not by the rank",
        "Divide alpha by rank",
    ),
    _FORWARD(
        "divided-by-d-out",
        "alpha / rank",
        "alpha / base.out_features",
        "the branch is scaled by α/d_out: divided by out_features, not by the rank",
        "Divide alpha by rank",
    ),
    _FORWARD(
        "square-root-of-rank",
        "alpha / rank",
        "alpha / math.sqrt(rank)",
        "the branch is scaled by α/√r, which is rank-stabilised LoRA; LoRA itself divides by r",
        "Divide by r, not by its root",
    ),
    _FORWARD(
        "scaled-twice",
        "self.scaling * branch",
        "self.scaling**2 * branch",
        "the branch is scaled twice: α/r belongs there once",
        "Multiply by alpha / rank once",
    ),
    _FORWARD(
        "base-scaled-too",
        _SUM,
        "self.scaling * (self.base(x) + branch)",
        "the scaling reaches the base output as well: the bracket is one term too wide",
        "Scale the branch alone: base(x) + scaling * (…)",
    ),
    _FORWARD(
        "base-forgotten",
        "self.base(x) + ",
        "",
        "only the branch is returned: the frozen layer's own output, base(x), is missing",
        "Add self.base(x)",
    ),
    _FORWARD(
        "branch-subtracted",
        "self.base(x) + ",
        "self.base(x) - ",
        "the branch is subtracted: its sign is wrong",
        "Add the branch to base(x)",
    ),
    _FORWARD(
        "branch-without-gradient",
        _BRANCH,
        f"with torch.no_grad():\n            {_BRANCH}",
        "the branch gets no gradient: it is computed under no_grad, or detached, so A and B never "
        "learn",
        "Compute the branch with gradients on",
    ),
    _FORWARD(
        "x-detached",
        "self.dropout(x)",
        "self.dropout(x.detach())",
        "x is detached in the branch: its gradient does not flow through A and B to the layers "
        "below",
        "Give the branch x itself, not x.detach()",
    ),
    _FORWARD(
        "a-detached",
        "self.A.T",
        "self.A.detach().T",
        "A gets no gradient: it is detached (.detach(), .data) where it is used",
        "Use self.A itself",
    ),
    _FORWARD(
        "b-detached",
        "self.B.T",
        "self.B.detach().T",
        "B gets no gradient: it is detached (.detach(), .data) where it is used",
        "Use self.B itself",
    ),
    _FORWARD(
        "base-without-gradient",
        f"        return {_SUM}",
        f"        with torch.no_grad():\n            y = self.base(x)\n        return {_SUM}",
        "the base is called under no_grad: no gradient gets through it to x, and earlier layers "
        "learn from the branch alone",
        "Call self.base(x) with gradients on: its weights are frozen anyway",
        ("return self.base(x) +", "return y +"),
    ),
    _FORWARD(
        "relu-between",
        "self.dropout(x) @ self.A.T",
        "torch.relu(self.dropout(x) @ self.A.T)",
        "a ReLU stands between A and B: LoRA is linear, with nothing in between",
        "Multiply by A, then by B, and nothing else",
    ),
    _FORWARD(
        "update-built",
        _BRANCH,
        "branch = self.dropout(x) @ (self.B @ self.A).T",
        "ΔW = B·A is built, a matrix as large as W: the branch should never build it",
        "Multiply x by A first, then by B",
    ),
    _FORWARD(
        "merged",
        _SUM,
        "F.linear(x, self.base.weight + self.scaling * self.B @ self.A, self.base.bias)",
        "W + ΔW is built and multiplied with x: nothing is left for dropout to act on, and the "
        "branch should never build ΔW",
        "Add base(x) and the branch, which multiplies dropout(x) by A, then by B",
    ),
)
