"""Merge adapters into the base weights, take them out again, or remove them from the model.

Merging is a verb of its own, never a side effect: a model in evaluation mode is not merged until
someone says so, and a merged one says that it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

from peftlab import inject
from peftlab.copies import ParameterCopy
from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, innermost, inside, oriented, unwrapped
from peftlab.quantization.linear import dequantize_model, is_quantized
from peftlab.targets import named_layers


def merge(model: nn.Module, name: str | None = None, *, keep_base: bool = True) -> nn.Module:
    """Compute the adapted weights once and put them in place of the base weights.

    A merged model computes the same function with one matrix product per layer, at the cost of
    the plain base model (LoRA §4.1, "no additional inference latency").

    A 4-bit layer becomes an ordinary one in the precision it had before it was quantized, so that
    merging loses nothing but that precision's rounding; ``methods.qlora_merge`` has the ways that
    keep the model small. ``unmerge`` then restores the values that the 4 bits stood for.

    Args:
        model: the model, changed in place.
        name: which adapter; every enabled one if left out.
        keep_base: keep the original weights beside the merged ones, so that ``unmerge`` restores
            them bit for bit. With ``False`` their memory is freed and the adapter leaves the
            model: what remains has only the original classes and runs anywhere.

    Returns:
        The same model, for chaining.

    Raises:
        PeftlabError: the method cannot be merged, the adapter is merged already or switched off,
            or a base weight is in 8 bit or shared with another layer. Nothing is changed then.
    """
    layers = inject.select(model, name)
    if name is None:
        layers = [(path, layer) for path, layer in layers if layer.enabled]
    _check_mergeable(model, layers, keep_base)
    dequantize_model(model, layers=[layer.innermost for _, layer in layers if _is_packed(layer)])
    for _, layer in layers:
        layer.merged = True
        for key, tensor in _to_merge(layer):
            if not hasattr(layer.innermost, f"unmerged_{key}"):
                # A buffer follows the layer to another device; not persistent, it stays out of
                # the state dict.
                layer.innermost.register_buffer(f"unmerged_{key}", tensor.data, persistent=False)
    if not keep_base:
        _make_permanent(model, layers)
        _unwrap(model, [layer for _, layer in layers])
    _refresh_merged(model)
    return model


def unmerge(model: nn.Module, name: str | None = None) -> nn.Module:
    """Take a merged adapter out of the base weights again; every bit of them comes back.

    Subtracting the update would leave rounding errors behind. The original weights, which
    ``merge`` kept, are put back instead; adapters that stay merged are added to them anew.

    Raises:
        PeftlabError: the adapter is not merged, or it was merged with ``keep_base=False``, after
            which the model no longer holds it.
    """
    layers = inject.select(model, name)
    if name is None:
        layers = [(path, layer) for path, layer in layers if layer.merged]
    leaving = {id(layer) for _, layer in layers}
    _check_order(model, lambda layer: layer.merged and id(layer) not in leaving)
    if not layers or not all(layer.merged for _, layer in layers):
        which = "no adapter" if name is None else f"{name!r}"
        verb = "is" if name is None else "is not"
        raise PeftlabError(f"{which} {verb} merged; merge with keep_base=True, then unmerge.")
    for _, layer in layers:
        layer.merged = False
    _refresh_merged(model)
    return model


def remove(model: nn.Module, name: str | None = None) -> nn.Module:
    """Take an adapter (or all of them) and its effect out of the model.

    Raises:
        PeftlabError: the adapter is not there, or it is merged: ``unmerge`` it first, or make it
            permanent with ``merge(model, keep_base=False)``.
    """
    layers = [layer for _, layer in inject.select(model, name)]
    inject.refuse_merged(layers, "remove an adapter")
    _unwrap(model, layers)
    return model


def _check_mergeable(
    model: nn.Module, layers: list[tuple[str, AdapterLayer]], keep_base: bool
) -> None:
    if not layers:
        raise PeftlabError("no adapter is switched on, so there is nothing to merge.")
    owners = Counter(id(p) for module in model.modules() for p in module._parameters.values())
    # Where copies of a tied parameter are tied too, merging all of them is merging one.
    copied = Counter(
        (id(parameter), id(layer._parameters[key]))
        for _, layer in layers
        if isinstance(layer, ParameterCopy)
        for key, parameter in _to_merge(layer)
    )
    for path, layer in layers:
        if layer.CANNOT_MERGE:
            raise PeftlabError(f"{layer.adapter!r} cannot be merged: {layer.CANNOT_MERGE}.")
        if layer.merged and keep_base:
            raise PeftlabError(f"{layer.adapter!r} is merged already; unmerge it first.")
        if not layer.enabled:
            raise PeftlabError(f"{layer.adapter!r} is switched off; switch to it, then merge.")
        for key, tensor in _to_merge(layer):
            if not (tensor.is_floating_point() or _is_packed(layer)):
                raise PeftlabError(
                    f"the base {key} of {path!r} is quantized ({tensor.dtype}), and adding to it "
                    "would round the update away; load the base in 16 or 32 bit, then merge."
                )
            together = isinstance(layer, ParameterCopy) and (
                copied[id(tensor), id(layer._parameters[key])] == owners[id(tensor)]
            )
            if owners[id(tensor)] > 1 and not together:
                raise PeftlabError(
                    f"the base {key} of {path!r} is tied to another layer, which merging would "
                    "change too; leave this layer out of the adapter, or do not merge."
                )

    chosen = {id(layer) for _, layer in layers}
    _check_order(
        model, lambda layer: id(layer) in chosen or (keep_base and layer.merged and layer.enabled)
    )
    for _, layer in inject.adapter_layers(model):
        if not keep_base and layer.USES_WEIGHT and id(layer) not in chosen:
            inner = {id(other.innermost) for _, other in layers}
            if id(layer.innermost) in inner:
                raise PeftlabError(
                    f"{layer.adapter!r} is computed from the weights that would change for good; "
                    "merge it too, or remove it first."
                )


def _check_order(model: nn.Module, merged: Callable[[AdapterLayer], bool]) -> None:
    """Whether the layers that would be merged can be, while the others stay outside the weights.

    What is in the weight acts first. An adapter that scales or replaces what it wraps must not
    change places with another one.
    """
    for path, module in named_layers(model):
        inner = []
        for layer in _wrappers(module):
            if not merged(layer):
                inner += [layer] if layer.enabled else []
            elif inner and not all(other.ADDITIVE for other in (layer, *inner)):
                raise PeftlabError(
                    f"{layer.adapter!r} cannot be in the weight of {path!r} while "
                    f"{inner[0].adapter!r}, which acts before it, is not; merge or unmerge both."
                )


def _is_packed(layer: AdapterLayer) -> bool:
    """Whether merging changes a weight that is stored in 4 bits."""
    return "weight" in layer.MERGES and is_quantized(layer.innermost)


def _to_merge(layer: AdapterLayer) -> list[tuple[str, nn.Parameter]]:
    """(name, parameter) of the base's tensors that merging this layer changes."""
    parameters = layer.innermost._parameters
    return [(key, parameters[key]) for key in layer.MERGES if parameters.get(key) is not None]


def _make_permanent(model: nn.Module, layers: list[tuple[str, AdapterLayer]]) -> None:
    """Replace the originals that were kept by the originals with these layers in them."""
    going = {id(layer) for _, layer in layers}
    for _, module in named_layers(model):
        chosen = [layer for layer in _wrappers(module) if id(layer) in going]
        for name, tensor in _with_adapters(module, chosen).items():
            setattr(innermost(module), f"unmerged_{name}", tensor)


def _refresh_merged(model: nn.Module) -> None:
    """Make every base tensor what its merged adapters say, starting from the original."""
    for _, module in named_layers(model):
        base = innermost(module)
        merged = [layer for layer in _wrappers(module) if layer.merged]
        for key, tensor in _with_adapters(module, merged).items():
            base._parameters[key].data = tensor
        for key in base._parameters:
            if hasattr(base, f"unmerged_{key}") and not any(key in x.MERGES for x in merged):
                delattr(base, f"unmerged_{key}")


@torch.no_grad()
def _with_adapters(module: nn.Module, layers: list[AdapterLayer]) -> dict[str, Tensor]:
    """The originals that were kept, by name, with these layers applied from the inside out.

    The sum is made in the precision of the adapters and rounded to the original's once.
    """
    base = innermost(module)
    tensors = {}
    for key in base._parameters:
        if not hasattr(base, f"unmerged_{key}"):
            continue
        tensors[key] = original = getattr(base, f"unmerged_{key}")
        chosen = [layer for layer in layers if key in layer.MERGES]
        if chosen:
            tensor = oriented(base, original)  # a linear layer's weight is (d_out, d_in) here
            for layer in chosen:
                tensor = getattr(layer, f"merged_{key}")(tensor)
            tensors[key] = oriented(base, tensor).to(original.dtype).contiguous()
    return tensors


def _wrappers(module: nn.Module) -> list[AdapterLayer]:
    """The wrappers around one layer, the inner ones first."""
    found: list[AdapterLayer] = []
    layer: nn.Module | None = module
    while layer is not None:
        found = [layer, *found] if isinstance(layer, AdapterLayer) else found
        layer = inside(layer)
    return found


def _unwrap(model: nn.Module, layers: list[AdapterLayer]) -> None:
    """Put the wrapped layer back in place of each of these wrappers."""
    gone = {id(layer) for layer in layers}
    for parent in list(model.modules()):
        for child_name, child in list(parent._modules.items()):
            kept = child
            while id(kept) in gone:
                kept = kept.base
            if kept is not child:
                setattr(parent, child_name, kept)
    if not inject.adapters(model):
        for name in (*inject.VERBS, "_hf_peft_config_loaded"):
            vars(unwrapped(model)).pop(name, None)
