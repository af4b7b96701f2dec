"""Lesson 03, the model: replacing layers, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def inject(
    model: nn.Module, targets: list[str], wrap: Callable[[nn.Linear], nn.Module]
) -> list[str]:
    model.requires_grad_(False)
    names = []
    for name, module in list(model.named_modules()):
        fits = any(name == target or name.endswith("." + target) for target in targets)
        if isinstance(module, nn.Linear) and fits:
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, wrap(module))
            names.append(name)
    return names


def _inject_frozen_targets_only(model, targets, wrap):
    parameters = list(model.parameters())
    names = inject(model, targets, wrap)
    wrapped = {id(p) for name in names for p in model.get_submodule(name).parameters()}
    for parameter in parameters:
        parameter.requires_grad_(id(parameter) not in wrapped)
    return names


_INJECT = partial(slip, inject)
_FITS = 'name == target or name.endswith("." + target)'
_SET = "setattr(model.get_submodule(parent), attribute, wrap(module))"
_WHOLE_PARTS = 'Test name.endswith("." + target), or name == target'
_PARENT = "Find the parent with model.get_submodule and set the attribute there"

INJECT = (
    _INJECT(
        "substring",
        _FITS,
        "target in name",
        "more layers than asked: the substring test `target in name` also finds q_proj_gate and "
        "kq_proj",
        'Compare whole parts of the name: equal, or ending in "." + target',
    ),
    _INJECT(
        "suffix-not-anchored",
        _FITS,
        "name.endswith(target)",
        "kq_proj ends in q_proj too: the suffix needs the dot before it",
        _WHOLE_PARTS,
    ),
    _INJECT(
        "middle-of-the-path",
        _FITS,
        'f".{target}." in f".{name}."',
        "a target in the middle of a path fits too: the name of a block takes all the layers "
        "inside it",
        _WHOLE_PARTS,
    ),
    _INJECT(
        "case-ignored",
        _FITS,
        '("." + name.lower()).endswith("." + target.lower())',
        "upper and lower case are taken for the same: Q_proj is not q_proj",
        "Compare the names as they are, without lower()",
    ),
    _INJECT(
        "exact-name",
        _FITS,
        "name == target",
        "only layers whose whole path is the target: names of modules are whole paths, such as "
        "layers.0.q_proj",
        "Compare the end of the path, not all of it",
    ),
    _INJECT(
        "never-equal",
        _FITS,
        'name.endswith("." + target)',
        "a path that equals the target, such as head at the top of the model, is missed: there is "
        "no dot before it",
        _WHOLE_PARTS,
    ),
    _INJECT(
        "last-part-only",
        _FITS,
        'name.rpartition(".")[2] == target',
        "a target of two parts, such as attention.v_proj, finds nothing: only the last part of the "
        "path is compared",
        _WHOLE_PARTS,
    ),
    _INJECT(
        "base-not-frozen",
        "model.requires_grad_(False)\n    ",
        "",
        "the model is not frozen: its own weights still train",
        "Freeze the whole model before wrapping: model.requires_grad_(False)",
    ),
    _INJECT(
        "frozen-last",
        "    return names",
        "    model.requires_grad_(False)\n    return names",
        "nothing trains: the model was frozen after the adapters were in it",
        "Freeze first, wrap afterwards",
    ),
    Mutant(
        "rest-not-frozen",
        _inject_frozen_targets_only,
        "only the wrapped layers are frozen; embeddings, norms and the head still train",
        "Freeze the whole model before wrapping: model.requires_grad_(False)",
    ),
    _INJECT(
        "any-module",
        "isinstance(module, nn.Linear) and fits",
        "fits",
        "modules that are no nn.Linear are wrapped too: a norm may bear the name of a target",
        "Ask isinstance(module, nn.Linear) as well",
    ),
    _INJECT(
        "set-on-root",
        "model.get_submodule(parent), attribute",
        "model, attribute",
        "the new layers hang on the model itself, where nothing calls them: not on their parent",
        _PARENT,
    ),
    _INJECT(
        "set-by-path",
        "model.get_submodule(parent), attribute",
        "model, name",
        "setattr on the model with a whole path makes an attribute with dots in its name, which "
        "nothing calls: the layer's parent still has the old one",
        _PARENT,
    ),
    _INJECT(
        "variable-assigned",
        _SET,
        "module = wrap(module)",
        "only the loop's variable is replaced: the model still has its old layers",
        "Set the new layer on the parent, with setattr",
    ),
    _INJECT(
        "first-only",
        "            names.append(name)",
        "            return [name]",
        "only the first match is wrapped: the function returned inside its loop",
        "Collect the names, and return after the loop",
    ),
    _INJECT(
        "last-names-returned",
        "names.append(name)",
        "names.append(attribute)",
        "the names returned are last parts such as q_proj: whole paths are asked for",
        "Return the paths from named_modules()",
    ),
    _INJECT(
        "children-only",
        "named_modules()",
        "named_children()",
        "only direct children of the model are looked at: nested layers are deeper",
        "Walk over model.named_modules(), which goes down all the way",
    ),
    _INJECT(
        "first-target-only",
        "in targets)",
        "in targets[:1])",
        "only the first target is looked for",
        "Test every target, as any(… for target in targets) does",
    ),
    _INJECT(
        "last-target-only",
        "in targets)",
        "in targets[-1:])",
        "only the last target is looked for",
        "Test every target, as any(… for target in targets) does",
    ),
    _INJECT(
        "all-targets-at-once",
        "any(",
        "all(",
        "a layer has to fit all the targets at once: one is enough",
        "Use any(…)",
    ),
    _INJECT(
        "targets-ignored",
        "isinstance(module, nn.Linear) and fits",
        "isinstance(module, nn.Linear)",
        "every nn.Linear is wrapped, whatever the targets are",
        "Compare the path with the targets",
    ),
)


def _sum(outcome: Outcome, ending: str) -> int:
    return sum(
        int(value.sum())
        for name, value in outcome.items()
        if name.endswith(ending) and isinstance(value, Tensor)
    )


def _wrapped(expected: Outcome, observed: Outcome) -> list[tuple[Tensor, Tensor]]:
    """For each name of a layer: which are wrapped, rightly and by the answer."""
    names = [name for name in expected if name.endswith(": wrapped")]
    return [(expected[name], observed[name]) for name in names]


def _fewer(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return _sum(observed, ": wrapped") < _sum(expected, ": wrapped")


INJECT_SYMPTOMS = (
    Symptom(
        "other modules given to wrap",
        "modules that are no nn.Linear are wrapped too: a norm may bear the name of a target",
        "Ask isinstance(module, nn.Linear) as well",
        decides=True,
    ),
    Symptom(
        "output of the model",
        "the layers are wrapped, but the model does not call them: it still has its old layers",
        _PARENT,
        lambda case, expected, observed: (
            _sum(observed, ": wrapped") == 0 and _sum(observed, ": returned") > 0
        ),
    ),
    Symptom(
        "layers.attention.kq_proj: wrapped",
        "kq_proj is wrapped although its name only ends in q_proj: the test is no whole part of "
        "the path",
        _WHOLE_PARTS,
        decides=True,
    ),
    Symptom(
        "layers.q_proj_gate: wrapped",
        "q_proj_gate is wrapped although its name only contains q_proj: a substring",
        _WHOLE_PARTS,
        decides=True,
    ),
    Symptom(
        "layers.attention_v_proj: wrapped",
        "attention_v_proj is wrapped although its path does not end in a dot and the target",
        _WHOLE_PARTS,
        decides=True,
    ),
    Symptom(
        "layers wrapped twice",
        "a layer is wrapped twice, one adapter in the other",
        "Replace each layer once, whatever number of targets it fits",
        decides=True,
    ),
    Symptom(
        "adapters in the model",
        "of several layers that fit, only the first is wrapped: `break` or `return` in the loop",
        "Go on to the end of the loop",
        lambda case, expected, observed: all(
            not right.any() or torch.equal(seen, right * torch.tensor([1, 0])[: len(right)])
            for right, seen in _wrapped(expected, observed)
        ),
        decides=True,
    ),
    Symptom(
        "adapters in the model",
        "layers that fit a target are not wrapped",
        "Print the paths of named_modules() and which of them your test finds",
        _fewer,
        decides=True,
    ),
    Symptom(
        "base weights lost",
        "the layers' trained weights are lost: wrap got a copy or a new layer, and not the layer "
        "itself",
        "Pass the layer itself: wrap(layer)",
        decides=True,
    ),
    Symptom(
        "tensors that train in wrapped layers",
        "the wrapped layers are not frozen: their own weights still train",
        "Freeze the whole model before wrapping: model.requires_grad_(False)",
        decides=True,
    ),
    Symptom(
        "tensors that train elsewhere",
        "the rest of the model is not frozen: embeddings, norms or other layers still train",
        "Freeze the whole model before wrapping: model.requires_grad_(False)",
        decides=True,
    ),
    Symptom(
        "A and B that train",
        "the adapters are frozen: their A and B do not train",
        "Freeze first, wrap afterwards",
        lambda case, expected, observed: (
            observed["A and B that train"] < 2 * observed["adapters in the model"]
        ),
        decides=True,
    ),
    Symptom(
        "names returned that are no path",
        "what is returned are not the whole paths of the layers",
        "Return the paths from named_modules()",
        decides=True,
    ),
)
