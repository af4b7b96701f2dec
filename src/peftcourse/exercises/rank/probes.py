"""Lesson 02: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. Whether a value is
right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

Case = dict[str, Any]
Outcome = dict[str, Any]


def outer(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["weights"], case["columns"], case["rows"])}


def numerical(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["matrix"], case["tolerance"])}


def savings(answer: Any, case: Case) -> Outcome:
    rows, columns, rank = case["rows"], case["columns"], case["rank"]
    share, break_even = answer(rows, columns, rank)
    return {"share saved": share, "break-even rank": break_even}


def truncate(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["matrix"], case["rank"])}


def energy(answer: Any, case: Case) -> Outcome:
    """The least rank for several shares, those of one matrix together."""
    return {f"share {share}": answer(case["sigma"], share) for share in case["shares"]}


def factors(answer: Any, case: Case) -> Outcome:
    """The factors themselves are not unique: their product, their sizes, and how they share it."""
    B, A = answer(case["delta"], case["rank"], case["alpha"])
    return {
        "B @ A": B @ A,
        "columns of B": B.shape[1],
        "rows of A": A.shape[0],
        "norms of B's columns": B.norm(dim=0),
        "norms of A's rows": A.norm(dim=1),
    }


def similarity(answer: Any, case: Case) -> Outcome:
    return {
        f"φ({i}, {j})": answer(case["first"], case["second"], i, j) for i, j in case["directions"]
    }


def project(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["z"], case["coordinate"], case["sign"])}
