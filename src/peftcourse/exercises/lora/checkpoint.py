"""Lesson 03, after training: saving, loading and merging, rightly and wrongly."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant

# --- lora.save ------------------------------------------------------------------------------------


def save(model: nn.Module, kind: type[nn.Module]) -> dict[str, Tensor]:
    return {
        f"{path}.{part}": getattr(layer, part).detach().clone()
        for path, layer in model.named_modules()
        if isinstance(layer, kind)
        for part in ("A", "B")
    }


def _save_aliases(model, kind):
    state = save(model, kind)
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach() for name in state}


def _save_with_graph(model, kind):
    parameters = dict(model.named_parameters())
    return {name: parameters[name].clone() for name in save(model, kind)}


def _save_short_names(model, kind):
    return {name.rpartition(".")[2]: tensor for name, tensor in save(model, kind).items()}


SAVE = (
    Mutant(
        "whole-model",
        lambda model, kind: {k: v.detach().clone() for k, v in model.state_dict().items()},
        "the whole model is saved: the file would be as large as the base model's",
        "Keep only the A and B of layers that are instances of `kind`",
    ),
    Mutant(
        "by-requires-grad",
        lambda model, kind: {
            k: p.detach().clone() for k, p in model.named_parameters() if p.requires_grad
        },
        "chosen by requires_grad: a frozen adapter is missing and a trained head is in",
        "Ask what a layer is, isinstance(layer, kind), not whether it trains now",
    ),
    Mutant(
        "by-name",
        lambda model, kind: {
            k: p.detach().clone() for k, p in model.named_parameters() if k.endswith((".A", ".B"))
        },
        "chosen by name: the head has a parameter called A too, and is no adapter",
        "Ask what a layer is, isinstance(layer, kind), not what a parameter is called",
    ),
    Mutant(
        "not-copied",
        _save_aliases,
        "what was saved goes on training: the tensors share memory with the model",
        "Copy each tensor: .detach().clone()",
    ),
    Mutant(
        "not-detached",
        _save_with_graph,
        "the saved tensors still require gradients and hold on to the graph",
        "Detach before cloning: .detach().clone()",
    ),
    Mutant(
        "names-without-path",
        _save_short_names,
        "the names have no path: every layer overwrites the one before",
        'Name each tensor f"{path}.A" or f"{path}.B", with path from named_modules()',
    ),
)

# --- lora.load ------------------------------------------------------------------------------------


def load(model: nn.Module, kind: type[nn.Module], state: dict[str, Tensor]) -> None:
    _load(model, kind, state)


def _parameters(model: nn.Module, kind: type[nn.Module]) -> dict[str, nn.Parameter]:
    return {
        f"{path}.{part}": getattr(layer, part)
        for path, layer in model.named_modules()
        if isinstance(layer, kind)
        for part in ("A", "B")
    }


def _load(model, kind, state, *, missing=True, extra=True, shapes=True) -> None:
    parameters = _parameters(model, kind)
    if missing and parameters.keys() - state.keys():
        raise ValueError(f"missing: {sorted(parameters.keys() - state.keys())}")
    if extra and state.keys() - parameters.keys():
        raise ValueError(f"unexpected: {sorted(state.keys() - parameters.keys())}")
    for name in parameters.keys() & state.keys():
        if shapes and state[name].shape != parameters[name].shape:
            raise ValueError(f"{name}: {state[name].shape}, not {parameters[name].shape}")
    with torch.no_grad():
        for name in parameters.keys() & state.keys():
            parameters[name].copy_(state[name])


def _load_while_checking(model, kind, state):
    parameters = _parameters(model, kind)
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name not in state or state[name].shape != parameter.shape:
                raise ValueError(f"{name} is missing or has the wrong shape")
            parameter.copy_(state[name])
    if state.keys() - parameters.keys():
        raise ValueError("unexpected tensors")


def _load_new_parameters(model, kind, state):
    _load(model, kind, state)
    for name in _parameters(model, kind):
        path, _, part = name.rpartition(".")
        setattr(model.get_submodule(path), part, nn.Parameter(state[name].clone()))


LOAD = (
    Mutant(
        "missing-ignored",
        lambda model, kind, state: _load(model, kind, state, missing=False),
        "a state with a tensor missing is loaded in part, without a word",
        "Compare the two sets of names, and raise ValueError if any is missing",
    ),
    Mutant(
        "extra-ignored",
        lambda model, kind, state: _load(model, kind, state, extra=False),
        "a tensor that has no place in the model is dropped without a word",
        "Raise ValueError for names that the model does not have",
    ),
    Mutant(
        "names-not-checked",
        lambda model, kind, state: _load(model, kind, state, missing=False, extra=False),
        "like load_state_dict(strict=False): with the names wrong, nothing is loaded or said",
        "Raise ValueError unless the two sets of names are equal",
    ),
    Mutant(
        "shape-not-checked",
        lambda model, kind, state: _load(model, kind, state, shapes=False),
        "copy_ stretches a tensor of one row to r rows without an error",
        "Compare the shapes yourself before copying",
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
        "new Parameter objects: an optimizer made earlier still trains the old ones",
        "Copy into the parameters that are there, with copy_ under torch.no_grad()",
    ),
)

# --- lora.merge -----------------------------------------------------------------------------------


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
def _merge_branch_on(layer):
    with merge(layer):
        layer.enabled = True
        yield


@contextlib.contextmanager
def _merge_unscaled(layer):
    scaling, layer.scaling = layer.scaling, 1.0
    with merge(layer):
        layer.scaling = scaling
        yield


@contextlib.contextmanager
def _merge_subtract(layer):
    update = (layer.scaling * (layer.B @ layer.A)).detach()
    weight, enabled = layer.base.weight, layer.enabled
    with torch.no_grad():
        weight += update
    layer.enabled = False
    try:
        yield
    finally:
        layer.enabled = enabled
        with torch.no_grad():
            weight -= update


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
def _merge_alias(layer):
    weight, enabled = layer.base.weight, layer.enabled
    original = weight.detach()
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
def _merge_switches_on(layer):
    with merge(layer):
        yield
    layer.enabled = True


MERGE = (
    Mutant(
        "branch-still-on",
        _merge_branch_on,
        "the update counts twice: it is in the weight, and the branch still runs",
        "Set layer.enabled to False while the weight is merged",
    ),
    Mutant(
        "scaling-forgotten",
        _merge_unscaled,
        "B·A was merged without the scaling",
        "Add layer.scaling * (layer.B @ layer.A)",
    ),
    Mutant(
        "subtracted-again",
        _merge_subtract,
        "(W + Δ) - Δ is not W: subtracting leaves rounding errors behind",
        "Keep a copy of W, and copy it back",
    ),
    Mutant(
        "no-finally",
        _merge_no_finally,
        "after an error inside the block the layer stays merged",
        "Put the yield into try, and the restoring into finally",
    ),
    Mutant(
        "parameter-replaced",
        _merge_new_parameter,
        "the weight is a new Parameter: whatever shared the old one has lost it",
        "Change the values of the weight that is there, with copy_",
    ),
    Mutant(
        "copy-is-an-alias",
        _merge_alias,
        "the copy of W is no copy: detach() shares memory, so it is merged too",
        "Clone it: weight.detach().clone()",
    ),
    Mutant(
        "switched-on",
        _merge_switches_on,
        "an adapter that was off comes back switched on",
        "Remember layer.enabled, and put that value back",
    ),
)
