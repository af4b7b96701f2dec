"""Lesson 11, what the loss counts: the reference solution, typical wrong answers, symptoms."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def tokens(logits: Tensor, labels: Tensor) -> Tensor:
    logits = logits[:, :-1]
    targets = labels[:, 1:]
    counted = targets != -100
    logp = logits.log_softmax(dim=2)
    losses = F.nll_loss(logp.transpose(1, 2), targets, ignore_index=-100, reduction="none")
    return losses.sum() / counted.sum()


TOKENS = (
    slip(
        tokens,
        "not-shifted",
        "logits[:, :-1]",
        "logits",
        "position t is asked for the token that it has just read: nothing is shifted",
        "Compare the logits at t with the label at t + 1: logits[:, :-1] and labels[:, 1:]",
        ("labels[:, 1:]", "labels"),
    ),
    slip(
        tokens,
        "summed",
        " / counted.sum()",
        "",
        "the losses are summed; their mean is asked for",
        "Divide by the number of labels that are not -100",
    ),
    slip(
        tokens,
        "divided-by-all",
        "counted.sum()",
        "counted.numel()",
        "the sum is right, but it is divided by all positions, prompt and padding included",
        "Divide by the number of labels that are not -100",
    ),
    slip(
        tokens,
        "mean-of-texts",
        "losses.sum() / counted.sum()",
        "(losses.sum(1) / counted.sum(1)).mean()",
        "a mean of each text's mean, row by row: tokens of short answers weigh more",
        "Take one mean over all target tokens of the batch",
    ),
    slip(
        tokens,
        "shifted-back",
        "logits[:, :-1]",
        "logits[:, 1:]",
        "position t is asked for the token before it: the shift goes the wrong way",
        "Drop the last logits and the first label: logits[:, :-1] and labels[:, 1:]",
        ("labels[:, 1:]", "labels[:, :-1]"),
    ),
    slip(
        tokens,
        "shifted-twice",
        "logits[:, :-1]",
        "logits[:, :-2]",
        "position t is asked for the token at t + 2: the labels are shifted twice",
        "Shift once: logits[:, :-1] and labels[:, 1:]",
        ("labels[:, 1:]", "labels[:, 2:]"),
    ),
    slip(
        tokens,
        "shifted-across-rows",
        "logits[:, :-1]",
        "logits.flatten(0, 1)[None, :-1]",
        "the shift crosses rows: the last position of a text is asked for the first label of the "
        "next text",
        "Shift first, flatten then",
        ("labels[:, 1:]", "labels.flatten()[None, 1:]"),
    ),
    slip(
        tokens,
        "rolled",
        "logits[:, :-1]",
        "logits",
        "the labels are rolled: the last position of a text is asked for its own first label",
        "Cut the first label off, and the last logits; nothing comes round from the other end",
        ("labels[:, 1:]", "labels.roll(-1, 1)"),
    ),
    slip(
        tokens,
        "first-label-in-the-divisor",
        "counted.sum()",
        "(labels != -100).sum()",
        "the divisor counts the labels before the shift: first labels, which no position predicts, "
        "count in it",
        "Count the labels that are left after the shift",
    ),
    slip(
        tokens,
        "ignored-as-zero",
        "counted = targets != -100",
        "targets = targets.clamp(min=0); counted = targets != -100",
        "labels of -100 count as token 0, so the model is asked to predict it there",
        "Leave those positions out: ignore_index=-100",
    ),
    slip(
        tokens,
        "token-zero-ignored",
        "counted = targets != -100",
        "targets = targets.masked_fill(targets == 0, -100); counted = targets != -100",
        "token 0 is left out as if it were -100; it is a token like any other",
        "Leave out the labels that equal -100, and no others",
    ),
    slip(
        tokens,
        "softmax-first",
        "logits.log_softmax",
        "logits.softmax(dim=2).log_softmax",
        "softmax is applied twice: cross_entropy takes logits, not probabilities",
        "Give it the logits as they are",
    ),
    slip(
        tokens,
        "softmax-over-positions",
        "log_softmax(dim=2)",
        "log_softmax(dim=1)",
        "the softmax runs over the positions, not over the vocabulary, the last axis",
        "Use dim=-1",
    ),
    slip(
        tokens,
        "no-softmax",
        ".log_softmax(dim=2)",
        "",
        "the logit of the label is taken for its log-probability: the log-softmax is missing",
        "Use F.cross_entropy, or logits.log_softmax(-1)",
    ),
    slip(
        tokens,
        "probability",
        "log_softmax(dim=2)",
        "softmax(dim=2)",
        "the logarithm is missing: this is the mean probability of the labels, not of -log",
        "Use log_softmax, or F.cross_entropy on the logits",
    ),
    slip(
        tokens,
        "perplexity",
        "losses.sum() / counted.sum()",
        "(losses.sum() / counted.sum()).exp()",
        "this is the exponential of the loss, the perplexity; nats per token are asked for",
        "Leave out the exp",
    ),
    slip(
        tokens,
        "mask-not-shifted",
        "counted = targets != -100",
        "counted = labels[:, :-1] != -100; targets = targets.clamp(min=0)",
        "the mask is that of the labels at t, the targets are those at t + 1: it is not shifted "
        "with them",
        "Mask where labels[:, 1:] is -100",
        ("losses.sum()", "(losses * counted).sum()"),
    ),
    slip(
        tokens,
        "first-row",
        "losses.sum() / counted.sum()",
        "losses[0].sum() / counted[0].sum()",
        "only the first row of the batch counts",
        "Average over the tokens of all rows",
    ),
)

_GRADIENT = "gradient of the logits"

Look = Callable[[Case, Outcome, Outcome], bool]


def _of_a_number(look: Look) -> Look:
    """Only where the loss is a number at all, so that its gradient has a meaning."""
    return lambda case, right, seen: isinstance(seen["loss"], float) and look(case, right, seen)


def _counts(outcome: Outcome) -> Tensor:
    """Which positions make a difference to the loss."""
    return outcome[_GRADIENT].abs().sum(dim=2) > 0


@_of_a_number
def _no_gradient(case: Case, right: Outcome, seen: Outcome) -> bool:
    return agree(right["loss"], seen["loss"]) and not seen[_GRADIENT].any()


@_of_a_number
def _ignored_count(case: Case, right: Outcome, seen: Outcome) -> bool:
    return bool((_counts(seen) & ~_counts(right)).any())


@_of_a_number
def _targets_left_out(case: Case, right: Outcome, seen: Outcome) -> bool:
    return bool((_counts(right) & ~_counts(seen)).any() and seen[_GRADIENT].any())


@_of_a_number
def _another_divisor(case: Case, right: Outcome, seen: Outcome) -> bool:
    """Loss and gradient are the right ones times one factor."""
    factor, gradient = seen["loss"] / right["loss"], right[_GRADIENT]
    return bool(seen[_GRADIENT].any()) and agree(factor * gradient, seen[_GRADIENT])


@_of_a_number
def _same_positions(case: Case, right: Outcome, seen: Outcome) -> bool:
    return bool((_counts(seen) == _counts(right)).all())


TOKENS_SYMPTOMS = (
    Symptom(
        _GRADIENT,
        "no gradient reaches the logits, so nothing could train: the loss is detached (`.detach()`,"
        " `.data`, no_grad), or a number (`.item()`) or tensor made anew",
        "Return the loss as the tensor that tensor operations on the logits give",
        _no_gradient,
        decides=True,
    ),
    Symptom(
        _GRADIENT,
        "positions count whose next label is -100, or that have none: they are in the loss though "
        "they should be ignored",
        "Shift first; then leave out what is -100: the prompt and the padding",
        _ignored_count,
    ),
    Symptom(
        _GRADIENT,
        "positions whose next label is a token do not count: they are left out of the loss",
        "Look at what is sliced or masked away: only labels of -100 are to be ignored",
        _targets_left_out,
    ),
    Symptom(
        "loss",
        "the right tokens count, all alike, but the sum is divided by another number than theirs",
        "Divide by the number of labels that are not -100 after the shift",
        _another_divisor,
    ),
    Symptom(
        "loss",
        "the right positions count, and the loss of each is wrong, or its weight: look at the "
        "softmax, its axis and its sign, and at what the mean is taken over",
        "Compare the loss of a single token with -log softmax, by hand",
        _same_positions,
    ),
)
