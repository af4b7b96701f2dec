"""Lesson 04, several texts in one row: what wrong parts of an outcome show."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom
from peftcourse.exercises.practice.packing import FIRST_TOKEN, FROM_ZERO, LOWER, SAME_TEXT


def _of_another_length(case, expected, observed) -> bool:
    ids = observed["ids"]
    return isinstance(ids, Tensor) and ids.shape != expected["ids"].shape


def _first_labels(case, expected, observed) -> bool:
    """Whether labels are wrong at first tokens of texts and nowhere else."""
    labels, right = observed["labels"], expected["labels"]
    if not isinstance(labels, Tensor) or labels.shape != right.shape:
        return False
    return agree(right[right != -100], labels[right != -100])


def _other_labels(case, expected, observed) -> bool:
    labels, right = observed["labels"], expected["labels"]
    if not isinstance(labels, Tensor) or labels.shape != right.shape:
        return False
    return not agree(right[right != -100], labels[right != -100])


def _starts_wrong(case, expected, observed) -> bool:
    positions, right = observed["positions"], expected["positions"]
    return (
        isinstance(positions, Tensor)
        and positions.shape == right.shape
        and bool((positions[right == 0] != 0).any())
    )


def _mask_of(case, expected, observed) -> tuple[Tensor, Tensor] | None:
    mask, right = observed["mask"], expected["mask"]
    if not isinstance(mask, Tensor) or mask.shape != right.shape:
        return None
    return (mask > 0 if mask.dtype != torch.bool else mask), right


def _sees_later(case, expected, observed) -> bool:
    masks = _mask_of(case, expected, observed)
    return masks is not None and bool(masks[0].triu(1).any())


def _sees_others(case, expected, observed) -> bool:
    masks = _mask_of(case, expected, observed)
    return masks is not None and bool((masks[0] & ~(masks[1] | masks[1].T)).any())


def _sees_too_little(case, expected, observed) -> bool:
    masks = _mask_of(case, expected, observed)
    return masks is not None and bool((masks[1] & ~masks[0]).any())


def _another_dtype(case, expected, observed) -> bool:
    mask = observed["mask"]
    return isinstance(mask, Tensor) and mask.dtype != torch.bool


PACK_SYMPTOMS = (
    Symptom(
        "ids",
        "the row is not as long as all texts together: each token of every text is in it once, and "
        "nothing between them",
        "Join the texts one after the other",
        _of_another_length,
    ),
    Symptom(
        "ids", "the ids are not the tokens of the texts, one after the other", "Join the texts"
    ),
    Symptom(
        "labels",
        "labels are wrong at the first tokens of texts: where no earlier token of the same text "
        "can predict it, the label is −100",
        FIRST_TOKEN,
        _first_labels,
    ),
    Symptom(
        "labels",
        "labels are wrong behind the first token of a text: there labels[t] is ids[t], and not "
        "shifted",
        FIRST_TOKEN,
        _other_labels,
    ),
    Symptom(
        "positions",
        "positions do not start at 0 in every text",
        FROM_ZERO,
        _starts_wrong,
    ),
    Symptom("mask", "the mask is not of bool", "Return a mask of True and False", _another_dtype),
    Symptom(
        "mask",
        "a position may attend to another text: the borders between the texts are not right in the "
        "mask",
        SAME_TEXT,
        _sees_others,
    ),
    Symptom(
        "mask",
        "a position may attend to later tokens, which it has to predict: the mask is not causal",
        LOWER,
        _sees_later,
    ),
    Symptom(
        "mask",
        "a position may not attend to all of its own text up to itself",
        LOWER,
        _sees_too_little,
    ),
)
