"""Lesson 03, the loss, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.compare import constant_ratio
from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    predictions = logits[:, :-1].flatten(0, 1)  # (B·(T-1), V): position t …
    targets = labels[:, 1:].flatten()  # … predicts token t + 1
    return F.cross_entropy(predictions, targets, ignore_index=-100)


def _loss_by_row(logits, labels):
    rows = zip(logits.split(1), labels.split(1), strict=True)
    return torch.stack([loss(*row) for row in rows]).mean()


_LOSS = partial(slip, loss)
_SHIFT = "logits[:, :-1]"
_NEXT = "labels[:, 1:]"
_RETURN = "F.cross_entropy(predictions, targets, ignore_index=-100)"
_SUM = "F.cross_entropy(predictions, targets, reduction='sum')"

LOSS = (
    _LOSS(
        "not-shifted",
        _SHIFT,
        "logits",
        "no shift: each position is asked for the token it was just given",
        "Score logits[:, :-1] against labels[:, 1:]",
        (_NEXT, "labels"),
    ),
    _LOSS(
        "shifted-backwards",
        _SHIFT,
        "logits[:, 1:]",
        "the shift goes the wrong way: each position predicts the token before it",
        "Score logits[:, :-1] against labels[:, 1:]",
        (_NEXT, "labels[:, :-1]"),
    ),
    _LOSS(
        "shifted-twice",
        _SHIFT,
        "logits[:, :-2]",
        "shifted by two: each position predicts the token after the next",
        "Shift once, by one position",
        (_NEXT, "labels[:, 2:]"),
    ),
    _LOSS(
        "cut-at-the-end",
        _NEXT,
        "labels[:, :-1]",
        "no shift: both are cut at the end, so each position is asked for the token it was given",
        "Score logits[:, :-1] against labels[:, 1:]",
    ),
    _LOSS(
        "cut-at-the-start",
        _SHIFT,
        "logits[:, 1:]",
        "no shift: both are cut at the start, so each position is asked for the token it was given",
        "Score logits[:, :-1] against labels[:, 1:]",
    ),
    _LOSS(
        "rolled",
        _SHIFT,
        "logits",
        "`roll` wraps around: the last position is scored against the first token of its row",
        "Cut the last position off: logits[:, :-1] against labels[:, 1:]",
        (_NEXT, "labels.roll(-1, dims=1)"),
    ),
    _LOSS(
        "shifted-across-rows",
        _SHIFT + ".flatten(0, 1)",
        "logits.flatten(0, 1)[:-1]",
        "flattened first, then shifted: the end of each row predicts the first token of the next",
        "Shift each row, logits[:, :-1] and labels[:, 1:], and flatten afterwards",
        (_NEXT + ".flatten()", "labels.flatten()[1:]"),
    ),
    _LOSS(
        "batch-shifted",
        _SHIFT,
        "logits[:-1]",
        "the shift goes over the batch, not along the positions: the first axis counts the rows",
        "Slice the second axis: logits[:, :-1] and labels[:, 1:]",
        (_NEXT, "labels[1:]"),
    ),
    _LOSS(
        "mask-as-token",
        _RETURN,
        "F.cross_entropy(predictions, targets.clamp(min=0))",
        "masked positions (-100) are scored as if they were token 0",
        "Leave the -100 in: cross_entropy skips them with ignore_index=-100",
    ),
    _LOSS(
        "token-zero-ignored",
        _RETURN,
        "F.cross_entropy(predictions, targets.where(targets > 0, -100))",
        "token 0 is left out as if it were masked: only labels of -100 are",
        "Keep labels >= 0, or those that are not -100",
    ),
    _LOSS(
        "mean-over-masked",
        _RETURN,
        f"{_SUM} / targets.numel()",
        "the sum is right but divided by all positions, masked ones included",
        "Divide by the number of labels that are not -100, as reduction='mean' does",
    ),
    _LOSS(
        "divided-by-unshifted",
        _RETURN,
        f"{_SUM} / (labels != -100).sum()",
        "the sum is divided by the number of labels before the shift: the first of a row is "
        "counted, though nothing predicts it",
        "Count the labels that are left after the shift",
    ),
    _LOSS(
        "divided-by-all-labels",
        _RETURN,
        f"{_SUM} / labels.numel()",
        "the sum is divided by all positions, masked ones and the first of each row included",
        "Divide by the number of labels that are not -100, after the shift",
    ),
    _LOSS(
        "divided-by-rows",
        _RETURN,
        f"{_SUM} / len(labels)",
        "the sum is divided by the number of rows, not by the number of tokens",
        "Divide by the number of labels that are not -100, as reduction='mean' does",
    ),
    Mutant(
        "mean-of-rows",
        _loss_by_row,
        "a mean of each row's mean: tokens of short answers count more",
        "Take one mean over all the tokens of the batch",
    ),
    _LOSS(
        "sum",
        _RETURN,
        _SUM,
        "a sum, not a mean: the loss grows with the length of the text",
        "Use the default reduction, the mean",
    ),
    _LOSS(
        "perplexity",
        _RETURN,
        f"{_RETURN}.exp()",
        "exp of the loss, which is the perplexity: the loss itself is asked for",
        "Leave out the exp",
    ),
    _LOSS(
        "softmax-first",
        "predictions, targets, ignore_index",
        "predictions.softmax(-1), targets, ignore_index",
        "softmax is taken twice: cross_entropy wants logits, and takes the (log-)softmax itself",
        "Pass the logits as they are",
    ),
    _LOSS(
        "no-softmax",
        _RETURN,
        "F.nll_loss(predictions, targets)",
        "the logits are used as if they were log-probabilities: the softmax is missing",
        "Use F.cross_entropy, or log_softmax first",
    ),
    _LOSS(
        "sign-wrong",
        _RETURN,
        f"-{_RETURN}",
        "the sign is wrong: the loss is minus the mean log-probability",
        "Turn the sign round",
    ),
    _LOSS(
        "in-bits",
        _RETURN,
        f"{_RETURN} / torch.tensor(2.0).log()",
        "the loss is in bits: a logarithm to base 2, where the natural one is asked for",
        "Leave out the division by ln 2",
    ),
    _LOSS(
        "not-reduced",
        _RETURN,
        "F.cross_entropy(predictions, targets, reduction='none')",
        "a loss for each token: the mean over them is missing",
        "Use the default reduction, the mean",
    ),
    _LOSS(
        "reshaped-for-transposed",
        _RETURN,
        "F.cross_entropy(predictions.reshape(len(labels), logits.shape[-1], -1), "
        "targets.view(len(labels), -1))",
        "reshape mixes positions and classes where the axes should change places: transpose(1, 2)",
        "Use transpose(1, 2), or flatten to (N, V)",
    ),
    _LOSS(
        "softmax-over-positions",
        _RETURN,
        "F.nll_loss(F.log_softmax(logits[:, :-1], 1).flatten(0, 1), targets)",
        "the softmax runs over the positions: its axis should be the vocabulary, dim=-1",
        "Take the softmax over the last axis",
    ),
    _LOSS(
        "softmax-over-tokens",
        _RETURN,
        "F.nll_loss(F.log_softmax(predictions, 0), targets)",
        "the softmax runs over the tokens: its axis should be the vocabulary, dim=-1",
        "Take the softmax over the last axis",
    ),
    _LOSS(
        "smoothed",
        "ignore_index=-100",
        "label_smoothing=0.1",
        "label_smoothing makes it another loss: the plain cross-entropy is asked for",
        "Leave label_smoothing out",
    ),
    _LOSS(
        "log-of-softmax",
        _RETURN,
        "F.nll_loss(predictions.softmax(-1).log(), targets)",
        "the logarithm of a softmax is -inf where the softmax is too small for a number: "
        "log_softmax is not",
        "Use F.cross_entropy, or log_softmax in place of softmax and log",
    ),
    _LOSS(
        "first-row-only",
        _SHIFT,
        "logits[:1, :-1]",
        "only the first row (text) of the batch is scored",
        "Score every row",
        (_NEXT, "labels[:1, 1:]"),
    ),
    _LOSS(
        "detached",
        _RETURN,
        f"{_RETURN}.detach()",
        "no gradient reaches the logits: detached, under no_grad, or made anew from numbers",
        "Return what cross_entropy gives, without .detach(), .item() or torch.tensor(…)",
    ),
)


def _scored(gradient: Tensor) -> Tensor:
    """The positions whose logits get a gradient."""
    return gradient.abs().amax(-1) > 1e-12


def _scores(where: Callable[[Tensor, Tensor, Tensor], bool]):
    """A condition on the labels and on which positions are scored, rightly and by the answer."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        gradient = observed["gradient of the logits"]
        return bool(
            where(case["labels"], _scored(expected["gradient of the logits"]), _scored(gradient))
        )

    return when


def _rows_weighted(case: Case, expected: Outcome, observed: Outcome) -> bool:
    """Whether the gradient is right in each row, but for a factor that differs."""
    right, seen = (outcome["gradient of the logits"] for outcome in (expected, observed))
    ratios = [constant_ratio(*rows) for rows in zip(right, seen, strict=True)]
    return len(ratios) == 1 or (
        all(ratio is not None and ratio > 0 for ratio in ratios)
        and max(ratios) > min(ratios) * 1.001
    )


_GRADIENT = "gradient of the logits"
LOSS_SYMPTOMS = (
    Symptom(
        "loss",
        "a loss for each token or row, a tensor of several numbers: their mean is asked for",
        "Take the mean over all the tokens of the batch",
        lambda case, expected, observed: (
            isinstance(observed["loss"], Tensor) and observed["loss"].dim() > 0
        ),
    ),
    Symptom(
        "gradient of the logits",
        "the loss is in 16 bits: the logits were rounded to bfloat16 or float16, which loses "
        "precision",
        "Leave the dtype as it is",
        lambda case, expected, observed: (
            isinstance(observed["loss"], Tensor)
            and observed["loss"].dtype in (torch.bfloat16, torch.float16)
        ),
        decides=True,
    ),
    Symptom(
        "loss",
        "the loss is infinite or NaN where the logits are large: a softmax or exp overflows",
        "Use F.cross_entropy or log_softmax, which take large logits",
        lambda case, expected, observed: (
            isinstance(observed["loss"], Tensor)
            and observed["loss"].dim() == 0
            and not bool(observed["loss"].isfinite())
        ),
        decides=True,
    ),
    Symptom(
        "loss",
        "the loss is a Python number: `.item()` or `float` takes it out of the graph, and no "
        "gradient reaches the logits",
        "Return the tensor that cross_entropy gives",
        lambda case, expected, observed: not isinstance(observed["loss"], Tensor),
        decides=True,
    ),
    Symptom(
        _GRADIENT,
        "no gradient reaches the logits: detached, under no_grad, or made anew from numbers",
        "Return what cross_entropy gives, without .detach(), .item() or torch.tensor(…)",
        _scores(lambda labels, right, seen: not seen.any()),
    ),
    Symptom(
        _GRADIENT,
        "only the first row of the batch is scored",
        "Score every row",
        _scores(lambda labels, right, seen: seen[0].any() and not seen[1:].any() and len(seen) > 1),
    ),
    Symptom(
        _GRADIENT,
        "the last position of a row is scored: no token comes after it, so a shift is missing or "
        "wraps around",
        "Drop the last position: logits[:, :-1]",
        _scores(lambda labels, right, seen: seen[:, -1].any()),
    ),
    Symptom(
        _GRADIENT,
        "positions are scored whose next label is -100: masked labels count",
        "Leave out the labels that are -100, with ignore_index or a mask",
        _scores(lambda labels, right, seen: (seen & ~right)[:, :-1].any()),
    ),
    Symptom(
        _GRADIENT,
        "positions are left out whose next label is not masked",
        "Leave out the labels that are -100, and no others",
        _scores(lambda labels, right, seen: (right & ~seen).any() and seen.any()),
    ),
    Symptom(
        _GRADIENT,
        "tokens do not count alike: rows are averaged by themselves, or weighted",
        "Take one mean over all the tokens of the batch",
        _rows_weighted,
    ),
    Symptom(
        "loss",
        "the right tokens are scored, but the mean over them is not what is returned: another "
        "number is divided by, or another factor is there",
        "Divide the sum by the number of labels that are not -100, after the shift",
        lambda case, expected, observed: (
            constant_ratio(expected[_GRADIENT], observed[_GRADIENT]) not in (None, 0.0)
        ),
    ),
)
