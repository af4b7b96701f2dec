"""Lesson 04, several texts in one row: reference solution and typical wrong answers."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, slip


def pack(sequences: list[list[int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    ids = torch.tensor([token for sequence in sequences for token in sequence])
    owner = torch.tensor([i for i, sequence in enumerate(sequences) for _ in sequence])
    positions = torch.tensor([at for sequence in sequences for at in range(len(sequence))])
    labels = ids.masked_fill(positions == 0, -100)
    mask = (owner[:, None] == owner).tril()
    return ids, labels, positions, mask


LABELS = "ids.masked_fill(positions == 0, -100)"
MASK = "(owner[:, None] == owner).tril()"
OWNER = "[i for i, sequence in enumerate(sequences) for _ in sequence]"
RETURNED = "return ids, labels, positions, mask"
LAST = "positions.diff(append=positions.new_zeros(1)) <= 0"
FIRST_TOKEN = "Label the first token of every sequence -100, and no other"
FROM_ZERO = "Count positions from 0 in each sequence"
SAME_TEXT = "Two positions see each other only if they belong to the same sequence"
LOWER = "Keep the lower triangle of the mask, diagonal included: tril()"


def _border_by_the_previous_length(sequences):
    ids, labels, positions, mask = pack(sequences)
    mask, start = torch.zeros_like(mask), 0
    for sequence in sequences:
        block = slice(start, start + len(sequence))
        mask[block, block] = torch.ones(len(sequence), len(sequence)).tril().bool()
        start = len(sequence)
    return ids, labels, positions, mask


PACK: tuple[Mutant, ...] = (
    slip(
        pack,
        "labels-across-borders",
        LABELS,
        "ids.clone()",
        "the first token of a sequence has a label, so the one before it has to be predicted "
        "from another text",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "last-token-masked",
        "positions == 0",
        LAST,
        "the last token of each sequence is masked; labels are not shifted here, so it is the "
        "first one that nothing may predict",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "positions-go-on",
        RETURNED,
        "return ids, labels, torch.arange(len(ids)), mask",
        "positions run through: the second text starts where the first one ends",
        FROM_ZERO,
    ),
    slip(
        pack,
        "causal-only",
        "owner[:, None] == owner",
        "owner[:, None] >= owner",
        "the mask is causal and has no borders: each text attends to those packed before it",
        SAME_TEXT,
    ),
    slip(
        pack,
        "not-causal",
        ".tril()",
        "",
        "a position sees later tokens of its own sequence, also the one it has to predict: the "
        "mask is not causal",
        LOWER,
    ),
    slip(
        pack,
        "first-of-the-row-only",
        "positions == 0",
        "torch.arange(len(ids)) == 0",
        "only the first token of the row has no label: the first token of every text has none, as "
        "no earlier token of the same text can predict it",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "labels-shifted",
        LABELS,
        "ids.masked_fill(positions == 0, -100).roll(-1)",
        "the labels are shifted to the next token, the last of each text masked; here labels[t] "
        "belongs to ids[t], they are not shifted",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "labels-shifted-across",
        LABELS,
        "torch.cat([ids[1:], ids.new_full((1,), -100)])",
        "the labels are shifted to the next token, also across the borders of the texts; here "
        "labels[t] belongs to ids[t], they are not shifted",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "labels-minus-one",
        "-100",
        "-1",
        "the first tokens are labelled −1, which the loss does not skip: −100 is no label",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "labels-zero",
        "-100",
        "0",
        "the first tokens are labelled 0, which is a token: −100 is no label",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "labels-in-the-ids",
        RETURNED,
        "return labels, labels, positions, mask",
        "the −100 is in the ids, too: ids and labels are one tensor, of which no copy was made",
        "Make the labels from a copy: ids.clone()",
    ),
    slip(
        pack,
        "no-label-by-value",
        "positions == 0",
        "torch.isin(ids, torch.tensor([sequence[0] for sequence in sequences]))",
        "a token has no label wherever the first token of a text comes again: it is compared by "
        "value, and only the first place of a text has none",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "no-label-by-value-in-its-text",
        "positions == 0",
        "ids == torch.tensor([sequence[0] for sequence in sequences])[owner]",
        "a token has no label wherever the first token of its text comes again: it is compared by "
        "value, and only the first place of a text has none",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "first-and-last-masked",
        "positions == 0",
        f"(positions == 0) | ({LAST})",
        "the last token of each text has no label, either: only its first token has none",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "two-labels-masked",
        "positions == 0",
        "positions <= 1",
        "the second token of a text has no label, either (off by one): the first one can predict "
        "it",
        FIRST_TOKEN,
    ),
    slip(
        pack,
        "positions-from-one",
        RETURNED,
        "return ids, labels, positions + 1, mask",
        "the positions start at 1, one too many: they are counted from 0 in each text",
        FROM_ZERO,
    ),
    slip(
        pack,
        "positions-backwards",
        "range(len(sequence))",
        "range(len(sequence))[::-1]",
        "the positions are counted backwards in each text",
        FROM_ZERO,
    ),
    slip(
        pack,
        "number-of-the-text",
        RETURNED,
        "return ids, labels, owner, mask",
        "the number of each token's text is returned where its position belongs",
        FROM_ZERO,
    ),
    slip(
        pack,
        "own-position-hidden",
        ".tril()",
        ".tril(-1)",
        "a position does not see itself: the diagonal of the mask is False (off by one)",
        LOWER,
    ),
    slip(
        pack,
        "next-position-seen",
        ".tril()",
        ".tril(1)",
        "a position sees the next token of its text, which it has to predict (off by one)",
        LOWER,
    ),
    slip(
        pack,
        "upside-down",
        ".tril()",
        ".triu()",
        "the mask is transposed (the upper triangle): each position sees itself and what comes "
        "after it, where mask[i, j] says whether i may see j",
        LOWER,
    ),
    slip(
        pack,
        "inverted",
        MASK,
        "~(owner[:, None] == owner).tril()",
        "the mask is inverted: True is where a position may not attend",
        "mask[i, j] says whether position i may attend to position j: True where it may",
    ),
    slip(
        pack,
        "other-texts-only",
        "owner[:, None] == owner",
        "owner[:, None] != owner",
        "each text sees all texts before it but not itself: == is needed, not !=",
        SAME_TEXT,
    ),
    slip(
        pack,
        "texts-of-one-length-are-one",
        OWNER,
        "[len(sequence) for sequence in sequences for _ in sequence]",
        "texts of the same length are taken for one and see each other: number the texts instead",
        SAME_TEXT,
    ),
    slip(
        pack,
        "equal-texts-are-one",
        OWNER,
        "[sequences.index(sequence) for sequence in sequences for _ in sequence]",
        "equal texts are taken for one and see each other: list.index finds the first of two "
        "identical texts",
        "Number the texts with enumerate",
    ),
    Mutant(
        "border-by-the-previous-length",
        _border_by_the_previous_length,
        "a text's block of the mask starts at the length of the previous text: it starts after all "
        "earlier ones, which matters from the third text on (the offset is not added up)",
        "Add up the lengths: start += len(sequence)",
    ),
    slip(
        pack,
        "previous-text-seen",
        "owner[:, None] == owner",
        "(owner[:, None] - owner <= 1)",
        "each text attends to the one packed before it, too: the border between them is missing",
        SAME_TEXT,
    ),
    slip(
        pack,
        "first-text-seen",
        "owner[:, None] == owner",
        "(owner[:, None] == owner) | (owner == 0)",
        "each text attends to the first one, too: the border between them is missing",
        SAME_TEXT,
    ),
    slip(
        pack,
        "two-texts",
        "    ids = torch",
        "    sequences = sequences[:2]\n    ids = torch",
        "only the first two texts are packed: there may be any number of texts, all of them count",
        "Loop over all sequences",
    ),
    slip(
        pack,
        "short-texts-left-out",
        "    ids = torch",
        "    sequences = [texts for texts in sequences if len(texts) > 1]\n    ids = torch",
        "a text of a single token is left out: it has no label, but it is in the row",
        "Pack all texts, also those of one token",
    ),
    slip(
        pack,
        "last-text-left-out",
        "    ids = torch",
        "    sequences = sequences[:-1] or sequences\n    ids = torch",
        "the last text is left out: all texts are packed",
        "Loop over all sequences",
    ),
    slip(
        pack,
        "sorted",
        "    ids = torch",
        "    sequences = sorted(sequences, key=len)\n    ids = torch",
        "the texts are in another order, by length: they come one after the other as given",
        "Leave the texts in their order",
    ),
)
