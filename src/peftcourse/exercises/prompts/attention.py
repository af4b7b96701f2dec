"""Lesson 08, inside the layers: reference solutions and typical wrong answers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- prompts.shapes -------------------------------------------------------------------------------


def shapes(prefix: Tensor, layers: int, heads: int, batch: int) -> tuple[Tensor, Tensor]:
    split = prefix.unflatten(1, (layers, 2, heads, -1))  # (T, L, 2, H, D)
    keys_values = split.permute(2, 1, 3, 0, 4)  # (2, L, H, T, D)
    keys, values = keys_values.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return keys, values


def _shapes_swapped(prefix, layers, heads, batch):
    keys, values = shapes(prefix, layers, heads, batch)
    return values, keys


def _shapes_two_outside(prefix, layers, heads, batch):
    split = prefix.unflatten(1, (2, layers, heads, -1)).permute(1, 2, 3, 0, 4)
    keys, values = split.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return keys, values


def _shapes_head_size_outside(prefix, layers, heads, batch):
    split = prefix.unflatten(1, (layers, 2, -1, heads)).permute(2, 1, 4, 0, 3)
    keys, values = split.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return keys, values


def _shapes_reshaped(prefix, layers, heads, batch):
    split = prefix.reshape(2, layers, heads, len(prefix), -1)
    keys, values = split.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return keys, values


def _shapes_tokens_reversed(prefix, layers, heads, batch):
    return shapes(prefix.flip(0), layers, heads, batch)


SHAPES = (
    Mutant(
        "keys-and-values-swapped",
        _shapes_swapped,
        "keys and values are swapped",
        "Of the two in (T, L, 2, H, D) the first are the keys",
    ),
    Mutant(
        "two-before-layers",
        _shapes_two_outside,
        "the row is read as all keys, then all values; it holds keys and values layer by layer",
        "Split each row into (layers, 2, heads, head size), in this order",
    ),
    Mutant(
        "head-size-before-heads",
        _shapes_head_size_outside,
        "numbers of different heads are mixed: head size and heads are split in the wrong order",
        "Split each row into (layers, 2, heads, head size), in this order",
    ),
    Mutant(
        "reshaped-not-permuted",
        _shapes_reshaped,
        "the shape is right, but reshape keeps the order in memory: tokens and layers are mixed",
        "Split with unflatten first, then move the axes with permute",
    ),
    Mutant(
        "tokens-reversed",
        _shapes_tokens_reversed,
        "the virtual tokens are in reverse order",
        "Keep row t of the prefix as virtual token t",
    ),
)

# --- prompts.attend -------------------------------------------------------------------------------


def attend(q: Tensor, k: Tensor, v: Tensor, prefix_k: Tensor, prefix_v: Tensor) -> Tensor:
    heads = q.shape[1]
    keys, values = joined(k, prefix_k, heads), joined(v, prefix_v, heads)
    return _softmax(q, keys, prefix_k.shape[1]) @ values


def joined(given: Tensor, prefix: Tensor, heads: int) -> Tensor:
    """[P; K] with each head repeated for the query heads that share it: (B, H, T + n, D)."""
    both = torch.cat([prefix.expand(len(given), -1, -1, -1), given], dim=2)
    return both.repeat_interleave(heads // both.shape[1], dim=1)


def _softmax(q, keys, visible, scale=None):
    """Attention weights; every query sees the first ``visible`` keys and its own past."""
    scores = q @ keys.transpose(-1, -2) / (scale or math.sqrt(q.shape[-1]))
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(visible + 1)
    return scores.masked_fill(hidden, -math.inf).softmax(-1)


def _attend_tiled(q, k, v, prefix_k, prefix_v):
    groups = q.shape[1] // k.shape[1]
    tiled = [tensor.repeat(1, groups, 1, 1) for tensor in (k, v)]
    prefixes = [tensor.repeat(groups, 1, 1) for tensor in (prefix_k, prefix_v)]
    return attend(q, *tiled, *prefixes)


def _attend_causal_over_prefix(q, k, v, prefix_k, prefix_v):
    heads = q.shape[1]
    return _softmax(q, joined(k, prefix_k, heads), 0) @ joined(v, prefix_v, heads)


def _attend_not_causal(q, k, v, prefix_k, prefix_v):
    keys, values = (joined(*pair, q.shape[1]) for pair in ((k, prefix_k), (v, prefix_v)))
    return _softmax(q, keys, keys.shape[2]) @ values


def _attend_unscaled(q, k, v, prefix_k, prefix_v):
    heads = q.shape[1]
    weights = _softmax(q, joined(k, prefix_k, heads), prefix_k.shape[1], scale=1.0)
    return weights @ joined(v, prefix_v, heads)


def _attend_twice(q, k, v, prefix_k, prefix_v):
    """Two softmaxes, one over the prefix and one over the text, added."""
    tokens, heads = prefix_k.shape[1], q.shape[1]
    keys, values = joined(k, prefix_k, heads), joined(v, prefix_v, heads)
    to_prefix = _softmax(q, keys[:, :, :tokens], tokens) @ values[:, :, :tokens]
    return to_prefix + _softmax(q, keys[:, :, tokens:], 0) @ values[:, :, tokens:]


ATTEND = (
    Mutant(
        "heads-tiled",
        _attend_tiled,
        "query heads read the wrong keys: heads are repeated as a b a b and not as a a b b",
        "Use repeat_interleave along the heads: neighbouring query heads share keys and values",
    ),
    Mutant(
        "causal-over-prefix",
        _attend_causal_over_prefix,
        "the causal mask covers the prefix: the first tokens see only a part of it",
        "Let every token see all T virtual tokens, and of the text its own past",
    ),
    Mutant(
        "not-causal",
        _attend_not_causal,
        "tokens see what comes after them: there is no causal mask",
        "Hide key T + j from query i if j is greater than i",
    ),
    Mutant(
        "not-scaled",
        _attend_unscaled,
        "the scores are not divided by √D",
        "Divide q @ keysᵀ by the square root of the head size",
    ),
    Mutant(
        "two-softmaxes",
        _attend_twice,
        "prefix and text have a softmax each, so the weights of a token add up to 2",
        "Join the keys first, and take one softmax over all of them",
    ),
    Mutant(
        "values-zero",
        lambda q, k, v, prefix_k, prefix_v: attend(q, k, v, prefix_k, 0 * prefix_v),
        "the prefix takes attention and gives nothing back: its values are zero",
        "Put prefix_v in front of the values, as prefix_k in front of the keys",
    ),
    Mutant(
        "detached",
        lambda q, k, v, prefix_k, prefix_v: attend(q, k, v, prefix_k.detach(), prefix_v.detach()),
        "the output is right, but no gradient reaches the prefix",
        "Leave out detach(), .data and torch.no_grad(): the prefix is what trains",
    ),
)

# --- prompts.mass ---------------------------------------------------------------------------------


def mass(weights: Tensor, given: Tensor, tokens: int) -> float:
    share = weights[..., :tokens].sum(dim=-1).mean(dim=1)  # (B, n)
    return share[given.bool()].mean().item()


def _mass_by_row(weights, given, tokens):
    share = weights[..., :tokens].sum(dim=-1).mean(dim=1)
    rows = [row[seen].mean() for row, seen in zip(share, given.bool(), strict=True)]
    return torch.stack(rows).mean().item()


MASS = (
    Mutant(
        "mean-over-virtual-tokens",
        lambda weights, given, tokens: mass(weights, given, tokens) / tokens,
        "the mean over the {tokens} virtual tokens instead of their sum",
        "Add the weights of the virtual tokens: a share is of the whole",
    ),
    Mutant(
        "padding-included",
        lambda weights, given, tokens: mass(weights, torch.ones_like(given), tokens),
        "queries of the padding are averaged too",
        "Keep only the positions where the mask is 1",
    ),
    Mutant(
        "mean-of-texts",
        _mass_by_row,
        "a mean of each text's mean: tokens of short texts count more",
        "Take one mean over all tokens of the batch",
    ),
    Mutant(
        "the-text-instead",
        lambda weights, given, tokens: 1 - mass(weights, given, tokens),
        "this is the share of the text: the virtual tokens have the rest",
        "Take the first columns: weights[..., :tokens]",
    ),
    Mutant(
        "last-columns",
        lambda weights, given, tokens: mass(weights.flip(-1), given, tokens),
        "the last columns are added; virtual tokens are the first",
        "Take the first columns: weights[..., :tokens]",
    ),
)
