"""Lesson 03, the model: replacing layers and counting what trains, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from peftcourse.exercises.core import Mutant

# --- lora.inject ----------------------------------------------------------------------------------


def inject(
    model: nn.Module, targets: list[str], wrap: Callable[[nn.Linear], nn.Module]
) -> list[str]:
    return _inject(model, targets, wrap, _is_suffix)


def _is_suffix(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _inject(model, targets, wrap, matches) -> list[str]:
    model.requires_grad_(False)
    names = []
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(matches(name, target) for target in targets):
            _replace(model, name, wrap(module))
            names.append(name)
    return names


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, new)


def _inject_substring(model, targets, wrap):
    return _inject(model, targets, wrap, lambda name, target: target in name)


def _inject_unanchored(model, targets, wrap):
    return _inject(model, targets, wrap, lambda name, target: name.endswith(target))


def _inject_exact(model, targets, wrap):
    return _inject(model, targets, wrap, lambda name, target: name == target)


def _inject_unfrozen(model, targets, wrap):
    frozen = {name: p.requires_grad for name, p in model.named_parameters()}
    parameters = dict(model.named_parameters())
    names = inject(model, targets, wrap)
    for name, parameter in parameters.items():
        parameter.requires_grad_(frozen[name])
    return names


def _inject_frozen_targets_only(model, targets, wrap):
    parameters = list(model.parameters())
    names = inject(model, targets, wrap)
    wrapped = {id(p) for name in names for p in model.get_submodule(name).parameters()}
    for parameter in parameters:
        parameter.requires_grad_(id(parameter) not in wrapped)
    return names


def _inject_freeze_last(model, targets, wrap):
    names = inject(model, targets, wrap)
    model.requires_grad_(False)
    return names


def _inject_last_part(model, targets, wrap):
    return _inject(model, targets, wrap, lambda name, t: name.rpartition(".")[2] == t)


def _inject_on_root(model, targets, wrap):
    model.requires_grad_(False)
    names = []
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(_is_suffix(name, t) for t in targets):
            setattr(model, name.rpartition(".")[2], wrap(module))
            names.append(name)
    return names


def _inject_first_only(model, targets, wrap):
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(_is_suffix(name, t) for t in targets):
            _replace(model, name, wrap(module))
            return [name]
    return []


INJECT = (
    Mutant(
        "substring",
        _inject_substring,
        "more layers than asked: `target in name` also finds q_proj_gate and kq_proj",
        'Compare whole parts of the name: equal, or ending in "." + target',
    ),
    Mutant(
        "suffix-not-anchored",
        _inject_unanchored,
        "kq_proj ends in q_proj too: the suffix needs the dot before it",
        'Test name.endswith("." + target), or name == target',
    ),
    Mutant(
        "exact-name",
        _inject_exact,
        "only top-level layers match: names of modules are whole paths, such as layers.0.q_proj",
        "Compare the end of the path, not all of it",
    ),
    Mutant(
        "last-part-only",
        _inject_last_part,
        "a target of two parts, such as attention.v_proj, finds nothing: only one is compared",
        'Test name.endswith("." + target), or name == target',
    ),
    Mutant(
        "base-not-frozen",
        _inject_unfrozen,
        "the model's own weights still train",
        "Freeze the whole model before wrapping: model.requires_grad_(False)",
    ),
    Mutant(
        "rest-not-frozen",
        _inject_frozen_targets_only,
        "only the wrapped layers are frozen; embeddings, norms and the head still train",
        "Freeze the whole model before wrapping: model.requires_grad_(False)",
    ),
    Mutant(
        "frozen-last",
        _inject_freeze_last,
        "nothing trains: the model was frozen after the adapters were in it",
        "Freeze first, wrap afterwards",
    ),
    Mutant(
        "set-on-root",
        _inject_on_root,
        "the new layers hang on the model itself, where nothing calls them",
        "Find the parent with model.get_submodule and set the attribute there",
    ),
    Mutant(
        "first-only",
        _inject_first_only,
        "only the first match is wrapped: the function returned inside its loop",
        "Collect the names, and return after the loop",
    ),
)

# --- lora.count -----------------------------------------------------------------------------------


def count(shapes: list[tuple[int, int]], rank: int, layers: int) -> int:
    return layers * sum(rank * (d_in + d_out) for d_out, d_in in shapes)


COUNT = (
    Mutant(
        "full-matrices",
        lambda shapes, rank, layers: layers * sum(d_out * d_in for d_out, d_in in shapes),
        "these are the frozen weights: d_out × d_in counts full fine-tuning",
        "Count A, which is (r, d_in), and B, which is (d_out, r)",
    ),
    Mutant(
        "square-assumed",
        lambda shapes, rank, layers: layers * sum(2 * rank * d_in for _, d_in in shapes),
        "2·r·d_in is right for square matrices only",
        "Count d_in for A and d_out for B",
    ),
    Mutant(
        "only-one-factor",
        lambda shapes, rank, layers: layers * sum(rank * d_in for _, d_in in shapes),
        "A alone: B trains too",
        "Add B's r × d_out",
    ),
    Mutant(
        "layers-forgotten",
        lambda shapes, rank, layers: count(shapes, rank, 1),
        "one layer's worth: the model has {layers} of them",
        "Multiply by the number of layers",
    ),
    Mutant(
        "base-included",
        lambda shapes, rank, layers: (
            count(shapes, rank, layers) + layers * sum(d_out * d_in for d_out, d_in in shapes)
        ),
        "the frozen weights are counted too",
        "Count only A and B",
    ),
)
