"""Lesson 01: random inputs for each exercise.

Models have fewer key/value heads than heads and a feed-forward network that is not four times as
wide as the model, so that no two sizes agree by accident. Every seed gives other ones.
"""

from __future__ import annotations

from typing import Any

from torch import Generator

from peftcourse.exercises.draw import integer, normal
from peftcourse.exercises.observe import Case

GIB = 2**30
LINEAR_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def config(rng: Generator, *, tied: bool) -> dict[str, Any]:
    """A Llama with the keys of its ``config.json``."""
    kv_heads = integer(rng, 2, 8)
    heads = kv_heads * integer(rng, 2, 4)
    hidden = heads * 2 * integer(rng, 8, 64)
    return {
        "vocab_size": integer(rng, 1_000, 150_000),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden + 16 * integer(rng, 1, 90) + 3,
        "num_hidden_layers": integer(rng, 2, 48),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "tie_word_embeddings": tied,
    }


def parameters(rng: Generator) -> list[Case]:
    return [{"config": config(rng, tied=tied)} for tied in (False, True, False)]


def adapter(rng: Generator) -> list[Case]:
    """Attention alone, both parts of a layer, and all of it."""
    return [
        {"config": config(rng, tied=False), "rank": integer(rng, 2, 64), "targets": targets}
        for targets in (["q_proj", "v_proj"], ["k_proj", "o_proj", "down_proj"], LINEAR_LAYERS)
    ]


def states(rng: Generator) -> list[Case]:
    """Everything trains; an adapter on a 16-bit base; an adapter on a base of 4.5 bits."""

    def case(frozen: int, frozen_bits: float, trained_bytes: int, moment_bytes: int) -> Case:
        return {
            # Multiples of 16, so that 4.5 bits of each are whole bytes.
            "frozen": 16 * frozen,
            "trained": 16 * integer(rng, 10_000, 900_000),
            "frozen_bits": frozen_bits,
            "trained_bytes": trained_bytes,
            "moment_bytes": moment_bytes,
            "master": not frozen,
        }

    return [
        case(0, 16, 2, 4),
        case(integer(rng, 10**7, 10**9), 16, 4, 4),
        case(integer(rng, 10**7, 10**9), 4.5, 2, 1),
    ]


def quantized(rng: Generator) -> list[Case]:
    """The first matrix has an odd number of weights: a code and a block are left incomplete."""
    odd = {name: 2 * integer(rng, 100, 300) + 1 for name in ("rows", "columns")}
    return [
        odd,
        *({name: integer(rng, 200, 600) for name in ("rows", "columns")} for _ in range(2)),
    ]


def saved(rng: Generator) -> list[Case]:
    """Sizes and the dtype, as the number of its bytes."""
    return [
        {
            "batch": integer(rng, 2, 4),
            "tokens": integer(rng, 5, 9),
            "width": integer(rng, 10, 14),
            "hidden": integer(rng, 20, 30),
            "part": integer(rng, 3, 7),
            "itemsize": itemsize,
        }
        for itemsize in (8, 4, 2)
    ]


def checkpoint(rng: Generator) -> list[Case]:
    """The last case has a single block. Sizes are large enough that dropout always shows."""
    cases = []
    for blocks in (2, 3, 1):
        width, hidden = integer(rng, 6, 9), integer(rng, 12, 18)
        shape = integer(rng, 3, 5), integer(rng, 5, 8), width
        cases.append(
            {
                "up": 0.5 * normal(rng, blocks, hidden, width),
                "down": 0.5 * normal(rng, blocks, width, hidden),
                "x": normal(rng, *shape),
                "weights": normal(rng, *shape),
                "dropout": integer(rng, 3, 5) / 10,
            }
        )
    return cases


def storage(rng: Generator) -> list[Case]:
    return [
        {
            "base": integer(rng, 10**9, 10**11),
            "adapter": integer(rng, 10**6, 10**8),
            "tasks": integer(rng, 2, 50),
        }
        for _ in range(3)
    ]


def batch(rng: Generator) -> list[Case]:
    """Two that leave more than half a sequence unused, and one where nothing fits.

    A sequence is small beside both the reserve and the difference between GB and GiB.
    """
    cases = []
    for card in (24, 48):
        reserve = integer(rng, 2, 6) / 4
        sequence = integer(rng, GIB // 20, GIB // 10)
        free = int((card - reserve) * GIB)
        used = integer(rng, 5, 40) * sequence + sequence * integer(rng, 60, 90) // 100
        cases.append(_batch(free - used, sequence, card, reserve))
    sequence, reserve = integer(rng, GIB // 20, GIB // 10), integer(rng, 4, 6) / 4
    # Within the reserve: it would fit on an empty card of 16 GiB, and does not on this one.
    cases.append(_batch(16 * GIB - int(reserve * GIB / 2), sequence, 16, reserve))
    return cases


def _batch(fixed: int, sequence: int, card: int, reserve: float) -> Case:
    return {"fixed": fixed, "per_sequence": sequence, "card": card, "reserve": reserve}
