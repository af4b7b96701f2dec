"""Whether two outcomes are the same, and in which way they are not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peftcourse.exercises import tolerance
from peftcourse.exercises.observe import Outcome


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one outcome.

    Attributes:
        status: "correct", "wrong shape" or "wrong value".
        observed: what can be seen of the answer's result, never the expected value.
        wrong: names of the parts of the outcome that are wrong, in the outcome's order.
        ratio: the constant factor between the observed and the right value, if there is one.
        guess: what the numbers alone show; an explanation of them all knows better.
        fault: for judges that cannot compare values: the kind of mistake, equal for equal ones.
        mask: where the first wrong part is wrong, if that is a tensor of the right shape.
    """

    status: str
    observed: str
    wrong: tuple[str, ...] = ()
    ratio: float | None = None
    guess: str = ""
    fault: str = ""
    mask: Tensor | None = None

    @property
    def correct(self) -> bool:
        return self.status == "correct"


CORRECT = Verdict("correct", "")


def compare(expected: Outcome, observed: Outcome, *, keeps_dtype: bool = True) -> Verdict:
    """Judge each part of an outcome; the first wrong one is described.

    Args:
        expected: what the reference did.
        observed: what an answer did.
        keeps_dtype: whether tensors must have the dtype of the expected ones.
    """
    findings = {
        name: finding
        for name in expected
        if not (
            finding := compare_values(expected[name], observed.get(name, "nothing"), keeps_dtype)
        ).correct
    }
    if not findings:
        return CORRECT
    name, first = next(iter(findings.items()))
    # "result" is the only part of a simple outcome; naming it would say nothing.
    where = "" if name == "result" else f"{name}: "
    return Verdict(
        first.status,
        where + first.observed,
        tuple(findings),
        first.ratio,
        first.guess,
        mask=first.mask,
    )


def agree(expected: Any, observed: Any) -> bool:
    """Whether two values are the same up to rounding; tensors of any dtype."""
    # Asked thousands of times for one report, so without the words of a verdict.
    if isinstance(expected, Tensor) and isinstance(observed, Tensor):
        if observed.shape != expected.shape or observed.is_complex():
            return False
        if observed.dtype == torch.bool and expected.is_floating_point():
            return False
        if expected.dtype == observed.dtype and torch.equal(expected, observed):
            return True
        return not tolerance.differs(expected, observed).any()
    return compare_values(expected, observed, keeps_dtype=False).correct


def compare_values(
    expected: Tensor | float | str, observed: Any, keeps_dtype: bool = True
) -> Verdict:
    """Judge one part of an outcome; what a known mistake gave may be the name of a type."""
    if isinstance(expected, str):
        alike = isinstance(observed, str) and observed == expected
        return CORRECT if alike else Verdict("wrong shape", "a value of another type")
    if isinstance(expected, Tensor) and isinstance(observed, Tensor):
        return _compare_tensors(expected, observed, keeps_dtype)
    if isinstance(expected, Tensor) or not isinstance(observed, (int, float)):
        return _wrong_type(expected, observed)
    if tolerance.numbers_agree(expected, observed):
        return CORRECT
    try:
        ratio = observed / expected if expected else None
        text = f"{observed:,}" if isinstance(observed, int) else f"{observed:.6g}"
    except (OverflowError, ValueError):  # a whole number of hundreds of digits
        return Verdict("wrong value", "an enormous number", guess="the number is wrong")
    if is_telling(ratio):
        text += f", {factor_text(ratio)}"
    return Verdict("wrong value", text, ratio=ratio, guess="the number is wrong")


# How the types of other libraries are turned into what was asked for.
_MADE_OF = {
    "ndarray": "a NumPy array",
    "tuple": "a tuple of several results",
    "list": "a list",
    "dict": "a dictionary",
    "str": "text",
    "function": "a function that was not called",
    "method": "a method that was not called",
    "builtin_function_or_method": "a method that was not called: are its parentheses missing?",
}


def _wrong_type(expected: Tensor | float, observed: Any) -> Verdict:
    wanted = "a tensor" if isinstance(expected, Tensor) else "a number"
    if observed == "NoneType":
        return Verdict(
            "wrong shape",
            f"None instead of {wanted}",
            guess="the `return` is missing: the result is None",
        )
    if isinstance(observed, Tensor):
        what = f"a tensor of shape {_shape(observed)}"
        guess = f"{what}, where {wanted} is asked for"
        if observed.numel() == 1:
            guess += ": `.item()` takes it out"
    elif isinstance(observed, (int, float)):
        what = "a Python number"
        guess = f"{what} instead of {wanted}: was `.item()`, `float` or `len` one too many?"
    elif observed == "nothing":
        what = "nothing"
        guess = "this part of the result is missing"
    else:
        what = observed
        guess = f"the result is {_MADE_OF.get(observed, f'a {observed}')}, not {wanted}"
    return Verdict("wrong shape", f"{what} instead of {wanted}", guess=guess)


def _compare_tensors(expected: Tensor, observed: Tensor, keeps_dtype: bool) -> Verdict:
    dtype = str(observed.dtype).removeprefix("torch.")
    head = f"shape {_shape(observed)}, {dtype}" if observed.dim() else f"one number, {dtype}"
    if observed.shape != expected.shape:
        return Verdict("wrong shape", head, guess=_shape_guess(expected, observed))
    if observed.is_complex():
        guess = "complex numbers, where real ones are asked for"
        return Verdict("wrong value", head, guess=guess)
    wrong = tolerance.differs(expected, observed)
    if observed.dtype == torch.bool and expected.is_floating_point():
        return Verdict("wrong value", head, guess="True and False, where numbers are asked for")
    if not wrong.any():
        if keeps_dtype and observed.dtype != expected.dtype:
            return Verdict(
                "wrong value",
                f"{head}, and the inputs call for another dtype",
                guess=f"the values are right, but the dtype is {dtype}: a tensor was made without "
                "`dtype=`, or converted on the way",
            )
        return CORRECT
    if observed.is_floating_point() and not observed.isfinite().all():
        bad = int((~observed.isfinite()).sum())
        return Verdict(
            "wrong value",
            f"{head}; {bad} of {observed.numel()} values are NaN or infinite",
            guess="values that are NaN or infinite: a division by zero, a logarithm of zero, or "
            "memory from `torch.empty` that was never filled",
            mask=wrong,
        )
    ratio = constant_ratio(expected, observed)
    if wrong.dim() == 0:
        # One number is always a constant times another; that says something only if it is round.
        text = f"{head}; {factor_text(ratio)}" if is_telling(ratio) else head
        return Verdict("wrong value", text, ratio=ratio, guess="the number is wrong")
    first = ", ".join(map(str, wrong.nonzero()[0].tolist()))
    count = f"{int(wrong.sum())} of {wrong.numel()} values differ, the first at [{first}]"
    if ratio is None:
        return Verdict("wrong value", f"{head}; {count}", guess=_value_guess(wrong), mask=wrong)
    guess = {
        0.0: "everything is zero: was the result ever filled?",
        -1.0: "every sign is wrong: a difference the wrong way round?",
    }.get(round(ratio, 6), "every value is wrong by the same factor")
    return Verdict(
        "wrong value",
        f"{head}; {factor_text(ratio)}; {count}",
        ratio=ratio,
        guess=guess,
        mask=wrong,
    )


def _shape_guess(expected: Tensor, observed: Tensor) -> str:
    if expected.dim() == 2 and observed.shape == expected.T.shape:
        return "this is the shape of the transpose: is a product the wrong way round?"
    if observed.dim() != expected.dim():
        few = "few" if observed.dim() < expected.dim() else "many"
        number = abs(observed.dim() - expected.dim())
        dimensions = "dimension" if number == 1 else "dimensions"
        return f"{number} {dimensions} too {few}: the result has {observed.dim()}"
    sizes = list(zip(observed.shape, expected.shape, strict=True))
    where = " and ".join(str(i) for i, (one, other) in enumerate(sizes) if one != other)
    if sorted(observed.shape) == sorted(expected.shape):
        return f"the sizes are right, but in another order: dimensions {where} are exchanged"
    if all(one <= other for one, other in sizes):
        return f"dimension {where} is too short: there are entries missing"
    if all(one >= other for one, other in sizes):
        return f"dimension {where} is too long: there are entries too many"
    return f"the size of dimension {where} is not what the docstring says"


def _value_guess(wrong: Tensor) -> str:
    if wrong.all():
        return "every value is wrong, and not by a constant factor: another operation than asked"
    return "some values are right: look at what is special about the first wrong one"


def constant_ratio(expected: Tensor, observed: Tensor) -> float | None:
    """The factor c with observed = c · expected everywhere, or None."""
    if expected.shape != observed.shape or not expected.is_floating_point():
        return None
    if observed.is_complex():
        return None
    right, seen = expected.double(), observed.double()
    norm = (right * right).sum()
    if norm == 0 or not norm.isfinite():
        return None
    ratio = (seen * right).sum() / norm
    allowed = 10 * tolerance.relative(expected.dtype, observed.dtype)
    if not (seen - ratio * right).norm() <= allowed * max(seen.norm(), right.norm()):
        return None
    return 0.0 if seen.count_nonzero() == 0 else ratio.item()


def factor_text(ratio: float) -> str:
    """``exactly 4.00× too large``."""
    if ratio == 0:
        return "zero everywhere"
    if ratio < 0:
        return f"exactly {ratio:.4g} times what it should be"
    factor, word = (ratio, "large") if ratio > 1 else (1 / ratio, "small")
    digits = 2 if factor > 1.05 else 6
    return f"exactly {factor:.{digits}f}× too {word}"


def is_telling(ratio: float | None) -> bool:
    """Whether the factor, or one over it, is a whole number."""
    if not ratio or not math.isfinite(ratio):
        return False
    factor = max(abs(ratio), 1 / abs(ratio))
    if math.isinf(factor):  # one over a number that only just is one
        return False
    return factor > 1.5 and math.isclose(factor, round(factor), rel_tol=1e-6)


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
