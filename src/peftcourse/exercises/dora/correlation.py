"""Lesson 05, a correlation and its interval: reference solution and typical wrong answers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: F401  (some slips need it)
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def correlation(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    r = torch.corrcoef(torch.stack([x, y]))[0, 1].item()
    error = 1 / math.sqrt(len(x) - 3)
    middle = math.atanh(r)
    low, high = middle - 1.96 * error, middle + 1.96 * error
    return r, math.tanh(low), math.tanh(high)


_R, _ERROR = "torch.corrcoef(torch.stack([x, y]))[0, 1].item()", "1 / math.sqrt(len(x) - 3)"
_MIDDLE, _ENDS = "math.atanh(r)", "middle - 1.96 * error, middle + 1.96 * error"
_RETURN = "r, math.tanh(low), math.tanh(high)"
_FISHER = "Add and subtract on the scale of atanh(r), then take tanh of both ends"
_THREE = "The standard error of atanh(r) is 1/√(n - 3)"
_DEVIATIONS = "Divide the covariance by both standard deviations, or use torch.corrcoef"


def _correlation(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(correlation, id, old, new, diagnosis, action, *more)


CORRELATION = (
    _correlation(
        "without-fisher",
        _RETURN,
        "r, r - 1.96 * error, r + 1.96 * error",
        "r plus and minus the error of atanh(r): the interval is not taken back by tanh, and can "
        "pass 1",
        _FISHER,
    ),
    _correlation(
        "n-for-n-minus-3",
        _ERROR,
        "1 / math.sqrt(len(x))",
        "the standard error is 1/√n where it should be 1/√(n - 3): a little too small",
        _THREE,
    ),
    _correlation(
        "one-standard-error",
        _ENDS,
        "middle - error, middle + error",
        "one standard error to each side, which holds 68 % and not 95 %",
        "Multiply the standard error by 1.96",
    ),
    *(
        _correlation(
            f"n-minus-{number}",
            _ERROR,
            f"1 / math.sqrt(len(x) - {number})",
            f"the standard error has n - {number} where it should have n - 3",
            _THREE,
        )
        for number in (1, 2)
    ),
    _correlation(
        "not-taken-back",
        _RETURN,
        "r, low, high",
        "both ends are on the scale of atanh(r): they were not taken back by tanh",
        "Take tanh of both ends",
    ),
    _correlation(
        "root-missing",
        _ERROR,
        "1 / (len(x) - 3)",
        "the error is 1/(n - 3): the root is missing",
        _THREE,
    ),
    _correlation(
        "times-the-root",
        _ERROR,
        "math.sqrt(len(x) - 3)",
        "the error is √(n - 3), upside down: it should be one over it",
        _THREE,
    ),
    _correlation(
        "values-for-pairs",
        _ERROR,
        "1 / math.sqrt(2 * len(x) - 3)",
        "n is the number of values in both lists, and should be the number of pairs: it is twice "
        "too large",
        "n = len(x)",
    ),
    *(
        _correlation(
            f"quantile-{percent}",
            _ENDS,
            f"middle - {number} * error, middle + {number} * error",
            f"{number} standard errors to each side, which hold {percent} % and not 95 %",
            "Multiply the standard error by 1.96",
        )
        for number, percent in ((1.645, 90), (2.576, 99), (3, 99.7))
    ),
    _correlation(
        "two-standard-errors",
        _ENDS,
        "middle - 2 * error, middle + 2 * error",
        "2 standard errors to each side, and the text says 1.96",
        "Multiply the standard error by 1.96",
    ),
    _correlation(
        "tangent",
        _MIDDLE,
        "math.atan(r)",
        "atan and tan, where atanh and tanh, the hyperbolic ones, are asked for",
        "math.atanh and math.tanh",
        (_RETURN, "r, math.tan(low), math.tan(high)"),
    ),
    _correlation(
        "twice-atanh",
        _MIDDLE,
        "2 * math.atanh(r)",
        "the middle is twice atanh(r): it is half of log((1 + r) / (1 - r))",
        "Use math.atanh(r), or 0.5 * math.log((1 + r) / (1 - r))",
    ),
    _correlation(
        "not-transformed",
        _MIDDLE,
        "r",
        "the interval is put around r itself, and then tanh is taken: atanh(r) is missing",
        _FISHER,
    ),
    _correlation(
        "width-transformed",
        _RETURN,
        "r, r - math.tanh(1.96 * error), r + math.tanh(1.96 * error)",
        "the half width is transformed by tanh alone and put around r, so that the interval is "
        "symmetric around r",
        _FISHER,
    ),
    _correlation(
        "classical",
        _ERROR,
        "(1 - r**2) / math.sqrt(len(x) - 1)",
        "the error (1 - r²)/√(n - 1), symmetric around r itself, and not Fisher's with atanh",
        _FISHER,
        (_MIDDLE, "r"),
        (_RETURN, "r, max(-1.0, low), min(1.0, high)"),
    ),
    _correlation(
        "classical-not-clipped",
        _ERROR,
        "(1 - r**2) / math.sqrt(len(x) - 2)",
        "the error (1 - r²)/√(n - 2), symmetric around r itself, and not Fisher's with atanh",
        _FISHER,
        (_MIDDLE, "r"),
        (_RETURN, "r, low, high"),
    ),
    _correlation(
        "widths",
        _RETURN,
        "r, r - math.tanh(low), math.tanh(high) - r",
        "how far the ends are from r is returned, and the lower and the upper end are asked for",
        "Return tanh of both ends",
    ),
    _correlation(
        "sign-lost",
        _R,
        "abs(torch.corrcoef(torch.stack([x, y]))[0, 1].item())",
        "the sign of r is lost: where y falls with x, r is negative",
        "Do not take a root of r², nor its absolute value",
    ),
    _correlation(
        "ranks",
        _R,
        "torch.corrcoef(torch.stack([x, y]).argsort().argsort().double())[0, 1].item()",
        "the correlation of the ranks (Spearman's), not of the values",
        "Use the values themselves, as torch.corrcoef does",
    ),
    _correlation(
        "not-centred",
        _R,
        "F.cosine_similarity(x, y, dim=0).item()",
        "the cosine of the two lists: their means were not subtracted",
        "Subtract each mean first, or use torch.corrcoef",
    ),
    _correlation(
        "mixed-divisors",
        _R,
        "torch.corrcoef(torch.stack([x, y]))[0, 1].item() * (len(x) - 1) / len(x)",
        "too small by (n - 1)/n: the covariance is divided by n and the standard deviations are "
        "those with n - 1",
        "Use one divisor for both, such as x.std(unbiased=False)",
    ),
    _correlation(
        "squared",
        _RETURN,
        "r**2, math.tanh(low), math.tanh(high)",
        "r² is returned in place of r",
        "Return r itself",
    ),
    _correlation(
        "slope",
        _RETURN,
        "r * (y.std() / x.std()).item(), math.tanh(low), math.tanh(high)",
        "the slope of the regression line in place of r: it depends on the units",
        "Divide the covariance by both standard deviations",
    ),
    *(
        _correlation(
            f"covariance-{name}",
            _RETURN,
            f"torch.cov(torch.stack([x, y]), correction={correction})[0, 1].item(), "
            "math.tanh(low), math.tanh(high)",
            "the covariance in place of r: it was not divided by the standard deviations",
            _DEVIATIONS,
        )
        for name, correction in (("n", 0), ("n-minus-1", 1))
    ),
)


def _beyond_one(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return abs(observed["r"]) > 1


def _right_r(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return agree(expected["r"], observed["r"])


def _symmetric(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return _right_r(case, expected, observed) and agree(
        observed["r"] - observed["lower end"], observed["upper end"] - observed["r"]
    )


CORRELATION_SYMPTOMS = (
    Symptom(
        "r",
        "r is beyond 1, where no correlation can be: a covariance or a slope that is not divided "
        "by the standard deviations of both",
        _DEVIATIONS,
        _beyond_one,
    ),
    Symptom(
        "lower end",
        "r is right, and the interval is symmetric around r: Fisher's is symmetric around atanh(r)",
        _FISHER,
        _symmetric,
    ),
    Symptom(
        "lower end",
        "r is right, and the interval is not: its ends are tanh(atanh(r) ± 1.96/√(n - 3))",
        _FISHER,
        _right_r,
    ),
    Symptom(
        "r",
        "r is not the correlation of the values of x and y: their covariance, divided by both "
        "standard deviations",
        _DEVIATIONS,
    ),
)
