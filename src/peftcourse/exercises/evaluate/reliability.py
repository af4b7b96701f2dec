"""Lesson 11, the bins of a reliability diagram: solution, typical wrong answers and symptoms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def bins(confidence: Tensor, correct: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    index = (confidence * bins).ceil().long() - 1
    correct = correct.to(confidence.dtype)
    counts = torch.bincount(index, minlength=bins)
    filled = counts.clamp(min=1)
    sure = torch.bincount(index, weights=confidence, minlength=bins) / filled
    accuracy = torch.bincount(index, weights=correct, minlength=bins) / filled
    return counts, sure, accuracy


def _bins_both_edges(confidence, correct, bins):
    rows = []
    for k in range(bins):
        inside = (confidence >= k / bins) & (confidence <= (k + 1) / bins)
        count = inside.sum()
        sums = confidence[inside].sum(), correct[inside].sum()
        rows.append(torch.stack([count, *(total / count.clamp(min=1) for total in sums)]))
    return tuple(torch.stack(rows, dim=1))


_INDEX, _RETURN = "(confidence * bins).ceil().long() - 1", "return counts, sure, accuracy"
_INSIDE = "return counts[:bins], sure[:bins], accuracy[:bins]"

BINS = (
    slip(
        bins,
        "left-edges",
        _INDEX,
        "(confidence * bins).long().clamp(max=bins - 1)",
        "a confidence on the edge of two bins falls into the upper one",
        "A bin holds its right edge and not its left one: k / K < confidence ≤ (k + 1) / K",
    ),
    slip(
        bins,
        "empty-bins-divided",
        "filled = counts.clamp(min=1)",
        "filled = counts",
        "an empty bin divides zero by zero, and is NaN; zero is asked for there",
        "Divide by counts.clamp(min=1)",
    ),
    slip(
        bins,
        "ones-lost",
        _INDEX,
        "(confidence * bins).long()",
        "a confidence of exactly 1 is in no bin",
        "The last bin holds 1: a bin holds its right edge",
        (_RETURN, _INSIDE),
    ),
    slip(
        bins,
        "divided-by-all",
        "filled = counts.clamp(min=1)",
        "filled = len(confidence)",
        "the sums of a bin are divided by the number of all predictions",
        "Divide by the number of predictions in the bin",
    ),
    slip(
        bins,
        "not-divided",
        "filled = counts.clamp(min=1)",
        "filled = 1",
        "these are the sums of each bin; they are not divided by its count, and so no means",
        "Divide by the number of predictions in the bin",
    ),
    slip(
        bins,
        "counted-from-one",
        "long() - 1",
        "long()",
        "the bins are counted from 1: each prediction is one bin too far on",
        "ceil gives 1 for the first bin, which is number 0: take 1 off",
        (_RETURN, _INSIDE),
    ),
    slip(
        bins,
        "empty-bins-count-one",
        "counts = torch.bincount(index, minlength=bins)",
        "counts = torch.bincount(index, minlength=bins).clamp(min=1)",
        "an empty bin counts 1: the clamp that guards the division is in what is returned",
        "Clamp in the division alone",
    ),
    slip(
        bins,
        "empty-bins-left-out",
        _RETURN,
        "some = counts > 0; return counts[some], sure[some], accuracy[some]",
        "empty bins are left out; they are asked for, with zeros",
        "Return (bins,) numbers in any case",
    ),
    slip(
        bins,
        "no-minlength",
        _RETURN,
        "n = int(index.max()) + 1; return counts[:n], sure[:n], accuracy[:n]",
        "the empty bins above the highest confidence are missing: bincount is as long as the "
        "largest number that it meets",
        "Give bincount minlength=bins",
    ),
    slip(
        bins,
        "rounded",
        _INDEX,
        "((confidence * bins).round().long() - 1).clamp(min=0)",
        "round takes the nearest edge: half of each bin goes to a neighbour",
        "Use ceil, and take 1 off",
    ),
    slip(
        bins,
        "rounded-up-or-down",
        _INDEX,
        "(confidence * bins).round().long().clamp(max=bins - 1)",
        "round takes the nearest edge: half of each bin goes to a neighbour",
        "Use ceil, and take 1 off",
    ),
    slip(
        bins,
        "one-bin-fewer",
        _INDEX,
        "(confidence * (bins - 1)).ceil().long() - 1",
        "0 to 1 is divided into one bin too few",
        "Multiply by the number of bins",
    ),
    slip(
        bins,
        "range-of-what-is-there",
        _INDEX,
        "((confidence - confidence.min()) / (confidence.max() - confidence.min()) * bins).ceil()"
        ".long().clamp(1, bins) - 1",
        "the bins divide the range from the lowest to the highest confidence found, not 0 to 1",
        "Bin k reaches from k / bins to (k + 1) / bins",
    ),
    slip(
        bins,
        "centres",
        _RETURN,
        "return counts, (torch.arange(bins, dtype=sure.dtype) + 0.5) / bins, accuracy",
        "the confidence of a bin is its centre; its predictions may lie elsewhere",
        "Take the mean of the confidences that fell into the bin",
    ),
    slip(
        bins,
        "centres-of-filled",
        _RETURN,
        "return counts, (counts > 0) * (torch.arange(bins) + 0.5) / bins, accuracy",
        "the confidence of a bin is its middle, the centre; its predictions may lie elsewhere",
        "Take the mean of the confidences that fell into the bin",
    ),
    slip(
        bins,
        "upper-edges",
        _RETURN,
        "return counts, (torch.arange(bins, dtype=sure.dtype) + 1) / bins, accuracy",
        "the confidence of a bin is its upper edge; its predictions lie below",
        "Take the mean of the confidences that fell into the bin",
    ),
    slip(
        bins,
        "share-of-wrong",
        "weights=correct",
        "weights=1 - correct",
        "this is the share of wrong answers; accuracy is that of right ones",
        "Count what is correct",
    ),
    Mutant(
        "both-edges",
        _bins_both_edges,
        "a confidence on the edge of two bins counts twice: both edges belong to each bin",
        "A bin holds its right edge and not its left one: k / K < confidence ≤ (k + 1) / K",
    ),
    slip(
        bins,
        "equal-mass",
        _INDEX,
        "confidence.argsort().argsort() * bins // len(confidence)",
        "the bins hold equally many predictions; they should be equally wide",
        "Put each confidence into the bin whose range it lies in",
    ),
)


def _counted(case: Case, seen: Outcome) -> float:
    """How many predictions there are in all bins, more than there are at all."""
    counts = seen["counts"]
    return float(counts.sum()) - len(case["confidence"]) if isinstance(counts, Tensor) else math.nan


def _other_length(case: Case, right: Outcome, seen: Outcome) -> bool:
    return isinstance(seen["counts"], Tensor) and seen["counts"].shape != (case["bins"],)


def _is_nan(part: str):
    def look(case: Case, right: Outcome, seen: Outcome) -> bool:
        value = seen[part]
        return isinstance(value, Tensor) and bool(value.isnan().any())

    return look


def _counts_right(case: Case, right: Outcome, seen: Outcome) -> bool:
    return agree(right["counts"], seen["counts"])


def _no_counts(case: Case, right: Outcome, seen: Outcome) -> bool:
    counts = seen["counts"]
    return isinstance(counts, Tensor) and not agree(counts.round(), counts)


BINS_SYMPTOMS = (
    Symptom(
        "counts",
        "what is returned first is no count: there are numbers in it that are not whole, as of "
        "shares, counts that were divided",
        "Return how many predictions each bin holds",
        _no_counts,
        decides=True,
    ),
    Symptom(
        "counts",
        "the result has not one entry for each of the `bins`: empty bins may be left out, or "
        "another number of bins be fixed",
        "Return (bins,) numbers in any case",
        _other_length,
    ),
    Symptom(
        "confidence",
        "NaN stands where zero is asked for: an empty bin divides zero by zero",
        "Divide by counts.clamp(min=1)",
        _is_nan("confidence"),
    ),
    Symptom(
        "accuracy",
        "NaN stands where zero is asked for: an empty bin divides zero by zero",
        "Divide by counts.clamp(min=1)",
        _is_nan("accuracy"),
    ),
    Symptom(
        "counts",
        "the bins hold more predictions than there are: some count twice, as on the edge of two",
        "A bin holds its right edge and not its left one",
        lambda case, right, seen: _counted(case, seen) > 0,
    ),
    Symptom(
        "counts",
        "some predictions are in no bin: on an edge, as a confidence of exactly 1, or beyond the "
        "last number",
        "The last bin holds 1: a bin holds its right edge",
        lambda case, right, seen: _counted(case, seen) < 0,
    ),
    Symptom(
        "counts",
        "every prediction is counted, some of them in a wrong bin: look at the edges, rounding and "
        "where the numbers begin",
        "Put confidences of 0.2, 0.25 and 0.3 into four bins by hand",
        lambda case, right, seen: (
            _counted(case, seen) == 0 and not _counts_right(case, right, seen)
        ),
    ),
    Symptom(
        "confidence",
        "the counts are right and the mean confidence of a bin is not: it is the sum of the "
        "confidences in the bin over their number, and zero in an empty bin",
        "Add up the confidences with weights= and divide by the counts",
        _counts_right,
    ),
    Symptom(
        "accuracy",
        "the counts are right and the accuracy of a bin is not: it is the number of right answers "
        "in the bin over that of all in it, and zero in an empty bin",
        "Add up what is correct with weights= and divide by the counts",
        _counts_right,
    ),
)
