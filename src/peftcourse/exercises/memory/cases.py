"""Lesson 01: random inputs for each exercise.

Models have fewer key/value heads than heads and a feed-forward network that is not four times as
wide as the model, so that no two sizes agree by accident. Every seed gives other ones.
"""

from __future__ import annotations

from typing import Any

from torch import Generator

from peftcourse.exercises.draw import different, integer, normal, uniform
from peftcourse.exercises.observe import Case

GIB = 2**30
LINEAR_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def config(rng: Generator, *, tied: bool) -> dict[str, Any]:
    """A Llama with the keys of its ``config.json``."""
    kv_heads = integer(rng, 2, 8)
    heads = kv_heads * integer(rng, 2, 4)
    if heads == kv_heads**2:  # keys would be as wide as if hidden were divided by their heads
        heads += kv_heads
    hidden = heads * 2 * integer(rng, 8, 64)
    return {
        "vocab_size": integer(rng, 1_000, 150_000),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden + 16 * integer(rng, 1, 90) + 3,
        "num_hidden_layers": integer(rng, 2, 16),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "tie_word_embeddings": tied,
    }


def parameters(rng: Generator) -> list[Case]:
    """Three models, and the first again with another vocabulary, or with wider layers."""
    configs = [config(rng, tied=tied) for tied in (False, True, False)]
    first = configs[0]
    configs += [
        {**first, "vocab_size": first["vocab_size"] + integer(rng, 100, 9_000)},
        {**first, "intermediate_size": first["intermediate_size"] + integer(rng, 50, 900)},
    ]
    return [{"config": one} for one in configs]


def adapter(rng: Generator) -> list[Case]:
    """Attention alone, both parts of a layer, and all of it; and one target after the other."""
    wide = [
        {"config": config(rng, tied=False), "rank": integer(rng, 2, 64), "targets": targets}
        for targets in (["q_proj", "v_proj"], ["k_proj", "o_proj", "down_proj"], LINEAR_LAYERS)
    ]
    first = wide[0]
    single = [{**first, "targets": [name]} for name in ("down_proj", "gate_proj", "o_proj")]
    return [*wide, *single, {**first, "rank": first["rank"] + integer(rng, 1, 9)}]


def states(rng: Generator) -> list[Case]:
    """Everything trains; adapters on bases of several precisions, with a master copy and without.

    The last two differ in the copy alone.
    """

    def case(frozen: int, bits: float, trained: int, moment: int, master: bool) -> Case:
        return {
            # Multiples of 16, so that 4.5 bits of each are whole bytes.
            "frozen": 16 * frozen,
            "trained": 16 * integer(rng, 10_000, 900_000),
            "frozen_bits": bits,
            "trained_bytes": trained,
            "moment_bytes": moment,
            "master": master,
        }

    cases = [
        case(0, 16, 2, 4, True) | {"about": "everything trains"},
        case(integer(rng, 10**6, 10**7), 16, 2, 4, False),
        case(integer(rng, 10**6, 10**7), 4.5, 4, 1, False),
        case(integer(rng, 10**6, 10**7), 16, 4, 1, True),
    ]
    return [*cases, {**cases[-1], "master": False}]


def quantized(rng: Generator) -> list[Case]:
    """An odd number of weights, which leaves a code and a block incomplete; any two matrices; one
    whose blocks, and groups of blocks, are full; and a row shorter than a block."""
    odd = {name: 2 * integer(rng, 100, 300) + 1 for name in ("rows", "columns")}
    return [
        odd,
        *({name: integer(rng, 200, 600) for name in ("rows", "columns")} for _ in range(2)),
        {
            "rows": 64 * integer(rng, 2, 5),
            "columns": 256 * integer(rng, 1, 3),
            "about": "all blocks and groups of blocks are full",
        },
        {"rows": 1, "columns": 2 * integer(rng, 2, 20) + 1},
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
    """Sizes are large enough that dropout always shows. One case has a single block, and one has no
    dropout."""
    cases = []
    for blocks, dropout in ((1, True), (3, True), (2, True), (2, False)):
        share = integer(rng, 3, 5) / 10
        width, hidden = integer(rng, 6, 9), integer(rng, 12, 18)
        shape = integer(rng, 3, 5), integer(rng, 5, 8), width
        case = {
            "up": 0.5 * normal(rng, blocks, hidden, width),
            "down": 0.5 * normal(rng, blocks, width, hidden),
            "x": normal(rng, *shape),
            "weights": normal(rng, *shape),
            "dropout": share if dropout else 0.0,
        }
        cases.append(case | ({"about": "blocks have dropout"} if dropout else {}))
    return cases


def storage(rng: Generator) -> list[Case]:
    """Several tasks, the first case with others again, and a single one."""
    cases = [
        {
            "base": integer(rng, 10**9, 10**11),
            "adapter": integer(rng, 10**6, 10**8),
            "tasks": tasks,
        }
        for tasks in (*different(rng, 3, 4, 50), 1)
    ]
    cases[-1]["about"] = "there is a single task"
    return [*cases, {**cases[0], "tasks": cases[0]["tasks"] + integer(rng, 1, 9)}]


def batch(rng: Generator) -> list[Case]:
    """Two that leave more than half a sequence unused; one that fills the card; small sequences;
    and three where none fits: by less than one, by a little, and by far.

    A sequence is small beside both the reserve and the difference between GB and GiB.
    """

    def case(card: int, sequences: float, about: str = "") -> Case:
        """A card that has room for so many sequences besides what is fixed."""
        reserve, sequence = (2 * integer(rng, 1, 3) + 1) / 4, _sequence(rng)
        room, part = int((card - reserve) * GIB), sequences % 1
        # Whoever rounds the room and the fixed part one by one gets one sequence too many on the
        # first card, and the right number on the second.
        while part > 0.5 and (room % sequence < part * sequence) != (card == 24):
            sequence = _sequence(rng)
        fixed = room - int(sequences * sequence)
        return _batch(fixed, sequence, card, reserve) | ({"about": about} if about else {})

    none = "not even one sequence fits"
    small, reserve = integer(rng, 2**20, 2**21), 0.5
    return [
        *(case(card, integer(rng, 5, 40) + uniform(rng, 0.6, 0.9)) for card in (24, 48)),
        case(40, integer(rng, 5, 40), "the last sequence fills the card exactly"),
        _batch(integer(rng, 10**4, 10**5), small, 12, reserve),
        case(8, uniform(rng, 0.2, 0.4), none),
        case(8, -uniform(rng, 0.2, 0.4), none),
        # Within the reserve: it would fit on an empty card of 8 GiB, and does not on this one.
        _batch(7 * GIB, _sequence(rng), 8, 1.5) | {"about": none},
    ]


def _sequence(rng: Generator) -> int:
    return integer(rng, GIB // 20, GIB // 10)


def _batch(fixed: int, sequence: int, card: int, reserve: float) -> Case:
    return {"fixed": fixed, "per_sequence": sequence, "card": card, "reserve": reserve}
