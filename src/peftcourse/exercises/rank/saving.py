"""Lesson 02, what two factors save, rightly and wrongly."""

from __future__ import annotations

from peftcourse.exercises.core import slip


def savings(rows: int, columns: int, rank: int) -> tuple[float, int]:
    stored = rank * (rows + columns)
    share = 1 - stored / (rows * columns)
    return share, -(-rows * columns // (rows + columns))


_STORED = "rank * (rows + columns)"
_SHARE = "1 - stored / (rows * columns)"
_BREAK_EVEN = "-(-rows * columns // (rows + columns))"
_TWO_FACTORS = "Count rank · rows and rank · columns"
_SQUARE = (
    "2r/d holds for a square matrix; this one has two different sides",
    "Use r · (rows + columns) / (rows · columns)",
)
_ONE = ("one of the two factors is missing from the count", _TWO_FACTORS)
_SINGULAR_VALUES = "the singular values are counted as a third part: two factors hold none"
_HALF = (
    "half of the shorter side is the break-even rank of a square matrix only",
    "Solve r · (rows + columns) ≥ rows · columns for r",
)

SAVINGS = (
    slip(
        savings,
        "share-that-is-left",
        _SHARE,
        "stored / (rows * columns)",
        "this is the share that is stored; the share saved is the rest",
        "Subtract it from 1",
    ),
    slip(
        savings,
        "rounded-down",
        _BREAK_EVEN,
        "rows * columns // (rows + columns)",
        "the break-even rank is rounded down: there the factors still hold fewer numbers than the "
        "matrix",
        "Round rows · columns / (rows + columns) up",
    ),
    slip(
        savings,
        "rounded-to-the-nearest",
        _BREAK_EVEN,
        "round(rows * columns / (rows + columns))",
        "the break-even rank is rounded to the nearest whole number, which may lie below",
        "Round rows · columns / (rows + columns) up, whatever its fraction is",
    ),
    slip(
        savings,
        "equal-still-saves",
        _BREAK_EVEN,
        "rows * columns // (rows + columns) + 1",
        "where both hold equally many numbers nothing is saved any more, and that rank is skipped",
        "Take the first rank at which the factors hold as many numbers as the matrix, or more",
    ),
    slip(
        savings,
        "last-that-saves",
        _BREAK_EVEN,
        f"{_BREAK_EVEN} - 1",
        "this is the largest rank that still saves something, one below the break-even rank",
        "Take the first rank at which nothing is saved",
    ),
    slip(savings, "half-a-side", _BREAK_EVEN, "min(rows, columns) // 2", *_HALF),
    slip(savings, "half-a-side-up", _BREAK_EVEN, "-(-min(rows, columns) // 2)", *_HALF),
    slip(
        savings,
        "full-rank",
        _BREAK_EVEN,
        "min(rows, columns)",
        "the full rank is too large: two factors are as large as the matrix long before it",
        "Solve r · (rows + columns) ≥ rows · columns for r",
    ),
    slip(savings, "one-factor", _STORED, "rank * columns", *_ONE),
    slip(savings, "other-factor", _STORED, "rank * rows", *_ONE),
    slip(savings, "square", _STORED, "2 * rank * rows", *_SQUARE),
    slip(savings, "square-of-columns", _STORED, "2 * rank * columns", *_SQUARE),
    slip(
        savings,
        "brackets-round-the-sum",
        _STORED,
        "rank * rows + columns",
        "the rank multiplies the rows alone: brackets round rows + columns are missing",
        "Write rank * (rows + columns)",
    ),
    slip(
        savings,
        "brackets-round-the-product",
        _SHARE,
        "1 - stored / rows * columns",
        "a / b * c multiplies by c: brackets round the product rows · columns are missing",
        "Write / (rows * columns)",
    ),
    slip(
        savings,
        "factors-multiplied",
        _STORED,
        "rank * rows * rank * columns",
        "the sizes of the two factors are multiplied: they are stored side by side and add up",
        _TWO_FACTORS,
    ),
    slip(
        savings,
        "matrices-of-the-rank",
        _STORED,
        "rank * rows * columns",
        "rank · rows · columns numbers: a factor has rank numbers for each row, or each column",
        _TWO_FACTORS,
    ),
    slip(
        savings,
        "singular-values-stored",
        _STORED,
        "rank * (rows + columns + 1)",
        _SINGULAR_VALUES,
        _TWO_FACTORS,
    ),
    slip(
        savings,
        "singular-values-at-break-even",
        _BREAK_EVEN,
        "-(-rows * columns // (rows + columns + 1))",
        _SINGULAR_VALUES,
        _TWO_FACTORS,
    ),
    slip(
        savings,
        "number-saved",
        _SHARE,
        "rows * columns - stored",
        "how many numbers are saved, not which share of them: the division by all of them is "
        "missing",
        "Divide by rows · columns",
    ),
    slip(
        savings,
        "whole-division",
        _SHARE,
        "1 - stored // (rows * columns)",
        "// drops the fraction, and a share is nothing else",
        "Divide with /",
    ),
    slip(
        savings,
        "how-many-times",
        _SHARE,
        "rows * columns / stored",
        "how many times smaller the factors are, not the share that they save",
        "Take 1 − stored / all",
    ),
    slip(
        savings,
        "of-what-is-stored",
        _SHARE,
        "rows * columns / stored - 1",
        "the saving is divided by what the factors hold, not by what the matrix holds",
        "Divide by rows · columns",
    ),
)
