"""Lesson 10, percent of full fine-tuning: solution, typical wrong answers, symptoms."""

from __future__ import annotations

from torch import Tensor

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Outcome


def gain(scores: Tensor, full: Tensor, base: float) -> float:
    gained = scores.mean() - base
    possible = full.mean() - base
    return (100 * gained / possible).item()


GAIN = (
    slip(
        gain,
        "raw-ratio",
        "scores.mean() - base",
        "scores.mean()",
        "a ratio of raw scores, from which the base is not subtracted: the untrained model would "
        "get a high mark on it too",
        "Subtract the base model's score from both",
        ("full.mean() - base", "full.mean()"),
    ),
    slip(
        gain,
        "base-above-only",
        "full.mean() - base",
        "full.mean()",
        "the base is subtracted above the line only, so full fine-tuning itself gets less than 100",
        "Subtract it from full fine-tuning's score too",
    ),
    slip(
        gain,
        "base-below-only",
        "scores.mean() - base",
        "scores.mean()",
        "the base is subtracted below the line only; the method's gain starts from it as well",
        "Subtract the base model's score above the line, too",
    ),
    Mutant(
        "mean-of-ratios",
        lambda scores, full, base: (100 * (scores - base) / (full - base)).mean().item(),
        "the ratio is taken for each seed and then averaged: a seed with a small denominator rules",
        "Average the scores first, then divide",
    ),
    slip(
        gain,
        "fraction",
        "100 * ",
        "",
        "a fraction where percent are asked for",
        "Multiply by 100",
    ),
    Mutant(
        "difference",
        lambda scores, full, base: (100 * (1 - full.mean() + scores.mean())).item(),
        "100 % minus the difference in points: that has the scale of the metric, not of the gain",
        "Divide the gain by full fine-tuning's gain",
    ),
    slip(
        gain,
        "upside-down",
        "gained / possible",
        "possible / gained",
        "the fraction is upside down: full fine-tuning's gain is divided by the method's",
        "Divide the method's gain by full fine-tuning's",
    ),
    slip(
        gain,
        "what-is-missing",
        "gained / possible",
        "(possible - gained) / possible",
        "this is the share that is missing to full fine-tuning, not the share that is reached",
        "Count from the base model: the mean of the scores minus base",
    ),
    slip(
        gain,
        "absolute-gains",
        "scores.mean() - base",
        "(scores.mean() - base).abs()",
        "a gain has lost its sign: a method that is worse than the base has a negative gain",
        "Leave the signs as they are, without abs",
        ("full.mean() - base", "(full.mean() - base).abs()"),
    ),
    slip(
        gain,
        "absolute-gain-of-full",
        "full.mean() - base",
        "(full.mean() - base).abs()",
        "full fine-tuning's gain has lost its sign; with losses both gains are negative",
        "Leave the signs as they are, without abs",
    ),
    slip(
        gain,
        "absolute-gain-of-method",
        "scores.mean() - base",
        "(scores.mean() - base).abs()",
        "the method's gain has lost its sign; a method that is worse than the base has a negative "
        "one",
        "Leave the signs as they are, without abs",
    ),
    slip(
        gain,
        "last-seeds",
        "scores.mean()",
        "scores[-1]",
        "only the last seed is used, not the mean over all seeds",
        "Take the mean over all seeds",
        ("full.mean()", "full[-1]"),
    ),
    slip(
        gain,
        "gain-of-the-base",
        "full.mean() - base",
        "base",
        "the gain is divided by the base model's score, not by full fine-tuning's gain",
        "Divide by the mean of full minus base",
    ),
    slip(
        gain,
        "clamped",
        "gained / possible",
        "(gained / possible).clamp(0, 1)",
        "the result is limited to 0 to 100; a method can do worse than the base, or better than "
        "full fine-tuning",
        "Leave the result as it is, without clamp, min or max",
    ),
    slip(
        gain,
        "not-below-zero",
        "gained / possible",
        "(gained / possible).clamp(min=0)",
        "a negative result is cut off at 0; a method can be worse than the base model",
        "Leave the result as it is, without clamp, min or max",
    ),
    slip(
        gain,
        "not-above-100",
        "gained / possible",
        "(gained / possible).clamp(max=1)",
        "the result is cut off at 100; a method can gain more than full fine-tuning",
        "Leave the result as it is, without clamp, min or max",
    ),
    slip(
        gain,
        "sums",
        "scores.mean()",
        "scores.sum()",
        "sums over the seeds, from which the base is subtracted only once",
        "Take the mean of the scores, then subtract the base",
        ("full.mean()", "full.sum()"),
    ),
    slip(
        gain,
        "best-seeds",
        "scores.mean()",
        "scores.max()",
        "the best seed of each is compared, not the mean over the seeds",
        "Take the mean over all seeds",
        ("full.mean()", "full.max()"),
    ),
    slip(
        gain,
        "medians",
        "scores.mean()",
        "scores.median()",
        "the medians over the seeds are compared, not the means",
        "Take the mean over all seeds",
        ("full.mean()", "full.median()"),
    ),
    slip(
        gain,
        "first-seeds",
        "scores.mean()",
        "scores[0]",
        "only the first seed is used, not the mean over all seeds",
        "Take the mean over all seeds",
        ("full.mean()", "full[0]"),
    ),
    slip(
        gain,
        "five-seeds",
        "scores.mean()",
        "scores.sum() / 5",
        "the sum is divided by 5, whatever the number of seeds is",
        "Take the mean over all seeds",
        ("full.mean()", "full.sum() / 5"),
    ),
    Mutant(
        "brackets-forgotten",
        lambda scores, full, base: 100 * (scores.mean() - base / full.mean() - base).item(),
        "brackets are missing: without them, division comes before subtraction",
        "Put brackets around both differences",
    ),
)

# --- what wrong parts show ------------------------------------------------------------------------


def _number(observed: Outcome, *parts: str) -> bool:
    return all(isinstance(observed[part], (int, float)) for part in parts)


SYMPTOMS = (
    Symptom(
        "percent",
        "a tensor is returned where a Python number is asked for",
        "Take the number out of the tensor: `.item()`",
        lambda case, expected, observed: isinstance(observed["percent"], Tensor),
    ),
    Symptom(
        "percent of an untrained model",
        "a model that was not trained at all does not get 0 %: the gain does not start from the "
        "base model's score",
        "Subtract the base model's score from the mean score",
        lambda case, expected, observed: _number(observed, "percent of an untrained model"),
    ),
    Symptom(
        "percent of full fine-tuning",
        "full fine-tuning itself does not get 100 %",
        "Divide by full fine-tuning's gain over the base, and multiply by 100",
        lambda case, expected, observed: _number(observed, "percent of full fine-tuning"),
    ),
    Symptom(
        "percent",
        "a gain below zero, or above full fine-tuning's, is cut off",
        "Leave the result as it is, without clamp, min or max",
        lambda case, expected, observed: (
            _number(observed, "percent")
            and not 0 <= expected["percent"] <= 100
            and min(abs(observed["percent"]), abs(observed["percent"] - 100)) < 1e-3
        ),
    ),
    Symptom(
        "percent",
        "a gain has the wrong sign: a method that is worse than the base has a negative one",
        "Leave the signs of both gains as they are",
        lambda case, expected, observed: (
            _number(observed, "percent") and expected["percent"] * observed["percent"] < 0
        ),
    ),
    Symptom(
        "percent",
        "an untrained model gets 0 % and full fine-tuning 100 %, as it should be, but a method "
        "whose seeds differ does not get the share of its mean gain",
        "Take the mean of the scores over all seeds first",
        lambda case, expected, observed: (
            _number(observed, *expected)
            and abs(observed["percent of an untrained model"]) < 1e-3
            and abs(observed["percent of full fine-tuning"] - 100) < 1e-3
        ),
    ),
)
