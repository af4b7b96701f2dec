"""Put adapters into a model: build wrappers, attach them, find them, switch them on and off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from peftlab import reach
from peftlab.copies import parameter_copies
from peftlab.errors import PeftlabError
from peftlab.layers import SHARING, AdapterLayer, Method, inside, is_linear, unwrapped
from peftlab.targets import named_layers

# Methods of transformers that would go wrong on an adapted model (see ``verbs``), and for those
# that are PEFT's, the verb of peftlab that does the same.
VERBS = {
    "save_pretrained": "", "resize_token_embeddings": "", "tie_weights": "",
    "add_adapter": "apply", "load_adapter": "load", "set_adapter": "switch",
    "enable_adapters": "switch", "disable_adapters": "disabled", "delete_adapter": "remove",
}  # fmt: skip


def build(
    model: nn.Module,
    method: Method,
    name: str,
    *,
    also_train: str | Sequence[str] = (),
    bias: str = "none",
    tie: bool = True,
    train_head: bool = False,
) -> list[tuple[str, AdapterLayer]]:
    """A new adapter's wrappers, each with the name of the module it wraps; changes nothing.

    Args:
        model, method, name, also_train, bias, train_head: see ``verbs.apply``.
        tie: whether copies of tied parameters are tied like their originals.

    Raises:
        PeftlabError: the name is taken, or the method does not fit the model.
    """
    if type(model).__name__ in SHARING:
        raise PeftlabError(
            f"{type(model).__name__} has noted which parameters train, and would not share the "
            "gradients of new ones; apply or load adapters first, then wrap the model."
        )
    model = unwrapped(model)
    if any(type(module).__module__.startswith("peft.") for module in model.modules()):
        raise PeftlabError(
            f"{type(model).__name__} holds adapters of Hugging Face PEFT, as from_pretrained of an "
            "adapter's folder makes it; load the base alone, and the adapter with peftlab.load."
        )
    if name in adapters(model):
        raise PeftlabError(
            f"the model already has an adapter named {name!r}; remove it or choose another name."
        )
    own = method.wrappers(model, name)
    layers = parameter_copies(model, own, name, also_train, bias, tie, train_head)
    return reach.marked(model, layers)


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
    reach.watch(wrappers)


def adapter_layers(model: nn.Module, name: str | None = None) -> list[tuple[str, AdapterLayer]]:
    """(name of the wrapped module, wrapper) of one adapter, or of all; outer wrappers first."""
    found = []
    for path, module in named_layers(model):
        layer: nn.Module | None = module
        while layer is not None:
            if isinstance(layer, AdapterLayer) and name in (None, layer.adapter):
                found.append((path, layer))
            layer = inside(layer)
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
        id(layer.weight): layer.in_features * layer.out_features
        for layer in model.modules()
        if is_linear(layer) and not layer.weight.is_floating_point()
    }
    counts = [(p, packed.get(id(p), p.numel())) for p in model.parameters()]
    return TrainableReport(
        trainable=sum(count for p, count in counts if p.requires_grad),
        total=sum(count for _, count in counts),
    )
