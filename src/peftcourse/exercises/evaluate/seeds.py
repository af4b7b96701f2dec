"""Lesson 11, seeds and forgetting: reference solutions and typical wrong answers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- evaluate.error -------------------------------------------------------------------------------


def error(scores: Tensor) -> tuple[float, float, float]:
    over_examples, over_seeds = _of_mean(scores.mean(dim=0)), _of_mean(scores.mean(dim=1))
    return scores.mean().item(), over_examples, over_seeds


def _of_mean(values, correction=1):
    """Standard error of the mean of independent values."""
    return (values.std(correction=correction) / math.sqrt(len(values))).item()


def _error_swapped(scores):
    mean, over_examples, over_seeds = error(scores)
    return mean, over_seeds, over_examples


def _error_pooled(scores):
    pooled = _of_mean(scores.flatten())
    return scores.mean().item(), pooled, error(scores)[2]


def _error_population(scores):
    return (
        scores.mean().item(),
        _of_mean(scores.mean(dim=0), 0),
        _of_mean(scores.mean(dim=1), 0),
    )


def _error_deviation(scores):
    return scores.mean().item(), scores.mean(dim=0).std().item(), scores.mean(dim=1).std().item()


def _error_one_seed(scores):
    return scores.mean().item(), _of_mean(scores[0]), error(scores)[2]


ERROR = (
    Mutant(
        "swapped",
        _error_swapped,
        "the two errors are swapped: the mean over seeds leaves one number for each example",
        "For the error over examples average the rows first, for that over seeds the columns",
    ),
    Mutant(
        "pooled",
        _error_pooled,
        "all scores count as independent, but seeds answer the same examples: the error over "
        "examples is too small",
        "Average over the seeds first: there are only as many examples as columns",
    ),
    Mutant(
        "population",
        _error_population,
        "the standard deviation divides by n: with a handful of seeds that is far too small",
        "Use the sample's standard deviation, which divides by n - 1",
    ),
    Mutant(
        "standard-deviation",
        _error_deviation,
        "these are standard deviations: how far single values spread, not how sure their mean is",
        "Divide by the square root of the number of values",
    ),
    Mutant(
        "one-seed",
        _error_one_seed,
        "the error over examples comes from the first seed alone, and so contains its noise",
        "Average over the seeds before you take the deviation over examples",
    ),
)

# --- evaluate.tradeoff ----------------------------------------------------------------------------


def tradeoff(target: Tensor, story: Tensor) -> tuple[Tensor, Tensor]:
    return _at(target, story, target.argmin(dim=1))


def _at(target, story, best, best_story=None):
    rows = torch.arange(len(target))
    last = best if best_story is None else best_story
    return target[:, 0] - target[rows, best], story[rows, last] - story[:, 0]


def _tradeoff_last(target, story):
    return _at(target, story, torch.full((len(target),), target.shape[1] - 1))


def _tradeoff_common(target, story):
    return _at(target, story, target.mean(dim=0).argmin().repeat(len(target)))


def _tradeoff_absolute(target, story):
    rows, best = torch.arange(len(target)), target.argmin(dim=1)
    return target[:, 0] - target[rows, best], story[rows, best]


TRADEOFF = (
    Mutant(
        "last-checkpoint",
        _tradeoff_last,
        "both are read at the last evaluation, which is not the model that you would keep",
        "Read both at the evaluation with the lowest target loss",
    ),
    Mutant(
        "each-at-its-best",
        lambda target, story: _at(target, story, target.argmin(1), story.argmin(1)),
        "learned and forgotten are read at different evaluations: no model has both",
        "Choose one evaluation, by the target loss, and read both curves there",
    ),
    Mutant(
        "chosen-by-stories",
        lambda target, story: _at(target, story, story.argmin(dim=1)),
        "the evaluation is chosen by the story loss, so that nothing seems forgotten",
        "Choose by the target loss: that is what the model was trained for",
    ),
    Mutant(
        "sign",
        lambda target, story: tuple(-change for change in tradeoff(target, story)),
        "both have the wrong sign",
        "Learned is how much the target loss fell, forgotten how much the story loss rose",
    ),
    Mutant(
        "one-step-for-all",
        _tradeoff_common,
        "one evaluation is used for all seeds; each seed is a model of its own with its own best",
        "Use argmin(dim=1): one evaluation for each row",
    ),
    Mutant(
        "not-a-difference",
        _tradeoff_absolute,
        "forgotten is the story loss itself; the base model had a loss there too",
        "Subtract the story loss before training, story[:, 0]",
    ),
)
