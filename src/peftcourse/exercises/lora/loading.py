"""Lesson 03, loading the adapter, rightly and wrongly."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def load(model: nn.Module, kind: type[nn.Module], state: dict[str, Tensor]) -> None:
    parameters = {
        f"{path}.{part}": getattr(layer, part)
        for path, layer in model.named_modules()
        if isinstance(layer, kind)
        for part in ("A", "B")
    }
    if parameters.keys() - state.keys():
        raise ValueError("names are missing")
    if state.keys() - parameters.keys():
        raise ValueError("there are names that the model does not have")
    parameters = {name: parameters[name] for name in parameters if name in state}
    for name, parameter in parameters.items():
        if state[name].shape != parameter.shape:
            raise ValueError(f"{name} has another shape")
    for name, parameter in parameters.items():
        with torch.no_grad():
            parameter.copy_(state[name])


def _load_while_checking(model, kind, state):
    parameters = {
        f"{path}.{part}": getattr(layer, part)
        for path, layer in model.named_modules()
        if isinstance(layer, kind)
        for part in ("A", "B")
    }
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name not in state or state[name].shape != parameter.shape:
                raise ValueError(f"{name} is missing or has the wrong shape")
            parameter.copy_(state[name])
    if state.keys() - parameters.keys():
        raise ValueError("unexpected tensors")


def _load_new_parameters(model, kind, state):
    load(model, kind, state)
    for path, layer in model.named_modules():
        if isinstance(layer, kind):
            for part in ("A", "B"):
                setattr(layer, part, nn.Parameter(state[f"{path}.{part}"].clone()))


_LOAD = partial(slip, load)
_MISSING = (
    '    if parameters.keys() - state.keys():\n        raise ValueError("names are missing")\n'
)
_EXTRA = (
    "    if state.keys() - parameters.keys():\n"
    '        raise ValueError("there are names that the model does not have")\n'
)
_UNEQUAL = "state[name].shape != parameter.shape"
_COPY = "        with torch.no_grad():\n            parameter.copy_(state[name])"
_COPY_IN_PLACE = "Copy into the parameters that are there, with copy_ under torch.no_grad()"

LOAD = (
    _LOAD(
        "missing-ignored",
        _MISSING,
        "",
        "a state with a tensor missing is loaded in part, without a word: missing names",
        "Compare the two sets of names, and raise ValueError if any is missing",
    ),
    _LOAD(
        "extra-ignored",
        _EXTRA,
        "",
        "an extra tensor that has no place in the model is dropped without a word: unexpected "
        "names are accepted",
        "Raise ValueError for names that the model does not have",
    ),
    _LOAD(
        "names-not-checked",
        _MISSING + _EXTRA,
        "",
        "like load_state_dict(strict=False): with the names wrong, nothing is loaded or said",
        "Raise ValueError unless the two sets of names are equal",
    ),
    _LOAD(
        "shape-not-checked",
        _UNEQUAL,
        "False",
        "the shape is not compared: copy_ stretches a tensor of one row to r rows without an error",
        "Compare the shapes yourself before copying",
    ),
    _LOAD(
        "size-instead-of-shape",
        _UNEQUAL,
        "state[name].numel() != parameter.numel()",
        "the number of entries (numel) is compared, and not the shape: a transposed tensor passes",
        "Compare .shape",
        ("copy_(state[name])", "copy_(state[name].reshape(parameter.shape))"),
    ),
    _LOAD(
        "rows-not-compared",
        _UNEQUAL,
        "state[name].shape[1] != parameter.shape[1]",
        "the comparison of shapes lets one row pass for r rows, which copy_ stretches over them",
        "Compare the whole .shape",
    ),
    Mutant(
        "checked-while-copying",
        _load_while_checking,
        "it raises too late: some tensors are already overwritten",
        "First check every name and shape, then copy",
    ),
    Mutant(
        "parameters-replaced",
        _load_new_parameters,
        "new Parameter objects replace the old: an optimizer made earlier still trains the old "
        "ones",
        _COPY_IN_PLACE,
    ),
    _LOAD(
        "data-assigned",
        _COPY,
        "        parameter.data = state[name]",
        "the tensors of the state are assigned and not copied: model and state share memory",
        _COPY_IN_PLACE,
    ),
    _LOAD(
        "nothing-copied",
        _COPY,
        "        parameters[name] = state[name]",
        "nothing is copied: `parameters[name] = …` or `parameter = …` changes a dictionary or a "
        "variable, and not the model",
        _COPY_IN_PLACE,
    ),
    _LOAD(
        "added",
        "copy_(state[name])",
        "add_(state[name])",
        "the values are added to what is there: they should replace it",
        "Use copy_",
    ),
    _LOAD(
        "state-emptied",
        "copy_(state[name])",
        "copy_(state.pop(name))",
        "pop takes the tensors out of the caller's dictionary: the state is changed",
        "Read state[name]",
    ),
    _LOAD(
        "shapes-of-b-not-compared",
        _UNEQUAL,
        f"name.endswith('.A') and {_UNEQUAL}",
        "only the shapes of A are compared: copy_ stretches a B of one row",
        "Compare the shape of every tensor",
    ),
    _LOAD(
        "shapes-of-a-not-compared",
        _UNEQUAL,
        f"name.endswith('.B') and {_UNEQUAL}",
        "only the shapes of B are compared: copy_ stretches an A of one row",
        "Compare the shape of every tensor",
    ),
    _LOAD(
        "returns-instead-of-raising",
        'raise ValueError("names are missing")',
        "return False",
        "it returns where it should raise a ValueError: a bad state is refused without a word",
        "Raise ValueError",
        ('raise ValueError("there are names that the model does not have")', "return False"),
        ('raise ValueError(f"{name} has another shape")', "return False"),
    ),
    _LOAD(
        "another-error",
        'ValueError("names are missing")',
        "KeyError",
        "another error is raised, such as KeyError or an AssertionError, where ValueError is asked "
        "for",
        "Raise ValueError",
        ('ValueError("there are names that the model does not have")', "KeyError"),
        ('ValueError(f"{name} has another shape")', "KeyError"),
    ),
    _LOAD(
        "another-error-for-names",
        'ValueError("names are missing")',
        "KeyError",
        "names that do not fit raise another error, such as KeyError, and not the ValueError asked "
        "for",
        "Raise ValueError for names, too",
        ('ValueError("there are names that the model does not have")', "KeyError"),
    ),
    _LOAD(
        "subclasses-missing",
        "isinstance(layer, kind)",
        "type(layer) is kind",
        "subclasses of `kind` are missing: `type(…) ==` is not isinstance",
        "Use isinstance(layer, kind), which is true of subclasses as well",
    ),
    _LOAD(
        "dtype-compared",
        _UNEQUAL,
        f"{_UNEQUAL} or state[name].dtype != parameter.dtype",
        "a state of another dtype is refused: names and shapes alone decide, and copy_ converts",
        "Compare names and shapes, nothing else",
    ),
)

_GOOD = ("a good state", "a good state in another order", "a good state in float32")
_BAD = {
    "a state without its last tensor": "a state in which a name is missing",
    "a state with one tensor too many": "a state with an extra, unexpected name",
    "a state with one row instead of r": "a state of another shape, one row instead of r,",
    "a state with one row of a B": "a state of another shape, a B of one row,",
    "a state with a transposed tensor": "a state of another shape, transposed,",
    "a state with other names": "a state with other names",
    "an empty state": "an empty state, all names missing,",
}


def _unchanged(label: str):
    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        start = [case[f"{part}{i}"].flatten() for i in (1, 2, 3) for part in "AB"]
        return torch.equal(observed[f"{label}: A and B"], torch.cat(start).double())

    return when


def _accepted(label: str):
    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        return observed[f"{label}: other errors"] == 0

    return when


LOAD_SYMPTOMS = (
    *(
        Symptom(
            f"{label}: ValueErrors",
            f"{label} is refused: names and shapes are exactly the model's",
            "Compare names as sets, and shapes; nothing else",
            decides=True,
        )
        for label in _GOOD
    ),
    *(
        Symptom(
            f"{label}: A and B",
            f"nothing is copied from {label}: the model is unchanged",
            _COPY_IN_PLACE,
            _unchanged(label),
        )
        for label in _GOOD
    ),
    *(
        Symptom(
            f"{label}: A and B",
            f"{label} arrives in the wrong places",
            "Take each tensor by its name, not by its place in the state",
            lambda case, expected, observed: torch.equal(
                expected[f"{_GOOD[1]}: A and B"].sort().values,
                observed[f"{_GOOD[1]}: A and B"].sort().values,
            ),
        )
        for label in _GOOD[1:2]
    ),
    Symptom(
        "a good state: other weights",
        "weights that belong to no adapter are changed",
        "Copy into A and B of the layers of this kind alone",
        decides=True,
    ),
    Symptom(
        "a good state: tensors left in it",
        "the caller's dictionary is changed: tensors are taken out of the state",
        "Read state[name], without pop or del",
        decides=True,
    ),
    Symptom(
        "a good state: parameters that are new objects",
        "the parameters are replaced by new objects: an optimizer made earlier trains the old ones",
        _COPY_IN_PLACE,
        decides=True,
    ),
    Symptom(
        "a good state: parameters that share memory with it",
        "the tensors of the state are not copied: the model shares their memory",
        _COPY_IN_PLACE,
        decides=True,
    ),
    Symptom(
        "a good state in float32: parameters of another dtype",
        "the parameters take the dtype of the state: they are replaced, not copied into",
        _COPY_IN_PLACE,
        decides=True,
    ),
    Symptom(
        "a good state: parameters that train or not",
        "whether a parameter trains is changed by loading",
        "Copy values alone, and leave requires_grad as it is",
        decides=True,
    ),
    *(
        symptom
        for label, text in _BAD.items()
        for symptom in (
            Symptom(
                f"{label}: ValueErrors",
                f"{text} is accepted without a word, where a ValueError should be raised",
                "Compare names and shapes first, and raise ValueError unless all are equal",
                _accepted(label),
                decides=True,
            ),
            Symptom(
                f"{label}: other errors",
                f"{text} raises another error than the ValueError asked for",
                "Compare names and shapes first, and raise ValueError yourself",
                decides=True,
            ),
            Symptom(
                f"{label}: numbers changed",
                f"{text} is refused too late: some tensors are already overwritten",
                "First check every name and shape, then copy",
                lambda case, expected, observed, label=label: (
                    observed[f"{label}: ValueErrors"] + observed[f"{label}: other errors"] > 0
                ),
                decides=True,
            ),
        )
    ),
)
