"""Lesson 03, one step of training, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def train_step(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    max_norm: float,
) -> float:
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return loss.item()


_STEP = partial(slip, train_step)
_ZERO = "    optimizer.zero_grad()\n"
_BACKWARD = "    loss.backward()\n"
_CLIP = "    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n"
_TAKE = "    optimizer.step()\n"
_FORWARD = "    loss = loss_fn(model(x), y)\n"
_ORDER = "Order: zero_grad, forward, backward, clip, step"


def _step_scaled_by_square(model, x, y, loss_fn, optimizer, max_norm):
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    total = sum(gradient.square().sum() for gradient in gradients)
    for gradient in gradients:
        gradient *= (max_norm / total).clamp(max=1)
    optimizer.step()
    return loss.item()


def _step_with_the_loss_clamped(model, x, y, loss_fn, optimizer, max_norm):
    optimizer.zero_grad()
    loss = loss_fn(model(x), y).clamp(max=max_norm)
    loss.backward()
    optimizer.step()
    return loss.item()


TRAIN_STEP = (
    _STEP(
        "no-zero-grad",
        _ZERO,
        "",
        "gradients of earlier steps are still there: no zero_grad(), and backward() adds to them",
        "Call optimizer.zero_grad() first",
    ),
    _STEP(
        "zero-grad-last",
        _ZERO,
        "",
        "the first step uses old gradients: zero_grad() comes at the end, and what is there at the "
        "start is added to",
        "Call optimizer.zero_grad() before backward()",
        (_TAKE, _TAKE + _ZERO),
    ),
    _STEP(
        "not-clipped",
        _CLIP,
        "",
        "the steps are too long: the gradient is not clipped before step()",
        "Call nn.utils.clip_grad_norm_ between backward() and step()",
    ),
    _STEP(
        "returns-a-tensor",
        "loss.item()",
        "loss",
        "the loss is returned as a tensor, which keeps the whole graph; a float is asked for",
        "Return loss.item()",
    ),
    _STEP(
        "loss-arguments-swapped",
        "loss_fn(model(x), y)",
        "loss_fn(y, model(x))",
        "the arguments of loss_fn are swapped: prediction first, then the target",
        "Call loss_fn(model(x), y)",
    ),
    _STEP(
        "evaluation-mode",
        _ZERO,
        "    model.eval()\n" + _ZERO,
        "the model runs in eval mode: model.eval() switches its dropout off in training",
        "Leave the mode as it is",
    ),
    _STEP(
        "zero-grad-after-backward",
        _BACKWARD,
        _BACKWARD + _ZERO,
        "nothing moves: zero_grad() comes after backward() and clears what step() needs",
        _ORDER,
    ),
    _STEP(
        "no-step",
        _TAKE,
        "",
        "nothing moves: optimizer.step() is missing",
        "Call optimizer.step() after clipping",
    ),
    _STEP(
        "step-before-backward",
        _ZERO + _FORWARD + _BACKWARD,
        _TAKE + _ZERO + _FORWARD + _BACKWARD,
        "each step uses the gradient of the batch before: step() comes before backward()",
        _ORDER,
        (_CLIP + _TAKE, _CLIP),
    ),
    _STEP(
        "step-without-gradient",
        _BACKWARD,
        _TAKE + _BACKWARD,
        "step() comes before backward(): it finds no gradient, and nothing moves",
        _ORDER,
        (_CLIP + _TAKE, _CLIP),
    ),
    _STEP(
        "no-backward",
        _BACKWARD,
        "",
        "backward() is missing: there is no gradient to step along",
        "Call loss.backward() on the loss",
    ),
    _STEP(
        "clipped-by-value",
        "clip_grad_norm_(",
        "clip_grad_value_(",
        "each entry is clipped by itself, which turns the gradient; its length should be, its norm",
        "Use clip_grad_norm_, not clip_grad_value_",
    ),
    _STEP(
        "clipped-one-by-one",
        "    nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
        "    for parameter in model.parameters():\n"
        "        nn.utils.clip_grad_norm_(parameter, max_norm)",
        "each tensor is clipped to max_norm by itself, not all of them together",
        "Call clip_grad_norm_ once, with model.parameters()",
    ),
    _STEP(
        "always-max-norm",
        _CLIP,
        _CLIP + "    for p in optimizer.param_groups[0]['params']:\n"
        "        p.grad *= max_norm / torch.cat([q.grad.flatten() for q in "
        "optimizer.param_groups[0]['params']]).norm().clamp(max=max_norm)\n",
        "a gradient that is shorter than max_norm is made longer: only larger ones are clipped",
        "Scale the gradient only if its norm exceeds max_norm",
    ),
    _STEP(
        "clipped-to-one",
        "max_norm)\n",
        "1.0)\n",
        "max_norm is not used: the gradient is clipped to a constant norm of 1.0",
        "Pass max_norm on",
    ),
    _STEP(
        "other-norm",
        "max_norm)\n",
        "max_norm, norm_type=1)\n",
        "clipped by another norm: the sum of absolute values, not the length",
        "Use the default norm_type=2",
    ),
    _STEP(
        "largest-entry",
        "max_norm)\n",
        "max_norm, norm_type=float('inf'))\n",
        "clipped by another norm: the largest entry, not the length",
        "Use the default norm_type=2",
    ),
    _STEP(
        "loss-after-step",
        "loss.item()",
        "loss_fn(model(x), y).item()",
        "the weights are right, but the loss is the one after the step",
        "Return the loss that you called backward() on",
    ),
    Mutant(
        "root-missing",
        _step_scaled_by_square,
        "clipped by the square of the norm: its square root is missing",
        "Take the root of the sum of squares",
    ),
    Mutant(
        "loss-clamped",
        _step_with_the_loss_clamped,
        "the loss is clamped to max_norm, and the gradient is not clipped",
        "Leave the loss alone, and clip the gradient with nn.utils.clip_grad_norm_",
    ),
    _STEP(
        "norm-returned",
        "    nn.utils.clip_grad_norm_",
        "    norm = nn.utils.clip_grad_norm_",
        "the norm of the gradient is returned, not the loss",
        "Return loss.item()",
        ("loss.item()", "norm.item()"),
    ),
    _STEP(
        "backward-twice",
        _BACKWARD,
        "    loss.backward(retain_graph=True)\n    loss.backward()\n",
        "backward() is called twice: the same gradient is added again",
        "Call loss.backward() once",
    ),
    _STEP(
        "uphill",
        "loss.backward()",
        "(-loss).backward()",
        "the sign of the gradient is wrong: each step goes uphill, and the loss grows",
        "Call backward() on the loss itself",
    ),
    _STEP(
        "loss-divided",
        "loss_fn(model(x), y)",
        "loss_fn(model(x), y) / len(x)",
        "the loss is divided by the number of examples in the batch: loss_fn's own value is asked "
        "for",
        "Take loss_fn(model(x), y) as it is",
    ),
    _STEP(
        "two-steps",
        _TAKE,
        _TAKE + _TAKE,
        "step() is called twice: one step for each batch",
        "Call optimizer.step() once",
    ),
)


def _lengths(where: Callable[[Tensor, float], bool]):
    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        lengths = observed["length of the gradient at each step"]
        return lengths.numel() > 0 and bool(where(lengths, case["max_norm"]))

    return when


_LENGTH = "length of the gradient at each step"
TRAIN_STEP_SYMPTOMS = (
    Symptom(
        "calls of the model in evaluation mode",
        "the model is called in eval mode: its dropout is off",
        "Leave the mode as it is",
        decides=True,
    ),
    Symptom(
        "models left in evaluation mode",
        "the model is left in eval mode after the step",
        "Leave the mode as it is",
        decides=True,
    ),
    Symptom(
        "steps of the optimizer",
        "step() of the given optimizer is never called: it is missing, or of another optimizer",
        "Call optimizer.step() once, after clipping",
        lambda case, expected, observed: observed["steps of the optimizer"] == 0,
        decides=True,
    ),
    Symptom(
        "steps of the optimizer",
        "optimizer.step() is not called once for each batch",
        "Call optimizer.step() once, after clipping",
        lambda case, expected, observed: observed["steps of the optimizer"] > 0,
        decides=True,
    ),
    Symptom(
        "backward passes before each step",
        "step() comes before backward(), or backward() is missing",
        _ORDER,
        lambda case, expected, observed: (
            observed["backward passes before each step"].shape
            == expected["backward passes before each step"].shape
            and bool(
                (
                    observed["backward passes before each step"]
                    < expected["backward passes before each step"]
                ).any()
            )
        ),
        decides=True,
    ),
    Symptom(
        "backward passes before each step",
        "backward() is called more than once for a step: gradients are added up",
        "Call loss.backward() once",
        lambda case, expected, observed: (
            observed["backward passes before each step"].shape
            == expected["backward passes before each step"].shape
            and bool(
                (
                    observed["backward passes before each step"]
                    > expected["backward passes before each step"]
                ).all()
            )
        ),
        decides=True,
    ),
    Symptom(
        _LENGTH,
        "step() finds no gradient: it was cleared by zero_grad() after backward(), or never made",
        _ORDER,
        _lengths(lambda lengths, limit: not lengths.any()),
        decides=True,
    ),
    Symptom(
        _LENGTH,
        "step() gets gradients longer than max_norm: they are not clipped between backward() and "
        "step(), or not all together",
        "Call nn.utils.clip_grad_norm_ once between backward() and step()",
        _lengths(lambda lengths, limit: (lengths > limit * 1.001).any()),
        decides=True,
    ),
    Symptom(
        _LENGTH,
        "step() gets a gradient that is too short: it is clipped to less than max_norm",
        "Call nn.utils.clip_grad_norm_ once between backward() and step()",
        lambda case, expected, observed: (
            observed[_LENGTH].shape == expected[_LENGTH].shape
            and bool((observed[_LENGTH] < 0.999 * expected[_LENGTH])[0])
        ),
        decides=True,
    ),
)
