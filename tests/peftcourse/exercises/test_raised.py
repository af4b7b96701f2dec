"""What is said of an exception names what went wrong, not only where."""

import pytest
import torch
from torch import nn
from torch.autograd import Function

from peftcourse.exercises.observe import describe_error
from peftcourse.exercises.raised import explain


class _OneGradient(Function):
    @staticmethod
    def forward(ctx, x, scale):
        return x * scale

    @staticmethod
    def backward(ctx, grad):
        return grad


class _WrongPlace(_OneGradient):
    @staticmethod
    def backward(ctx, grad):
        return None, grad


def backward(function):
    return function.apply(torch.ones(2, requires_grad=True), 2).sum().backward()


def unpack_two(values):
    first, second = values
    return first + second


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: torch.zeros(7).view(-1, 3), "7 is no multiple of 3"),
        (lambda: torch.zeros(7).view(2, 4), "7 numbers do not fill the shape"),
        (lambda: torch.zeros(4)[torch.zeros(3, dtype=torch.uint8)], "read as a mask"),
        (lambda: backward(_OneGradient), "returns 1 gradients where forward takes 2"),
        (lambda: backward(_WrongPlace), "in the order of forward's arguments"),
        (lambda: 1 + [].append, "parentheses"),
        (lambda: torch.zeros(2, 3).max(1)[:, None], "values and places"),
        (lambda: 1 * None, "None stands in a computation"),
        (lambda: (torch.zeros(1),).long(), "a tuple has no `long`"),
        (lambda: [].appendd(1), "did you mean `append`"),
        (
            lambda: setattr(nn.Linear(2, 3), "weight", torch.ones(3, 2)),
            "a plain tensor is assigned",
        ),
        (lambda: nn.Module()(1), "no `forward`"),
        (lambda: unpack_two((1,)), "1 results, where 2 are asked"),
        (lambda: unpack_two((1, 2, 3)), "more than 2 results"),
    ],
)
@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
def test_the_cause_of_an_exception(answer, words):
    with pytest.raises(Exception) as raised:
        answer()
    cause, _ = explain(describe_error(raised.value))
    assert words in cause
