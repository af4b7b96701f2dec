"""Lesson 11, seeds, forgetting and diagnoses: reference solutions and typical wrong answers."""

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

# --- evaluate.diagnose ----------------------------------------------------------------------------


def diagnose(run: dict[str, float]) -> str:
    return _diagnosed(run)


def _diagnosed(run, *, finite=math.isfinite, start=0.02, rise=0.1, targets=True, jump="highest"):
    """The reference, and with one option changed a mutant."""
    if not finite(run["last"]):
        return "wrong dtype"
    if run["counted"] != run["targets"]:
        return "padding in the loss"
    if abs(run["first"] - run["start"]) > start * run["start"]:
        return "labels shifted"
    if run["update"] == 0:
        return "frozen by mistake"
    if run["adapted"] < run["wanted"] if targets else run["adapted"] == 0:
        return "wrong targets"
    if run["shipped"] > run["last_validation"] + 0.1:
        return "merged twice"
    if run[jump] > run["first"] + 0.5:
        return "rate too high"
    if run["last_validation"] > run["best_validation"] + rise:
        return "overfitting"
    return "healthy"


def _diagnose_gap(run):
    """Overfitting from the gap between training and validation."""
    found = _diagnosed(run, rise=math.inf)
    return "overfitting" if found == "healthy" and _gap(run) > 0.1 else found


def _gap(run):
    return run["last_validation"] - run["last"]


def _diagnose_shipped_against_base(run):
    found = _diagnosed({**run, "shipped": run["last_validation"]})
    return "merged twice" if found == "healthy" and run["shipped"] > run["start"] else found


DIAGNOSE = (
    Mutant(
        "compared-with-nan",
        lambda run: _diagnosed(run, finite=lambda value: value != math.nan),
        "NaN is never found: it equals nothing, not even itself",
        "Use math.isfinite(run['last'])",
    ),
    Mutant(
        "start-to-the-last-digit",
        lambda run: _diagnosed(run, start=0.0),
        "runs with a loss that is right up to rounding are called shifted",
        "Allow 2 % of the base model's loss",
    ),
    Mutant(
        "any-rise",
        lambda run: _diagnosed(run, rise=0.0),
        "healthy runs are called sick because their validation loss rose a little",
        "Allow a rise of 0.1 nats: two evaluations are never quite the same",
    ),
    Mutant(
        "any-adapter-will-do",
        lambda run: _diagnosed(run, targets=False),
        "a run with adapters in a few of the wanted layers passes",
        "Compare the number of adapted layers with the number wanted",
    ),
    Mutant(
        "gap-is-overfitting",
        _diagnose_gap,
        "a gap between training and validation is called overfitting; healthy runs have one too",
        "Overfitting is a validation loss that has risen above its best",
    ),
    Mutant(
        "rate-from-the-last-loss",
        lambda run: _diagnosed(run, jump="last"),
        "a rate is called too high only if the training loss ends above its start; most such runs "
        "come down again",
        "Look at the highest training loss of the run",
    ),
    Mutant(
        "shipped-against-the-base",
        _diagnose_shipped_against_base,
        "a merged model passes as long as it beats the base model",
        "Compare the shipped model with the last validation loss: merging changes nothing",
    ),
)
