"""Lesson 11, error bars: the reference solution, typical wrong answers and symptoms."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def error(scores: Tensor) -> tuple[float, float, float]:
    seeds, examples = scores.shape
    by_example, by_seed = scores.mean(dim=0), scores.mean(dim=1)
    over_examples = by_example.std() / math.sqrt(examples)
    over_seeds = by_seed.std() / math.sqrt(seeds)
    return scores.mean().item(), over_examples.item(), over_seeds.item()


_EXAMPLES = "by_example.std() / math.sqrt(examples)"
_SEEDS = "by_seed.std() / math.sqrt(seeds)"


def _either(
    id: str, formula: str, diagnosis: str, action: str, ids: tuple[str, str] | None = None
) -> tuple[Mutant, ...]:
    """The same mistake in both errors, in that over examples alone and in that over seeds alone.

    Args:
        id: that of the mistake in both.
        formula: what is computed in place of the error; ``{means}`` are the means over the other
            axis, ``{n}`` is their number, ``{row}`` the first row or column, ``{axis}`` this axis.
        diagnosis: what its author got wrong.
        action: the one thing to do about it.
        ids: those of the mistake in the one error and in the other.
    """
    one, other = ids or (f"{id}-examples", f"{id}-seeds")
    examples = formula.format(means="by_example", n="examples", row="scores[0]", axis=1)
    seeds = formula.format(means="by_seed", n="seeds", row="scores[:, 0]", axis=0)
    return (
        slip(error, id, _EXAMPLES, examples, diagnosis, action, (_SEEDS, seeds)),
        slip(error, one, _EXAMPLES, examples, f"in the error over examples, {diagnosis}", action),
        slip(error, other, _SEEDS, seeds, f"in the error over seeds, {diagnosis}", action),
    )


_BINOMIAL = "(scores.mean() * (1 - scores.mean())).abs().sqrt()"

ERROR = (
    slip(
        error,
        "swapped",
        "over_examples.item(), over_seeds.item()",
        "over_seeds.item(), over_examples.item()",
        "the two errors are swapped: the mean over seeds leaves one number for each example",
        "For the error over examples average the rows first, for that over seeds the columns",
    ),
    *_either(
        "standard-deviation",
        "{means}.std()",
        "the standard deviation is given: how far single values spread, not how sure their mean is",
        "Divide by the square root of the number of values",
    ),
    *_either(
        "population",
        "{means}.std(correction=0) / math.sqrt({n})",
        "the standard deviation divides by n and not by n - 1, one less: with a handful of seeds "
        "that is far too small",
        "Use the sample's standard deviation, which divides by n - 1 (NumPy: ddof=1)",
    ),
    *_either(
        "all-pooled",
        "scores.std() / math.sqrt(scores.numel())",
        "all S·n scores are pooled as if independent, but seeds answer the same examples: it is "
        "too small",
        "Average over the other axis first",
        ("pooled", "pooled-seeds"),
    ),
    *_either(
        "pooled-deviation",
        "scores.std() / math.sqrt({n})",
        "the deviation is that of all scores; the mean over the other axis comes first",
        "Average over the other axis before you take the deviation",
    ),
    *_either(
        "no-root",
        "{means}.std() / {n}",
        "the deviation is divided by the count, not by its square root",
        "Divide by √n and by √S",
    ),
    *_either(
        "variance",
        "{means}.var() / math.sqrt({n})",
        "the variance stands in place of the standard deviation: its root is missing",
        "Use std, not var",
    ),
    slip(
        error,
        "the-other-count",
        "math.sqrt(examples)",
        "math.sqrt(seeds)",
        "each deviation is divided by the root of the other axis's count",
        "Over examples divide by √n, over seeds by √S",
        (_SEEDS, "by_seed.std() / math.sqrt(examples)"),
    ),
    *_either(
        "mean-of-deviations",
        "scores.std(dim={axis}).mean() / math.sqrt({n})",
        "the deviation is taken within each row or column and averaged then; the mean comes first, "
        "the deviation of the means after it",
        "Average over the other axis before you take the deviation",
    ),
    *_either(
        "first-row-and-column",
        "{row}.std() / math.sqrt({n})",
        "the first seed or the first example stands for all, and its noise is in it",
        "Average over the other axis before you take the deviation",
        ("one-seed", "one-example"),
    ),
    *_either(
        "half-an-interval",
        "1.96 * {means}.std() / math.sqrt({n})",
        "this is 1.96 times the standard error, half of a 95 % interval",
        "Return the standard error itself",
    ),
    *_either(
        "one-less-twice",
        "{means}.std() / math.sqrt({n} - 1)",
        "one less than the count stands under the root as well: it is taken off twice",
        "The deviation divides by one less already; the root is of the count itself",
    ),
    *_either(
        "whole-root",
        "{means}.std() / math.isqrt({n})",
        "the square root is cut down to a whole number",
        "Use math.sqrt, or ** 0.5",
    ),
    slip(
        error,
        "binomial",
        "by_example.std()",
        _BINOMIAL,
        "the error over examples is √(p (1 - p) / n), which holds for one seed's yes-or-no "
        "answers, not for scores averaged over seeds",
        "Take the deviation of the examples' means",
    ),
    slip(
        error,
        "binomial-one-less",
        _EXAMPLES,
        f"{_BINOMIAL} / math.sqrt(examples - 1)",
        "the error over examples is √(p (1 - p) / (n - 1)), which holds for one seed's yes-or-no "
        "answers, not for scores averaged over seeds",
        "Take the deviation of the examples' means",
    ),
    slip(
        error,
        "median",
        "scores.mean().item()",
        "scores.median().item()",
        "the first number is the median of the scores; their mean is asked for",
        "Use scores.mean()",
    ),
    slip(
        error,
        "counts-of-the-lab",
        "math.sqrt(examples)",
        "math.sqrt(19)",
        "the counts are fixed, at the lab's 19 notes and three seeds; other scores have others",
        "Take both from scores.shape",
        ("math.sqrt(seeds)", "math.sqrt(3)"),
    ),
)


def _right(part: str) -> Callable[[Case, Outcome, Outcome], bool]:
    """Where this part is right."""
    return lambda case, right, seen: agree(right[part], seen[part])


ERROR_SYMPTOMS = (
    Symptom("mean", "the first number is not the mean of all scores", "Use scores.mean()"),
    Symptom(
        "error over examples",
        "the error over seeds is right and that over examples is not: it is the deviation of n "
        "numbers, each averaged over the seeds, divided by √n",
        "Do for the other axis what you did for the seeds",
        _right("error over seeds"),
    ),
    Symptom(
        "error over seeds",
        "the error over examples is right and that over seeds is not: it is the deviation of S "
        "numbers, each averaged over the examples, divided by √S",
        "Do for the other axis what you did for the examples",
        _right("error over examples"),
    ),
    Symptom(
        "error over examples",
        "both errors are wrong, in a way that is none of the usual ones: average over one axis, "
        "take the deviation over the other (one less than the count), divide by the root of the "
        "count",
        "Work out a case with two seeds and two examples by hand",
        lambda case, right, seen: not agree(right["error over seeds"], seen["error over seeds"]),
    ),
)
