"""What an adapter puts around a layer, and what it asks the layer that it wraps.

An adapter never edits the module it adapts. It wraps it: the wrapper keeps the module as ``base``,
calls it, and adds its own contribution. The base weight object stays the same tensor on the same
device, so tied weights, quantized weights and optimizers that hold it go on working.

Wrappers nest. Applying a second adapter wraps the first one's wrapper, and their contributions
add up: ``y = base(x) + delta_1(x) + delta_2(x)``.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.quantization import bitsandbytes


class AdapterLayer(nn.Module):
    """One module of the model together with what one adapter adds to it.

    A method subclasses this, creates its parameters in ``__init__``, names them in
    ``PARAMETERS``, and writes ``forward``. Freezing, counting and saving ask the layer which
    parameters are the adapter's; nothing is found by searching for "lora" in a name.

    An attribute that the wrapper does not have is looked up in the model's own module, because
    models look at the layers they call: T5 at ``wo.weight.dtype``, for example. Some compute with
    a layer's weight and never call the layer (WavLM's attention, Mamba's ``dt_proj``,
    ``nn.MultiheadAttention``): what they read is the weight with the adapter in it, see ``read``.

    Attributes:
        base: the wrapped module; another ``AdapterLayer`` when adapters are stacked.
        method: the configuration of the method, such as a ``LoRAConfig``.
        adapter: the name of the adapter this layer belongs to.
        enabled: whether ``forward`` adds the contribution.
        merged: whether the contribution is in the base weight already (see ``merging.merge``).
        read_at: the layer's name if code of the model reads its weight or bias (see ``reach``).
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
        self.read_at = ""
        self.train(base.training)

    def __getattr__(self, name: str) -> Any:
        if name in ("weight", "bias") and self.__dict__.get("read_at"):
            return self.read(name)
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
        return {name: self._parameters[name] for name in self.PARAMETERS}

    def read(self, name: str) -> Tensor | None:
        """The layer's ``weight`` or ``bias`` as the model's own code reads it.

        While the adapter is on, that is the tensor that ``merging`` would make, with its gradient;
        the base's own where the method does not change it, or it is packed.

        Raises:
            PeftlabError: the adapter has dropout, which acts only where the layer is called.
        """
        value = getattr(super().__getattr__("base"), name)
        if self.active and self.training and getattr(self.method, "dropout", 0):
            raise PeftlabError(f"the model reads {self.read_at}.{name}: dropout must be 0 there.")
        if not (self.active and name in self.MERGES) or value is None or value.dtype.itemsize < 2:
            return value
        adapted = getattr(self, f"merged_{name}")(oriented(self, value))
        return oriented(self, adapted).to(value.dtype)

    def delta_weight(self) -> Tensor:
        """What merging adds to the weight of a linear layer, (d_out, d_in).

        Raises:
            PeftlabError: the method cannot be merged.
        """
        raise PeftlabError(f"{type(self).__name__} cannot be merged into the base weight.")

    def merged_weight(self, weight: Tensor) -> Tensor:
        """The weight with this adapter in it; ``merging`` sees to layout, dtype and rounding.

        Args:
            weight: the weight to add to; (d_out, d_in) in a linear layer of any kind.

        Returns:
            A tensor of the same shape, in the more precise dtype of ``weight`` and the adapter.
        """
        return weight + self.delta_weight()


class Method(Protocol):
    """What a method's configuration has to offer: which modules it wraps, and with what."""

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A new wrapper for each module to adapt, by the module's name; the model is not changed.

        Raises:
            PeftlabError: the method does not fit the model.
        """
        ...


# --- what a layer is -----------------------------------------------------------------------------


# Where torch's own wrappers keep the module that they compile, shard or compute twice.
_SHELLS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
SHARING = ("DistributedDataParallel", "FullyShardedDataParallel", "DeepSpeedEngine")


def inside(module: nn.Module) -> nn.Module | None:
    """What a wrapper wraps: an adapter's base, or a module that is compiled or parallel."""
    if isinstance(module, AdapterLayer):
        return module.base
    name = next((name for name in _SHELLS if name in module._modules), "module")
    if name != "module" or type(module).__name__ in ("DataParallel", *SHARING):
        return module._modules[name]
    return None


def innermost(layer: nn.Module) -> nn.Module:
    """The model's own layer below any wrappers; a layer that has none is returned as it is."""
    while (inner := inside(layer)) is not None:
        layer = inner
    return layer


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, out of ``torch.compile`` and data parallelism."""
    while not isinstance(model, AdapterLayer) and (inner := inside(model)) is not None:
        model = inner
    return model


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
    """(in_features, out_features) of a linear layer, wrapped or not."""
    layer = innermost(layer)
    if is_conv1d(layer):
        return layer.weight.shape[0], layer.nf
    # A 4-bit layer's weight is packed bytes, so its shape says nothing: ask the layer.
    return layer.in_features, layer.out_features


def oriented(layer: nn.Module, tensor: Tensor) -> Tensor:
    """A layer's weight, turned from the layout in which it is stored to (d_out, d_in), or back.

    This is the only place that turns ``Conv1D``'s weight; methods see (d_out, d_in) and no other.
    A bias, and what belongs to another layer than ``Conv1D``, is returned as it is.
    """
    return tensor.T if tensor.ndim == 2 and is_conv1d(innermost(layer)) else tensor


def dense_weight(layer: nn.Module) -> Tensor:
    """The original weight of a linear layer as (d_out, d_in), whatever its layout or packing.

    Adapters that are merged are not in it, and a 4-bit weight comes back dequantized. Nothing is
    copied if the weight is stored in floating point.
    """
    layer = innermost(layer)
    weight = getattr(layer, "unmerged_weight", layer.weight).detach()
    state = getattr(layer.weight, "quant_state", None)
    if state is not None:
        weight = bitsandbytes.dequantized(weight, state)
    elif hasattr(layer, "dequantize"):
        weight = layer.dequantize()
    return oriented(layer, weight)


def new_parameter(*shape: int, like: Tensor) -> nn.Parameter:
    """A parameter for an adapter, not yet initialised.

    Adapters on a 16-bit or 4-bit base are in float32: their updates are small against the values
    they change, and bfloat16's 8 bits of precision would round many of them away.

    Args:
        shape: its shape.
        like: a tensor of the base. The parameter is on the same device, in float64 if the base
            is, else in float32.
    """
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    return nn.Parameter(torch.empty(shape, device=like.device, dtype=dtype))
