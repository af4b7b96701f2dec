"""Lesson 10, a method for given limits: the reference solution and typical wrong answers."""

from __future__ import annotations

from typing import Any

from peftcourse.exercises.core import slip

Row = dict[str, Any]


def decide(rows: list[Row], memory: float, must_merge: bool, margin: float) -> str:
    possible = [
        row for row in rows if row["memory"] <= memory and (row["mergeable"] or not must_merge)
    ]
    best = max(row["quality"] for row in possible)
    close = [row for row in possible if row["quality"] >= best - margin]
    return min(close, key=lambda row: row["trainable"])["name"]


_SMALLEST = "Among those left, take the fewest trainable parameters"
_FIRST = "Leave out what does not fit or cannot merge before you look for the best"
_MERGE = "Keep a row if it can merge, or if it need not: row['mergeable'] or not must_merge"
_MARGIN = "Keep every method whose quality is at least the best one's minus the margin"

DECIDE = (
    slip(
        decide,
        "highest-quality",
        ">= best - margin",
        ">= best",
        "the highest number wins, though others cannot be told apart from it",
        _MARGIN,
    ),
    slip(
        decide,
        "smallest-that-fits",
        ' if row["quality"] >= best - margin',
        "",
        "the smallest method that fits is taken, however bad it is: the margin is not used",
        "First keep what is within the margin of the best that fits",
    ),
    slip(
        decide,
        "margin-from-the-unreachable",
        'max(row["quality"] for row in possible)',
        'max(row["quality"] for row in rows)',
        "the margin is counted from a method that cannot be used here",
        _FIRST,
    ),
    slip(
        decide,
        "margin-from-what-fits",
        'max(row["quality"] for row in possible)',
        'max(row["quality"] for row in rows if row["memory"] <= memory)',
        "the margin is counted from a method that fits but cannot be merged, where it has to be",
        _FIRST,
    ),
    slip(
        decide,
        "margin-from-what-merges",
        'max(row["quality"] for row in possible)',
        'max(row["quality"] for row in rows if row["mergeable"] or not must_merge)',
        "the margin is counted from a method that does not fit the memory",
        _FIRST,
    ),
    slip(
        decide,
        "memory-ignored",
        'row["memory"] <= memory and ',
        "",
        "a method is taken that does not fit the memory",
        "Keep rows with row['memory'] <= memory",
    ),
    slip(
        decide,
        "memory-turned-round",
        'row["memory"] <= memory',
        'row["memory"] >= memory',
        "the memory limit is read the wrong way round: methods that do not fit are kept",
        "Keep rows with row['memory'] <= memory",
    ),
    slip(
        decide,
        "twice-the-margin",
        "best - margin",
        "best - 2 * margin",
        "twice the margin is allowed: the quality is more than the margin below the best",
        _MARGIN,
    ),
    slip(
        decide,
        "half-the-margin",
        "best - margin",
        "best - margin / 2",
        "half the margin is allowed, and methods within the margin are left out",
        _MARGIN,
    ),
    slip(
        decide,
        "exactly-full",
        'row["memory"] <= memory',
        'row["memory"] < memory',
        "a method that needs exactly the memory there is was left out",
        "Use <=, not <",
    ),
    slip(
        decide,
        "margin-without-its-end",
        ">= best - margin",
        "> best - margin",
        "a method that is exactly the margin below the best was left out",
        "Use >=, not >",
    ),
    slip(
        decide,
        "relative-margin",
        "best - margin",
        "best * (1 - margin)",
        "the margin is taken as a share of the best quality; it is a difference of qualities",
        _MARGIN,
    ),
    slip(
        decide,
        "merge-turned-round",
        "or not must_merge",
        "or must_merge",
        "must_merge is read the wrong way round",
        _MERGE,
    ),
    slip(
        decide,
        "merge-forbidden",
        '(row["mergeable"] or not must_merge)',
        'not (row["mergeable"] and must_merge)',
        "methods that merge are left out where merging is a must",
        _MERGE,
    ),
    slip(
        decide,
        "merge-ignored",
        ' and (row["mergeable"] or not must_merge)',
        "",
        "a method is taken that cannot be merged, where it has to be",
        _MERGE,
    ),
    slip(
        decide,
        "merge-always",
        '(row["mergeable"] or not must_merge)',
        'row["mergeable"]',
        "methods that cannot be merged are left out although merging is not asked for",
        _MERGE,
    ),
    slip(
        decide,
        "merge-equal",
        '(row["mergeable"] or not must_merge)',
        'row["mergeable"] == must_merge',
        "where merging is not asked for, only methods that cannot be merged are kept; both are "
        "possible then",
        _MERGE,
    ),
    slip(
        decide,
        "least-memory",
        'row["trainable"]',
        'row["memory"]',
        "the method with the least memory is taken; every one left fits already",
        _SMALLEST,
    ),
    slip(
        decide,
        "most-trainable",
        "min(close",
        "max(close",
        "the method with the most trainable parameters is taken, and the fewest are asked for",
        _SMALLEST,
    ),
    slip(
        decide,
        "last-that-is-close",
        'min(close, key=lambda row: row["trainable"])',
        "close[-1]",
        "the last method within the margin is taken, and the one with the fewest trainable "
        "parameters is asked for",
        _SMALLEST,
    ),
    slip(
        decide,
        "starts-at-zero",
        'max(row["quality"] for row in possible)',
        'max(0.0, *(row["quality"] for row in possible))',
        "the search for the best starts at 0, and all qualities may be negative",
        "Take the best quality of the rows alone",
    ),
    slip(
        decide,
        "first-that-is-close",
        'min(close, key=lambda row: row["trainable"])',
        "close[0]",
        "the first method within the margin is taken, and the one with the fewest trainable "
        "parameters is asked for",
        _SMALLEST,
    ),
    slip(
        decide,
        "row-returned",
        '["name"]',
        "",
        "the whole row is returned, and its name is asked for",
        "Return row['name']",
    ),
)
