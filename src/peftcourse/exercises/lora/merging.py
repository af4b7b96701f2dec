"""Lesson 03, merging: rightly and wrongly."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from peftcourse.exercises.compare import constant_ratio
from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


@contextlib.contextmanager
def merge(layer: nn.Module) -> Iterator[None]:
    weight, enabled = layer.base.weight, layer.enabled
    original = weight.detach().clone()
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
    layer.enabled = False
    try:
        yield
    finally:
        layer.enabled = enabled
        with torch.no_grad():
            weight.copy_(original)


@contextlib.contextmanager
def _merge_no_finally(layer):
    weight, enabled = layer.base.weight, layer.enabled
    original = weight.detach().clone()
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
    layer.enabled = False
    yield
    layer.enabled = enabled
    with torch.no_grad():
        weight.copy_(original)


@contextlib.contextmanager
def _merge_new_parameter(layer):
    original = layer.base.weight.detach().clone()
    with merge(layer):
        yield
    layer.base.weight = nn.Parameter(original)


@contextlib.contextmanager
def _merge_swallowing(layer):
    with merge(layer), contextlib.suppress(Exception):
        yield


@contextlib.contextmanager
def _merge_by_zeroing(layer):
    weight = layer.base.weight
    original = weight.detach().clone()
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
        layer.B.zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)


_MERGE = partial(slip, merge)
_KEEP = "weight.detach().clone()"
_ADD = "weight += layer.scaling * (layer.B @ layer.A)"
_OFF = "    layer.enabled = False\n"
_BACK = "        layer.enabled = enabled\n"

MERGE = (
    _MERGE(
        "branch-still-on",
        _OFF,
        "",
        "the update counts twice: it is in the weight, and the branch still runs",
        "Set layer.enabled to False while the weight is merged",
    ),
    _MERGE(
        "scaling-forgotten",
        "layer.scaling * (layer.B @ layer.A)",
        "layer.B @ layer.A",
        "B·A was merged without the scaling",
        "Add layer.scaling * (layer.B @ layer.A)",
    ),
    _MERGE(
        "divided-by-rank",
        "layer.scaling * (layer.B @ layer.A)",
        "layer.scaling / layer.A.shape[0] * (layer.B @ layer.A)",
        "the scaling is divided by the rank, and is α/r already",
        "Add layer.scaling * (layer.B @ layer.A)",
    ),
    _MERGE(
        "subtracted-again",
        "weight.copy_(original)",
        "weight -= layer.scaling * (layer.B @ layer.A)",
        "(W + Δ) - Δ is not W: subtracting leaves rounding errors behind",
        "Keep a copy of W, and copy it back",
    ),
    Mutant(
        "no-finally",
        _merge_no_finally,
        "after an error inside the block the layer stays merged: no try and finally",
        "Put the yield into try, and the restoring into finally",
    ),
    Mutant(
        "parameter-replaced",
        _merge_new_parameter,
        "the weight is a new Parameter: whatever shared the old one has lost it",
        "Change the values of the weight that is there, with copy_",
    ),
    _MERGE(
        "copy-is-an-alias",
        _KEEP,
        "weight.detach()",
        "the weight is not restored after the block: nothing is put back, or what was kept is "
        "merged too, made after the update or no copy (detach() and .data share memory)",
        "Clone it: weight.detach().clone()",
    ),
    _MERGE(
        "switched-on",
        "layer.enabled = enabled",
        "layer.enabled = True",
        "an adapter that was off comes back switched on: enabled is set to True, not to what it "
        "was before",
        "Remember layer.enabled, and put that value back",
    ),
    _MERGE(
        "stays-off",
        _BACK,
        "",
        "the branch stays off after the block: layer.enabled is not restored",
        "Remember layer.enabled, and put that value back in finally",
    ),
    _MERGE(
        "update-subtracted",
        "weight +=",
        "weight -=",
        "the update is subtracted from W, not added: the sign is wrong",
        "Add layer.scaling * (layer.B @ layer.A)",
    ),
    _MERGE(
        "update-instead-of-sum",
        _ADD,
        "weight.copy_(layer.scaling * (layer.B @ layer.A))",
        "W is replaced by the update alone: the weight itself is missing",
        "Add the update to W",
    ),
    _MERGE(
        "w-scaled-too",
        _ADD,
        "weight.copy_(layer.scaling * (weight + layer.B @ layer.A))",
        "the scaling reaches W as well: the bracket is one term too wide",
        "Scale the update alone",
    ),
    _MERGE(
        "not-merged",
        f"        {_ADD}",
        "        pass",
        "the weight inside the block is W itself: the update is not merged",
        "Add layer.scaling * (layer.B @ layer.A) to the weight",
    ),
    _MERGE(
        "only-if-enabled",
        f"        {_ADD}",
        f"        if enabled:\n            {_ADD}",
        "with the adapter off before, nothing is merged: inside the block the weight is W + "
        "scaling·B·A, whatever the switch was",
        "Merge in any case",
    ),
    _MERGE(
        "graph-in-the-weight",
        f"    with torch.no_grad():\n        {_ADD}",
        f"    with torch.set_grad_enabled(weight.is_leaf and not weight.requires_grad):\n"
        f"        {_ADD}",
        "the weight gets a graph: it is changed in place outside no_grad, so a frozen weight "
        "requires a gradient",
        "Change it under torch.no_grad()",
    ),
    Mutant(
        "error-swallowed",
        _merge_swallowing,
        "an error inside the block is swallowed: it should come out, after the weight is restored",
        "Use try and finally, without except (and without return in finally)",
    ),
    Mutant(
        "b-zeroed",
        _merge_by_zeroing,
        "B is set to zero instead of switching the branch off: the adapter is destroyed",
        "Set layer.enabled to False, and leave A and B alone",
    ),
)


def _update_scaled(case: Case, expected: Outcome, observed: Outcome) -> bool:
    """Whether the weight in the block is W and the right update times some factor."""
    name = "weight inside the block"
    right, seen = expected[name] - case["weight"], observed[name]
    return (
        isinstance(seen, Tensor)
        and seen.shape == right.shape
        and constant_ratio(right, seen - case["weight"]) is not None
    )


def _is_original(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return torch.equal(observed["weight inside the block"], case["weight"])


MERGE_SYMPTOMS = (
    Symptom(
        "weight inside the block",
        "the weight inside the block is W itself: the update is not merged",
        "Add layer.scaling * (layer.B @ layer.A) to layer.base.weight",
        _is_original,
    ),
    Symptom(
        "weight inside the block",
        "the update is merged with a wrong factor: it should be scaling·B·A",
        "Add layer.scaling * (layer.B @ layer.A) to layer.base.weight",
        _update_scaled,
    ),
    Symptom(
        "numbers of A and B changed by it",
        "A or B is changed: the branch is switched off by layer.enabled, and they stay as they are",
        "Set layer.enabled to False, and leave A and B alone",
        decides=True,
    ),
    Symptom(
        "branches on inside the block",
        "the branch is still on inside the block: layer.enabled is not False",
        "Set layer.enabled to False while the weight is merged",
        decides=True,
    ),
    Symptom(
        "weights changed after the block",
        "the weight is not restored bit for bit after the block",
        "Keep a clone of W, and copy it back in finally",
        decides=True,
    ),
    Symptom(
        "branches on after the block",
        "the branch stays off after the block: layer.enabled is not restored",
        "Remember layer.enabled, and put that value back in finally",
        decides=True,
    ),
    Symptom(
        "weight tensors that were replaced",
        "the weight is a new Parameter: whatever shared the old one has lost it",
        "Change the values of the weight that is there, with copy_",
        decides=True,
    ),
    Symptom(
        "weights that train after the block",
        "whether the base weight trains is changed: it was changed in place outside no_grad, or is "
        "a new one",
        "Change its values under torch.no_grad()",
        decides=True,
    ),
    Symptom(
        "errors in the block that come out of it",
        "an error inside the block is swallowed: it should come out, after the weight is restored",
        "Use try and finally, without except (and without return in finally)",
        decides=True,
    ),
    Symptom(
        "weights changed after an error in the block",
        "after an error inside the block the layer stays merged: the weight is not restored",
        "Put the yield into try, and the restoring into finally",
        decides=True,
    ),
    Symptom(
        "branches on after an error in the block",
        "after an error inside the block the branch stays off",
        "Put the yield into try, and the restoring into finally",
        decides=True,
    ),
    Symptom(
        "adapter off before: branches on after",
        "an adapter that was off before is on afterwards",
        "Remember layer.enabled, and put that value back",
        decides=True,
    ),
    Symptom(
        "adapter off before: branches on inside",
        "with the adapter off before, the branch is on inside the block",
        "Set layer.enabled to False inside the block in any case",
        decides=True,
    ),
    Symptom(
        "adapter off before: weight inside the block",
        "with the adapter off before, the weight inside the block is not W + scaling·B·A",
        "Merge in any case, whatever the switch was",
    ),
)
