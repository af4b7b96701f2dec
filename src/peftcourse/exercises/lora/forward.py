"""Lesson 03, the layer as a module, rightly and wrongly."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftcourse.exercises.compare import agree, constant_ratio
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


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


def _wrong_size(part: str):
    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        return observed[part].shape == expected[part].shape[::-1]

    return when


def _right_output(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return agree(expected["output in eval mode"], observed.get("output in eval mode"))


def _of_branch(case: Case, expected: Outcome, observed: Outcome) -> bool:
    """Whether the output is base(x) and the right branch times some factor."""
    base = F.linear(case["x"], case["weight"], case["bias"])
    seen = observed.get("output in eval mode")
    if not isinstance(seen, Tensor) or seen.shape != base.shape:
        return False
    return constant_ratio(expected["output in eval mode"] - base, seen - base) is not None


def _zero(part: str):
    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        return part in observed and not observed[part].any()

    return when


FORWARD_SYMPTOMS = (
    *(
        Symptom(
            f"{name} (its size)",
            f"{name} is transposed: its shape should be {shape}",
            f"Make {name} with the shape {shape}",
            _wrong_size(f"{name} (its size)"),
            decides=True,
        )
        for name, shape in (("A", "(rank, d_in)"), ("B", "(d_out, rank)"))
    ),
    *(
        Symptom(
            f"{name} (its size)",
            f"the shape of {name} should be {shape}",
            f"Make {name} with the shape {shape}",
            decides=True,
        )
        for name, shape in (("A", "(rank, d_in)"), ("B", "(d_out, rank)"))
    ),
    Symptom(
        "numbers of the base that calls change",
        "each call changes the base's weight: the update is added to W again and again",
        "Leave the base as it is, and add the branch to its output",
        decides=True,
    ),
    Symptom(
        "numbers of x changed",
        "x is changed in place in training mode: the caller's own tensor is overwritten",
        "Drop out of a copy: nn.Dropout without inplace=True",
        decides=True,
    ),
    Symptom(
        "outputs not linear in x",
        "the layer is not linear in x: something stands between A and B, such as a ReLU",
        "Multiply by A, then by B, and nothing else",
        lambda case, expected, observed: not observed["eval mode: calls that differ"],
        decides=True,
    ),
    Symptom(
        "A and B among its parameters",
        "A or B is a plain tensor, no nn.Parameter of the layer: no optimizer would ever see it",
        "Wrap both in nn.Parameter, and assign them to self",
        decides=True,
    ),
    Symptom(
        "base weights that train",
        "the base layer is not frozen: its weight still trains",
        "Call base.requires_grad_(False) in __init__; setting base.requires_grad does nothing",
        decides=True,
    ),
    Symptom(
        "base biases that train",
        "the base layer is not frozen altogether: its bias still trains",
        "Call base.requires_grad_(False) in __init__",
        decides=True,
    ),
    Symptom(
        "A and B that train",
        "A or B does not train: it has requires_grad=False",
        "Make both nn.Parameter, after the base was frozen",
        decides=True,
    ),
    Symptom(
        "other tensors that train",
        "something else trains, besides A and B",
        "Keep A and B as the only new parameters, without a bias of their own",
        decides=True,
    ),
    Symptom(
        "tensors of the base in it",
        "the layer does not hold the base that it was given: a copy of it, or new weights",
        "Keep the very module: self.base = base",
        decides=True,
    ),
    Symptom(
        "zeros in A at first",
        "A starts with zeros: while B is zero too, neither gets a gradient",
        "Draw A at random",
        decides=True,
    ),
    Symptom(
        "numbers in B that are not zero at first",
        "B does not start at zero: a fresh layer already changes what the model computes",
        "Create B with torch.zeros",
        decides=True,
    ),
    Symptom(
        "eval mode: calls that differ",
        "dropout acts in evaluation mode as well: two calls on the same x differ",
        "Use nn.Dropout, or pass training=self.training",
        lambda case, expected, observed: not observed["numbers of the base that calls change"],
        decides=True,
    ),
    Symptom(
        "output in eval mode",
        "the branch itself is right, but its factor is not α/r",
        "Scale the branch by alpha / rank",
        _of_branch,
    ),
    Symptom(
        "gradient of A",
        "no gradient reaches A: it, or the branch, is detached (.detach(), .data) or under no_grad",
        "Compute the branch from self.A and self.B themselves, with gradients on",
        _zero("gradient of A"),
        decides=True,
    ),
    Symptom(
        "gradient of B",
        "no gradient reaches B: it, or the branch, is detached (.detach(), .data) or under no_grad",
        "Compute the branch from self.A and self.B themselves, with gradients on",
        _zero("gradient of B"),
        decides=True,
    ),
    Symptom(
        "gradient of x",
        "the gradient of the input x is wrong: a part of the layer is detached from it, or under "
        "no_grad",
        "Compute both terms from x itself, with gradients on",
        _right_output,
        decides=True,
    ),
    Symptom(
        "tensors as large as ΔW",
        "a matrix as large as W is built on the way: the layer never builds ΔW",
        "Multiply x by A first, then by B",
        decides=True,
    ),
    Symptom(
        "share of x that it leaves as it is",
        "in training mode nothing is dropped: dropout is missing",
        "Apply nn.Dropout(dropout) to x in the branch",
        lambda case, expected, observed: observed["share of x that it leaves as it is"] == 1,
        decides=True,
    ),
    Symptom(
        "dropout after A",
        "dropout acts after A, on the r numbers in the middle, and not on x",
        "Apply dropout to x, before A",
        decides=True,
    ),
    Symptom(
        "dropout on the branch's output",
        "dropout acts on what the branch puts out, and not on x",
        "Apply dropout to x, before A",
        decides=True,
    ),
    Symptom(
        "dropout on the layer's output",
        "dropout acts on the output of the whole layer, base included, and not on x in the branch",
        "Apply dropout to x, before A",
        decides=True,
    ),
    Symptom(
        "dropout on x for base and branch",
        "dropout hits the base too: both terms get the dropped-out x",
        "Give the dropped-out input to the branch only",
        decides=True,
    ),
    Symptom(
        "share of x that it scales by 1/(1 - p)",
        "in training mode, dropout does not scale what it keeps by 1/(1 - p)",
        "Use nn.Dropout, which does",
        lambda case, expected, observed: (
            not observed["share of x that it scales by 1/(1 - p)"]
            and observed["share of x that it drops"] == expected["share of x that it drops"]
        ),
        decides=True,
    ),
    Symptom(
        "share of x that it drops",
        "in training mode, not the share p of x is dropped",
        "Use nn.Dropout(dropout) on x",
        lambda case, expected, observed: observed["dropout on x before A"] == 1,
        decides=True,
    ),
    Symptom(
        "inputs that all tokens lose or keep",
        "dropout drops the same inputs of every token: one mask for all",
        "Drop each entry of x by itself, as nn.Dropout does",
        lambda case, expected, observed: observed["dropout on x before A"] == 1,
        decides=True,
    ),
    Symptom(
        "tokens that lose all or nothing",
        "dropout drops whole tokens: one mask for all entries of a row",
        "Drop each entry of x by itself, as nn.Dropout does",
        decides=True,
    ),
    Symptom(
        "dropout on x before A",
        "in training mode, dropout does not act on x, before A, as it should",
        "Apply nn.Dropout(dropout) to x, in the branch alone",
        decides=True,
    ),
)
