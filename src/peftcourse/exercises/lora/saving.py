"""Lesson 03, saving the adapter, rightly and wrongly."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from peftcourse.exercises.core import Mutant, Symptom, slip


def save(model: nn.Module, kind: type[nn.Module]) -> dict[str, Tensor]:
    return {
        f"{path}.{part}": getattr(layer, part).detach().clone()
        for path, layer in model.named_modules()
        if isinstance(layer, kind)
        for part in ("A", "B")
    }


_SAVE = partial(slip, save)
_ISINSTANCE = "Ask what a layer is, isinstance(layer, kind)"

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
        f"{_ISINSTANCE}, not whether it trains now",
    ),
    Mutant(
        "by-name",
        lambda model, kind: {
            k: p.detach().clone() for k, p in model.named_parameters() if k.endswith((".A", ".B"))
        },
        "chosen by name: the head has a parameter called A too, and is no adapter",
        f"{_ISINSTANCE}, not what a parameter is called",
    ),
    _SAVE(
        "not-copied",
        ".detach().clone()",
        ".detach()",
        "what was saved goes on training: the tensors share memory with the model, and are no "
        "copies",
        "Copy each tensor: .detach().clone()",
    ),
    _SAVE(
        "not-detached",
        ".detach().clone()",
        ".clone()",
        "the saved tensors are not detached: they require gradients and hold on to the graph",
        "Detach before cloning: .detach().clone()",
    ),
    _SAVE(
        "parameters-themselves",
        ".detach().clone()",
        "",
        "the parameters themselves are saved, no copies: they go on training, and are not detached",
        "Copy each tensor: .detach().clone()",
    ),
    _SAVE(
        "subclasses-missing",
        "isinstance(layer, kind)",
        "type(layer) is kind",
        "subclasses of `kind` are missing: `type(…) ==` is not isinstance",
        f"{_ISINSTANCE}, which is true of subclasses as well",
    ),
    _SAVE(
        "names-without-path",
        '{path}.{part}"',
        '{part}"',
        "the names have no path: every layer overwrites the one before",
        'Name each tensor f"{path}.A" or f"{path}.B", with path from named_modules()',
    ),
    _SAVE(
        "names-without-dot",
        "{path}.{part}",
        "{path}{part}",
        "the dot between the path and A or B is missing in the names",
        'Name each tensor f"{path}.A" or f"{path}.B"',
    ),
    _SAVE(
        "last-parts-as-path",
        "{path}.{part}",
        "{path.rpartition('.')[2]}.{part}",
        "the names hold the last part of the path alone: second.A, where the path is block.second",
        'Name each tensor f"{path}.A" or f"{path}.B", with path from named_modules()',
    ),
    _SAVE(
        "children-only",
        "named_modules()",
        "named_children()",
        "nested layers are missing: only direct children of the model are looked at",
        "Walk over model.named_modules(), which goes down all the way",
    ),
    _SAVE(
        "a-and-b-exchanged",
        "getattr(layer, part)",
        "getattr(layer, 'BA'['AB'.index(part)])",
        "A and B are swapped: each stands under the other's name",
        "Put layer.A under the name that ends in .A",
    ),
    _SAVE(
        "transposed",
        "getattr(layer, part)",
        "getattr(layer, part).T",
        "A and B are saved transposed",
        "Save the tensors as they are",
    ),
    _SAVE(
        "scaled",
        "getattr(layer, part)",
        "(layer.scaling * getattr(layer, part))",
        "the scaling is multiplied into what is saved",
        "Save A and B as they are",
    ),
    _SAVE(
        "only-b",
        '("A", "B")',
        '("B",)',
        "A is missing: only B is saved",
        "Save A and B",
    ),
    _SAVE(
        "only-a",
        '("A", "B")',
        '("A",)',
        "B is missing: only A is saved",
        "Save A and B",
    ),
    _SAVE(
        "frozen-by-saving",
        ".detach().clone()",
        ".requires_grad_(False).clone()",
        "saving freezes the model's own parameters: requires_grad_ changes them, not a copy",
        "Detach and clone: .detach().clone()",
    ),
    Mutant(
        "zeros-left-out",
        lambda model, kind: {k: v for k, v in save(model, kind).items() if v.any()},
        "a tensor that is still zero is left out: a B before training belongs to the file, too",
        "Keep A and B of every layer, whatever their values",
    ),
    Mutant(
        "base-too",
        lambda model, kind: {
            f"{path}.{name}": tensor.detach().clone()
            for path, layer in model.named_modules()
            if isinstance(layer, kind)
            for name, tensor in layer.named_parameters()
        },
        "the base weights of the adapter layers are saved too: only A and B belong to the adapter",
        "Take A and B from each layer, and not all its parameters",
    ),
    Mutant(
        "numbered",
        lambda model, kind: {
            f"{i}.{part}": getattr(layer, part).detach().clone()
            for i, layer in enumerate(m for m in model.modules() if isinstance(m, kind))
            for part in ("A", "B")
        },
        "the layers are numbered: the names hold no path",
        'Name each tensor f"{path}.A" or f"{path}.B", with path from named_modules()',
    ),
)

SAVE_SYMPTOMS = (
    Symptom(
        "parameters of the model frozen or not",
        "saving changes the model: parameters are frozen by it, or train after it",
        "Detach and clone: .detach().clone()",
        decides=True,
    ),
    Symptom(
        "tensors of base layers",
        "weights of base layers are in it: only A and B belong to the adapter",
        "Keep only the A and B of layers that are instances of `kind`",
        decides=True,
    ),
    Symptom(
        "tensors of other modules",
        "a parameter of the head is in it, which is no adapter",
        _ISINSTANCE,
        decides=True,
    ),
    Symptom(
        "names without a path",
        "names are without a path: layers overwrite each other",
        'Name each tensor f"{path}.A" or f"{path}.B", with path from named_modules()',
        decides=True,
    ),
    Symptom(
        "names that the model does not have",
        "names are not the paths of the layers with .A or .B behind them",
        'Name each tensor f"{path}.A" or f"{path}.B", with path from named_modules()',
        decides=True,
    ),
    Symptom(
        "tensors of subclasses",
        "a layer of a subclass of `kind` is missing",
        f"{_ISINSTANCE}, which is true of subclasses as well",
        lambda case, expected, observed: (
            observed["tensors of subclasses"] < expected["tensors of subclasses"]
            and observed["tensors A of adapter layers"] + observed["tensors B of adapter layers"]
            == 4
        ),
        decides=True,
    ),
    Symptom(
        "tensors A of adapter layers",
        "A is missing of some or all adapter layers",
        "Keep A and B of every layer that is an instance of `kind`",
        decides=True,
    ),
    Symptom(
        "tensors B of adapter layers",
        "B is missing of some or all adapter layers",
        "Keep A and B of every layer that is an instance of `kind`",
        decides=True,
    ),
    Symptom(
        "tensors that go on training",
        "saved tensors share memory with the model, and change with it: no copies",
        "Copy each tensor: .detach().clone()",
        decides=True,
    ),
    Symptom(
        "tensors that require a gradient",
        "saved tensors are not detached: they require a gradient",
        "Detach each tensor: .detach().clone()",
        decides=True,
    ),
)
