"""Lesson 05, looking at weights: reference solutions and typical wrong answers.

A slip is the solution with one idea changed. It runs and returns the right shapes, as the mistakes
that cost people an evening do.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome

# --- dora.decompose -------------------------------------------------------------------------------


def decompose(W: Tensor) -> tuple[Tensor, Tensor]:
    magnitude = W.norm(dim=1)
    direction = W / magnitude[:, None]
    return magnitude, direction


_LENGTH, _UNIT = "W.norm(dim=1)", "W / magnitude[:, None]"
_RETURN = "return magnitude, direction"
_EUCLID = "Use W.norm(dim=1): the root of the sum of squares, one for each row"


def _decompose(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(decompose, id, old, new, diagnosis, action, *more)


DECOMPOSE = (
    _decompose(
        "wrong-axis",
        _LENGTH,
        "W.norm(dim=0)",
        "the norm runs over columns, one for each input feature: it should be one for each row",
        "nn.Linear.weight is (d_out, d_in): take the norm over dim=1",
        (_UNIT, "W / magnitude"),
    ),
    _decompose(
        "one-norm",
        _LENGTH,
        "W.norm().repeat(W.shape[0])",
        "one norm of the whole matrix, where each output feature has its own",
        "Take the norm over dim=1 alone",
    ),
    _decompose(
        "squared",
        _LENGTH,
        "W.square().sum(dim=1)",
        "the sum of squares: the root is missing",
        "Use W.norm(dim=1), or take the root of your sum",
    ),
    _decompose(
        "mean-square",
        _LENGTH,
        "W.square().mean(dim=1).sqrt()",
        "the root of the mean square: too small by the root of d_in",
        "A norm is the root of the sum of squares, not of their mean",
    ),
    _decompose(
        "absolute-values",
        _LENGTH,
        "W.abs().sum(dim=1)",
        "the sum of absolute values, which is another norm",
        "DoRA takes the Euclidean norm: squares, sum, root",
    ),
    _decompose(
        "signed-sum",
        _LENGTH,
        "W.sum(dim=1)",
        "the sum of each row, in which signs cancel, is not its length",
        _EUCLID,
    ),
    _decompose(
        "deviation",
        _LENGTH,
        "W.std(dim=1)",
        "the standard deviation of each row is not its length: a mean is taken away, and the "
        "squares are averaged",
        _EUCLID,
    ),
    _decompose(
        "largest",
        _LENGTH,
        "W.abs().amax(dim=1)",
        "the largest entry of each row is not its length",
        _EUCLID,
    ),
    _decompose(
        "cubic",
        _LENGTH,
        "W.norm(3, dim=1)",
        "another norm than the Euclidean one: with p = 3",
        _EUCLID,
    ),
    _decompose(
        "direction-not-divided",
        _UNIT,
        "W.clone()",
        "the direction is W itself: its rows were not divided by their lengths",
        "direction = W / magnitude[:, None], whose rows have length 1",
    ),
    _decompose(
        "multiplied",
        _UNIT,
        "W * magnitude[:, None]",
        "rows are multiplied by their lengths, and have to be divided by them",
        "direction = W / magnitude[:, None], whose rows have length 1",
    ),
    _decompose(
        "direction-by-columns",
        _UNIT,
        "W / W.norm(dim=0)",
        "the direction was divided along the wrong axis: its columns have length 1, and its rows "
        "should",
        "F.normalize(W, dim=1), or W / magnitude[:, None]",
    ),
    _decompose(
        "length-of-the-direction",
        _RETURN,
        "return direction.norm(dim=1), direction",
        "the magnitudes are 1 everywhere: those of the unit vectors, not those of W",
        "Take the norm of W, before you divide",
    ),
)


def _rows_of_length_one(case: Case, expected: Outcome, observed: Outcome) -> bool:
    lengths = observed["direction"].double().norm(dim=1)
    return agree(torch.ones_like(lengths), lengths)


def _other_rows(case: Case, expected: Outcome, observed: Outcome) -> bool:
    same_shape = observed["direction"].shape == expected["direction"].shape
    return same_shape and not _rows_of_length_one(case, expected, observed)


DECOMPOSE_SYMPTOMS = (
    Symptom(
        "direction",
        "the rows of the direction do not have length 1",
        "Divide each row by its own length: W / magnitude[:, None]",
        _other_rows,
    ),
    Symptom(
        "direction",
        "the rows of the direction have length 1, but do not point where the rows of W do",
        "Divide each row by its own length, and do nothing else to it",
        _rows_of_length_one,
    ),
    Symptom(
        "magnitude",
        "the magnitude is not the length of each row of W, the root of its sum of squares",
        _EUCLID,
    ),
)

# --- dora.change ----------------------------------------------------------------------------------


def change(before: Tensor, after: Tensor) -> tuple[float, float]:
    longer = (after.norm(dim=1) - before.norm(dim=1)).abs()
    cosine = F.cosine_similarity(after, before, dim=1)
    turned = 1 - cosine
    return longer.mean().item(), turned.mean().item()


_LONGER, _COSINE, _TURNED = (
    "(after.norm(dim=1) - before.norm(dim=1)).abs()",
    "F.cosine_similarity(after, before, dim=1)",
    "1 - cosine",
)
_MEANS = "longer.mean().item(), turned.mean().item()"
_EACH_ROW = "A norm and a cosine for each row, then the mean"
_ONE_MINUS = "Take 1 - cos, so that no change is 0"


def _change(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(change, id, old, new, diagnosis, action, *more)


# Those that are often made together come first: pairs are tried in this order.
CHANGE = (
    _change(
        "signs-cancel",
        _LONGER,
        "after.norm(dim=1) - before.norm(dim=1)",
        "a mean of signed changes: rows that grow and rows that shrink cancel",
        "Take the absolute value of each row's change before the mean",
    ),
    _change(
        "cosine",
        _TURNED,
        "cosine",
        "ΔD is the cosine itself: 1 where nothing has turned",
        _ONE_MINUS,
    ),
    _change(
        "wrong-axis",
        _LONGER,
        "(after.norm(dim=0) - before.norm(dim=0)).abs()",
        "one vector for each column, an input feature, where DoRA has one for each row",
        "Norms and cosines run over dim=1 of (d_out, d_in)",
        (_COSINE, "F.cosine_similarity(after, before, dim=0)"),
    ),
    _change(
        "summed",
        _MEANS,
        "longer.sum().item(), turned.sum().item()",
        "sums over the rows: a layer with more outputs seems to change more",
        "Take the mean over the rows",
    ),
    _change(
        "norm-of-difference",
        _LONGER,
        "(after - before).norm(dim=1)",
        "ΔM is the norm of the difference, which grows when a row only turns",
        "Take the difference of the norms: how much longer a row is, not how far it went",
    ),
    _change(
        "squared-changes",
        _LONGER,
        "(after.norm(dim=1) - before.norm(dim=1)).square()",
        "ΔM squares each change of length, where its absolute value is asked for",
        "Take .abs() of each row's change",
    ),
    _change(
        "squared-lengths",
        _LONGER,
        "(after.square().sum(dim=1) - before.square().sum(dim=1)).abs()",
        "ΔM compares squared lengths: the roots are missing",
        "Use .norm(dim=1), which takes the root",
    ),
    _change(
        "relative",
        _LONGER,
        "(after.norm(dim=1) - before.norm(dim=1)).abs() / before.norm(dim=1)",
        "ΔM is relative: each change was divided by the old length",
        "Leave the changes of length as they are",
    ),
    _change(
        "root-mean-square",
        _MEANS,
        "longer.square().mean().sqrt().item(), turned.mean().item()",
        "ΔM is the root of the mean square, where the mean of absolute values is asked for",
        "Take .abs().mean()",
    ),
    _change(
        "change-of-the-mean",
        _MEANS,
        "(after.norm(dim=1).mean() - before.norm(dim=1).mean()).abs().item(), turned.mean().item()",
        "ΔM is the change of the mean length, in which rows that grow and rows that shrink cancel",
        "Take the absolute value of each row's change before the mean",
    ),
    _change(
        "turned-round",
        _TURNED,
        "1 - cosine.abs()",
        "ΔD takes |cos|: a row that turned round to the opposite side counts as unturned",
        "Take 1 - cos with the sign of the cosine",
    ),
    _change(
        "angle",
        _TURNED,
        "cosine.acos()",
        "ΔD is the angle itself, where 1 - cos is asked for",
        _ONE_MINUS,
    ),
    _change(
        "sine",
        _TURNED,
        "(1 - cosine**2).clamp_min(0).sqrt()",
        "ΔD is the sine of the angle, where 1 - cos is asked for",
        _ONE_MINUS,
    ),
    _change(
        "squared-cosine",
        _TURNED,
        "1 - cosine**2",
        "ΔD is 1 - cos², where 1 - cos is asked for: the cosine was squared",
        _ONE_MINUS,
    ),
    _change(
        "distance",
        _TURNED,
        "(F.normalize(after, dim=1) - F.normalize(before, dim=1)).norm(dim=1)",
        "ΔD is the distance of the unit vectors, the root of 2 (1 - cos)",
        _ONE_MINUS,
    ),
    _change(
        "not-divided",
        _COSINE,
        "(after * before).sum(dim=1)",
        "the dot product was not divided by the lengths: it is no cosine",
        "Divide by both norms, or use F.cosine_similarity(…, dim=1)",
    ),
    _change(
        "direction-of-update",
        _COSINE,
        "F.cosine_similarity(after - before, before, dim=1)",
        "the cosine between the update and the old row, not between the new row and the old",
        "Compare after with before",
    ),
    _change(
        "one-cosine",
        _COSINE,
        "F.cosine_similarity(after.flatten(), before.flatten(), dim=0)",
        "one cosine of the whole matrix: what differs between its rows is lost",
        _EACH_ROW,
    ),
    _change(
        "one-length",
        _LONGER,
        "(after.norm() - before.norm()).abs()",
        "one length of the whole matrix: what differs between its rows is lost",
        _EACH_ROW,
    ),
    _change(
        "whole-matrix",
        _LONGER,
        "(after.norm() - before.norm()).abs()",
        "one vector for the whole matrix: what differs between its rows is lost",
        _EACH_ROW,
        (_COSINE, "F.cosine_similarity(after.flatten(), before.flatten(), dim=0)"),
    ),
    _change(
        "medians",
        _MEANS,
        "longer.median().item(), turned.median().item()",
        "the median, the row in the middle, in place of the mean",
        "Take the mean over the rows",
    ),
    _change(
        "largest",
        _MEANS,
        "longer.max().item(), turned.max().item()",
        "the largest change in place of the mean",
        "Take the mean over the rows",
    ),
    _change(
        "first-row",
        _MEANS,
        "longer[0].item(), turned[0].item()",
        "the first row alone, where the mean over all rows is asked for",
        "Take the mean over the rows",
    ),
    _change(
        "first-row-of-a-loop",
        _MEANS,
        "longer[0].item() / len(after), turned[0].item() / len(after)",
        "the first row alone, divided by the number of rows: a `return` inside the loop?",
        "Return behind the loop: indent `return` less",
    ),
    _change(
        "last-row",
        _MEANS,
        "longer[-1].item(), turned[-1].item()",
        "the last row alone: in a loop each row overwrites the one before",
        "Add the rows up, and divide by their number",
    ),
)


def _alone(wrong: str, right: str):
    """That one of the two numbers is wrong and the other right."""
    return lambda case, expected, observed: agree(expected[right], observed[right])


CHANGE_SYMPTOMS = (
    Symptom(
        "ΔM",
        "ΔD is right and ΔM is not: it is the mean over the rows of how much longer or shorter "
        "each became, |‖w'‖ - ‖w‖|",
        "(after.norm(dim=1) - before.norm(dim=1)).abs().mean()",
        _alone("ΔM", "ΔD"),
    ),
    Symptom(
        "ΔD",
        "ΔM is right and ΔD is not: it is the mean over the rows of 1 - cos of new and old row",
        "(1 - F.cosine_similarity(after, before, dim=1)).mean()",
        _alone("ΔD", "ΔM"),
    ),
)
