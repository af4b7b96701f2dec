"""Lesson 11, the clinic: the reference solution and typical wrong answers."""

from __future__ import annotations

import math

from peftcourse.exercises.core import Mutant
from peftcourse.exercises.slips import edited


def diagnose(run: dict[str, float]) -> str:
    if not math.isfinite(run["last"]):
        return "wrong dtype"
    if run["counted"] != run["targets"]:
        return "padding in the loss"
    if abs(run["first"] - run["start"]) > 0.02 * run["start"]:
        return "labels shifted"
    if run["update"] == 0:
        return "frozen by mistake"
    if run["adapted"] < run["wanted"]:
        return "wrong targets"
    if run["shipped"] > run["last_validation"] + 0.1:
        return "merged twice"
    if run["highest"] > run["first"] + 0.5:
        return "rate too high"
    if run["last_validation"] > run["best_validation"] + 0.1:
        return "overfitting"
    return "healthy"


def _slip(id: str, old: str, new: str, diagnosis: str, action: str) -> Mutant:
    """Its edits are not told: the symptoms below name two mistakes at once already."""
    return Mutant(id, edited(diagnose, [(old, new)]), diagnosis, action)


DIAGNOSE = (
    _slip(
        "compared-with-nan",
        'not math.isfinite(run["last"])',
        'run["last"] == math.nan',
        "NaN is never found: it equals nothing, not even itself",
        "Use math.isfinite(run['last'])",
    ),
    _slip(
        "any-number-not-finite",
        'not math.isfinite(run["last"])',
        "not all(map(math.isfinite, run.values()))",
        "any number that is not finite counts; only `last` decides on the dtype, and another loss "
        "may be infinite for another reason",
        "Ask math.isfinite of run['last'] alone",
    ),
    _slip(
        "start-to-the-last-digit",
        '> 0.02 * run["start"]',
        "> 0",
        "runs with a loss that is right up to rounding are called shifted: there is a margin",
        "Allow 2 % of the base model's loss",
    ),
    _slip(
        "two-per-cent-of-first",
        '0.02 * run["start"]',
        '0.02 * run["first"]',
        "the margin is 2 % of `first`; it should be 2 % of `start`",
        "Compare the distance with 0.02 * run['start']",
    ),
    _slip(
        "margin-in-nats",
        '0.02 * run["start"]',
        "0.02",
        "the margin is 0.02 nats; it should be 2 % of `start`, which is relative",
        "Multiply 0.02 by run['start']",
    ),
    _slip(
        "off-to-one-side",
        'abs(run["first"] - run["start"])',
        '(run["first"] - run["start"])',
        "only a `first` above `start` counts; off means to either side, below it too",
        "Take the absolute value, abs, of the difference",
    ),
    _slip(
        "any-adapter-will-do",
        'run["adapted"] < run["wanted"]',
        'run["adapted"] == 0',
        "a run with adapters in a few of the wanted layers passes",
        "Compare the number of adapted layers with the number wanted",
    ),
    _slip(
        "shipped-against-the-base",
        'run["shipped"] > run["last_validation"] + 0.1',
        'run["shipped"] > run["start"]',
        "a merged model passes as long as it beats the base model",
        "Compare the shipped model with the last validation loss: merging changes nothing",
    ),
    _slip(
        "shipped-against-the-best",
        'run["shipped"] > run["last_validation"]',
        'run["shipped"] > run["best_validation"]',
        "`shipped` is compared with the best validation loss, not with the last one",
        "What is shipped is the last model: compare it with run['last_validation']",
    ),
    _slip(
        "shipped-against-the-training-loss",
        'run["shipped"] > run["last_validation"]',
        'run["shipped"] > run["last"]',
        "`shipped`, a loss on held-out examples, is compared with `last`, a training loss, and not "
        "with `last_validation`",
        "Compare it with run['last_validation']",
    ),
    _slip(
        "highest-against-start",
        'run["highest"] > run["first"]',
        'run["highest"] > run["start"]',
        "`highest` is compared with `start` in place of `first`",
        "Compare run['highest'] with run['first']: both are as the run logged them",
    ),
    _slip(
        "highest-against-last",
        'run["highest"] > run["first"]',
        'run["highest"] > run["last"]',
        "`highest` is compared with a loss after training, such as `last`, in place of `first`: a "
        "run that has learned is called one with too high a rate",
        "Compare run['highest'] with run['first']",
    ),
    _slip(
        "rate-from-the-last-loss",
        'run["highest"] > run["first"]',
        'run["last"] > run["first"]',
        "a rate is called too high only if the training loss ends above its start; most such runs "
        "come down again",
        "Look at the highest training loss of the run",
    ),
    _slip(
        "any-rise",
        'run["best_validation"] + 0.1',
        'run["best_validation"]',
        "healthy runs are called sick because their validation loss rose a little: any rise counts",
        "Allow a rise of 0.1 nats: two evaluations are never quite the same",
    ),
    _slip(
        "gap-is-overfitting",
        'run["last_validation"] > run["best_validation"]',
        'run["last_validation"] > run["last"]',
        "a gap between training and validation is called overfitting; healthy runs have one too",
        "Overfitting is a validation loss that has risen above its best",
    ),
    _slip(
        "best-minus-last",
        'run["last_validation"] > run["best_validation"] + 0.1',
        'run["best_validation"] > run["last_validation"] + 0.1',
        "the difference is the wrong way round, so that no run ever overfits: the best is never "
        "above the last",
        "Subtract the best validation loss from the last one",
    ),
)
