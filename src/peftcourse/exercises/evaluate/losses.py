"""Lesson 11, losses and when to stop: reference solutions and typical wrong answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- evaluate.tokens ------------------------------------------------------------------------------


def tokens(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def _tokens_by_text(logits, labels):
    return torch.stack(
        [tokens(*row) for row in zip(logits[:, None], labels[:, None], strict=True)]
    ).mean()


def _tokens_over_all(logits, labels):
    targets = labels[:, 1:]
    return tokens(logits, labels) * (targets != -100).sum() / targets.numel()


def _tokens_ignored_as_zero(logits, labels):
    return tokens(logits, labels.clamp(min=0))


TOKENS = (
    Mutant(
        "not-shifted",
        lambda logits, labels: F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=-100
        ),
        "position t is asked for the token that it has just read: nothing is shifted",
        "Compare the logits at t with the label at t + 1: logits[:, :-1] and labels[:, 1:]",
    ),
    Mutant(
        "shifted-twice",
        lambda logits, labels: tokens(logits, F.pad(labels[:, 1:], (0, 1), value=-100)),
        "position t is asked for the token at t + 2: the labels are shifted twice",
        "Shift once: logits[:, :-1] and labels[:, 1:]",
    ),
    Mutant(
        "shifted-back",
        lambda logits, labels: F.cross_entropy(
            logits[:, 1:].flatten(0, 1), labels[:, :-1].flatten(), ignore_index=-100
        ),
        "position t is asked for the token before it: the shift goes the wrong way",
        "Drop the last logits and the first label: logits[:, :-1] and labels[:, 1:]",
    ),
    Mutant(
        "divided-by-all",
        _tokens_over_all,
        "the sum is right, but it is divided by all positions, prompt and padding included",
        "Divide by the number of labels that are not -100",
    ),
    Mutant(
        "ignored-as-zero",
        _tokens_ignored_as_zero,
        "labels of -100 count as token 0, so the model is asked to predict it there",
        "Leave those positions out: ignore_index=-100",
    ),
    Mutant(
        "mean-of-texts",
        _tokens_by_text,
        "a mean of each text's mean: tokens of short answers count more",
        "Take one mean over all target tokens of the batch",
    ),
)

# --- evaluate.stop --------------------------------------------------------------------------------


def stop(losses: list[float], patience: int, min_delta: float) -> tuple[int, int]:
    kept, waited = 0, 0
    for i, loss in enumerate(losses[1:], 1):
        if loss < losses[kept] - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
        if waited == patience:
            return kept, i
    return kept, len(losses) - 1


def _stop_never_reset(losses, patience, min_delta):
    kept, waited = 0, 0
    for i, loss in enumerate(losses[1:], 1):
        if loss < losses[kept] - min_delta:
            kept = i
        else:
            waited += 1
        if waited == patience:
            return kept, i
    return kept, len(losses) - 1


def _stop_previous(losses, patience, min_delta):
    kept, waited = 0, 0
    for i, loss in enumerate(losses[1:], 1):
        if loss < losses[i - 1] - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
        if waited == patience:
            return kept, i
    return kept, len(losses) - 1


def _stop_minimum(losses, patience, min_delta):
    return losses.index(min(losses)), stop(losses, patience, min_delta)[1]


def _stop_last(losses, patience, min_delta):
    _, stopped = stop(losses, patience, min_delta)
    return stopped, stopped


STOP = (
    Mutant(
        "last-kept",
        _stop_last,
        "the weights of the last evaluation are kept; the best were {patience} evaluations before",
        "Return the index of the best evaluation beside the one at which training stops",
    ),
    Mutant(
        "patience-plus-one",
        lambda losses, patience, min_delta: stop(losses, patience + 1, min_delta),
        "training goes on for one evaluation too long",
        "Stop when the number of evaluations without improvement reaches the patience",
    ),
    Mutant(
        "min-delta-ignored",
        lambda losses, patience, min_delta: stop(losses, patience, 0.0),
        "any lower loss counts as an improvement, however small",
        "An improvement is a loss below the best minus min_delta",
    ),
    Mutant(
        "min-delta-added",
        lambda losses, patience, min_delta: stop(losses, patience, -min_delta),
        "a loss somewhat above the best counts as an improvement: min_delta has the wrong sign",
        "An improvement is a loss below the best minus min_delta",
    ),
    Mutant(
        "never-reset",
        _stop_never_reset,
        "the patience is not renewed by an improvement",
        "Set the number of waited evaluations back to 0 at each improvement",
    ),
    Mutant(
        "against-the-previous",
        _stop_previous,
        "each loss is compared with the one before it; a slow climb and a small dip look like gain",
        "Compare with the best loss so far",
    ),
    Mutant(
        "lowest-of-all",
        _stop_minimum,
        "the lowest loss of the whole series is kept, though training had stopped before it",
        "Look only at evaluations up to the stop",
    ),
)
