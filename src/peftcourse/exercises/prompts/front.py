"""Lesson 08, the prompt in front of a batch: reference solution, wrong answers, symptoms."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip


def concat(prompt: Tensor, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    batch, tokens = len(embeddings), len(prompt)
    front = prompt.expand(batch, -1, -1)
    ignored = labels.new_full((batch, tokens), -100)
    return torch.cat([front, embeddings], dim=1), torch.cat([ignored, labels], dim=1)


FILLED = "labels.new_full((batch, tokens), -100)"
SKIPPED = "Use -100 for all T positions of the prompt: the loss skips it"
LABELS_FIRST = "Put the -100 in front, where the prompt is"


CONCAT: tuple[Mutant, ...] = (
    slip(
        concat,
        "prompt-behind",
        "[front, embeddings]",
        "[embeddings, front]",
        "the prompt comes after the text, where no token of the text can see it; it goes in front",
        "Put the prompt first: torch.cat([prompt, embeddings], dim=1)",
    ),
    slip(
        concat,
        "labels-filled-behind",
        "[ignored, labels]",
        "[labels, ignored]",
        "the labels are filled up at their end, so each stands T positions before its token; the "
        "prompt's labels go in front",
        LABELS_FIRST,
    ),
    slip(
        concat,
        "labels-zero",
        FILLED,
        "labels.new_zeros((batch, tokens))",
        "the prompt's labels are 0, so the model learns to predict token 0 there; −100 is skipped",
        SKIPPED,
    ),
    slip(
        concat,
        "labels-minus-one",
        "-100",
        "-1",
        "the prompt's labels are −1, which the loss does not skip; it ignores −100",
        SKIPPED,
    ),
    slip(
        concat,
        "labels-plus-100",
        "-100",
        "100",
        "the prompt's labels are +100, a token: the minus sign of −100 is missing",
        SKIPPED,
    ),
    slip(
        concat,
        "first-row-only",
        "prompt.expand(batch, -1, -1)",
        "prompt * torch.eye(batch, 1)[..., None].to(prompt)",
        "only the first text of the batch has the prompt; the others have zeros",
        "Use prompt.expand(batch, -1, -1)",
    ),
    slip(
        concat,
        "detached",
        "prompt.expand",
        "prompt.detach().expand",
        "the values are right, but no gradient reaches the prompt: it is detached and does not "
        "train",
        "Leave out detach(), .data and torch.no_grad(): the prompt is what trains",
    ),
    slip(
        concat,
        "rows-mixed",
        "prompt.expand(batch, -1, -1)",
        "prompt.repeat_interleave(batch, dim=0).view(batch, tokens, -1)",
        "the rows of the prompt are repeated one by one (repeat_interleave) and then mixed by the "
        "reshape: every text gets the whole prompt, in order",
        "Use prompt.expand(batch, -1, -1)",
    ),
    slip(
        concat,
        "labels-shifted",
        "[ignored, labels]",
        "[ignored, labels[:, 1:], labels.new_full((batch, 1), -100)]",
        "the labels of the text are shifted by one position; they stay in line with their tokens, "
        "the model shifts them itself",
        "Leave the labels of the text as they are",
    ),
    slip(
        concat,
        "labels-shifted-on",
        "[ignored, labels]",
        "[ignored, ignored[:, :1], labels[:, :-1]]",
        "the labels of the text are shifted by one position, one too far to the right; they stay "
        "in line with their tokens",
        "Leave the labels of the text as they are",
    ),
    slip(
        concat,
        "first-label-skipped",
        "[ignored, labels]",
        "[ignored, ignored[:, :1], labels[:, 1:]]",
        "the first token of the text is skipped, too: its label is −100, one too many (off by one)",
        SKIPPED,
    ),
    slip(
        concat,
        "last-label-a-token",
        "[ignored, labels]",
        "[ignored[:, 1:], labels[:, :1], labels]",
        "the last label of the prompt is a token of the text: all T labels there are −100",
        SKIPPED,
    ),
    slip(
        concat,
        "all-labels-skipped",
        "[ignored, labels]",
        "[ignored, torch.full_like(labels, -100)]",
        "the labels of the text are lost: all of them are −100, and nothing is left to learn",
        "Keep the labels of the text behind those of the prompt",
    ),
    slip(
        concat,
        "prompt-reversed",
        "prompt.expand",
        "prompt.flip(0).expand",
        "the prompt is in reverse order (flipped)",
        "Leave the rows of the prompt in their order",
    ),
    slip(
        concat,
        "mean-of-the-prompt",
        "prompt.expand(batch",
        "prompt.mean(dim=0).expand(tokens, -1).expand(batch",
        "each soft token is the mean of the prompt: every one goes in as it is",
        "Use prompt.expand(batch, -1, -1)",
    ),
    slip(
        concat,
        "added",
        "[front, embeddings]",
        "[front, embeddings + prompt.mean(dim=0)]",
        "the prompt is added to the embeddings of the text: they stay as they are, behind it",
        "Leave the embeddings of the text as they are",
    ),
)


def _shorter(case, expected, observed) -> bool:
    value, right = observed["embeddings"], expected["embeddings"]
    return isinstance(value, Tensor) and value.shape != right.shape


def _labels_of_another_length(case, expected, observed) -> bool:
    value, right = observed["labels"], expected["labels"]
    return isinstance(value, Tensor) and value.shape != right.shape


def _part_wrong(name: str, of_prompt: bool):
    """Whether the part before the text, or the text, is wrong, where the shape is right."""

    def when(case, expected, observed) -> bool:
        value, right = observed[name], expected[name]
        if not isinstance(value, Tensor) or value.shape != right.shape:
            return False
        tokens = len(case["prompt"])
        here = slice(None, tokens) if of_prompt else slice(tokens, None)
        return not agree(right[:, here], value[:, here])

    return when


def _without_gradient(case, expected, observed) -> bool:
    same = agree(expected["embeddings"], observed["embeddings"])
    return same and not observed["gradient of the prompt"].any()


CONCAT_SYMPTOMS = (
    Symptom(
        "embeddings",
        "the embeddings do not have the shape (B, T + n, d): the prompt goes in front of every "
        "text of the batch and makes it longer, it replaces nothing",
        "torch.cat([prompt.expand(batch, -1, -1), embeddings], dim=1)",
        _shorter,
    ),
    Symptom(
        "labels",
        "the labels do not have the shape (B, T + n): each of the T virtual tokens needs a label "
        "of −100 in front, however many there are",
        "labels.new_full((batch, tokens), -100) before the labels, with tokens = len(prompt)",
        _labels_of_another_length,
    ),
    Symptom(
        "labels",
        "the first T labels are not all −100: the loss skips the prompt only where the label is "
        "−100",
        SKIPPED,
        _part_wrong("labels", of_prompt=True),
    ),
    Symptom(
        "labels",
        "the labels of the text have changed or moved: they stay as they are, in line with their "
        "tokens, behind those of the prompt",
        "Leave the labels of the text as they are",
        _part_wrong("labels", of_prompt=False),
    ),
    Symptom(
        "embeddings",
        "the first T embeddings are not the prompt, the same in every text and in order",
        "Use prompt.expand(batch, -1, -1), in front of the embeddings",
        _part_wrong("embeddings", of_prompt=True),
    ),
    Symptom(
        "embeddings",
        "the embeddings of the text have changed or moved: they come as they are, after the prompt",
        "torch.cat([front, embeddings], dim=1), and nothing added to them",
        _part_wrong("embeddings", of_prompt=False),
    ),
    Symptom(
        "gradient of the prompt",
        "no gradient reaches the prompt: it is detached or copied, and does not train",
        "Leave out detach(), .data, torch.tensor and no_grad(): the prompt is what trains",
        _without_gradient,
    ),
)
