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
    for dtype in (torch.float64, torch.float32, torch.float64):
        tokens, layers, heads, head_size, batch = different(rng, 5, 3, 8)
        cases.append(
            {
                "prefix": normal(rng, tokens, layers * 2 * heads * head_size, dtype=dtype),
                "layers": layers,
                "heads": heads,
                "batch": batch,
            }
        )
    return cases


def attend(rng: Generator) -> list[Case]:
    """A prefix long and strong enough that every mistake changes the output."""
    cases = []
    for dtype in (torch.float64, torch.float32, torch.float64):
        batch, kv_heads, tokens, length, head_size = different(rng, 5, 2, 7)
        length += 2
        cases.append(
            {
                "q": normal(rng, batch, 2 * kv_heads, length, head_size, dtype=dtype),
                "k": normal(rng, batch, kv_heads, length, head_size, dtype=dtype),
                "v": normal(rng, batch, kv_heads, length, head_size, dtype=dtype),
                "prefix_k": normal(rng, kv_heads, tokens, head_size, dtype=dtype),
                "prefix_v": normal(rng, kv_heads, tokens, head_size, dtype=dtype),
            }
        )
    return cases


def mask(rng: Generator) -> list[Case]:
    """Rows padded on the left by different amounts, as in generation; one has no padding."""
    cases = []
    for dtype in (torch.int64, torch.int64, torch.float32):
        batch, tokens, length = integer(rng, 3, 4), integer(rng, 5, 7), integer(rng, 8, 11)
        given = torch.ones(batch, length, dtype=dtype)
        for row in range(1, batch):
            given[row, : row + integer(rng, 0, 1)] = 0
        cases.append({"mask": given, "tokens": tokens})
    return cases


def concat(rng: Generator) -> list[Case]:
    """Labels with a masked question, as in a batch; the last row is padded too."""
    cases = []
    for dtype in (torch.float64, torch.float32, torch.float64):
        batch, tokens, length, width = different(rng, 4, 3, 9)
        length += 3
        labels = torch.randint(0, 50, (batch, length), generator=rng)
        labels[:, :2] = -100
        labels[-1, -1] = -100
        cases.append(
            {
                "prompt": normal(rng, tokens, width, dtype=dtype),
                "embeddings": normal(rng, batch, length, width, dtype=dtype),
                "labels": labels,
            }
        )
    return cases


def init(rng: Generator) -> list[Case]:
    """A prompt longer than the text, a shorter one, and one of more than twice its length."""
    cases = []
    for more in (integer(rng, 2, 3), -2, 7):
        table = normal(rng, integer(rng, 20, 30), integer(rng, 12, 16))
        ids = different(rng, 5, 0, len(table) - 1)
        cases.append({"table": table, "ids": ids, "tokens": len(ids) + more})
    return cases


def mass(rng: Generator) -> list[Case]:
    """Attention weights (B, H, n, T + n): causal, with rows padded on the right."""
    cases = []
    for _ in range(2):
        batch, heads, tokens, length = different(rng, 4, 2, 6)
        length += 5  # more than there are virtual tokens, and every row keeps some of its own
        scores = 2 * normal(rng, batch, heads, length, tokens + length)
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores[..., tokens:] = scores[..., tokens:].masked_fill(hidden, float("-inf"))
        given = torch.ones(batch, length, dtype=torch.int64)
        for row in range(1, batch):
            given[row, -row - integer(rng, 0, 1) :] = 0
        cases.append({"weights": scores.softmax(-1), "mask": given, "tokens": tokens})
    return cases
