r"""QLoRA: LoRA on a base model quantized to 4 bits (Dettmers et al. 2023, arXiv 2305.14314).

QLoRA is three things: a frozen base in NF4 (``quantize_model``, or ``load_nf4`` for models that do
not fit otherwise), ordinary LoRA on top (``peftlab.apply``), and paged optimizer states. Its layer
computes

.. math::
    y = x \, \mathrm{dequantize}(q, s)^T + b + \frac{\alpha}{r} B A x

(QLoRA §3, equation 5): the 4-bit weight is turned into a 16-bit one just for the product and
forgotten again: in the forward pass, in the backward pass, and with gradient checkpointing also in
the forward pass that is run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import innermost, is_conv1d, is_linear, oriented
from peftlab.quantization import bitsandbytes
from peftlab.quantization.nf4 import BLOCK_SIZE, Nested, QuantState, dequantize, quantize
from peftlab.targets import ALL_LINEAR, linear_targets, task_heads, within


class _QuantizedProduct(torch.autograd.Function):
    """x @ dequantize(packed).T + bias, keeping only the packed weight for the backward pass.

    Left to itself, autograd would keep the dequantized weight of every layer until the backward
    pass: the 16-bit model that we could not afford. The price is the time to dequantize again.
    """

    @staticmethod
    def forward(x: Tensor, packed: Tensor, bias: Tensor | None, state: QuantState) -> Tensor:
        return F.linear(x, dequantize(packed, state, x.dtype), bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, packed, _, state = inputs
        ctx.save_for_backward(packed)
        ctx.state = state

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (packed,) = ctx.saved_tensors
        grad_x = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ dequantize(packed, ctx.state, grad.dtype)
        if ctx.needs_input_grad[2]:
            grad_bias = grad.reshape(-1, grad.shape[-1]).sum(0)
        return grad_x, None, grad_bias, None


class NF4Linear(nn.Linear):
    """A frozen linear layer whose weight is stored in 4 bits.

    It computes in the dtype of its input (under autocast, in autocast's). The weight may also be in
    another format of ``formats``, for comparison. Its state dict is that of bitsandbytes'
    ``Linear4bit``.

    Shapes:
        input ``(..., in_features)``, output ``(..., out_features)``.

    Attributes:
        weight: the codes, uint8, shape (bytes, 1); not trainable.
        bias: float, shape (out_features,), or None.
        conv1d: whether the layer stands for a transformers ``Conv1D``, and becomes one again when
            it is dequantized.
    """

    def __init__(
        self,
        packed: Tensor,
        state: QuantState,
        bias: nn.Parameter | None = None,
        *,
        conv1d: bool = False,
    ) -> None:
        out_features, in_features = state.shape
        super().__init__(in_features, out_features, bias=False, device="meta")
        self.bias = bias
        self.conv1d = conv1d
        self.set_quantized(packed, state)

    @classmethod
    def from_linear(cls, layer: nn.Module, **options: Any) -> NF4Linear:
        """Quantize a ``nn.Linear`` or ``Conv1D``; options as for ``nf4.quantize``."""
        packed, state = quantize(oriented(layer, layer.weight), **options)
        quantized = cls(packed, state, layer.bias, conv1d=is_conv1d(layer))
        return quantized.train(layer.training)

    def set_quantized(self, packed: Tensor, state: QuantState) -> None:
        """Put another quantized weight of the same shape in place of this one."""
        self.weight = nn.Parameter(packed.view(-1, 1), requires_grad=False)
        self._meta = state.to("meta")
        nested = state.nested or Nested(None, None)
        # Buffers follow the layer to another device. In the state dict they have other names.
        self.register_buffer("absmax", state.absmax, persistent=False)
        self.register_buffer("nested_absmax", nested.absmax, persistent=False)
        self.register_buffer("nested_offset", nested.offset, persistent=False)

    @property
    def quant_state(self) -> QuantState:
        """What turns ``weight`` into numbers."""
        meta = self._meta
        nested = Nested(self.nested_absmax, self.nested_offset) if meta.nested else None
        return QuantState(meta.format, meta.shape, meta.dtype, meta.block_size, self.absmax, nested)

    def dequantize(self, dtype: torch.dtype | None = None) -> Tensor:
        """The weight in floating point, shape (out_features, in_features)."""
        return dequantize(self.weight, self.quant_state, dtype)

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return _QuantizedProduct.apply(x, self.weight, bias, self.quant_state)

    def extra_repr(self) -> str:
        meta = self._meta
        return f"{super().extra_repr()}, format={meta.format.name}, block_size={meta.block_size}"

    def _apply(self, fn: Any, recurse: bool = True) -> NF4Linear:
        scales = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)
        for name, before in scales.items():
            # `model.half()` would round the scales: move them, but keep their float32.
            self._buffers[name] = before.to(self._buffers[name].device)
        return self

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        entries = bitsandbytes.to_entries(self.weight.detach(), self.quant_state)
        del entries["weight"]
        destination.update({prefix + key: entry for key, entry in entries.items()})

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *args) -> None:
        names = bitsandbytes.entry_names(state_dict, prefix + "weight")
        if names:
            names.append(prefix + "weight")
            entries = {name.removeprefix(prefix): state_dict[name] for name in names}
            packed, state = bitsandbytes.from_entries(entries)
            if state.shape != self._meta.shape:
                raise PeftlabError(
                    f"{prefix}weight has shape {tuple(state.shape)} in the file and "
                    f"{tuple(self._meta.shape)} in the model; load it into the model it is from."
                )
            device = self.weight.device
            self.set_quantized(packed.to(device), state.to(device))
            state_dict = {key: value for key, value in state_dict.items() if key not in names[:-1]}
        super()._load_from_state_dict(state_dict, prefix, *args)


# --- a whole model -------------------------------------------------------------------------------


def quantize_model(
    model: nn.Module,
    *,
    targets: str | Sequence[str] = ALL_LINEAR,
    format: str = "nf4",
    block_size: int = BLOCK_SIZE,
    double: bool = True,
) -> nn.Module:
    """Replace linear layers by ``NF4Linear``, in place.

    Embeddings, norms and the output head stay as they are: they are few, or sensitive, and the
    head's weight is often the embedding's; that of a classifier has to train. So do layers that a
    model keeps in float32.

    Args:
        model: any model, on any device.
        targets: which linear layers; see ``targets.match_targets``.
        format, block_size, double: see ``nf4.quantize``.

    Returns:
        The same model, for chaining.

    Raises:
        PeftlabError: a layer is quantized already, holds a merged adapter, or shares its weight.
    """
    options = {"format": format, "block_size": block_size, "double": double}
    owners = Counter(id(p) for module in model.modules() for p in module._parameters.values())
    chosen = [(path, innermost(layer)) for path, layer in to_quantize(model, targets).items()]
    for path, layer in chosen:
        if is_quantized(layer):
            raise PeftlabError(f"{path!r} is quantized already; load the model in 16 or 32 bit.")
        if hasattr(layer, "unmerged_weight"):
            raise PeftlabError(f"{path!r} holds a merged adapter; unmerge it, then quantize.")
        if owners[id(layer.weight)] > 1:
            raise PeftlabError(
                f"the weight of {path!r} is tied to another layer; leave it out of targets."
            )
    # The list is emptied on the way, so that each 16-bit weight is freed before the next comes.
    while chosen:
        _, layer = chosen.pop()
        replace(model, layer, NF4Linear.from_linear(layer, **options))
    return model


def to_quantize(model: nn.Module, targets: str | Sequence[str]) -> dict[str, nn.Module]:
    """The layers that ``quantize_model`` means by these targets, by name."""
    layers, heads = linear_targets(model, targets), task_heads(model)
    # A new head has to train, which 4 bits cannot; it is quantized only if nothing else is meant.
    layers = {path: x for path, x in layers.items() if not within(path, heads)} or layers
    if targets != ALL_LINEAR:
        return layers
    # T5 looks at the dtype of its `wo` weights and casts to it: those must stay numbers.
    kept = set(getattr(model, "_keep_in_fp32_modules", None) or ())
    return {path: layer for path, layer in layers.items() if kept.isdisjoint(path.split("."))}


def is_quantized(layer: nn.Module) -> bool:
    """Whether this is a linear layer with 4-bit codes for a weight, ours or bitsandbytes'."""
    if isinstance(layer, NF4Linear):
        return True
    state = getattr(getattr(layer, "weight", None), "quant_state", None)
    return is_linear(layer) and state is not None


def dequantize_model(
    model: nn.Module, *, dtype: torch.dtype | None = None, layers: Sequence[nn.Module] | None = None
) -> nn.Module:
    """Replace quantized linear layers by ordinary ones that hold the same numbers, in place.

    The error of quantizing is not undone: the weights become those that the quantized layers
    compute with. Adapters on the layers stay. The layers may also be bitsandbytes' ``Linear4bit``.

    Args:
        model: the model.
        dtype: dtype of the new weights; that which each weight had before it was quantized if
            left out.
        layers: which layers; all that are quantized if left out.

    Returns:
        The same model, for chaining.

    Raises:
        PeftlabError: bitsandbytes has rearranged a weight (see ``quantization.bitsandbytes``).
            Nothing is changed.
    """
    if layers is None:
        layers = [layer for layer in model.modules() if is_quantized(layer)]
    found = [(layer, packed_weight(layer)) for layer in layers]
    for layer, (packed, state) in found:
        replace(model, layer, _dense(layer, dequantize(packed, state, dtype)))
    if not any(is_quantized(layer) for layer in model.modules()):
        _forget_quantizer(model)
    return model


def packed_weight(layer: nn.Module) -> tuple[Tensor, QuantState]:
    """Codes and state of a quantized layer, ours or bitsandbytes'; shared, not copied."""
    if isinstance(layer, NF4Linear):
        return layer.weight.data, layer.quant_state
    return bitsandbytes.from_bitsandbytes(layer.weight)


def _dense(layer: nn.Module, weight: Tensor) -> nn.Module:
    """An ordinary layer with this weight, of shape (out_features, in_features)."""
    if getattr(layer, "conv1d", False):
        from transformers.pytorch_utils import Conv1D

        with torch.device("meta"):
            new = Conv1D(layer.out_features, layer.in_features)
    else:
        new = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
    new.weight = nn.Parameter(oriented(new, weight).contiguous(), requires_grad=False)
    new.bias = layer.bias
    return new.train(layer.training)


def _forget_quantizer(model: nn.Module) -> None:
    """Take transformers' note of a 4-bit model away, so that it saves and loads as a plain one."""
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None:
        quantizer.remove_quantization_config(model)


def replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put ``new`` wherever ``old`` stands, below adapters too."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is old:
                setattr(parent, name, new)
