"""Put adapters into a model: match target layers, wrap them, freeze the rest, switch on and off.

An adapter never edits the module it adapts. It wraps it: the wrapper keeps the module as ``base``,
calls it, and adds its own contribution. The base weight object stays the same tensor on the same
device, so tied weights, quantized weights and optimizers that hold it go on working.

Wrappers nest. Applying a second adapter wraps the first one's wrapper, and their contributions
add up: ``y = base(x) + delta_1(x) + delta_2(x)``.
"""

from __future__ import annotations

import contextlib
import copy
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from peftlab.errors import PeftlabError

ALL_LINEAR = "all-linear"


class AdapterLayer(nn.Module):
    """One module of the model together with what one adapter adds to it.

    A method subclasses this, creates its parameters in ``__init__``, names them in
    ``PARAMETERS``, and writes ``forward``. Freezing, counting and saving ask the layer which
    parameters are the adapter's; nothing is found by searching for "lora" in a name.

    An attribute that the wrapper does not have is looked up in the model's own module, because
    models look at the layers they call: T5 at ``wo.weight.dtype``, for example.

    Attributes:
        base: the wrapped module; another ``AdapterLayer`` when adapters are stacked.
        method: the configuration of the method, such as a ``LoRAConfig``.
        adapter: the name of the adapter this layer belongs to.
        enabled: whether ``forward`` adds the contribution.
        merged: whether the contribution is in the base weight already (see ``merging.merge``).
    """

    PARAMETERS: tuple[str, ...] = ()
    # Which of the base's tensors merging changes, each by a method `merged_<tensor>`.
    MERGES: tuple[str, ...] = ("weight",)
    # Why the method cannot be merged, as the end of a sentence; empty if it can.
    CANNOT_MERGE: str = ""
    # Whether the layer computes ``base(x) + term`` with a term that does not depend on what other
    # adapters do. Such adapters can be merged in any order; others only from the inside out.
    ADDITIVE: bool = False
    # Whether the contribution is computed from the base's original weight.
    USES_WEIGHT: bool = False

    def __init__(self, base: nn.Module, method: Method, adapter: str) -> None:
        super().__init__()
        self.base = base
        self.method = method
        self.adapter = adapter
        self.enabled = True
        self.merged = False
        self.train(base.training)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(innermost(super().__getattr__("base")), name)

    @property
    def active(self) -> bool:
        """Whether ``forward`` has anything to add: enabled, and not in the weights already."""
        return self.enabled and not self.merged

    @property
    def innermost(self) -> nn.Module:
        """The model's own module, below all the wrappers."""
        return innermost(self)

    def adapter_parameters(self) -> dict[str, nn.Parameter]:
        """The adapter's own parameters by name, without those of the module it wraps."""
        return {name: self.get_parameter(name) for name in self.PARAMETERS}

    def saved_parameters(self) -> dict[str, Tensor]:
        """What an adapter file holds: the parameters, or what is computed from them for good."""
        return self.adapter_parameters()

    def merged_weight(self, weight: Tensor) -> Tensor:
        """The base weight with this adapter in it: same shape, layout and dtype as ``weight``.

        Raises:
            PeftlabError: the method cannot be merged.
        """
        raise PeftlabError(f"{type(self).__name__} cannot be merged into the base weight.")


class Method(Protocol):
    """What a method's configuration has to offer: which modules it wraps, and with what."""

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A new wrapper for each module to adapt, by the module's name; the model is not changed.

        Raises:
            PeftlabError: the method does not fit the model.
        """
        ...


# --- the layers of a model -----------------------------------------------------------------------


def is_conv1d(layer: nn.Module) -> bool:
    """Whether this is transformers' ``Conv1D``, the linear layer of GPT-2.

    Its weight is stored as (in_features, out_features), the transpose of ``nn.Linear``'s. The
    class is recognised by name so that this module does not import transformers.
    """
    return type(layer).__name__ == "Conv1D" and hasattr(layer, "nf")


def is_linear(layer: nn.Module) -> bool:
    """Whether the layer computes ``x @ W.T + b``: ``nn.Linear``, its subclasses, or ``Conv1D``."""
    return isinstance(layer, nn.Linear) or is_conv1d(layer)


def linear_features(layer: nn.Module) -> tuple[int, int]:
    """(in_features, out_features) of a linear layer."""
    if is_conv1d(layer):
        return layer.weight.shape[0], layer.nf
    # A 4-bit layer's weight is packed bytes, so its shape says nothing: ask the layer.
    return layer.in_features, layer.out_features


def dense_weight(layer: nn.Module) -> Tensor:
    """The original weight of a linear layer as (d_out, d_in), whatever its layout or packing.

    Adapters that are merged are not in it, and a 4-bit weight comes back dequantized. Nothing is
    copied if the weight is stored that way already.
    """
    layer = innermost(layer)
    weight = getattr(layer, "unmerged_weight", layer.weight).detach()
    state = getattr(layer.weight, "quant_state", None)
    if state is not None:
        weight = _dequantized(weight, state)
    elif hasattr(layer, "dequantize"):
        weight = layer.dequantize()
    return weight.T if is_conv1d(layer) else weight


def _dequantized(weight: Tensor, state: Any) -> Tensor:
    """The values of a bitsandbytes 4-bit weight."""
    from peftlab.quantization import bitsandbytes as bnb_format
    from peftlab.quantization import nf4

    if getattr(state, "packing_format_for_cpu", False):
        from bitsandbytes import functional

        # On CPUs with AVX512-BF16 the first evaluation repacks the bytes. The inverse writes into
        # the state it is given: hand it a copy.
        weight, state = functional._convert_weight_packed_for_cpu_inverse(weight, copy.copy(state))
    # Not bitsandbytes' own function, which on CPUs with AVX512 takes the wrong scales when a row
    # is not a whole number of blocks.
    return nf4.dequantize(*bnb_format.from_quant_state(weight, state))


def innermost(layer: nn.Module) -> nn.Module:
    """The model's own layer below any wrappers; a layer that has none is returned as it is."""
    while isinstance(layer, AdapterLayer):
        layer = layer.base
    return layer


def named_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Every module under the name it had before any adapter was applied.

    Like ``list(model.named_modules())``, but it passes through wrappers without naming them, so
    that names stay those of the plain model: ``layers.0.q_proj``, not ``layers.0.q_proj.base``. A
    wrapped module stands in the list as its outermost wrapper.

    The result is a list, a snapshot: replacing modules while iterating over a generator would
    visit the new wrappers too, and wrap their insides for ever.
    """
    found: list[tuple[str, nn.Module]] = []
    seen: set[int] = set()
    # A list of what is still to visit, and no recursive inner function: that would be a reference
    # cycle, which keeps replaced layers in memory until the garbage collector runs.
    waiting = [("", model)]
    while waiting:
        path, module = waiting.pop()
        if id(module) in seen:  # a layer that several places share is one layer
            continue
        seen.add(id(module))
        found.append((path, module))
        children = innermost(module).named_children()
        waiting += [(f"{path}.{name}" if path else name, child) for name, child in children][::-1]
    return found


def matches(path: str, pattern: str) -> bool:
    """Whether a layer's name is meant by a target: equal, a dotted suffix, or a full regex match.

    ``q_proj`` means ``layers.0.attn.q_proj`` but not ``layers.0.attn.my_q_proj``: a suffix starts
    at a dot. Substrings never match, so ``proj`` does not silently adapt every projection.
    """
    if path == pattern or path.endswith("." + pattern):
        return True
    try:
        return re.fullmatch(pattern, path) is not None
    except re.error:
        return False


def match_targets(model: nn.Module, targets: str | Sequence[str]) -> list[str]:
    """Names of the linear layers that ``targets`` means, in the model's order.

    Args:
        model: any model; layers that already carry an adapter can be matched again.
        targets: ``"all-linear"`` (every linear layer but the output head), or one pattern or
            several: a layer's name or the end of it (``"q_proj"``, ``"mlp.up_proj"``), or a
            regular expression for the whole name (``r".*\\.[0-3]\\..*_proj"``).

    Raises:
        PeftlabError: a pattern matches no linear layer; the message lists what could match.
    """
    layers = named_layers(model)
    # A bare layer has no parent to put a wrapper into, so the root (path "") is never a target.
    linear = [path for path, module in layers if path and is_linear(innermost(module))]
    if targets == ALL_LINEAR:
        head = _output_head(model)
        chosen = [path for path, module in layers if path in linear and module is not head]
        if not chosen:
            raise PeftlabError(f"{type(model).__name__} has no linear layer to adapt.")
        return chosen

    patterns = [targets] if isinstance(targets, str) else list(targets)
    for pattern in patterns:
        if any(matches(path, pattern) for path in linear):
            continue
        other = next((m for path, m in layers if path and matches(path, pattern)), None)
        reason = (
            "matches no layer of the model"
            if other is None
            else f"matches {type(other).__name__}, which is not a linear layer"
        )
        known = ", ".join(sorted({path.rsplit(".", 1)[-1] for path in linear}))
        raise PeftlabError(
            f"target {pattern!r} {reason}; linear layers end in: {known or 'none'} "
            f'(or use "{ALL_LINEAR}").'
        )
    return [path for path in linear if any(matches(path, pattern) for pattern in patterns)]


def linear_targets(model: nn.Module, targets: str | Sequence[str]) -> dict[str, nn.Module]:
    """The linear layers that ``targets`` means, by name; see ``match_targets``."""
    layers = dict(named_layers(model))
    return {path: layers[path] for path in match_targets(model, targets)}


def _output_head(model: nn.Module) -> nn.Module | None:
    """The layer that turns hidden states into logits; its weight is often the embedding's."""
    get = getattr(model, "get_output_embeddings", None)
    return get() if get is not None else None


def compact_targets(model: nn.Module, paths: Sequence[str]) -> tuple[str, ...]:
    """The shortest description of these layers: their last names if those mean no other layer.

    ``layers.0.q_proj, layers.1.q_proj`` becomes ``q_proj``; if only some of the ``q_proj`` layers
    are meant, the full names stay.
    """
    suffixes = tuple(sorted({path.rsplit(".", 1)[-1] for path in paths}))
    return suffixes if set(match_targets(model, suffixes)) == set(paths) else tuple(sorted(paths))


# --- adapters ------------------------------------------------------------------------------------


def apply(
    model: nn.Module,
    method: Method,
    *,
    name: str = "default",
    also_train: str | Sequence[str] = (),
    bias: str = "none",
) -> nn.Module:
    """Add an adapter to the model, in place, and make its parameters the only ones that train.

    Every other parameter is frozen, those of adapters applied earlier included (``switch`` makes
    one of them train again). All wrappers are built before the first module is replaced, so a
    call that fails leaves the model as it was.

    Args:
        model: the model to adapt; it is changed in place.
        method: the configuration of a method, for example ``LoRAConfig(rank=8)``.
        name: what to call this adapter.
        also_train: modules to train in full beside the adapter, such as a new classification head
            (``"classifier"``): names, ends of names, or regular expressions. The adapter holds
            copies of their parameters, and the method adapts nothing inside them. Tied weights
            stay tied. This is PEFT's ``modules_to_save``.
        bias: which biases to train, as copies too: ``"none"``, ``"targets"`` (those of the adapted
            layers, PEFT's ``bias="lora_only"``) or ``"all"``.

    Returns:
        The same model, for chaining.

    Raises:
        PeftlabError: the name is taken, or a target matches no layer.
    """
    wrappers = build(model, method, name, also_train=also_train, bias=bias)
    model.requires_grad_(False)
    attach(model, wrappers)
    for _, wrapper in wrappers:
        for parameter in wrapper.adapter_parameters().values():
            parameter.requires_grad_(True)
    return model


def build(
    model: nn.Module,
    method: Method,
    name: str,
    *,
    also_train: str | Sequence[str] = (),
    bias: str = "none",
    tie: bool = True,
) -> list[tuple[str, AdapterLayer]]:
    """A new adapter's wrappers, each with the name of the module it wraps; changes nothing.

    Args:
        model, method, name, also_train, bias: see ``apply``.
        tie: whether copies of tied parameters are tied like their originals.

    Raises:
        PeftlabError: the name is taken, or the method does not fit the model.
    """
    from peftlab.copies import parameter_copies  # it imports this module

    if name in adapters(model):
        raise PeftlabError(
            f"the model already has an adapter named {name!r}; remove it or choose another name."
        )
    wrappers = method.wrappers(model, name)
    return parameter_copies(model, wrappers, name, also_train, bias, tie)


def attach(model: nn.Module, wrappers: Sequence[tuple[str, AdapterLayer]]) -> None:
    """Put each wrapper where the module that it wraps stands, wherever it stands.

    The list goes from the outside in: a later wrapper may stand below an earlier one.
    """
    for _, wrapper in wrappers:
        for parent in list(model.modules()):
            # `_modules`, because `named_children` shows a module that has two names only once.
            for child_name, child in parent._modules.items():
                if child is wrapper.base and parent is not wrapper:
                    setattr(parent, child_name, wrapper)


def adapter_layers(model: nn.Module, name: str | None = None) -> list[tuple[str, AdapterLayer]]:
    """(name of the wrapped module, wrapper) of one adapter, or of all; outer wrappers first."""
    found = []
    for path, module in named_layers(model):
        while isinstance(module, AdapterLayer):
            if name is None or module.adapter == name:
                found.append((path, module))
            module = module.base
    return found


def adapters(model: nn.Module) -> list[str]:
    """Names of the adapters in the model, sorted."""
    return sorted({layer.adapter for _, layer in adapter_layers(model)})


def select(model: nn.Module, name: str | None) -> list[tuple[str, AdapterLayer]]:
    """Like ``adapter_layers``, but an adapter that is not there is an error.

    Raises:
        PeftlabError: the model has no adapter, or none of that name.
    """
    found = adapter_layers(model, name)
    if not found:
        known = ", ".join(map(repr, adapters(model))) or "none"
        wanted = "an adapter" if name is None else f"an adapter named {name!r}"
        raise PeftlabError(f"the model does not have {wanted}; adapters in it: {known}.")
    return found


def switch(model: nn.Module, *names: str) -> None:
    """Turn exactly these adapters on, and make their parameters the ones that train.

    Raises:
        PeftlabError: a name is unknown, or an adapter is merged (its effect is in the weights,
            where it cannot be switched off).
    """
    for name in names:
        select(model, name)
    layers = [layer for _, layer in adapter_layers(model)]
    refuse_merged(layers, "switch adapters")
    for layer in layers:
        layer.enabled = layer.adapter in names
        for parameter in layer.adapter_parameters().values():
            parameter.requires_grad_(layer.enabled)


@contextlib.contextmanager
def disabled(model: nn.Module) -> Iterator[nn.Module]:
    """Within the ``with`` block every adapter is off and the model is its plain base again.

    Raises:
        PeftlabError: an adapter is merged.
    """
    layers = [layer for _, layer in adapter_layers(model)]
    refuse_merged(layers, "disable adapters")
    before = [layer.enabled for layer in layers]
    try:
        for layer in layers:
            layer.enabled = False
        yield model
    finally:
        for layer, enabled in zip(layers, before, strict=True):
            layer.enabled = enabled


def refuse_merged(layers: Sequence[AdapterLayer], action: str) -> None:
    """Raise a PeftlabError if any of these layers is merged, naming what cannot be done."""
    merged = sorted({layer.adapter for layer in layers if layer.merged})
    if merged:
        raise PeftlabError(f"cannot {action} while {merged[0]!r} is merged; unmerge it first.")


# --- what trains ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainableReport:
    """How many parameters train, of how many."""

    trainable: int
    total: int

    @property
    def percent(self) -> float:
        """Trainable parameters as a percentage of all."""
        return 100 * self.trainable / self.total

    def __str__(self) -> str:
        return f"{self.trainable:,} of {self.total:,} parameters train ({self.percent:.4g} %)"


def trainable_report(model: nn.Module) -> TrainableReport:
    """Count the model's parameters and those of them that train; tied weights count once."""
    # Two weights of a 4-bit layer share a byte: ask the layer how many there are.
    packed = {
        id(layer.weight): math.prod(linear_features(layer))
        for layer in model.modules()
        if is_linear(layer) and not layer.weight.is_floating_point()
    }
    counts = [(p, packed.get(id(p), p.numel())) for p in model.parameters()]
    return TrainableReport(
        trainable=sum(count for p, count in counts if p.requires_grad),
        total=sum(count for _, count in counts),
    )


def adapter_dtype(weight: Tensor) -> torch.dtype:
    """dtype of new adapter parameters: float32, or float64 on a float64 base.

    Adapters on a 16-bit or 4-bit base stay in float32: their updates are small against the values
    they change, and bfloat16's 8 bits of precision would round many of them away.
    """
    return torch.float64 if weight.dtype == torch.float64 else torch.float32
