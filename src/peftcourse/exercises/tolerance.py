"""How far apart two right answers may be: one policy, for every exercise.

An honest answer may pass through single precision whatever its inputs are (``torch.tensor`` of
Python numbers is float32), may sum in another order, and may leave out the epsilon of 1e-6 that
PyTorch adds where it divides. So values agree if they differ by no more than single precision
explains. Whole numbers agree if they are equal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Relative to the largest entry of the right value.
SINGLE = 1e-5
_COARSER = {torch.float16: 2.0**-8, torch.bfloat16: 2.0**-5}
# A right value below this is compared as if it were this large: what cancels to zero in one order
# of sums leaves a rounding error in another.
SMALLEST = 1e-3


def relative(*dtypes: torch.dtype) -> float:
    """The allowed relative error of values that passed through these dtypes."""
    return max(_COARSER.get(dtype, SINGLE) for dtype in dtypes)


def differs(expected: Tensor, observed: Tensor) -> Tensor:
    """Where two tensors of one shape differ by more than rounding, as a boolean tensor.

    Infinities agree with equal ones, and NaN with NaN where it is expected.
    """
    if not any(t.is_floating_point() or t.is_complex() for t in (expected, observed)):
        return expected != observed
    allowed = relative(expected.dtype, observed.dtype)
    wide = torch.promote_types(torch.promote_types(expected.dtype, observed.dtype), torch.float64)
    right, seen = expected.to(wide), observed.to(wide)
    finite = right[right.isfinite()]
    scale = max(SMALLEST, finite.abs().max().item()) if finite.numel() else SMALLEST
    same = (right == seen) | (right.isnan() & seen.isnan())
    # "not at most" rather than "more than": an unexpected NaN is wrong too.
    return ~(((seen - right).abs() <= allowed * scale) | same)


def numbers_agree(expected: float, observed: float) -> bool:
    """Whether two Python numbers agree; two whole numbers have to be equal."""
    if isinstance(expected, int) and isinstance(observed, int):
        return expected == observed
    if math.isnan(expected):
        return observed != observed
    if isinstance(observed, int) and abs(observed) > 1e300:  # more than a float can hold
        return False
    return math.isclose(expected, observed, rel_tol=SINGLE, abs_tol=SINGLE * SMALLEST)
