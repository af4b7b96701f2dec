"""Merge adapters into a quantized base and keep it small, or merge into the weights it came from.

``peftlab.merge`` merges an adapter on a quantized layer without loss: the layer becomes an ordinary
one that holds the dequantized weight plus the update. The two functions here do what is often
wanted instead, and say what it costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from peftlab import inject, merging
from peftlab.errors import PeftlabError
from peftlab.layers import dense_weight, innermost, is_linear, linear_features, oriented
from peftlab.quantization.linear import NF4Linear, is_quantized, packed_weight, replace
from peftlab.quantization.nf4 import relative_error
from peftlab.targets import named_layers


@dataclass(frozen=True)
class MergeError:
    """How far merged weights are from those that the adapter was trained for.

    Attributes:
        layers: ‖W' - W‖ / ‖W‖ of each layer, W being dequantized base plus update.
        of_weights: the same over all layers together.
        of_update: ‖W' - W‖ / ‖update‖ over all layers: at 1, the error is as large as everything
            that was learned.
    """

    layers: dict[str, float]
    of_weights: float
    of_update: float

    def __str__(self) -> str:
        return (
            f"{len(self.layers)} layers merged with an error of {100 * self.of_weights:.3g} % of "
            f"their weights, {100 * self.of_update:.3g} % of the update"
        )


def merge_requantized(model: nn.Module, name: str | None = None) -> MergeError:
    """Merge an adapter for good, and quantize the merged weights like the base. Loses.

    The model stays as small as it was. But the update is small against the distance of two levels,
    so much of it is rounded away.

    Args:
        model: a model with quantized layers, changed in place; they become NF4Linear layers.
        name: which adapter; every enabled one if left out.

    Raises:
        PeftlabError: nothing can be merged, or the base is not quantized.
    """
    states = {
        path: packed_weight(layer)[1] for path, layer in _quantized_bases(model, name).items()
    }
    merging.merge(model, name)
    merged, measure = _merged_layers(model, list(states)), _Errors()
    merging.merge(model, name, keep_base=False)
    for path, (layer, exact, update) in merged.items():
        state = states[path]
        new = NF4Linear.from_linear(
            layer,
            format=state.format.name,
            block_size=state.block_size,
            double=state.nested is not None,
        )
        replace(model, layer, new)
        measure.add(path, new.dequantize(), oriented(layer, exact), update)
    return measure.result()


def merge_into_original(
    model: nn.Module, original: nn.Module, name: str | None = None
) -> MergeError:
    """Merge an adapter for good into the weights from before quantization. Loses.

    What comes out is a 16-bit model without quantization error, and that is the flaw: the adapter
    was trained on a base with that error and has learned to make up for it.

    Args:
        model: a model with quantized layers, changed in place; those become ordinary ones.
        original: the same model, not quantized; its layers' weights are copied.
        name: which adapter; every enabled one if left out.

    Raises:
        PeftlabError: nothing can be merged, the base is not quantized, or ``original`` is another
            model.
    """
    bases = _quantized_bases(model, name)
    layers = dict(named_layers(original))
    originals = {path: innermost(layers.get(path, nn.Identity())) for path in bases}
    for path, layer in originals.items():
        features = linear_features(bases[path])
        dense = is_linear(layer) and layer.weight.is_floating_point()
        if not dense or linear_features(layer) != features:
            raise PeftlabError(
                f"the original model has no layer {path!r} with {features[0]} inputs, "
                f"{features[1]} outputs and a 16 or 32-bit weight; give the model that was "
                "quantized."
            )
    merging.merge(model, name)
    merged, measure = _merged_layers(model, list(bases)), _Errors()
    for path, (layer, exact, _) in merged.items():
        weight = oriented(layer, dense_weight(originals[path]))
        layer.unmerged_weight = weight.to(exact, copy=True).contiguous()
    merging.merge(model, name, keep_base=False)
    for path, (layer, exact, update) in merged.items():
        measure.add(path, layer.weight, exact, update)
    return measure.result()


def _quantized_bases(model: nn.Module, name: str | None) -> dict[str, nn.Module]:
    """The quantized layers that an adapter adapts, by name."""
    layers = {path: layer.innermost for path, layer in inject.select(model, name)}
    found = {path: layer for path, layer in layers.items() if is_quantized(layer)}
    if not found:
        raise PeftlabError("the adapter is not on quantized layers; merge it with peftlab.merge.")
    return found


def _merged_layers(
    model: nn.Module, paths: Sequence[str]
) -> dict[str, tuple[nn.Module, Tensor, float]]:
    """(base layer, merged weight, ‖update‖²) of layers whose adapters are merged, by name."""
    layers = dict(named_layers(model))
    found = {}
    for path in paths:
        base = innermost(layers[path])
        exact = base.weight.detach().clone()
        found[path] = (base, exact, _square(exact - base.unmerged_weight))
    return found


class _Errors:
    """Adds up the errors of layers."""

    def __init__(self) -> None:
        self.layers: dict[str, float] = {}
        self.error = self.weights = self.update = 0.0

    def add(self, path: str, value: Tensor, exact: Tensor, update: float) -> None:
        self.layers[path] = relative_error(value, exact)
        self.error += _square(value.double() - exact.double())
        self.weights += _square(exact)
        self.update += update

    def result(self) -> MergeError:
        # An update of zero has no scale to compare with.
        of_update = (self.error / self.update) ** 0.5 if self.update else float("inf")
        return MergeError(self.layers, (self.error / self.weights) ** 0.5, of_update)


def _square(tensor: Tensor) -> float:
    return tensor.detach().double().square().sum().item()
