"""Lesson 03: judges for what no reference value can be compared with."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.compare import Verdict
from peftcourse.exercises.observe import Case, Outcome

# With 3,000 draws the standard deviation of a sample is within 1 % of the true one.
_WIDTH_TOLERANCE = 0.05


def judge_init(case: Case, observed: Outcome) -> Verdict:
    """A ~ U(-1/√d_in, 1/√d_in), repeatable by its generator; B = 0. Any way of drawing is right."""
    A, B = observed.get("A"), observed.get("B")
    for name, tensor, shape in (
        ("A", A, (case["rank"], case["d_in"])),
        ("B", B, (case["d_out"], case["rank"])),
    ):
        if not isinstance(tensor, Tensor) or tensor.shape != shape:
            seen = f"shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else f"a {tensor}"
            guess = "A is (r, d_in) and B is (d_out, r)"
            return Verdict("wrong shape", f"{name}: {seen}", (name,), guess=guess)
        if tensor.dtype != torch.float32:
            return _wrong(name, f"dtype {tensor.dtype}", "the default dtype, float32, is asked for")
        if not tensor.isfinite().all():
            guess = "torch.empty holds whatever was in memory: fill it"
            return _wrong(name, "values that are NaN or infinite", guess, "not-finite")
    a_zero, b_zero = not A.any(), not B.any()
    if a_zero or not b_zero:
        seen = {True: "all zero", False: "not all zero"}
        text = f"A is {seen[a_zero]}, B is {seen[b_zero]}"
        return _wrong("A and B", text, "one of the two starts at zero: which?", text)
    repeated, other = observed.get("A repeated"), observed.get("A with another seed")
    if not _equal(A, repeated) or _equal(A, other):
        guess = "the values do not come from the generator that was passed in"
        return _wrong("A", "another A for the same seed, or the same for another", guess, "seed")
    std = A.std().item()
    ratio = std * math.sqrt(3 * case["d_in"])
    if abs(ratio - 1) > _WIDTH_TOLERANCE:
        text = f"standard deviation {std:.4f}, about {ratio:.2f} times what it should be"
        # Faults are alike when their factors are within a few per cent.
        fault = f"width {round(math.log(ratio) / 0.1)}" if ratio > 0 else "width 0"
        return _wrong("A", text, "the bound of A is not 1/√d_in", fault)
    kurtosis = ((A - A.mean()) / std).pow(4).mean().item()
    if kurtosis > 2.4:  # 1.8 for a uniform distribution, 3 for a normal one
        text = f"kurtosis {kurtosis:.1f}, where a uniform distribution has 1.8"
        return _wrong("A", text, "the right width, but not a uniform distribution", "normal")
    return Verdict("correct", "")


def _equal(one: Tensor, other: object) -> bool:
    return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)


def _wrong(name: str, seen: str, guess: str, fault: str = "dtype") -> Verdict:
    return Verdict("wrong value", f"{name}: {seen}", (name,), guess=guess, fault=fault)
