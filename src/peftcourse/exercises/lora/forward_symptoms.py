"""Lesson 03, the layer: what it shows when a part of what a layer did is wrong."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.compare import agree, constant_ratio
from peftcourse.exercises.core import Symptom
from peftcourse.exercises.observe import Case, Outcome


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
