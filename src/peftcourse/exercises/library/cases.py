"""Lesson 09: random inputs for each exercise.

Names are those of models, with traps among them: a layer whose name ends like another's, a head
that is a linear layer too. All sizes of a case differ.
"""

from __future__ import annotations

import torch
from torch import Generator

from peftcourse.exercises.draw import different, integer, normal
from peftcourse.exercises.observe import Case

PROJECTIONS = ("attn.q_proj", "attn.v_proj", "attn.cross_q_proj", "mlp.up_proj", "mlp.q_proj_up")


def _linear(layers: int) -> list[str]:
    """The linear layers of a small model, in order; the last is its head."""
    paths = [f"model.layers.{i}.{name}" for i in range(layers) for name in PROJECTIONS]
    return [*paths, "lm_head"]


def targets(rng: Generator) -> list[Case]:
    """A list, a list with an expression in it, two expressions, a bare name, and the shorthand."""
    layers = integer(rng, 4, 7)
    one, other = different(rng, 2, 0, layers - 1)
    asked: list[str | list[str]] = [
        ["q_proj", f"layers.{one}.mlp.up_proj"],
        ["v_proj", rf".*\.{other}\..*up_proj"],
        rf".*\.[{min(one, other)}{max(one, other)}]\.attn\.(q|v)_proj",
        rf"model\.layers\.{one}\.attn\.q",
        "q_proj",
        "all-linear",
    ]
    linear = _linear(layers)
    return [{"targets": target, "linear": linear, "head": "lm_head"} for target in asked]


def count(rng: Generator) -> list[Case]:
    cases = []
    for _ in range(2):
        vocabulary, width, rank, packed = different(rng, 4, 5, 40)
        cases.append({"vocabulary": vocabulary, "width": width, "rank": rank, "packed": packed})
    return cases


def scaling(rng: Generator) -> list[Case]:
    """Patterns of which two fit the same layer, and one that only a part of a name contains."""
    cases = []
    for use_rslora in (False, True, False):
        r, first, second, third = different(rng, 4, 3, 30)
        alpha, for_queries, for_layer = (100 + size for size in different(rng, 3, 1, 60))
        one, other = different(rng, 2, 0, 9)
        cases.append(
            {
                "paths": [
                    f"model.layers.{i}.{name}"
                    for i in (one, other)
                    for name in ("attn.q_proj", "attn.cross_q_proj", "mlp.up_proj", "mlp.up_proj_2")
                ],
                "r": r,
                "lora_alpha": alpha,
                "rank_pattern": {
                    rf"layers\.{one}\.attn\.q_proj": first,
                    "q_proj": second,
                    rf"{other}\.mlp\..*": third,
                },
                "alpha_pattern": {"q_proj": for_queries, rf".*\.{one}\..*": for_layer},
                "use_rslora": use_rslora,
            }
        )
    return cases


def names(rng: Generator) -> list[Case]:
    """The factors of some layers; one part of a path looks like a factor's name."""
    cases = []
    for adapter in ("pirate", "default"):
        layers, rank, d_in, d_out = different(rng, 4, 2, 9)
        paths = [f"model.layers.{i}.{part}" for i in range(layers) for part in ("q_proj", "A.up")]
        cases.append(
            {
                "paths": paths,
                "A": normal(rng, len(paths), rank, d_in),
                "B": normal(rng, len(paths), d_out + 10, rank),
                "adapter": adapter,
            }
        )
    return cases


def verify(rng: Generator) -> list[Case]:
    """How many tensors of a file are absent, extra, of another shape, or zero."""
    cases = []
    for zero in (integer(rng, 5, 6), 0):
        absent, extra, misfit = different(rng, 3, 1, 4)
        rank, d_in, d_out = different(rng, 3, 3, 9)
        layers = integer(rng, 15, 18)
        cases.append(
            {
                "A": normal(rng, layers, rank, d_in),
                "B": normal(rng, layers, d_out, rank),
                "absent": absent,
                "extra": extra,
                "misfit": misfit,
                "zero": zero,
            }
        )
    return cases


def combine(rng: Generator) -> list[Case]:
    """Adapters of one rank for all three ways; of different ranks where they can have them."""
    cases = []
    for ways in (("cat", "linear", "svd"), ("cat", "svd")):
        ranks = different(rng, 2, 2, 4)
        d_in, d_out = different(rng, 2, 9, 14)
        if "linear" in ways:
            ranks = [ranks[0]] * 2
        cases.append(
            {
                "A0": normal(rng, ranks[0], d_in),
                "B0": normal(rng, d_out, ranks[0]),
                "A1": normal(rng, ranks[1], d_in),
                "B1": normal(rng, d_out, ranks[1]),
                "scalings": [0.5 + 0.1 * integer(rng, 6, 20), 3 + 0.1 * integer(rng, 0, 20)],
                "weights": [0.3 + 0.01 * integer(rng, 0, 40), -0.2 - 0.01 * integer(rng, 0, 40)],
                "ways": list(ways),
            }
        )
    return cases


def tied(rng: Generator) -> list[Case]:
    cases = []
    for dtype in (torch.float64, torch.float32):
        vocabulary, width = different(rng, 2, 4, 12)
        cases.append(
            {
                name: normal(rng, vocabulary, width, dtype=dtype)
                for name in ("embedding", "head", "delta")
            }
        )
    return cases
