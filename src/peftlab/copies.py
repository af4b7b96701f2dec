"""Parameters that train in full beside an adapter: a new head, a norm, the biases.

The model's own parameters never change. What trains is a copy, which takes the original's place
while the adapter is on, so that switching it off gives the base model back bit for bit and
several adapters can each have their own head. PEFT calls such modules ``modules_to_save``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, innermost, inside, oriented
from peftlab.targets import matches, named_layers, task_heads, within

COPYABLE = ("weight", "bias")  # names of parameters that a copy can stand for


@dataclass(frozen=True)
class AlsoTrain:
    """What an adapter trains in full.

    Attributes:
        modules: names of whole modules, such as ``classifier``.
        bias: ``"none"``, ``"targets"`` or ``"all"``; see ``verbs.apply``.
        tied: whether copies are tied where the originals are.
    """

    modules: tuple[str, ...]
    bias: str
    tied: bool


class ParameterCopy(AdapterLayer):
    """A module of the model that computes with other values for some of its parameters.

    It wraps the module directly, below all other adapters: those add to the new values as they
    would to the old.

    Attributes:
        PARAMETERS: names of the copied parameters; the same as in the base.
    """

    def __init__(
        self, base: nn.Module, method: Any, adapter: str, copies: dict[str, nn.Parameter]
    ) -> None:
        super().__init__(base, method, adapter)
        self.PARAMETERS = self.MERGES = tuple(copies)
        # Not by `register_parameter`, which refuses names that the base has.
        self._parameters.update(copies)

    def forward(self, *args, **kwargs):
        # Another adapter may have its own copies just below. The outer ones win.
        values: dict[str, Tensor] = {}
        layer: nn.Module = self
        while isinstance(layer, ParameterCopy):
            if layer.active:
                values = layer.adapter_parameters() | values
            layer = layer.base
        return functional_call(layer, values, args, kwargs)

    def merged_weight(self, weight: Tensor) -> Tensor:
        """The copy instead of the original."""
        return oriented(self, self._parameters["weight"].clone())

    def merged_bias(self, bias: Tensor) -> Tensor:
        """The copy instead of the original."""
        return self._parameters["bias"].clone()


def parameter_copies(
    model: nn.Module,
    wrappers: dict[str, AdapterLayer],
    adapter: str,
    also_train: str | Sequence[str],
    bias: str,
    tie: bool,
    train_head: bool,
) -> list[tuple[str, AdapterLayer]]:
    """The wrappers of a method together with the copies that train beside them.

    A wrapper inside a module that trains in full is left out: there is nothing to adapt.

    Raises:
        PeftlabError: a pattern matches no module, a module cannot be copied, or nothing is left
            for the method to adapt.
    """
    if bias not in ("none", "targets", "all"):
        raise PeftlabError(f'bias must be "none", "targets" or "all", not {bias!r}.')
    layers = named_layers(model)
    modules = _matching(layers, [also_train] if isinstance(also_train, str) else also_train)
    if train_head:  # unless the method copies it already
        copied = [path for path, layer in wrappers.items() if isinstance(layer, ParameterCopy)]
        heads = [head for head in task_heads(model) if not any(within(p, [head]) for p in copied)]
        modules += [head for head in heads if not within(head, modules)]
    kept = {path: layer for path, layer in wrappers.items() if not within(path, modules)}
    if wrappers and not kept:
        raise PeftlabError(
            f"what trains in full, {', '.join(modules)}, covers every target of the method; name "
            "a target outside, or leave it out of also_train (a new head: train_head=False)."
        )

    # (module's name, parameter's name) of each parameter to copy
    chosen = [
        (path, name, parameter)
        for path, module in layers
        for name, parameter in innermost(module)._parameters.items()
        if parameter is not None
        and (
            within(path, modules)
            or (name == "bias" and (bias == "all" or (bias == "targets" and path in kept)))
        )
    ]
    if tie:
        tied = {id(parameter) for _, _, parameter in chosen}
        chosen = [
            (path, name, parameter)
            for path, module in layers
            for name, parameter in innermost(module)._parameters.items()
            if id(parameter) in tied
        ]
    method = AlsoTrain(tuple(modules), bias, tied=tie and _any_tied(chosen))
    return [*kept.items(), *copy_wrappers(model, chosen, method, adapter, tie).items()]


def copy_wrappers(
    model: nn.Module,
    chosen: Sequence[tuple[str, str, nn.Parameter]],
    method: Any,
    adapter: str,
    tie: bool,
) -> dict[str, AdapterLayer]:
    """Wrappers that compute with copies of these parameters, by the module that each wraps.

    Args:
        model: the model.
        chosen: (module's name, parameter's name, parameter) of each parameter to copy.
        method: the configuration that the wrappers belong to.
        adapter: the adapter's name.
        tie: whether copies of tied parameters are tied like their originals.

    Raises:
        PeftlabError: a parameter cannot be copied.
    """
    copies: dict[str, dict[str, nn.Parameter]] = {}
    copy_of: dict[int, nn.Parameter] = {}
    for path, name, parameter in chosen:
        _check_copyable(path, name, parameter)
        if not tie or id(parameter) not in copy_of:
            copy_of[id(parameter)] = nn.Parameter(parameter.detach().clone())
        copies.setdefault(path, {})[name] = copy_of[id(parameter)]
    modules = dict(named_layers(model))
    return {
        path: ParameterCopy(_below_adapters(modules[path]), method, adapter, values)
        for path, values in copies.items()
    }


def _any_tied(chosen: Sequence[tuple[str, str, nn.Parameter]]) -> bool:
    return len({id(parameter) for _, _, parameter in chosen}) < len(chosen)


def trains_beside(layer: AdapterLayer) -> bool:
    """Whether the layer holds copies that train beside a method, not by a method of their own."""
    return isinstance(layer.method, AlsoTrain)


def _matching(layers: Iterable[tuple[str, nn.Module]], patterns: Sequence[str]) -> list[str]:
    """Names of the modules that the patterns mean."""
    found: list[str] = []
    for pattern in patterns:
        paths = [path for path, _ in layers if path and matches(path, pattern)]
        if not paths:
            raise PeftlabError(
                f"also_train {pattern!r} matches no module of the model; name a module as "
                "model.named_modules() does, or the end of its name."
            )
        found += [path for path in paths if path not in found]
    return found


def _check_copyable(path: str, name: str, parameter: nn.Parameter) -> None:
    if not parameter.is_floating_point():
        raise PeftlabError(
            f"{path}.{name} is quantized ({parameter.dtype}) and cannot train in full; keep it in "
            "16 or 32 bit: leave it out of targets= when you quantize (llm_int8_skip_modules in "
            "transformers' BitsAndBytesConfig), or adapt it instead."
        )
    if name not in COPYABLE:
        raise PeftlabError(
            f"{path!r} holds a parameter named {name!r}, and only weights and biases can be "
            "copied; choose a module inside it."
        )


def _below_adapters(module: nn.Module) -> nn.Module:
    """What a new copy wraps: the module itself, or the copies that other adapters have of it."""
    while not isinstance(module, ParameterCopy) and (inner := inside(module)) is not None:
        module = inner
    return module
