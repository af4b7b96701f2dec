"""Lesson 09, whether an adapter was loaded: solution, typical wrong answers, symptoms."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def verify(model: dict[str, Tensor], file: dict[str, Tensor]) -> tuple[int, int, int, int]:
    expected = {name for name in model if ".lora_" in name}
    missing = expected - file.keys()
    unexpected = file.keys() - expected
    misfits = [name for name in expected & file.keys() if model[name].shape != file[name].shape]
    dead = [name for name, tensor in file.items() if ".lora_B." in name and not tensor.any()]
    return len(missing), len(unexpected), len(misfits), len(dead)


_SHAPES = "model[name].shape != file[name].shape"
_ZERO = "not tensor.any()"
_ANY = "Ask whether any value differs from zero: not tensor.any()"
_COMPARE = "Compare all of the two shapes: model[name].shape != file[name].shape"

VERIFY = (
    slip(
        verify,
        "base-weights-missing",
        "missing = expected",
        "missing = model.keys()",
        "the frozen weights of the base are counted as missing; an adapter's file never has them",
        "Compare with the model's names that contain .lora_ only",
    ),
    slip(
        verify,
        "missing-and-unexpected-swapped",
        "len(missing), len(unexpected)",
        "len(unexpected), len(missing)",
        "missing and unexpected are swapped",
        "Missing is what the model expects and the file lacks",
    ),
    slip(
        verify,
        "looked-up-in-the-model",
        "expected & file.keys()",
        "file.keys()",
        "a name of the file that the model lacks is looked up in the model: only names in both "
        "have two shapes",
        "Compare shapes for names that are in both",
    ),
    slip(
        verify,
        "misfits-counted-twice",
        "len(missing), ",
        "len(missing) + len(misfits), ",
        "a tensor of the wrong shape is counted as missing as well",
        "Count as missing only names that the file does not have",
    ),
    slip(
        verify,
        "both-in-one",
        "missing = expected - file.keys()",
        "missing = expected ^ file.keys()",
        "missing and unexpected are counted together: the symmetric difference has both",
        "Missing is what the model expects and the file lacks: a difference of sets one way",
    ),
    slip(
        verify,
        "sizes",
        _SHAPES,
        "model[name].numel() != file[name].numel()",
        "numbers of elements are compared, and two different shapes can have as many",
        _COMPARE,
    ),
    slip(
        verify,
        "first-dimension",
        _SHAPES,
        "len(model[name]) != len(file[name])",
        "only the first dimension of the shapes is compared",
        _COMPARE,
    ),
    slip(
        verify,
        "last-dimension",
        _SHAPES,
        "model[name].shape[-1] != file[name].shape[-1]",
        "only the last dimension of the shapes is compared",
        _COMPARE,
    ),
    slip(
        verify,
        "number-of-dimensions",
        _SHAPES,
        "model[name].dim() != file[name].dim()",
        "the number of dimensions is compared; two matrices of different shapes have as many",
        _COMPARE,
    ),
    slip(
        verify,
        "values",
        _SHAPES,
        f"({_SHAPES} or (model[name] != file[name]).any())",
        "values are compared, not shapes: a tensor that trained is no misfit",
        _COMPARE,
    ),
    slip(
        verify,
        "dead-in-the-model",
        "for name, tensor in file.items()",
        "for name, tensor in model.items()",
        "the model's own lora_B are looked at: they are zero before anything is loaded",
        "Look for zeros in the file",
    ),
    slip(
        verify,
        "a-row-of-zeros",
        _ZERO,
        "not tensor.any(dim=1).all()",
        "one row of zeros is taken for a dead factor",
        "Count a lora_B only if all of it is zero: not tensor.any()",
    ),
    slip(
        verify,
        "a-zero",
        _ZERO,
        "not tensor.all()",
        "one zero in a factor makes it dead; it has to be zero everywhere",
        "Count a lora_B only if all of it is zero: not tensor.any()",
    ),
    slip(
        verify,
        "sum-of-zero",
        _ZERO,
        "abs(tensor.sum()) == 0",
        "values that cancel are taken for zeros: the sum is zero, the values are not",
        _ANY,
    ),
    slip(
        verify,
        "nothing-positive",
        _ZERO,
        "tensor.max() == 0",
        "a factor whose largest value is zero is taken for dead; its negative values count, too",
        _ANY,
    ),
    slip(
        verify,
        "nearly-zero",
        _ZERO,
        "(tensor.abs() < 1e-8).all()",
        "small values are taken for zero: a tolerance, where exactly zero is meant",
        _ANY,
    ),
    slip(
        verify,
        "dead-A",
        '".lora_B." in name and ',
        "",
        "a lora_A of zeros is counted as dead, too; only lora_B are asked for",
        "Look at names with .lora_B. only",
    ),
    slip(
        verify,
        "dead-where-expected",
        '".lora_B." in name and',
        '".lora_B." in name and name in expected and',
        "only names that the model knows count as dead; a dead lora_B may be unexpected as well",
        "Look at every lora_B in the file",
    ),
    slip(
        verify,
        "dead-where-it-fits",
        '".lora_B." in name and',
        '".lora_B." in name and name not in misfits and',
        "a lora_B of another shape is not counted as dead; it may be a misfit and dead",
        "Look at every lora_B in the file",
    ),
    slip(
        verify,
        "without-the-dot",
        'if ".lora_" in name}',
        'if "lora_" in name}',
        "a name of the model that has lora_ without the dot is taken for an adapter's",
        'Ask for ".lora_", with its dot',
    ),
)

# --- what wrong parts show ------------------------------------------------------------------------

When = Callable[[Case, Outcome, Outcome], bool]


def _counts(part: str, more: bool, kind: str | None = None) -> When:
    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        seen = observed[part]
        numbers = isinstance(seen, (int, float))
        return numbers and (seen > expected[part]) == more and kind in (None, case["kind"])

    return when


def _counted(part: str, more: bool, cause: str, action: str, kind: str | None = None) -> Symptom:
    return Symptom(part, cause, action, _counts(part, more, kind), decides=True)


_ALL_OF_BOTH = "Compare all of the two shapes: model[name].shape != file[name].shape"
_ALL_ZERO = "Ask whether any value differs from zero: not tensor.any()"
_OWN = 'The adapter\'s tensors of the model are those with ".lora_" in their names'

SYMPTOMS = (
    Symptom(
        "missing",
        "names come back, and four counts are asked for",
        "Return the numbers of names: len(…)",
        lambda case, expected, observed: observed["missing"] in ("list", "set"),
        decides=True,
    ),
    _counted(
        "missing",
        True,
        "a name of the model with lora_, but without the dot before it, is taken for an adapter's",
        _OWN,
        "no dot",
    ),
    _counted(
        "misfits",
        False,
        "two different shapes with as many elements are taken for equal",
        _ALL_OF_BOTH,
        "transposed",
    ),
    _counted(
        "misfits",
        False,
        "shapes that differ in the last dimension are taken for equal",
        _ALL_OF_BOTH,
        "longer",
    ),
    _counted(
        "dead", True, "a lora_A of zeros is counted as dead; only lora_B are", _ALL_ZERO, "zero A"
    ),
    _counted(
        "dead", True, "values that cancel in a sum are taken for zero", _ALL_ZERO, "cancelling"
    ),
    _counted(
        "dead",
        True,
        "a lora_B without positive values is taken for zero; negative ones are not zero",
        _ALL_ZERO,
        "negative",
    ),
    _counted("dead", True, "small values are taken for zero", _ALL_ZERO, "tiny"),
    _counted(
        "dead",
        False,
        "a dead lora_B that is unexpected, too, is not counted as dead",
        _ALL_ZERO,
        "unknown",
    ),
    _counted(
        "dead",
        False,
        "a dead lora_B that is a misfit, too, is not counted as dead",
        _ALL_ZERO,
        "misfit",
    ),
    _counted(
        "misfits",
        True,
        "tensors are counted as misfits whose shapes are equal, or that only one of the two has",
        "Compare the shapes, not the values, of what is in both",
    ),
    _counted(
        "misfits",
        False,
        "tensors that are in both with different shapes are not counted as misfits",
        _ALL_OF_BOTH,
    ),
    _counted(
        "missing",
        True,
        "more is counted as missing than tensors of the adapter that the file does not have",
        _OWN,
    ),
    _counted(
        "missing",
        False,
        "tensors of the adapter that the file does not have are not counted as missing",
        _OWN,
    ),
    _counted(
        "unexpected",
        True,
        "more is counted as unexpected than names in the file that the model does not expect",
        "Unexpected is what the file has and the model's adapter lacks",
    ),
    _counted(
        "unexpected",
        False,
        "names in the file that the model does not expect are not counted as unexpected",
        "Unexpected is what the file has and the model's adapter lacks",
    ),
    _counted(
        "dead",
        True,
        "more is counted as dead than factors lora_B in the file that are zero everywhere",
        "Look at lora_B in the file only, and ask whether all of it is zero: not tensor.any()",
    ),
    _counted(
        "dead",
        False,
        "factors lora_B in the file that are zero everywhere are not counted as dead",
        "Look at every lora_B in the file: not tensor.any()",
    ),
)
