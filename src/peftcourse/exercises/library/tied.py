"""Lesson 09, a head that is tied: the reference solution, typical wrong answers, symptoms."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


@torch.no_grad()
def tied(embedding: nn.Embedding, head: nn.Linear, delta: Tensor) -> None:
    head.weight = nn.Parameter(head.weight + delta)


@torch.no_grad()
def _tied_embedding_put_back(embedding, head, delta):
    old = embedding.weight.clone()
    head.weight += delta
    embedding.weight.copy_(old)


@torch.no_grad()
def _tied_of_a_copy(embedding, head, delta):
    tied(embedding, copy.deepcopy(head), delta)


_SUM = "head.weight = nn.Parameter(head.weight + delta)"
_NEW = "Give the head a new parameter: head.weight = nn.Parameter(...)"
_ALONE = "Leave embedding.weight alone"
_START = "Start from head.weight, tied or not"

TIED = (
    slip(
        tied,
        "merged-in-place",
        _SUM,
        "head.weight += delta",
        "the embedding has changed with the head: the two share one tensor, and it was changed",
        _NEW,
    ),
    slip(
        tied,
        "same-memory",
        _SUM,
        "head.weight = nn.Parameter(head.weight.data); head.weight += delta",
        "the new parameter lies on the same memory as the embedding, and both have changed",
        "Make a copy first: head.weight.clone(), or head.weight + delta",
    ),
    slip(
        tied,
        "always-from-the-embedding",
        "nn.Parameter(head.weight + delta)",
        "nn.Parameter(embedding.weight + delta)",
        "the head starts from the embedding's weight also where it has a weight of its own",
        _START,
    ),
    slip(
        tied,
        "tied-again",
        _SUM,
        f"{_SUM}; embedding.weight = head.weight",
        "the embedding is tied to the merged head, so it has changed as well",
        _ALONE,
    ),
    slip(
        tied,
        "update-lost",
        _SUM,
        "head.weight = nn.Parameter(head.weight.clone())",
        "the two are apart, and the update is nowhere: it was added to another copy",
        "Put the sum into the parameter that the head keeps",
    ),
    slip(
        tied,
        "only-where-tied",
        _SUM,
        f"\n    if head.weight is embedding.weight:\n        {_SUM}",
        "a head that is not tied is left as it was; it gets the update as well",
        "Add delta whether or not the two share their weight",
    ),
    slip(
        tied,
        "subtracted",
        "head.weight + delta",
        "head.weight - delta",
        "delta is subtracted from the head's weight, not added: the opposite sign",
        "Add delta",
    ),
    slip(
        tied,
        "added-twice",
        "head.weight + delta",
        "head.weight + 2 * delta",
        "delta is added twice",
        "Add delta once",
    ),
    slip(
        tied,
        "in-place-and-again",
        _SUM,
        f"head.weight += delta; {_SUM}",
        "the shared tensor is changed in place, with the embedding, and delta is added twice to "
        "the head",
        _NEW,
    ),
    slip(
        tied,
        "delta-alone",
        "head.weight + delta",
        "delta.clone()",
        "the head's weight is replaced by delta: the old weight is missing from the sum",
        _START,
    ),
    slip(
        tied,
        "into-the-bias",
        _SUM,
        "head.bias = nn.Parameter(delta)",
        "delta has become a bias; it is an update of the weight",
        _NEW,
    ),
    slip(
        tied,
        "a-plain-tensor",
        _SUM,
        "new = head.weight + delta; del head.weight; head.weight = new",
        "the head's weight is a plain tensor, and no nn.Parameter",
        _NEW,
    ),
    slip(
        tied,
        "subtracted-from-the-embedding",
        _SUM,
        "before = embedding.weight.clone(); head.weight += delta; "
        "embedding.weight = nn.Parameter(before - delta)",
        "the update is taken off the embedding, which was to stay as it is",
        f"{_ALONE}, and give the head a new parameter",
    ),
    Mutant(
        "embedding-put-back",
        _tied_embedding_put_back,
        "the old values are put back into the shared tensor, which takes delta from the head again",
        _NEW,
    ),
    Mutant(
        "of-a-copy",
        _tied_of_a_copy,
        "nothing has changed: a copy of the head got the update, not the head itself",
        "Assign to head.weight of the head that is given",
    ),
)

# --- what wrong parts show ------------------------------------------------------------------------

When = Callable[[Case, Outcome, Outcome], bool]


def _is(part: str, of: Callable[[Case], Tensor]) -> When:
    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        seen = observed[part]
        wanted = of(case)
        return (
            isinstance(seen, Tensor)
            and seen.shape == wanted.shape
            and torch.allclose(seen.double(), wanted.double(), atol=1e-5)
        )

    return when


_NEW_PARAMETER = "Give the head a new parameter: head.weight = nn.Parameter(...)"

SYMPTOMS = (
    Symptom(
        "tied: an nn.Parameter in the head",
        "the head's weight is no nn.Parameter",
        "Wrap the sum: nn.Parameter(...)",
    ),
    Symptom(
        "tied: biases of the head",
        "the head has a bias that it did not have",
        "Change the head's weight only",
    ),
    Symptom(
        "tied: delta",
        "delta itself has changed: an in-place operation on an argument",
        "Leave delta as it is",
    ),
    Symptom(
        "tied: embedding",
        "the embedding has got delta as well: the two share the same memory, which was changed",
        _NEW_PARAMETER,
        _is("tied: embedding", lambda case: case["embedding"] + case["delta"]),
    ),
    Symptom(
        "tied: embedding",
        "the embedding has changed, where the two share their weight",
        _NEW_PARAMETER,
    ),
    Symptom(
        "not tied: embedding",
        "the embedding has changed, even where it shares nothing with the head",
        "Leave embedding.weight alone",
    ),
    Symptom(
        "tied: head",
        "where the two share their weight, the head is as it was before: it did not get delta",
        "Assign the sum to head.weight of the head that is given",
        _is("tied: head", lambda case: case["embedding"]),
    ),
    Symptom(
        "not tied: head",
        "where the two are not tied, the head is as it was before: it did not get delta",
        "Assign the sum to head.weight, tied or not",
        _is("not tied: head", lambda case: case["head"]),
    ),
    Symptom(
        "tied: head",
        "where the two share their weight, the head's weight is not the old one plus delta",
        "Assign head.weight + delta",
    ),
    Symptom(
        "not tied: head",
        "only where the two are not tied, the head's weight is not its own old one plus delta",
        "Start from head.weight, tied or not",
    ),
)
