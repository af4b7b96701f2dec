"""Whether two outcomes are the same, and in which way they are not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peftcourse.exercises.observe import Outcome

# Allowed error, relative to the largest entry of the right tensor (and to 1 below that).
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one outcome.

    Attributes:
        status: "correct", "wrong shape" or "wrong value".
        observed: what can be seen of the answer's result, never the expected value.
        wrong: names of the parts of the outcome that are wrong.
        ratio: the constant factor between the observed and the right value, if there is one.
        guess: what the numbers alone suggest; a mutant that matches knows better.
        fault: for judges that cannot compare values: the kind of mistake, equal for equal ones.
    """

    status: str
    observed: str
    wrong: frozenset[str] = frozenset()
    ratio: float | None = None
    guess: str = ""
    fault: str = ""

    @property
    def correct(self) -> bool:
        return self.status == "correct"


def compare(expected: Outcome, observed: Outcome) -> Verdict:
    """Judge each part of an outcome; the first wrong one is described."""
    findings = {
        name: finding
        for name in expected
        if not (finding := _compare(expected[name], observed.get(name, "nothing"))).correct
    }
    if not findings:
        return Verdict("correct", "")
    name, first = next(iter(findings.items()))
    # "result" is the only part of a simple outcome; naming it would say nothing.
    where = "" if name == "result" else f"{name}: "
    return Verdict(
        first.status, where + first.observed, frozenset(findings), first.ratio, first.guess
    )


def _compare(expected: Tensor | int | float, observed: Any) -> Verdict:
    if isinstance(expected, Tensor) and isinstance(observed, Tensor):
        return _compare_tensors(expected, observed)
    if isinstance(observed, Tensor) and observed.numel() == 1:
        observed = observed.item()
    if isinstance(expected, Tensor) or not isinstance(observed, (int, float)):
        return _wrong_type(expected, observed)
    if math.isclose(expected, observed, rel_tol=TOLERANCE[torch.float64]):
        return Verdict("correct", "")
    try:
        ratio = observed / expected if expected else None
        text = f"{observed:,}" if isinstance(observed, int) else f"{observed:.6g}"
    except (OverflowError, ValueError):  # a whole number of hundreds of digits
        return Verdict("wrong value", "an enormous number", guess="the number is wrong")
    if _is_telling(ratio):
        text += f", {_factor(ratio)}"
    return Verdict("wrong value", text, ratio=ratio, guess="the number is wrong")


def _wrong_type(expected: Tensor | float, observed: Any) -> Verdict:
    wanted = "a tensor" if isinstance(expected, Tensor) else "a number"
    if observed == "NoneType":
        return Verdict("wrong shape", f"None instead of {wanted}", guess="the `return` is missing")
    what = f"a tensor of shape {_shape(observed)}" if isinstance(observed, Tensor) else observed
    return Verdict(
        "wrong shape",
        f"{what} instead of {wanted}",
        guess="the result is not of the kind that the docstring asks for",
    )


def _compare_tensors(expected: Tensor, observed: Tensor) -> Verdict:
    dtype = str(observed.dtype).removeprefix("torch.")
    head = f"shape {_shape(observed)}, {dtype}" if observed.dim() else f"one number, {dtype}"
    if observed.shape != expected.shape:
        transposed = expected.dim() == 2 and observed.shape == expected.T.shape
        guess = (
            "this is the shape of the transpose: is a product the wrong way round?"
            if transposed
            else "the sizes do not fit together as the docstring says"
        )
        return Verdict("wrong shape", head, guess=guess)
    if observed.dtype != expected.dtype:
        return Verdict(
            "wrong value",
            f"{head}, and the inputs call for another dtype",
            guess="a tensor was made without `dtype=`, or converted on the way",
        )
    if not expected.is_floating_point():
        wrong = observed != expected
    else:
        scale = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
        # "not at most" rather than "more than": a NaN is wrong too.
        wrong = ~((observed - expected).abs() <= TOLERANCE[expected.dtype] * scale)
    if not wrong.any():
        return Verdict("correct", "")
    if observed.is_floating_point() and not observed.isfinite().all():
        bad = int((~observed.isfinite()).sum())
        return Verdict(
            "wrong value",
            f"{head}; {bad} of {observed.numel()} values are NaN or infinite",
            guess="a division by zero, or memory from `torch.empty` that was never filled",
        )
    ratio = _constant_ratio(expected, observed)
    if wrong.dim() == 0:
        # One number is always a constant times another; that says something only if it is round.
        text = f"{head}; {_factor(ratio)}" if _is_telling(ratio) else head
        return Verdict("wrong value", text, ratio=ratio, guess="the number is wrong")
    first = ", ".join(map(str, wrong.nonzero()[0].tolist()))
    count = f"{int(wrong.sum())} of {wrong.numel()} values differ, the first at [{first}]"
    if ratio is None:
        return Verdict("wrong value", f"{head}; {count}", guess=_guess(wrong))
    guess = {
        0.0: "everything is zero: was the result ever filled?",
        -1.0: "every sign is wrong: a difference the wrong way round?",
    }.get(round(ratio, 6), "a constant factor is missing, or one too many")
    return Verdict("wrong value", f"{head}; {_factor(ratio)}; {count}", ratio=ratio, guess=guess)


def _guess(wrong: Tensor) -> str:
    if wrong.all():
        return "every value is wrong, and not by a constant factor: another operation than asked"
    return "some values are right: look at what is special about the first wrong one"


def _constant_ratio(expected: Tensor, observed: Tensor) -> float | None:
    """The factor c with observed = c · expected everywhere, or None."""
    norm = (expected * expected).sum()
    if not expected.is_floating_point() or norm == 0:
        return None
    ratio = (observed * expected).sum() / norm
    residual = (observed - ratio * expected).norm()
    if residual > TOLERANCE[expected.dtype] * 10 * max(observed.norm(), expected.norm()):
        return None
    return 0.0 if observed.count_nonzero() == 0 else ratio.item()


def _factor(ratio: float) -> str:
    if ratio == 0:
        return "zero everywhere"
    if ratio < 0:
        return f"exactly {ratio:.4g} times what it should be"
    factor, word = (ratio, "large") if ratio > 1 else (1 / ratio, "small")
    digits = 2 if factor > 1.05 else 6
    return f"exactly {factor:.{digits}f}× too {word}"


def _is_telling(ratio: float | None) -> bool:
    """Whether the factor, or one over it, is a whole number."""
    if not ratio or not math.isfinite(ratio):
        return False
    factor = max(abs(ratio), 1 / abs(ratio))
    return factor > 1.5 and math.isclose(factor, round(factor), rel_tol=1e-6)


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
