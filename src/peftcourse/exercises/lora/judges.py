"""Lesson 03: judges for what no reference value can be compared with."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.compare import Verdict
from peftcourse.exercises.observe import Case, Outcome

# The largest of 3,000 uniform numbers is within 0.5 % of the bound, but for one time in a million.
_BOUND_TOLERANCE = 0.005
# With 3,000 draws the standard deviation of a sample is within 4 % of the true one.
_WIDTH_TOLERANCE = 0.04
# The fourth moment over the square of the second: 1.8 for a uniform distribution, 3 for a normal.
_UNIFORM_KURTOSIS = 2.4


def judge_init(case: Case, observed: Outcome) -> Verdict:
    """A ~ U(-1/√d_in, 1/√d_in), repeatable by its generator; B = 0. Any way of drawing is right."""
    A, B = observed.get("A"), observed.get("B")
    shapes = {"A": (case["rank"], case["d_in"]), "B": (case["d_out"], case["rank"])}
    for name, tensor in (("A", A), ("B", B)):
        if not isinstance(tensor, Tensor) or tensor.shape != shapes[name]:
            seen = f"shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else f"a {tensor}"
            guess = _shape_guess(A, B, shapes)
            return Verdict("wrong shape", f"{name}: {seen}", (name,), guess=guess, fault=guess)
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
    if not _equal(A, observed.get("A repeated")):
        guess = "the values do not come from the generator that was passed in"
        return _wrong("A", "two different A from the same generator seed", guess, "unrepeatable")
    for name in ("A with another seed", "A of a second adapter"):
        other = observed.get(name)
        if not isinstance(other, Tensor) or other.shape != A.shape or not other.isfinite().all():
            guess = "torch.empty holds whatever was in memory: fill it"
            return _wrong(name, "not a matrix of finite numbers", guess, "not-finite")
    if _equal(A, observed.get("A with another seed")):
        guess = "the generator that was passed in changes nothing: a seed is set inside"
        return _wrong("A", "the same A from two different generators", guess, "reseeded")
    if _equal(A, observed.get("A of a second adapter")):
        guess = "the generator does not move on: it is set back, or only its seed is used, so that "
        guess += "every adapter starts from the same A"
        return _wrong("A", "the same A twice from one generator", guess, "same A twice")
    return _judge_distribution(case, A)


def _shape_guess(A: object, B: object, shapes: dict[str, tuple[int, int]]) -> str:
    if not (isinstance(A, Tensor) and isinstance(B, Tensor)):
        return "two tensors are asked for, A and B"
    if (A.shape, B.shape) == (shapes["B"], shapes["A"]):
        return "the results are returned in the wrong order: B first, then A"
    turned = [
        name
        for name, tensor in (("A", A), ("B", B))
        if tensor.shape == shapes[name][::-1] != shapes[name]
    ]
    if turned:
        return f"{' and '.join(turned)} is transposed: A is (r, d_in) and B is (d_out, r)"
    return "A is (r, d_in) and B is (d_out, r)"


def _judge_distribution(case: Case, A: Tensor) -> Verdict:
    d_in, bound, std = case["d_in"], A.abs().max().item(), A.std().item()
    different = A.unique().numel()
    if different < 0.9 * A.numel():
        text = f"only {different:,} of the {A.numel():,} numbers in A are different"
        guess = "numbers in A are repeated: each is to be drawn by itself"
        if (A.abs() == bound).sum() > 0.01 * A.numel():
            guess = "A is not uniform: numbers pile up at the bounds, as where a normal one is cut"
        fault = "one number" if different == 1 else "rows" if different == d_in else "repeated"
        return _wrong("A", text, guess, fault)
    kurtosis = ((A - A.mean()) / std).pow(4).mean().item() if std else 1.0
    one_sided = bool((A >= 0).all() or (A <= 0).all())
    ratio = bound * math.sqrt(d_in)
    if not one_sided and kurtosis < _UNIFORM_KURTOSIS:
        if abs(ratio - 1) < _BOUND_TOLERANCE and kurtosis > 1.7:
            return Verdict("correct", "")
        text = f"the largest value is {bound:.4f}, about {ratio:.2f} times what it should be"
        word = "narrow" if ratio < 1 else "wide"
        guess = f"A is uniform, but too {word}: its bound is {ratio:.2f} times 1/√d_in"
        fault = f"bound {_formula(case, bound, _BOUND_TOLERANCE)}"
        return _wrong("A", text, guess, fault)
    if one_sided:
        text = f"no value of A is {'negative' if (A >= 0).all() else 'positive'}"
        guess = "A has values of one sign only, where U(-1/√d_in, 1/√d_in) has both"
        fault = f"one-sided {_formula(case, bound, _BOUND_TOLERANCE)}"
        return _wrong("A", text, guess, fault)
    text = f"kurtosis {kurtosis:.1f}, where a uniform distribution has 1.8"
    guess = "A does not come from a uniform distribution, and reaches beyond ±1/√d_in"
    if ratio < 1:
        guess = "A does not come from a uniform distribution"
    return _wrong("A", text, guess, f"not uniform {_formula(case, std, _WIDTH_TOLERANCE)}")


def _formula(case: Case, width: float, tolerance: float) -> str:
    """What a width is by; of several that are as near, the first."""
    d_in, d_out, rank = (case[key] for key in ("d_in", "d_out", "rank"))
    formulas = {
        "1/√d_in": d_in**-0.5,
        "√(6/(d_in + r))": (6 / (d_in + rank)) ** 0.5,
        **{f"√{n}/√d_in": (n / d_in) ** 0.5 for n in (6, 5, 3, 2)},
        "1/√(3 d_in)": (3 * d_in) ** -0.5,
        "1/(2√d_in)": 0.5 * d_in**-0.5,
        "2/√d_in": 2 * d_in**-0.5,
        "√(6/26)/√d_in": (6 / 26 / d_in) ** 0.5,
        "1/d_in": 1 / d_in,
        "1/√r": rank**-0.5,
        "1/r": 1 / rank,
        "1/√d_out": d_out**-0.5,
        "1": 1.0,
        "0.02": 0.02,
        "0.01": 0.01,
    }
    near = {name: abs(math.log(width / value)) for name, value in formulas.items() if width}
    name = min(near, key=near.__getitem__, default="0")
    return name if width and near[name] < tolerance else f"{width:.4g}"


def _equal(one: Tensor, other: object) -> bool:
    return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)


def _wrong(name: str, seen: str, guess: str, fault: str = "dtype") -> Verdict:
    return Verdict("wrong value", f"{name}: {seen}", (name,), guess=guess, fault=fault)
