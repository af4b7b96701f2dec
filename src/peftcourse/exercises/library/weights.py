"""Lesson 09, what goes by values: reference solutions and typical wrong answers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant

Adapter = tuple[Tensor, Tensor, float]

# --- library.count --------------------------------------------------------------------------------


def count(model: nn.Module) -> tuple[int, int]:
    trainable = total = 0
    for parameter in model.parameters():
        numbers = parameter.numel() * (2 if parameter.dtype == torch.uint8 else 1)
        total += numbers
        trainable += numbers if parameter.requires_grad else 0
    return trainable, total


def _count_shared_twice(model):
    trainable, total = count(model)
    shared = [p for _, p in model.named_parameters(remove_duplicate=False)]
    return trainable, total + sum(p.numel() for p in shared) - sum(
        p.numel() for p in model.parameters()
    )


def _count_frozen_only(model):
    trainable, total = count(model)
    return trainable, total - trainable


COUNT = (
    Mutant(
        "shared-counted-twice",
        _count_shared_twice,
        "the weight that embedding and head share is counted twice",
        "Use model.parameters(), which gives a shared parameter once",
    ),
    Mutant(
        "packed-counted-once",
        lambda model: (count(model)[0], sum(p.numel() for p in model.parameters())),
        "a byte of packed codes is counted as one parameter; it holds two",
        "Count twice the elements of a parameter of dtype torch.uint8",
    ),
    Mutant(
        "buffers-counted",
        lambda model: (count(model)[0], count(model)[1] + sum(b.numel() for b in model.buffers())),
        "buffers are counted too; nobody trains a table of positions",
        "Count model.parameters() and leave model.buffers() out",
    ),
    Mutant(
        "all-is-frozen-only",
        _count_frozen_only,
        "the second number leaves out what trains: the percentage would be of the base alone",
        "Count every parameter, those that train too",
    ),
    Mutant(
        "everything-trains",
        lambda model: (count(model)[1], count(model)[1]),
        "frozen parameters are counted as trainable",
        "Count a parameter as trainable if its requires_grad is set",
    ),
)

# --- library.combine ------------------------------------------------------------------------------


def combine(adapters: list[Adapter], weights: list[float], how: str) -> tuple[Tensor, Tensor]:
    factors = [weight * scaling for weight, (_, _, scaling) in zip(weights, adapters, strict=True)]
    if how == "cat":
        A = torch.cat([f * A for f, (A, _, _) in zip(factors, adapters, strict=True)])
        return A, torch.cat([B for _, B, _ in adapters], dim=1)
    if how == "linear":
        roots = [math.sqrt(abs(f)) for f in factors]
        signed = [math.copysign(root, f) for root, f in zip(roots, factors, strict=True)]
        A = sum(f * A for f, (A, _, _) in zip(signed, adapters, strict=True))
        return A, sum(f * B for f, (_, B, _) in zip(roots, adapters, strict=True))
    delta = sum(f * (B @ A) for f, (A, B, _) in zip(factors, adapters, strict=True))
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    rank = max(len(A) for A, _, _ in adapters)
    return Vh[:rank], U[:, :rank] * S[:rank]


def _with_linear(linear):
    """The solution, with another way of `linear`."""

    def answer(adapters, weights, how):
        return linear(adapters, weights) if how == "linear" else combine(adapters, weights, how)

    return answer


def _linear_by(weigh):
    """A and B, each a sum with factors that ``weigh`` gives for weight · scaling."""

    def linear(adapters, weights):
        factors = [weigh(w * scaling) for w, (_, _, scaling) in zip(weights, adapters, strict=True)]
        A = sum(f * A for (f, _), (A, _, _) in zip(factors, adapters, strict=True))
        return A, sum(f * B for (_, f), (_, B, _) in zip(factors, adapters, strict=True))

    return linear


def _signed_root(factor):
    return math.copysign(math.sqrt(abs(factor)), factor)


def _linear_exact(adapters, weights):
    """The exact sum, cut to the rank by SVD: not what `linear` computes."""
    return combine(adapters, weights, "svd")


def _combine_unscaled(adapters, weights, how):
    return combine([(A, B, 1.0) for A, B, _ in adapters], weights, how)


def _combine_cat_both(adapters, weights, how):
    if how != "cat":
        return combine(adapters, weights, how)
    factors = [weight * scaling for weight, (_, _, scaling) in zip(weights, adapters, strict=True)]
    A = torch.cat([f * A for f, (A, _, _) in zip(factors, adapters, strict=True)])
    return A, torch.cat([f * B for f, (_, B, _) in zip(factors, adapters, strict=True)], dim=1)


def _combine_svd_full(adapters, weights, how):
    return combine(adapters, weights, "cat" if how == "svd" else how)


def _combine_svd_without_values(adapters, weights, how):
    A, B = combine(adapters, weights, how)
    return (A, B / B.norm(dim=0)) if how == "svd" else (A, B)


COMBINE = (
    Mutant(
        "no-roots",
        _with_linear(_linear_by(lambda f: (f, abs(f)))),
        "with linear, A and B both have the whole factor, so it acts squared in the product",
        "Give A and B the square root of the factor each",
    ),
    Mutant(
        "sign-on-both",
        _with_linear(_linear_by(lambda f: (_signed_root(f), _signed_root(f)))),
        "a negative weight has its sign in A and in B, where the two cancel",
        "Put the sign into one of the two only",
    ),
    Mutant(
        "sign-lost",
        _with_linear(_linear_by(lambda f: (math.sqrt(abs(f)), math.sqrt(abs(f))))),
        "a negative weight adds what it should subtract: its sign is lost under the root",
        "Put the sign of the factor in front of one of the roots",
    ),
    Mutant(
        "linear-is-exact",
        _with_linear(_linear_exact),
        "linear adds up products; PEFT adds up the A and the B, which also mixes one with another",
        "For linear, sum the A, and sum the B; there is no product inside",
    ),
    Mutant(
        "scaling-forgotten",
        _combine_unscaled,
        "the adapters' own scalings are left out; the new adapter has scaling 1",
        "Use weight * scaling of each adapter as its factor",
    ),
    Mutant(
        "cat-weighs-twice",
        _combine_cat_both,
        "with cat, A and B both have the factor, so it acts squared in the product",
        "Scale the rows of A only, and leave B as it is",
    ),
    Mutant(
        "svd-not-cut",
        _combine_svd_full,
        "with svd, the new rank is the sum of the ranks; it should be the largest of them",
        "Keep the first max(r) singular vectors",
    ),
    Mutant(
        "singular-values-lost",
        _combine_svd_without_values,
        "with svd, the singular values are missing: all directions come out equally strong",
        "Multiply the columns of U by S",
    ),
)

# --- library.tied ---------------------------------------------------------------------------------


@torch.no_grad()
def tied(embedding: nn.Embedding, head: nn.Linear, delta: Tensor) -> None:
    head.weight = nn.Parameter(head.weight + delta)


@torch.no_grad()
def _tied_in_place(embedding, head, delta):
    head.weight += delta


@torch.no_grad()
def _tied_replaced(embedding, head, delta):
    head.weight = nn.Parameter(embedding.weight + delta)


@torch.no_grad()
def _tied_again(embedding, head, delta):
    head.weight = nn.Parameter(head.weight + delta)
    embedding.weight = head.weight


@torch.no_grad()
def _tied_clone_lost(embedding, head, delta):
    head.weight = nn.Parameter(head.weight.clone())
    head.weight.clone().add_(delta)


@torch.no_grad()
def _tied_moved_embedding(embedding, head, delta):
    before = embedding.weight.clone()
    head.weight += delta
    embedding.weight = nn.Parameter(before - delta)


TIED = (
    Mutant(
        "merged-in-place",
        _tied_in_place,
        "the embedding has changed with the head: the two share one tensor, and it was changed",
        "Give the head a new parameter: head.weight = nn.Parameter(...)",
    ),
    Mutant(
        "always-from-the-embedding",
        _tied_replaced,
        "the head starts from the embedding's weight also where it has a weight of its own",
        "Start from head.weight, tied or not",
    ),
    Mutant(
        "tied-again",
        _tied_again,
        "the embedding is tied to the merged head, so it has changed as well",
        "Leave embedding.weight alone",
    ),
    Mutant(
        "update-lost",
        _tied_clone_lost,
        "the two are apart, and the update is nowhere: it was added to another copy",
        "Put the sum into the parameter that the head keeps",
    ),
    Mutant(
        "subtracted-from-the-embedding",
        _tied_moved_embedding,
        "the update is taken off the embedding, which was to stay as it is",
        "Leave embedding.weight alone, and give the head a new parameter",
    ),
)
