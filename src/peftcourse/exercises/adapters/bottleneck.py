"""Lesson 07, a bottleneck adapter: reference solution and typical wrong answers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


class Adapter(nn.Module):
    def __init__(self, hidden_size: int, size: int) -> None:
        super().__init__()
        self.down = nn.Linear(hidden_size, size)
        self.up = nn.Linear(size, hidden_size)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.up(torch.relu(self.down(h)))


_SUM = "h + self.up(torch.relu(self.down(h)))"
_INSIDE = "self.up(torch.relu(self.down(h)))"
_ZERO_WEIGHT, _ZERO_BIAS = "nn.init.zeros_(self.up.weight)", "nn.init.zeros_(self.up.bias)"

LAYER = (
    slip(
        Adapter,
        "no-residual",
        f"return h + {_INSIDE}",
        f"return {_INSIDE}",
        "the input h is not added: what the adapter computes replaces it, and at the start that is "
        "zero",
        "Return h + ...: an adapter adds to what it reads",
    ),
    slip(
        Adapter,
        "random-start",
        _ZERO_WEIGHT,
        "nn.init.normal_(self.up.weight)",
        "a new adapter changes its input: the up-projection starts at random, and not at zero",
        "Set the up-projection's weight to zero in __init__",
    ),
    slip(
        Adapter,
        "random-bias",
        _ZERO_BIAS,
        "nn.init.normal_(self.up.bias)",
        "a new adapter adds the same vector to every token: its last bias does not start at zero",
        "Set the up-projection's bias to zero too: nn.Linear starts it at random",
    ),
    slip(
        Adapter,
        "all-zero",
        _ZERO_BIAS,
        "nn.init.zeros_(self.up.bias), nn.init.zeros_(self.down.weight), "
        "nn.init.zeros_(self.down.bias)",
        "both projections start at zero: what reaches the up-projection is zero, so it gets no "
        "gradient and never learns",
        "Leave the down-projection random, and zero the up-projection alone",
    ),
    slip(
        Adapter,
        "no-activation",
        "torch.relu(self.down(h))",
        "self.down(h)",
        "a new adapter is right, a trained one has no activation: two linear maps are one of rank "
        "m",
        "Put torch.relu between the projections",
    ),
    slip(
        Adapter,
        "activation-outside",
        _INSIDE,
        "torch.relu(self.up(self.down(h)))",
        "the ReLU is behind the up-projection, so the adapter can only add what is not negative",
        "Put torch.relu between the projections",
    ),
    slip(
        Adapter,
        "activation-twice",
        _INSIDE,
        "torch.relu(self.up(torch.relu(self.down(h))))",
        "a second ReLU is behind the up-projection: the adapter can only add what is not negative",
        "One torch.relu, between the projections",
    ),
    slip(
        Adapter,
        "activation-before",
        "torch.relu(self.down(h))",
        "self.down(torch.relu(h))",
        "the ReLU is in front of the down-projection: half of the input is cut off, and the "
        "bottleneck is linear",
        "Put torch.relu between the projections",
    ),
    slip(
        Adapter,
        "activation-around",
        _SUM,
        f"torch.relu({_SUM})",
        "a ReLU is around the sum: what is negative in h is cut off",
        "Put torch.relu between the projections, and add h as it is",
    ),
    slip(
        Adapter,
        "activation-around-alone",
        _SUM,
        "torch.relu(h + self.up(self.down(h)))",
        "the ReLU is around the sum, not between the projections: what is negative in h is cut off",
        "Put torch.relu between the projections, and add h as it is",
    ),
    *(
        slip(
            Adapter,
            f"activation-{name}",
            "torch.relu(self.down(h))",
            f"{call}(self.down(h))",
            f"the activation is {text}, and a ReLU is asked for",
            "Put torch.relu between the projections",
        )
        for name, call, text in (
            ("gelu", "nn.functional.gelu", "GELU"),
            ("gelu-tanh", "nn.GELU('tanh')", "GELU, in its approximation by tanh"),
            ("silu", "nn.functional.silu", "SiLU"),
            ("tanh", "torch.tanh", "tanh"),
            ("sigmoid", "torch.sigmoid", "the sigmoid"),
            ("leaky", "nn.functional.leaky_relu", "a leaky ReLU"),
        )
    ),
    slip(
        Adapter,
        "normalised",
        _SUM,
        "(n := nn.functional.layer_norm(h, h.shape[-1:])) + self.up(torch.relu(self.down(n)))",
        "h is normalised first, and the residual with it: a new adapter changes its input",
        "These adapters have no LayerNorm inside; use h as it is",
    ),
    slip(
        Adapter,
        "normalised-inside",
        "self.down(h)",
        "self.down(nn.functional.layer_norm(h, h.shape[-1:]))",
        "the down-projection reads a normalised h: a LayerNorm too many",
        "These adapters have no LayerNorm inside; use h as it is",
    ),
    slip(
        Adapter,
        "residual-twice",
        _SUM,
        f"h + h + {_INSIDE}",
        "h is added twice: a new adapter returns 2 h",
        "Add h once",
    ),
    slip(
        Adapter,
        "no-biases",
        "nn.Linear(hidden_size, size)",
        "nn.Linear(hidden_size, size, bias=False)",
        "the projections have no biases",
        "nn.Linear has a bias unless told otherwise",
        ("nn.Linear(size, hidden_size)", "nn.Linear(size, hidden_size, bias=False)"),
        (f"{_ZERO_BIAS}\n", "\n"),
    ),
)


_START = "output of a new adapter"


def _has_another_shape(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return observed[_START].shape != case["h"].shape


def _has_the_shape(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return observed[_START].shape == case["h"].shape


def _adds_one_vector(case: Case, expected: Outcome, observed: Outcome) -> bool:
    """Whether a new adapter adds one vector to every token, and not zero."""
    added = (observed[_START] - case["h"]).flatten(0, -2)
    return bool((added - added[0]).abs().max() < 1e-5) and bool(added.abs().max() > 1e-5)


def _changes_little(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return agree(expected[_START], observed[_START])


def _lacks_h(case: Case, expected: Outcome, observed: Outcome) -> bool:
    right, seen = (outcome["output with given weights"] for outcome in (expected, observed))
    return agree(right - case["h"], seen)


def _right_in_evaluation(case: Case, expected: Outcome, observed: Outcome) -> bool:
    name = "output in evaluation mode"
    return agree(expected[name], observed[name])


def _right_with_given_weights(case: Case, expected: Outcome, observed: Outcome) -> bool:
    name = "output with given weights"
    return agree(expected[name], observed[name])


def _is_zero(name: str) -> Callable[[Case, Outcome, Outcome], bool]:
    def holds(case: Case, expected: Outcome, observed: Outcome) -> bool:
        return not observed[name].count_nonzero()

    return holds


def _no_size(end: str) -> Symptom:
    name = f"bias of {end} (its size)"
    return Symptom(
        name,
        f"`{end}` has no bias",
        "nn.Linear has a bias unless told otherwise",
        lambda case, expected, observed: observed[name].numel() == 0,
    )


_UNCUT = "Compute it from h and both projections, without `detach`, `no_grad` or `.data`"

LAYER_SYMPTOMS = (
    _no_size("down"),
    _no_size("up"),
    *(
        Symptom(
            f"weight of {end} (its size)",
            f"`{end}` does not have the width that it should: nn.Linear(what it reads, what it "
            "puts out), with hidden_size and size",
            f"Make `{end}` with {make}",
        )
        for end, make in (
            ("down", "nn.Linear(hidden_size, size)"),
            ("up", "nn.Linear(size, hidden_size)"),
        )
    ),
    Symptom(
        "output with given weights",
        "h is not added to what the projections make of it",
        "Return h + ...: an adapter adds to what it reads",
        _lacks_h,
    ),
    Symptom(
        "output with given weights",
        "right in evaluation mode, and not in training mode: a dropout, or something else random",
        "Nothing in an adapter depends on the mode; leave it out",
        _right_in_evaluation,
    ),
    Symptom(
        "weight of up after a forward pass",
        "the forward pass itself changes the weight of `up`: at each call it is set anew, so that "
        "it can never learn",
        "Set it to zero once, in __init__",
        decides=True,
    ),
    Symptom(
        _START,
        "the output does not have the shape of h",
        "The layers keep all axes but the last as they are: leave h in its shape",
        _has_another_shape,
    ),
    Symptom(
        _START,
        "a new adapter adds the same vector to every token: the bias of `up` does not start at "
        "zero",
        "Set the up-projection's bias to zero too: nn.Linear starts it at random",
        _adds_one_vector,
    ),
    Symptom(
        _START,
        "a new adapter changes its input: it has to return exactly h, so that `up` has to start at "
        "zero and h has to be added as it is",
        "Set the weight and the bias of the up-projection to zero in __init__",
        _has_the_shape,
    ),
    Symptom(
        "values of h that a new adapter changes",
        "a new adapter changes its input a little: it has to return exactly h, so that a small "
        "start is not enough; `up` starts at zero",
        "Set the weight and the bias of the up-projection to zero in __init__",
        _changes_little,
        decides=True,
    ),
    Symptom(
        "numbers of down and up that train",
        "not all of down and up trains: something there is frozen, or no parameter",
        "Leave requires_grad of both projections as nn.Linear sets it",
        decides=True,
    ),
    Symptom(
        "whether the up-projection of a new adapter gets a gradient",
        "in a new adapter the gradient of `up` is zero or missing: it is cut off (`detach`, "
        "`no_grad`), or multiplied by a factor that starts at zero, so that it never learns",
        "Let `up` alone start at zero, and nothing in front of it or behind it",
        decides=True,
    ),
    Symptom(
        "other numbers that train",
        "something besides down and up trains, which an adapter does not have",
        "Two linear layers are all that it has",
        decides=True,
    ),
    Symptom(
        "gradient of h",
        "no gradient reaches what is below the adapter: h is detached",
        _UNCUT,
        _is_zero("gradient of h"),
    ),
    Symptom(
        "gradient of the weight of up",
        "no gradient reaches `up`: what the projections add is detached, or under no_grad",
        _UNCUT,
        _is_zero("gradient of the weight of up"),
    ),
    Symptom(
        "gradient of the weight of down",
        "no gradient reaches `down`: what is between the projections is detached, or under no_grad",
        _UNCUT,
        _is_zero("gradient of the weight of down"),
    ),
    Symptom(
        "gradient of h",
        "the gradient of h lacks a path: h is detached on one of them, or what it goes through",
        _UNCUT,
        _right_with_given_weights,
    ),
)
