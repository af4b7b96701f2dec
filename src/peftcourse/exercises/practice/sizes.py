"""Lesson 04, sizes: the factor of the update and the number of parameters, rightly and wrongly."""

from __future__ import annotations

import math

from peftcourse.exercises.core import Mutant

# --- practice.scale -------------------------------------------------------------------------------


def scale(alpha: float, rank: int, new_rank: int, stabilized: bool) -> tuple[float, float]:
    def size(r: int) -> float:
        return math.sqrt(r) if stabilized else r

    return alpha / size(new_rank), alpha * size(new_rank) / size(rank)


SCALE = (
    Mutant(
        "never-stabilized",
        lambda alpha, rank, new_rank, stabilized: scale(alpha, rank, new_rank, False),
        "the factor is α/r in every case, also where it is rank-stabilized",
        "Divide by √r if stabilized is True",
    ),
    Mutant(
        "roots-swapped",
        lambda alpha, rank, new_rank, stabilized: scale(alpha, rank, new_rank, not stabilized),
        "√r is where r belongs, and r where √r does",
        "α/√r is the rank-stabilized factor, α/r LoRA's own",
    ),
    Mutant(
        "old-rank",
        lambda alpha, rank, new_rank, stabilized: (
            scale(alpha, new_rank, rank, stabilized)[0],
            scale(alpha, rank, new_rank, stabilized)[1],
        ),
        "the first number is the factor before the change of the rank, not after it",
        "Divide α by the new rank, or its root",
    ),
    Mutant(
        "upside-down",
        lambda alpha, rank, new_rank, stabilized: (
            scale(alpha, rank, new_rank, stabilized)[0],
            alpha**2 / scale(alpha, rank, new_rank, stabilized)[1],
        ),
        "α moves the wrong way: it has to grow with the rank to keep the factor",
        "Solve α_new / r_new = α / r for α_new, or the same with roots",
    ),
    Mutant(
        "factor-for-alpha",
        lambda alpha, rank, new_rank, stabilized: (
            scale(alpha, rank, new_rank, stabilized)[0],
            alpha / (math.sqrt(rank) if stabilized else rank),
        ),
        "the second number is the factor that was to be kept, not the α that keeps it",
        "Multiply the kept factor by the new rank, or its root",
    ),
)

# --- practice.count -------------------------------------------------------------------------------

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


def count(shape: dict[str, int], rank: int, targets: tuple[str, ...]) -> int:
    hidden, ffn = shape["hidden"], shape["ffn"]
    queries = shape["heads"] * shape["head_dim"]
    keys = shape["kv_heads"] * shape["head_dim"]
    sides = {
        "q_proj": hidden + queries,
        "k_proj": hidden + keys,
        "v_proj": hidden + keys,
        "o_proj": queries + hidden,
        "gate_proj": hidden + ffn,
        "up_proj": hidden + ffn,
        "down_proj": ffn + hidden,
    }
    return shape["layers"] * rank * sum(sides[name] for name in targets)


def _products(shape, rank, targets):
    hidden, ffn = shape["hidden"], shape["ffn"]
    queries = shape["heads"] * shape["head_dim"]
    keys = shape["kv_heads"] * shape["head_dim"]
    outputs = {"q_proj": queries, "k_proj": keys, "v_proj": keys, "o_proj": queries}
    return shape["layers"] * rank * sum(hidden * outputs.get(name, ffn) for name in targets)


COUNT = (
    Mutant(
        "no-grouped-queries",
        lambda shape, rank, targets: count({**shape, "kv_heads": shape["heads"]}, rank, targets),
        "keys and values are counted with as many heads as queries; this model has fewer",
        "k_proj and v_proj put out kv_heads · head_dim numbers",
    ),
    Mutant(
        "square-projections",
        lambda shape, rank, targets: count(
            {**shape, "head_dim": shape["hidden"] / shape["heads"]}, rank, targets
        ),
        "head_dim is taken as hidden / heads; the configuration says something else",
        "Use heads · head_dim for q_proj and o_proj, kv_heads · head_dim for k_proj and v_proj",
    ),
    Mutant(
        "one-layer",
        lambda shape, rank, targets: count({**shape, "layers": 1}, rank, targets),
        "one block is counted, and the model has several",
        "Multiply by the number of layers",
    ),
    Mutant(
        "whole-matrices",
        _products,
        "rank times the size of the matrix: the factors hold a sum, not a product",
        "A layer's adapter has rank · (d_in + d_out) parameters",
    ),
    Mutant(
        "one-factor",
        lambda shape, rank, targets: (
            shape["layers"]
            * rank
            * sum(
                shape["ffn"]
                if name == "down_proj"
                else shape["heads"] * shape["head_dim"]
                if name == "o_proj"
                else shape["hidden"]
                for name in targets
            )
        ),
        "A is counted and B is not",
        "Add rank · d_out for each layer",
    ),
)
