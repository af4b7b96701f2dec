"""Lesson 08: random inputs for each exercise.

All sizes of a case differ: batch, virtual tokens, tokens, heads, head size, layers. There are more
query heads than key/value heads, so that mixing them up shows.
"""

from __future__ import annotations

import torch
from torch import Generator

from peftcourse.exercises.draw import different, integer, normal
from peftcourse.exercises.observe import Case


def count(rng: Generator) -> list[Case]:
    cases = []
    for _ in range(3):
        kv_heads = integer(rng, 2, 8)
        head_size = 16 * integer(rng, 3, 9)
        cases.append(
            {
                "tokens": integer(rng, 10, 100),
                "layers": integer(rng, 11, 40),
                # Wider than its heads together, as in some models, so that d is no substitute.
                "hidden_size": 3 * kv_heads * head_size + 16 * integer(rng, 1, 9),
                "heads": 3 * kv_heads,
                "kv_heads": kv_heads,
                "head_size": head_size,
            }
        )
    return cases


def shapes(rng: Generator) -> list[Case]:
    cases = []
    for dtype, about in (
        (torch.float64, ""),
        (torch.float32, ""),
        (torch.float64, ""),
        (torch.float64, "the batch is a single text"),
    ):
        tokens, layers, heads, head_size, batch = different(rng, 5, 3, 8)
        cases.append(
            {
                "prefix": normal(rng, tokens, layers * 2 * heads * head_size, dtype=dtype),
                "layers": layers,
                "heads": heads,
                "batch": 1 if about else batch,
                "about": about,
            }
        )
    return cases


def attend(rng: Generator) -> list[Case]:
    """A prefix long and strong enough that every mistake changes the output."""
    cases = []
    for shared, single, dtype, about in (
        (2, False, torch.float64, ""),
        (3, False, torch.float32, "three query heads share one head of keys and values"),
        (1, True, torch.float64, "each query head has keys of its own, and there is one token"),
    ):
        batch, kv_heads, tokens, length, head_size = different(rng, 5, 2, 7)
        length += 2 + (length + 2 == shared * kv_heads)
        batch, length = (1, 1) if single else (batch, length)
        cases.append(
            {
                "q": normal(rng, batch, shared * kv_heads, length, head_size, dtype=dtype),
                "k": normal(rng, batch, kv_heads, length, head_size, dtype=dtype),
                "v": normal(rng, batch, kv_heads, length, head_size, dtype=dtype),
                "prefix_k": normal(rng, kv_heads, tokens, head_size, dtype=dtype),
                "prefix_v": normal(rng, kv_heads, tokens, head_size, dtype=dtype),
                "about": about,
            }
        )
    return cases


def mask(rng: Generator) -> list[Case]:
    """Rows padded on the left by different amounts, as in generation; one has no padding."""
    cases = []
    for dtype, tokens, about in (
        (torch.int64, integer(rng, 5, 7), ""),
        (torch.int64, integer(rng, 8, 10), ""),
        (torch.float32, integer(rng, 3, 4), "the mask holds floats"),
        (torch.int64, 1, "there is one virtual token"),
    ):
        batch, length = integer(rng, 3, 4), integer(rng, 8, 11)
        given = torch.ones(batch, length, dtype=dtype)
        for row in range(batch - 1):
            given[row, : row + 1 + integer(rng, 0, 1)] = 0
        cases.append({"mask": given, "tokens": tokens, "about": about})
    return cases


def concat(rng: Generator) -> list[Case]:
    """Labels with a masked question, as in a batch; the last row is padded too."""
    cases = []
    for dtype, question, single, about in (
        (torch.float64, 2, False, ""),
        (torch.float32, 2, False, ""),
        (torch.float64, 0, False, "the first token of the text has a label"),
        (torch.float64, 1, True, "there is one virtual token"),
    ):
        batch, tokens, length, width = different(rng, 4, 3, 9)
        length += 3
        labels = torch.randint(1, 50, (batch, length), generator=rng)
        labels[:, :question] = -100
        labels[-1, -1] = -100
        cases.append(
            {
                "prompt": normal(rng, 1 if single else tokens, width, dtype=dtype),
                "embeddings": normal(rng, batch, length, width, dtype=dtype),
                "labels": labels,
                "about": about,
            }
        )
    return cases


def init(rng: Generator) -> list[Case]:
    """Prompts longer than the text and shorter, as long as it, of one token, from one token."""
    cases = []
    for length, more, about in (
        (5, integer(rng, 2, 3), ""),
        (5, -2, "the text is longer than the prompt"),
        (5, 7, ""),
        (6, 0, "the text is as long as the prompt"),
        (4, -3, "there is one soft token"),
        (1, integer(rng, 3, 4), "the text is one token"),
    ):
        table = normal(rng, integer(rng, 20, 30), integer(rng, 12, 16))
        ids = different(rng, length, 0, len(table) - 1)
        if not more:  # rows of the table side by side, which a slice would take without copying
            ids = list(range(ids[0] % 10, ids[0] % 10 + length))
        if length == 5:  # a word that comes again
            ids[3] = ids[1]
        cases.append({"table": table, "ids": ids, "tokens": length + more, "about": about})
    return cases


def mass(rng: Generator) -> list[Case]:
    """Attention weights (B, H, n, T + n): causal, with rows padded on one side."""
    cases = []
    for side, about in (
        ("right", ""),
        ("right", ""),
        ("left", "the padding is on the left"),
        ("none", "there is no padding"),
    ):
        batch, heads, tokens, length = different(rng, 4, 2, 6)
        length += 5  # more than there are virtual tokens, and every row keeps some of its own
        scores = 2 * normal(rng, batch, heads, length, tokens + length)
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores[..., tokens:] = scores[..., tokens:].masked_fill(hidden, float("-inf"))
        given = torch.ones(batch, length, dtype=torch.int64)
        for row in range(1, batch if side != "none" else 0):
            padding = row + integer(rng, 0, 1)
            given[row, slice(padding) if side == "left" else slice(-padding, None)] = 0
        cases.append(
            {"weights": scores.softmax(-1), "mask": given, "tokens": tokens, "about": about}
        )
    return cases
