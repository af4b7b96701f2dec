"""Lesson 11, seeds and forgetting: reference solutions, typical wrong answers and symptoms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome

# --- evaluate.error -------------------------------------------------------------------------------


def error(scores: Tensor) -> tuple[float, float, float]:
    seeds, examples = scores.shape
    by_example, by_seed = scores.mean(dim=0), scores.mean(dim=1)
    over_examples = by_example.std() / math.sqrt(examples)
    over_seeds = by_seed.std() / math.sqrt(seeds)
    return scores.mean().item(), over_examples.item(), over_seeds.item()


_BINOMIAL = "(scores.mean() * (1 - scores.mean())).abs().sqrt()"

ERROR = (
    slip(
        error,
        "swapped",
        "over_examples.item(), over_seeds.item()",
        "over_seeds.item(), over_examples.item()",
        "the two errors are swapped: the mean over seeds leaves one number for each example",
        "For the error over examples average the rows first, for that over seeds the columns",
    ),
    slip(
        error,
        "standard-deviation",
        " / math.sqrt(examples)",
        "",
        "these are standard deviations: how far single values spread, not how sure their mean is",
        "Divide by the square root of the number of values",
        (" / math.sqrt(seeds)", ""),
    ),
    slip(
        error,
        "population",
        "by_example.std()",
        "by_example.std(correction=0)",
        "the standard deviation divides by n and not by n - 1, one less: with a handful of seeds "
        "that is far too small",
        "Use the sample's standard deviation, which divides by n - 1 (NumPy: ddof=1)",
        ("by_seed.std()", "by_seed.std(correction=0)"),
    ),
    slip(
        error,
        "pooled",
        "by_example.std() / math.sqrt(examples)",
        "scores.std() / math.sqrt(scores.numel())",
        "all scores count as independent, but seeds answer the same examples: the error over "
        "examples is too small",
        "Average over the seeds first: there are only as many examples as columns",
    ),
    slip(
        error,
        "all-pooled",
        "by_example.std() / math.sqrt(examples)",
        "scores.std() / math.sqrt(scores.numel())",
        "both errors pool all S·n scores as if they were independent; each averages over the "
        "other axis first",
        "Average over the seeds for one error, and over the examples for the other",
        ("by_seed.std() / math.sqrt(seeds)", "scores.std() / math.sqrt(scores.numel())"),
    ),
    slip(
        error,
        "no-root",
        "math.sqrt(examples)",
        "examples",
        "the deviations are divided by the counts, not by their square roots",
        "Divide by √n and by √S",
        ("math.sqrt(seeds)", "seeds"),
    ),
    slip(
        error,
        "the-other-count",
        "math.sqrt(examples)",
        "math.sqrt(seeds)",
        "each deviation is divided by the root of the other axis's count",
        "Over examples divide by √n, over seeds by √S",
        ("by_seed.std() / math.sqrt(seeds)", "by_seed.std() / math.sqrt(examples)"),
    ),
    slip(
        error,
        "mean-of-deviations",
        "by_example.std()",
        "scores.std(dim=1).mean()",
        "the deviation is taken within each row or column and averaged then; the mean comes first, "
        "the deviation of the means after it",
        "Average over the other axis before you take the deviation",
        ("by_seed.std()", "scores.std(dim=0).mean()"),
    ),
    slip(
        error,
        "one-seed",
        "by_example.std()",
        "scores[0].std()",
        "the error over examples comes from the first seed alone, and so contains its noise",
        "Average over the seeds before you take the deviation over examples",
    ),
    slip(
        error,
        "half-an-interval",
        "by_example.std()",
        "1.96 * by_example.std()",
        "this is 1.96 times the standard error, half of a 95 % interval",
        "Return the standard error itself",
        ("by_seed.std()", "1.96 * by_seed.std()"),
    ),
    slip(
        error,
        "one-less-twice",
        "math.sqrt(examples)",
        "math.sqrt(examples - 1)",
        "one less than the count stands under the root as well: it is taken off twice",
        "The deviation divides by one less already; the root is of the count itself",
        ("math.sqrt(seeds)", "math.sqrt(seeds - 1)"),
    ),
    slip(
        error,
        "whole-root",
        "math.sqrt(examples)",
        "math.isqrt(examples)",
        "the square root is cut down to a whole number",
        "Use math.sqrt, or ** 0.5",
        ("math.sqrt(seeds)", "math.isqrt(seeds)"),
    ),
    slip(
        error,
        "binomial",
        "by_example.std()",
        _BINOMIAL,
        "the error over examples is √(p (1 - p) / n), which holds for one seed's yes-or-no "
        "answers, not for scores averaged over seeds",
        "Take the deviation of the examples' means",
    ),
    slip(
        error,
        "binomial-one-less",
        "by_example.std() / math.sqrt(examples)",
        f"{_BINOMIAL} / math.sqrt(examples - 1)",
        "the error over examples is √(p (1 - p) / (n - 1)), which holds for one seed's yes-or-no "
        "answers, not for scores averaged over seeds",
        "Take the deviation of the examples' means",
    ),
    slip(
        error,
        "median",
        "scores.mean().item()",
        "scores.median().item()",
        "the first number is the median of the scores; their mean is asked for",
        "Use scores.mean()",
    ),
    slip(
        error,
        "counts-of-the-lab",
        "math.sqrt(examples)",
        "math.sqrt(19)",
        "the counts are fixed, at the lab's 19 notes and three seeds; other scores have others",
        "Take both from scores.shape",
        ("math.sqrt(seeds)", "math.sqrt(3)"),
    ),
)


def _right(part: str):
    """Where this part is right."""

    def look(case: Case, right: Outcome, seen: Outcome) -> bool:
        return agree(right[part], seen[part])

    return look


ERROR_SYMPTOMS = (
    Symptom("mean", "the first number is not the mean of all scores", "Use scores.mean()"),
    Symptom(
        "error over examples",
        "the error over seeds is right and that over examples is not: it is the deviation of n "
        "numbers, each averaged over the seeds, divided by √n",
        "Do for the other axis what you did for the seeds",
        _right("error over seeds"),
    ),
    Symptom(
        "error over seeds",
        "the error over examples is right and that over seeds is not: it is the deviation of S "
        "numbers, each averaged over the examples, divided by √S",
        "Do for the other axis what you did for the examples",
        _right("error over examples"),
    ),
    Symptom(
        "error over examples",
        "both errors are wrong, in a way that is none of the usual ones: average over one axis, "
        "take the deviation over the other (one less than the count), divide by the root of the "
        "count",
        "Work out a case with two seeds and two examples by hand",
    ),
)

# --- evaluate.tradeoff ----------------------------------------------------------------------------


def tradeoff(target: Tensor, story: Tensor) -> tuple[Tensor, Tensor]:
    rows, best = torch.arange(len(target)), target.argmin(dim=1)
    learned = target[:, 0] - target[rows, best]
    forgotten = story[rows, best] - story[:, 0]
    return learned, forgotten


TRADEOFF = (
    slip(
        tradeoff,
        "last-checkpoint",
        "target.argmin(dim=1)",
        "torch.full((len(target),), target.shape[1] - 1)",
        "both are read at the last evaluation, which is not the model that you would keep",
        "Read both at the evaluation with the lowest target loss",
    ),
    slip(
        tradeoff,
        "sign",
        "return learned, forgotten",
        "return -learned, -forgotten",
        "both have the wrong sign",
        "Learned is how much the target loss fell, forgotten how much the story loss rose",
    ),
    slip(
        tradeoff,
        "story-at-the-last",
        "story[rows, best]",
        "story[:, -1]",
        "what was forgotten is read at the last evaluation, not at the one that you would keep",
        "Read both curves at the same evaluation",
    ),
    slip(
        tradeoff,
        "each-at-its-best",
        "story[rows, best]",
        "story.amin(dim=1)",
        "learned and forgotten are read at different evaluations, the story loss at its own "
        "lowest: no model has both",
        "Choose one evaluation, by the target loss, and read both curves there",
    ),
    slip(
        tradeoff,
        "story-at-its-worst",
        "story[rows, best]",
        "story.amax(dim=1)",
        "what was forgotten is read where the story loss is highest, not at the evaluation with "
        "the lowest target loss",
        "Choose one evaluation, by the target loss, and read both curves there",
    ),
    slip(
        tradeoff,
        "chosen-by-stories",
        "target.argmin",
        "story.argmin",
        "the evaluation is chosen by the story loss, so that nothing seems forgotten",
        "Choose by the target loss: that is what the model was trained for",
    ),
    slip(
        tradeoff,
        "highest-target-loss",
        "target.argmin",
        "target.argmax",
        "the evaluation with the highest target loss is chosen",
        "Use argmin: the lower the loss, the better",
    ),
    slip(
        tradeoff,
        "one-step-for-all",
        "target.argmin(dim=1)",
        "target.mean(dim=0).argmin().repeat(len(target))",
        "one evaluation is used for all seeds; each seed is a model of its own with its own best",
        "Use argmin(dim=1): one evaluation for each row",
    ),
    slip(
        tradeoff,
        "lowest-of-the-whole-table",
        "target.argmin(dim=1)",
        "(target.argmin() % target.shape[1]).repeat(len(target))",
        "one evaluation is used for all seeds, that of the lowest loss of any; argmin without dim "
        "runs over the whole table, and each seed has its own best",
        "Use argmin(dim=1): one evaluation for each row",
    ),
    slip(
        tradeoff,
        "over-the-seeds",
        "target.argmin(dim=1)",
        "target.argmin(dim=0)[: len(target)]",
        "argmin runs over the seeds, dim=0: it names a seed for each evaluation",
        "Use dim=1, the axis of the evaluations",
    ),
    slip(
        tradeoff,
        "without-evaluation-0",
        "target.argmin(dim=1)",
        "target[:, 1:].argmin(dim=1) + 1",
        "evaluation 0, before training, is left out of the search; where training only hurts, it "
        "is the lowest",
        "Search all evaluations",
    ),
    slip(
        tradeoff,
        "index-of-a-slice",
        "target.argmin(dim=1)",
        "target[:, 1:].argmin(dim=1)",
        "the evaluation before the best one is read: the index counts from a slice that begins at "
        "evaluation 1, and is off by one",
        "Add 1 to an index that was found in target[:, 1:], or search all of target",
    ),
    slip(
        tradeoff,
        "not-a-difference",
        " - story[:, 0]",
        "",
        "forgotten is the story loss itself; the base model had a loss there too",
        "Subtract the story loss before training, story[:, 0]",
    ),
    slip(
        tradeoff,
        "cut-at-zero",
        "story[rows, best] - story[:, 0]",
        "(story[rows, best] - story[:, 0]).clamp(min=0)",
        "where the story loss fell, a zero is returned: a negative number is the answer there",
        "Leave out the clamp: a model can get better at stories, too",
    ),
    slip(
        tradeoff,
        "without-a-sign",
        "story[rows, best] - story[:, 0]",
        "(story[rows, best] - story[:, 0]).abs()",
        "the absolute value is returned; where the story loss fell, the answer is negative",
        "Leave out the abs",
    ),
    slip(
        tradeoff,
        "relative",
        "return learned, forgotten",
        "return learned / target[:, 0], forgotten / story[:, 0]",
        "both are divided by the loss before training: relative, where differences are asked for",
        "Return the differences themselves",
    ),
)


def _every_row(case: Case, right: Outcome, seen: Outcome) -> bool:
    """Whether the result has a row and a column for each seed."""
    size = len(case["target"])
    return isinstance(seen["learned"], Tensor) and seen["learned"].shape == (size, size)


TRADEOFF_SYMPTOMS = (
    Symptom(
        "learned",
        "the result is (S, S): indexing the columns by a list takes them from every row, and each "
        "seed gets every seed's best evaluation",
        "Index rows and columns together, target[torch.arange(S), best], or use gather",
        _every_row,
        decides=True,
    ),
    Symptom(
        "forgotten",
        "what was learned is right and what was forgotten is not: it is the story loss at that "
        "same evaluation, of that same seed, minus the story loss at evaluation 0",
        "Read both curves at the same evaluation",
        _right("learned"),
    ),
    Symptom(
        "learned",
        "what was forgotten is right and what was learned is not: it is the target loss at "
        "evaluation 0 minus that at the lowest",
        "Return how much the target loss fell",
        _right("forgotten"),
    ),
)
