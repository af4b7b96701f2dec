"""Lesson 11, learned and forgotten: the reference solution, typical wrong answers and symptoms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


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
        "chosen-by-both",
        "target.argmin",
        "(target + story).argmin",
        "the evaluation is chosen by the sum of both losses",
        "Choose by the target loss: that is what the model was trained for",
    ),
    slip(
        tradeoff,
        "from-the-highest",
        "target[:, 0] -",
        "target.amax(dim=1) -",
        "what was learned is measured from the highest target loss, not from that before training",
        "Start from target[:, 0]",
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


def _right(part: str) -> Callable[[Case, Outcome, Outcome], bool]:
    """Where this part is right."""
    return lambda case, right, seen: agree(right[part], seen[part])


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
    Symptom(
        "learned",
        "both are wrong: both are read at one evaluation for each seed, that with its lowest "
        "target loss, and are differences from evaluation 0",
        "Work out one seed by hand",
        lambda case, right, seen: not agree(right["forgotten"], seen["forgotten"]),
    ),
)
