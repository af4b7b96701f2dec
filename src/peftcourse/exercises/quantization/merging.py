"""Lesson 06, merging: an adapter folded into its quantized base, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.quantization import seen
from peftcourse.exercises.quantization.probes import Quantized


def merge(base, A: Tensor, B: Tensor, scaling: float, dtype: torch.dtype) -> Tensor:
    weight = base.dequantize()
    update = scaling * (B @ A)
    return (weight + update).to(dtype)


_merge = partial(slip, merge)
_BASE, _UPDATE, _SUM = "base.dequantize()", "scaling * (B @ A)", "(weight + update).to(dtype)"
_ADD = "Add scaling * (B @ A)"
_ONCE = "Add in full precision, then convert once"

MERGE = (
    _merge(
        "into-the-original",
        _BASE,
        "base.original",
        "merged into the original weight, from before quantization: the adapter was not trained on "
        "that one",
        "Start from base.dequantize()",
    ),
    _merge(
        "not-scaled",
        _UPDATE,
        "B @ A",
        "the update is not scaled: scaling, α/r, is missing",
        _ADD,
    ),
    _merge(
        "quantized-again",
        _SUM,
        "base.quantize(weight + update).dequantize().to(dtype)",
        "quantized again after the merge: most of the update is rounded away",
        "Keep the merged weight in 16 bit",
    ),
    _merge(
        "rounded-first",
        _SUM,
        "weight.to(dtype) + update.to(dtype)",
        "rounded before the sum: weight and update lose digits, and their sum once more",
        _ONCE,
    ),
    _merge(
        "base-alone",
        _SUM,
        "weight.to(dtype)",
        "the base alone: the update, what the adapter learned, is not in it",
        _ADD,
    ),
    _merge(
        "update-alone",
        _SUM,
        "update.to(dtype)",
        "the update alone: the base, base.dequantize(), is missing",
        "Add the update to base.dequantize()",
    ),
    _merge(
        "subtracted",
        "(weight + update)",
        "(weight - update)",
        "the update is subtracted instead of added: its sign is wrong",
        "Add the update",
    ),
    _merge(
        "scaled-twice",
        _UPDATE,
        "scaling * scaling * (B @ A)",
        "the update is multiplied by scaling twice",
        "Multiply by scaling once",
    ),
    _merge(
        "base-scaled",
        "(weight + update)",
        "(scaling * weight + update)",
        "the base is multiplied by scaling, too: parentheses around the sum",
        "Scale the update alone",
    ),
    _merge(
        "divided-by-the-rank",
        _UPDATE,
        "scaling / A.shape[0] * (B @ A)",
        "the update is divided by the rank r once more: scaling is α/r already",
        "Multiply by scaling alone",
    ),
    _merge(
        "divided-by-the-scaling",
        _UPDATE,
        "(B @ A) / scaling",
        "the update is divided by scaling, not multiplied",
        "Multiply by scaling",
    ),
    _merge(
        "times-the-rank",
        _UPDATE,
        "scaling * A.shape[0] * (B @ A)",
        "the update is multiplied by the rank r: scaling is α/r already",
        "Multiply by scaling alone",
    ),
    _merge(
        "dtype-forgotten",
        _SUM,
        "weight + update",
        "`dtype` is not used: the merged weight is not converted to it",
        "End with .to(dtype)",
    ),
    _merge(
        "base-rounded",
        _SUM,
        "(weight.to(dtype) + update).to(dtype)",
        "the base is rounded to dtype before the update is added: too early",
        _ONCE,
    ),
    _merge(
        "update-rounded",
        _SUM,
        "(weight + update.to(dtype)).to(dtype)",
        "the update is rounded to dtype before it is added: too early",
        _ONCE,
    ),
    _merge(
        "factors-rounded",
        _UPDATE,
        "scaling * (B.to(dtype) @ A.to(dtype)).double()",
        "A and B are rounded to dtype before they are multiplied: too early",
        _ONCE,
    ),
    _merge(
        "through-bfloat16",
        _SUM,
        "(weight + update).bfloat16().to(dtype)",
        "rounded to bfloat16 on the way, whatever dtype is asked for",
        "Convert once, to dtype",
    ),
    _merge(
        "through-float16",
        _SUM,
        "(weight + update).half().to(dtype)",
        "rounded to float16 on the way, whatever dtype is asked for",
        "Convert once, to dtype",
    ),
    *(
        _merge(
            f"always-{name}",
            _SUM,
            f"(weight + update).to(torch.{name})",
            f"{name} is fixed in the code: `dtype` is not used",
            "Convert to dtype",
        )
        for name in ("float16", "bfloat16", "float32")
    ),
    _merge(
        "half-way-to-the-original",
        _BASE,
        "(base.original + base.dequantize()) / 2",
        "the base is the mean of the original and the dequantized weight; the adapter was trained "
        "on the dequantized one",
        "Start from base.dequantize()",
    ),
    _merge(
        "update-quantized",
        _SUM,
        "(weight + base.quantize(update).dequantize()).to(dtype)",
        "the update is quantized before it is added: most of it is rounded away",
        _ONCE,
    ),
    _merge(
        "root-of-the-scaling",
        _UPDATE,
        "scaling**0.5 * (B @ A)",
        "the update is multiplied by the root of scaling",
        _ADD,
    ),
    _merge(
        "scaling-added",
        _UPDATE,
        "scaling + B @ A",
        "scaling is added to the update, not multiplied with it",
        _ADD,
    ),
    _merge(
        "base-times-update",
        "(weight + update)",
        "(weight * (1 + update))",
        "the base is multiplied by the update; the update is added",
        "Add the update",
    ),
    _merge(
        "factor-rounded",
        _UPDATE,
        "scaling * (B.to(dtype).double() @ A)",
        "B is rounded to dtype before it is multiplied: too early",
        _ONCE,
    ),
    _merge(
        "product-rounded",
        _UPDATE,
        "scaling * (B @ A).to(dtype)",
        "the product B @ A is rounded to dtype before it is added: too early",
        _ONCE,
    ),
    _merge(
        "update-twice",
        "(weight + update)",
        "(weight + 2 * update)",
        "the update is added twice",
        "Add the update once",
    ),
)


def _parts(test: Callable[[Tensor, Tensor, Tensor], bool]) -> seen.Condition:
    """``test(base, update, seen)`` holds, and more is wrong than the rounding."""

    def holds(case: dict, expected: dict, observed: dict) -> bool:
        update = case["scaling"] * (case["B"] @ case["A"])
        base = Quantized(case["weight"]).dequantize()
        wrong = _more_than_rounded(case, expected, observed)
        return wrong and test(base, update, observed["weight"])

    return holds


def _more_than_rounded(case: dict, expected: dict, observed: dict) -> bool:
    rounded = seen.rounded("weight")(case, expected, observed)
    return seen.wrong("weight")(case, expected, observed) and not rounded


def _near_the_original(case: dict, expected: dict, observed: dict) -> bool:
    def nearer(base: Tensor, update: Tensor, now: Tensor) -> bool:
        step = case["weight"] - base
        return bool((now - update - case["weight"]).norm() < 0.4 * step.norm())

    return _parts(nearer)(case, expected, observed)


MERGE_SYMPTOMS = (
    Symptom(
        "weight",
        "the merged weight is not (d_out, d_in), as the base is",
        "Add scaling * (B @ A) to base.dequantize()",
        seen.other_shape("weight"),
    ),
    Symptom(
        "digits of its dtype",
        "the merged weight has another dtype than the one that is asked for",
        "End with .to(dtype)",
        decides=True,
    ),
    Symptom(
        "weight",
        "right up to rounding: rounded too early (before the sum), more than once, or not to the "
        "dtype that is asked for",
        _ONCE,
        seen.rounded("weight"),
    ),
    Symptom(
        "numbers of the base that changed",
        "the quantized base itself has changed: merging makes a new tensor",
        "Add to base.dequantize() and leave the base alone",
        decides=True,
    ),
    Symptom(
        "weight",
        "the base is nearer to the original weight than to the dequantized one, which the adapter "
        "was trained on",
        "Start from base.dequantize()",
        _near_the_original,
    ),
    Symptom(
        "weight",
        "the base is right, and the update is multiplied by another number than scaling",
        _ADD,
        _parts(lambda base, update, now: seen.multiple(update, now - base)),
    ),
    Symptom(
        "weight",
        "the update is right, and the base is multiplied by a number or added more than once",
        "Add base.dequantize() once",
        _parts(lambda base, update, now: seen.multiple(base, now - update)),
    ),
    Symptom(
        "weight",
        "not base.dequantize() plus scaling times B @ A: look at which weight you start from, and "
        "at the scaling and sign of the update",
        "Return (base.dequantize() + scaling * (B @ A)).to(dtype)",
        _more_than_rounded,
    ),
)
