"""Lesson 08, the mask and the positions: reference solution, typical wrong answers, symptoms."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip


def mask(given: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    front = given.new_ones(len(given), tokens)
    widened = torch.cat([front, given], dim=1)
    seen = given.long().cumsum(dim=1)
    positions = (seen - 1).clamp(min=0) + tokens
    return widened, positions


FRONT = "given.new_ones(len(given), tokens)"
POSITIONS = "(seen - 1).clamp(min=0) + tokens"
VISIBLE = "Count visible tokens only, at least 0, and then add T: (cumsum - 1).clamp(min=0) + T"
ONES = "Put ones in front, T for each row: mask.new_ones(batch, tokens)"


MASK: tuple[Mutant, ...] = (
    slip(
        mask,
        "virtual-tokens-hidden",
        "given.new_ones",
        "given.new_zeros",
        "the virtual tokens are masked out (zeros, not ones), so the adapter changes nothing",
        ONES,
    ),
    slip(
        mask,
        "first-column-repeated",
        FRONT,
        "given[:, :1].repeat(1, tokens)",
        "padded rows do not see the virtual tokens: these took over the mask of the first column",
        "Put ones in front, whether or not a row is padded",
    ),
    slip(
        mask,
        "ones-behind",
        "[front, given]",
        "[given, front]",
        "the ones stand behind the text and not in front, so each row's mask is T columns off",
        "Put the ones first, then the mask that was given",
    ),
    slip(
        mask,
        "positions-not-shifted",
        " + tokens",
        "",
        "the text starts at position 0, which the virtual tokens have taken: T is not added",
        "Add the number of virtual tokens to the positions",
    ),
    slip(
        mask,
        "padding-counted",
        POSITIONS,
        "(0 * seen + 1).cumsum(dim=1) - 1 + tokens",
        "padding on the left is counted, so the same text has other positions in another batch; "
        "the first visible token is number T",
        VISIBLE,
    ),
    slip(
        mask,
        "padding-below-t",
        POSITIONS,
        "seen - 1 + tokens",
        "padding gets position T − 1 and not T: the count is −1 there and has to be clamped before "
        "T is added",
        VISIBLE,
    ),
    slip(
        mask,
        "first-text-at-t-plus-1",
        POSITIONS,
        "seen + tokens",
        "the text starts at position T + 1: its first visible token is number T (off by one)",
        VISIBLE,
    ),
    slip(
        mask,
        "clamped-to-one",
        POSITIONS,
        "seen.clamp(min=1) + tokens",
        "all positions are one too large: the first visible token is number T, not T + 1 (off by "
        "one)",
        VISIBLE,
    ),
    slip(
        mask,
        "first-text-at-t-minus-1",
        POSITIONS,
        "(seen - 1).clamp(min=0) + tokens - 1",
        "all positions are one too small: the first visible token is number T, not T − 1 (off by "
        "one)",
        VISIBLE,
    ),
    slip(
        mask,
        "padding-at-zero",
        POSITIONS,
        "((seen - 1) + tokens) * (given != 0)",
        "padding gets position 0; it gets T, as the first visible token",
        VISIBLE,
    ),
    slip(
        mask,
        "padding-at-one",
        POSITIONS,
        "((seen - 1) + tokens).masked_fill(given == 0, 1)",
        "padding gets position 1 (filled in); it gets T, as the first visible token",
        VISIBLE,
    ),
    slip(
        mask,
        "counted-down-the-batch",
        "cumsum(dim=1)",
        "cumsum(dim=0)",
        "positions are counted down the batch (dim=0), the wrong axis: they go along each row",
        "cumsum(dim=1) counts along a row",
    ),
    slip(
        mask,
        "first-row-for-all",
        POSITIONS,
        "((seen - 1).clamp(min=0) + tokens)[:1].expand(len(given), -1)",
        "all rows get the positions of the first row: each row has a padding of its own",
        "Count in every row: cumsum(dim=1)",
    ),
    slip(
        mask,
        "padding-opened",
        "[front, given]",
        "[front, torch.ones_like(given)]",
        "the padding is visible in the new mask: all of it is ones, and the mask that was given is "
        "lost",
        "Put ones in front of the mask, and leave that as it is",
    ),
    slip(
        mask,
        "mask-inverted",
        "[front, given]",
        "[front, 1 - given]",
        "the mask of the text is inverted: text is hidden and padding visible",
        "Leave the mask that was given as it is: 1 is visible",
    ),
    slip(
        mask,
        "positions-twice-shifted",
        " + tokens",
        " + 2 * tokens",
        "the number of virtual tokens is added twice to the positions: the text starts at T, not "
        "2T",
        VISIBLE,
    ),
    slip(
        mask,
        "row-length-minus",
        POSITIONS,
        "(given.long().flip(1).cumsum(dim=1).flip(1) - 1).clamp(min=0) + tokens",
        "positions are counted from the end of the text, backwards",
        VISIBLE,
    ),
    slip(
        mask,
        "own-tokens-at-least",
        POSITIONS,
        "(seen - 1).clamp(min=0) + 1",
        "the text starts at position 1: the virtual tokens have taken 0 to T − 1, so T is added",
        VISIBLE,
    ),
)


def _shape_of(name: str):
    def when(case, expected, observed) -> bool:
        value = observed[name]
        return isinstance(value, Tensor) and value.shape != expected[name].shape

    return when


def _mask_wrong(in_front: bool):
    def when(case, expected, observed) -> bool:
        value, right = observed["mask"], expected["mask"]
        if not isinstance(value, Tensor) or value.shape != right.shape:
            return False
        here = slice(None, case["tokens"]) if in_front else slice(case["tokens"], None)
        return not agree(right[:, here], value[:, here])

    return when


def _positions_wrong(of_text: bool):
    """Whether positions of the text are wrong, or those of the padding alone."""

    def when(case, expected, observed) -> bool:
        value, right = observed["positions"], expected["positions"]
        if not isinstance(value, Tensor) or value.shape != right.shape:
            return False
        text = case["mask"] != 0
        right_there = agree(right[text], value[text])
        # A batch without padding says nothing of how padding is treated.
        return right_there != of_text

    return when


MASK_SYMPTOMS = (
    Symptom(
        "mask",
        "the mask does not have the shape (B, T + n): there is room for all T virtual tokens in "
        "front, in every row",
        ONES,
        _shape_of("mask"),
    ),
    Symptom(
        "mask",
        "in front of the text not all T columns are ones: every row may see the virtual tokens, "
        "padded or not",
        ONES,
        _mask_wrong(in_front=True),
    ),
    Symptom(
        "mask",
        "the mask of the text has changed or moved: behind the T ones it stays as it was given, "
        "and padding stays hidden",
        "Put ones in front of the mask, and leave that as it is",
        _mask_wrong(in_front=False),
    ),
    Symptom(
        "positions",
        "the positions do not have the shape (B, n): those of the text are asked for, without the "
        "virtual tokens",
        VISIBLE,
        _shape_of("positions"),
    ),
    Symptom(
        "positions",
        "the text's positions are right, and those of the padding are not T: clamp the count "
        "before T is added",
        VISIBLE,
        _positions_wrong(of_text=False),
    ),
    Symptom(
        "positions",
        "the visible tokens of a row are not numbered T, T + 1, …, without the padding before them",
        VISIBLE,
        _positions_wrong(of_text=True),
    ),
)
