"""Lesson 03, training: the loss and the step, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant

# --- lora.loss ------------------------------------------------------------------------------------


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    predictions = logits[:, :-1].flatten(0, 1)  # (B·(T-1), V): position t …
    targets = labels[:, 1:].flatten()  # … predicts token t + 1
    return F.cross_entropy(predictions, targets, ignore_index=-100)


def _shifted(logits: Tensor, labels: Tensor, by: int) -> Tensor:
    length = labels.shape[1]
    predictions = logits[:, max(0, -by) : length - max(0, by)]
    targets = labels[:, max(0, by) : length - max(0, -by)]
    return F.cross_entropy(predictions.flatten(0, 1), targets.flatten())


def _loss_all_positions(logits, labels):
    total = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    return total / labels[:, 1:].numel()


def _loss_by_row(logits, labels):
    rows = zip(logits.split(1), labels.split(1), strict=True)
    return torch.stack([loss(*row) for row in rows]).mean()


LOSS = (
    Mutant(
        "not-shifted",
        lambda logits, labels: _shifted(logits, labels, 0),
        "no shift: each position is asked for the token it was just given",
        "Score logits[:, :-1] against labels[:, 1:]",
    ),
    Mutant(
        "shifted-backwards",
        lambda logits, labels: _shifted(logits, labels, -1),
        "the shift goes the wrong way: each position predicts the token before it",
        "Score logits[:, :-1] against labels[:, 1:]",
    ),
    Mutant(
        "shifted-twice",
        lambda logits, labels: _shifted(logits, labels, 2),
        "shifted by two: each position predicts the token after the next",
        "Shift once, by one position",
    ),
    Mutant(
        "mask-as-token",
        lambda logits, labels: loss(logits, labels.clamp(min=0)),
        "masked positions (-100) are scored as if they were token 0",
        "Leave the -100 in: cross_entropy skips them with ignore_index=-100",
    ),
    Mutant(
        "mean-over-masked",
        _loss_all_positions,
        "the sum is right but divided by all positions, masked ones included",
        "Divide by the number of labels that are not -100, as reduction='mean' does",
    ),
    Mutant(
        "mean-of-rows",
        _loss_by_row,
        "a mean of each row's mean: tokens of short answers count more",
        "Take one mean over all the tokens of the batch",
    ),
    Mutant(
        "sum",
        lambda logits, labels: F.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
        ),
        "a sum, not a mean: the loss grows with the length of the text",
        "Use the default reduction, the mean",
    ),
)

# --- lora.train_step ------------------------------------------------------------------------------


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


def _step_without_zero_grad(model, x, y, loss_fn, optimizer, max_norm):
    loss = loss_fn(model(x), y)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return loss.item()


def _step_zero_grad_late(model, x, y, loss_fn, optimizer, max_norm):
    loss = loss_fn(model(x), y)
    loss.backward()
    optimizer.zero_grad()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return loss.item()


def _step_first(model, x, y, loss_fn, optimizer, max_norm):
    optimizer.step()
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    return loss.item()


def _step_unclipped(model, x, y, loss_fn, optimizer, max_norm):
    return train_step(model, x, y, loss_fn, optimizer, float("inf"))


def _step_clipped_by_value(model, x, y, loss_fn, optimizer, max_norm):
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    nn.utils.clip_grad_value_(model.parameters(), max_norm)
    optimizer.step()
    return loss.item()


def _step_clipped_each(model, x, y, loss_fn, optimizer, max_norm):
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    for parameter in model.parameters():
        nn.utils.clip_grad_norm_(parameter, max_norm)
    optimizer.step()
    return loss.item()


def _step_loss_after(model, x, y, loss_fn, optimizer, max_norm):
    train_step(model, x, y, loss_fn, optimizer, max_norm)
    with torch.no_grad():
        return loss_fn(model(x), y).item()


TRAIN_STEP = (
    Mutant(
        "no-zero-grad",
        _step_without_zero_grad,
        "gradients of earlier steps are still there: backward() adds to them",
        "Call optimizer.zero_grad() first",
    ),
    Mutant(
        "zero-grad-after-backward",
        _step_zero_grad_late,
        "nothing moves: zero_grad() comes after backward() and wipes it, or step() is missing",
        "Order: zero_grad, forward, backward, clip, step",
    ),
    Mutant(
        "step-before-backward",
        _step_first,
        "each step uses the gradient of the batch before: step() comes before backward()",
        "Order: zero_grad, forward, backward, clip, step",
    ),
    Mutant(
        "not-clipped",
        _step_unclipped,
        "the steps are too long: the gradient is not clipped before step()",
        "Call nn.utils.clip_grad_norm_ between backward() and step()",
    ),
    Mutant(
        "clipped-by-value",
        _step_clipped_by_value,
        "each entry is clipped by itself, which turns the gradient; its length should be",
        "Use clip_grad_norm_, not clip_grad_value_",
    ),
    Mutant(
        "clipped-one-by-one",
        _step_clipped_each,
        "each tensor is clipped to max_norm by itself, not all of them together",
        "Call clip_grad_norm_ once, with model.parameters()",
    ),
    Mutant(
        "loss-after-step",
        _step_loss_after,
        "the weights are right, but the loss is the one after the step",
        "Return the loss that you called backward() on",
    ),
)
