"""Lesson 08, a prefix as a cache holds it: reference solution, typical wrong answers, symptoms."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip


def shapes(prefix: Tensor, layers: int, heads: int, batch: int) -> tuple[Tensor, Tensor]:
    split = prefix.unflatten(1, (layers, 2, heads, -1))  # (T, L, 2, H, D)
    keys_values = split.permute(2, 1, 3, 0, 4)  # (2, L, H, T, D)
    keys, values = keys_values.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return keys, values


SPLIT = "prefix.unflatten(1, (layers, 2, heads, -1))"
MOVED = "split.permute(2, 1, 3, 0, 4)"
EXPANDED = "keys_values.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)"
RETURNED = "return keys, values"
ROW = "Split each row into (layers, 2, heads, head size), in this order"
PERMUTE = "Split with unflatten first, then move the axes with permute; reshape moves nothing"


def _row(id: str, sizes: str, moved: str, diagnosis: str) -> Mutant:
    """Each row is read as axes in another order, and these are moved to where they belong."""
    return slip(
        shapes,
        id,
        SPLIT,
        f"prefix.unflatten(1, ({sizes}))",
        f"{diagnosis}; a row holds layer after layer, in each first the keys, then the values, "
        "and in each of these head after head",
        ROW,
        (MOVED, f"split.permute({moved})"),
    )


def _matrix(id: str, sizes: str, moved: str) -> Mutant:
    """The whole matrix is read at once, with the tokens in another place."""
    return slip(
        shapes,
        id,
        SPLIT,
        f"prefix.reshape({sizes})",
        f"the shape is right, but the matrix is read as ({sizes}): reshape keeps the order in "
        "memory, so that tokens, layers and heads are mixed; axes have to be permuted",
        PERMUTE,
        (MOVED, f"split.permute({moved})"),
    )


def _moved(id: str, moved: str, axes: str) -> Mutant:
    """The row is read rightly, and only a part of the axes is moved before a reshape."""
    return slip(
        shapes,
        id,
        MOVED,
        f"split.permute({moved}).reshape(2, layers, heads, len(prefix), -1)",
        f"{axes} change places by reshape, which keeps the order in memory and mixes them; permute "
        "or transpose moves axes",
        PERMUTE,
    )


SHAPES: tuple[Mutant, ...] = (
    slip(
        shapes,
        "keys-and-values-swapped",
        RETURNED,
        "return values, keys",
        "keys and values are swapped: in each layer the keys come first, in the row and in the "
        "result",
        "Of the two in (T, L, 2, H, D) the first are the keys",
    ),
    _row(
        "two-before-layers",
        "2, layers, heads, -1",
        "1, 2, 3, 0, 4",
        "a row is read as all keys, then all values, a half each",
    ),
    _row(
        "head-size-before-heads",
        "layers, 2, -1, heads",
        "2, 1, 4, 0, 3",
        "numbers of different heads are mixed: head size and heads are split in the wrong order",
    ),
    _matrix("reshaped-not-permuted", "2, layers, heads, len(prefix), -1", "0, 1, 2, 3, 4"),
    slip(
        shapes,
        "tokens-reversed",
        SPLIT,
        "prefix.flip(0).unflatten(1, (layers, 2, heads, -1))",
        "the virtual tokens are in reverse order (flipped)",
        "Keep row t of the prefix as virtual token t",
    ),
    slip(
        shapes,
        "detached",
        SPLIT,
        "prefix.detach().unflatten(1, (layers, 2, heads, -1))",
        "the values are right, but no gradient reaches the prefix: it is detached, or copied into "
        "new tensors, and does not train",
        "Leave out detach(), .data, torch.tensor and no_grad(): the prefix is what trains",
    ),
    slip(
        shapes,
        "keys-twice",
        RETURNED,
        "return keys, keys",
        "the keys are returned twice, also where the values belong",
        "Of the two in (T, L, 2, H, D) the second are the values",
    ),
    slip(
        shapes,
        "values-twice",
        RETURNED,
        "return values, values",
        "the values are returned twice, also where the keys belong",
        "Of the two in (T, L, 2, H, D) the first are the keys",
    ),
    _row(
        "heads-before-two",
        "layers, heads, 2, -1",
        "3, 1, 2, 0, 4",
        "a row is read as heads first and then keys and values within a head",
    ),
    _row(
        "heads-before-layers",
        "heads, layers, 2, -1",
        "3, 2, 1, 0, 4",
        "a row is read as heads first, with the layers within a head",
    ),
    _row(
        "heads-first-two-second",
        "heads, 2, layers, -1",
        "2, 3, 1, 0, 4",
        "a row is read from its end: heads first, then keys and values, then layers",
    ),
    _row(
        "two-heads-layers",
        "2, heads, layers, -1",
        "1, 3, 2, 0, 4",
        "a row is read as keys and values first, with layers last",
    ),
    _row(
        "two-first-size-before-heads",
        "2, layers, -1, heads",
        "1, 2, 4, 0, 3",
        "a row is read as all keys, then all values, and head size and heads in the wrong order",
    ),
    _row(
        "two-last",
        "layers, heads, -1, 2",
        "4, 1, 2, 0, 3",
        "keys and values are taken in turn, number by number",
    ),
    _matrix("reshaped-by-layers", "layers, 2, heads, len(prefix), -1", "1, 0, 2, 3, 4"),
    _matrix("reshaped-tokens-before-heads", "layers, 2, len(prefix), heads, -1", "1, 0, 3, 2, 4"),
    _matrix("reshaped-two-tokens-heads", "2, layers, len(prefix), heads, -1", "0, 1, 3, 2, 4"),
    _matrix("reshaped-layers-tokens", "layers, len(prefix), 2, heads, -1", "2, 0, 3, 1, 4"),
    _matrix("reshaped-two-tokens", "2, len(prefix), layers, heads, -1", "0, 2, 3, 1, 4"),
    _matrix("reshaped-heads-first", "heads, layers, 2, len(prefix), -1", "2, 1, 0, 3, 4"),
    _moved("heads-reshaped", "2, 1, 0, 3, 4", "heads and tokens"),
    _moved("layers-reshaped", "2, 0, 1, 3, 4", "tokens, layers and heads"),
    _moved("two-reshaped", "1, 2, 0, 3, 4", "layers, and keys and values,"),
    _moved("two-and-heads-reshaped", "1, 0, 2, 3, 4", "tokens, and keys and values,"),
    slip(
        shapes,
        "first-text-only",
        RETURNED,
        "only = torch.eye(batch, 1)[..., None, None].to(prefix)\n"
        "    return keys * only, values * only",
        "only the first text of the batch has the prefix: for the others everything is zero",
        "Use expand over the batch: every text gets the same prefix",
    ),
    slip(
        shapes,
        "batch-mixed-with-tokens",
        SPLIT,
        "prefix.repeat_interleave(batch, dim=0).view(batch, len(prefix), layers, 2, heads, -1)",
        "rows are repeated for the batch, and reshape puts the repetitions into the tokens' axis: "
        "texts and tokens are mixed, and no text has the whole prefix in order",
        "Move the axes first, then unsqueeze and expand over the batch",
        (MOVED, "split.permute(3, 2, 0, 4, 1, 5)"),
        (EXPANDED, "keys_values"),
    ),
    slip(
        shapes,
        "no-batch",
        EXPANDED,
        "keys_values",
        "the axis of the batch is missing: the result has the shape (L, H, T, D)",
        "unsqueeze the second axis and expand it over the batch",
    ),
    slip(
        shapes,
        "batch-of-one",
        EXPANDED,
        "keys_values.unsqueeze(2)",
        "the batch has size 1: the prefix has to be there for each text, expanded over the batch",
        "Expand that axis over the batch",
    ),
    slip(
        shapes,
        "batch-in-front",
        EXPANDED,
        "keys_values.unsqueeze(1).expand(-1, batch, -1, -1, -1, -1)",
        "the batch is the first axis, in front of the layers; the shape is (L, B, H, T, D)",
        "Put the batch behind the layers: unsqueeze(2)",
    ),
    slip(
        shapes,
        "first-layer-for-all",
        "keys_values.unsqueeze(2)",
        "keys_values[:, :1].expand_as(keys_values).unsqueeze(2)",
        "all layers get the keys and values of the first layer",
        "Keep the axis of the layers: each layer has a prefix of its own",
    ),
    slip(
        shapes,
        "first-head-for-all",
        "keys_values.unsqueeze(2)",
        "keys_values[:, :, :1].expand_as(keys_values).unsqueeze(2)",
        "all heads get the numbers of the first head",
        "Keep the axis of the heads: each head has keys and values of its own",
    ),
)


def _both(outcome) -> list[Tensor]:
    return [part for part in (outcome["keys"], outcome["values"]) if isinstance(part, Tensor)]


def _same_shapes(case, expected, observed) -> bool:
    return [part.shape for part in _both(observed)] == [part.shape for part in _both(expected)]


def _mixed(case, expected, observed) -> bool:
    """All numbers of the prefix are there, for each text of the batch, in some order."""
    if not _same_shapes(case, expected, observed):
        return False
    seen, right = (torch.cat([p.flatten() for p in _both(o)]) for o in (observed, expected))
    return agree(right.sort().values, seen.sort().values)


def _another_batch(case, expected, observed) -> bool:
    parts = _both(observed)
    return any(p.dim() != 5 or p.shape[1] != case["batch"] for p in parts)


def _exchanged(case, expected, observed) -> bool:
    parts, right = _both(observed), _both(expected)
    return all(
        p.shape != r.shape and sorted(p.shape) == sorted(r.shape)
        for p, r in zip(parts, right, strict=False)
    )


def _no_gradient(part: str):
    def when(case, expected, observed) -> bool:
        gradient = observed[f"gradient through the {part}"]
        return agree(expected[part], observed[part]) and not gradient.any()

    return when


SHAPES_SYMPTOMS = (
    Symptom(
        "keys",
        "the axes are there, but in another order than (L, B, H, T, D): layers, batch, heads, "
        "tokens, head size",
        "Name all axes, then bring them into this order with permute",
        _exchanged,
    ),
    Symptom(
        "keys",
        "the axis of the batch is missing or has another size: every text of the batch needs the "
        "prefix, as the second of five axes, (L, B, H, T, D)",
        "unsqueeze that axis and expand it over the batch",
        _another_batch,
    ),
    Symptom(
        "keys",
        "every number of the prefix is there, but in another order: axes are read in the wrong "
        "order or reshaped where they have to be permuted, so tokens, layers, heads, keys and "
        "values are mixed",
        f"{ROW}. {PERMUTE}",
        _mixed,
        decides=True,
    ),
    Symptom(
        "gradient through the keys",
        "no gradient reaches the prefix from the keys: they are detached or a new tensor",
        "Leave out detach(), .data, torch.tensor and no_grad(): the prefix is what trains",
        _no_gradient("keys"),
    ),
    Symptom(
        "gradient through the values",
        "no gradient reaches the prefix from the values: they are detached or a new tensor",
        "Leave out detach(), .data, torch.tensor and no_grad(): the prefix is what trains",
        _no_gradient("values"),
    ),
)
