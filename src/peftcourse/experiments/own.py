"""Experiments on a learner's own code: it computes what the library's layers would compute.

An adapter of the library keeps its parameters, its name and its place in the model, so that
counting, saving, switching and merging work as ever. Only the forward pass is the learner's: a
layer of their class, which holds the same parameters. Where it fails, one line says so, and the
library's forward pass takes its place.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from peftcourse.experiments import precision
from peftlab.inject import adapter_layers
from peftlab.layers import AdapterLayer, dense_weight
from peftlab.merging import merge, unmerge
from peftlab.methods.bottleneck import BottleneckLayer
from peftlab.methods.dora import DoRALinear
from peftlab.methods.lora import LoRAConfig, LoRALinear
from peftlab.quantization.linear import NF4Linear


class Driver:
    """Whose code computes the layers of one adapter: the learner's, until it fails once."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.failed = False

    def fails(self, problem: Exception) -> None:
        """Say so, once, and let the library go on."""
        if not self.failed:
            what = f"{type(problem).__name__}: {problem}".splitlines()[0]
            print(f"your {self.kind.__name__} failed here ({what}); the library's goes on")
        self.failed = True


def drive(model: nn.Module, name: str, kind: type[nn.Module]) -> None:
    """Let a learner's class compute what the layers of an adapter compute.

    Args:
        model: with the adapter ``name``, of LoRA, DoRA, or bottlenecks after their modules.
        name: of the adapter.
        kind: the learner's class; the library's own changes nothing.
    """
    driver = Driver(kind)
    for _, layer in adapter_layers(model, name):
        _drive(layer, driver)


def adapter(method: LoRAConfig, name: str, kind: type[nn.Module]) -> Callable[..., AdapterLayer]:
    """What wraps a linear layer into LoRA that a learner's class computes: for their ``inject``.

    Args:
        method: rank, alpha and dropout.
        name: of the adapter.
        kind: the learner's class, or the library's.
    """
    driver = Driver(kind)

    def wrap(base: nn.Module) -> AdapterLayer:
        layer = LoRALinear(base, method, name)
        _drive(layer, driver)
        return layer

    return wrap


@contextlib.contextmanager
def merged(model: nn.Module, name: str, block: Callable[..., Any]) -> Iterator[None]:
    """Within the block an adapter is merged, by a learner's context manager for one layer.

    The packed weight of a 4-bit base is more than that knows of; there the library merges.
    """
    layers = [layer for _, layer in adapter_layers(model, name)]
    if all(layer.weight.is_floating_point() for layer in layers):
        with contextlib.ExitStack() as stack:
            for layer in layers:
                stack.enter_context(block(layer))
            yield
        return
    print("the base is in 4 bits: the library merges")
    merge(model, name)
    try:
        yield
    finally:
        unmerge(model, name)


def step(train_step: Callable[..., float], loss: Callable[..., Tensor]) -> Callable[..., float]:
    """A learner's training step and loss, for ``train(..., own_step=…)``."""

    def take(model: nn.Module, batch: dict[str, Tensor], optimizer: Any, max_norm: float) -> float:
        return float(train_step(Logits(model), batch, batch["labels"], loss, optimizer, max_norm))

    return take


class Logits(nn.Module):
    """A language model as a function from a batch to logits (B, n, V)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        dtype = precision.autocast_dtype(ids.device)
        with torch.autocast(ids.device.type, dtype, enabled=dtype is not None):
            logits = self.model(ids, attention_mask=mask).logits
        return logits.float()


def drive_product(model: nn.Module, product: type[torch.autograd.Function]) -> nn.Module:
    """Let a learner's product compute the 4-bit layers of a model; returns the model.

    Args:
        model: made by ``quantize_model``.
        product: ``product.apply(x, packed, dequantize)``.
    """
    driver = Driver(product)
    for layer in model.modules():
        if isinstance(layer, NF4Linear):
            layer.__class__ = _driven(type(layer), _Product)
            layer._driver = driver
    return model


class SoftPrompt(nn.Module):
    """A frozen model behind a soft prompt, which a learner's functions put in front.

    Args:
        model: a causal language model of transformers; it is frozen.
        prompt: (T, d), trains.
        with_prompt: widens embeddings and labels.
        make_room: widens the mask, and gives the positions of the text.
    """

    def __init__(
        self,
        model: nn.Module,
        prompt: Tensor,
        with_prompt: Callable[..., tuple[Tensor, Tensor]],
        make_room: Callable[..., tuple[Tensor, Tensor]],
    ) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.config = model.config
        self.prompt = nn.Parameter(prompt.detach().float().clone())
        self.functions = with_prompt, make_room

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        with_prompt, make_room = self.functions
        tokens = len(self.prompt)
        embeddings = self.model.get_input_embeddings()(input_ids)
        prompt = self.prompt.to(embeddings.dtype)
        widened, _ = with_prompt(prompt, embeddings, input_ids)
        mask, positions = make_room(attention_mask, tokens)
        # The prompt's own positions are those in front of the text's.
        own = torch.arange(tokens, device=positions.device).expand(len(positions), -1)
        output = self.model(
            inputs_embeds=widened,
            attention_mask=mask,
            position_ids=torch.cat([own, positions], dim=1),
        )
        output.logits = output.logits[:, tokens:]
        return output


# --- how a layer is driven ------------------------------------------------------------------------


class _Driven:
    """Mixed into a layer of the library: the learner's layer, and which parameters it shares."""

    # In a tuple, or torch would list it as a part of the model.
    _own: tuple[nn.Module, Driver, dict[str, str]]

    def _layer(self) -> nn.Module:
        """The learner's layer with the parameters and the mode that the library's has now."""
        own, _, shared = self._own
        for mine, theirs in shared.items():
            path, _, last = theirs.rpartition(".")
            setattr(own.get_submodule(path), last, getattr(self, mine))
        return own.train(self.training)

    def _run(self, x: Tensor, otherwise: Callable[[Tensor], Tensor]) -> Tensor:
        driver = self._own[1]
        if driver.failed:
            return otherwise(x)
        try:
            # On a base of 16 bits the adapter has 32, which the learner's layer knows nothing of.
            mixed = x.dtype != next(iter(self.adapter_parameters().values())).dtype
            with torch.autocast(x.device.type, x.dtype if mixed else None, enabled=mixed):
                y = self._layer()(x)
            return y.to(x.dtype) if mixed else y  # as the library's layer gives it
        except Exception as problem:
            driver.fails(problem)
            return otherwise(x)


class _Linear(_Driven):
    """A LoRA or DoRA layer: all of its output is the learner's."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return super().forward(x)
        return self._run(x, super().forward)


class _Bottleneck(_Driven):
    """A bottleneck: the learner's adapter returns its input with what it adds."""

    def branch(self, u: Tensor) -> Tensor:
        library = super().branch
        return self._run(u, lambda u: u + library(u)) - u


class _Product:
    """A 4-bit layer: the product is the learner's."""

    _driver: Driver

    def forward(self, x: Tensor) -> Tensor:
        if self._driver.failed:
            return super().forward(x)
        try:
            if torch.is_autocast_enabled(x.device.type):
                x = x.to(torch.get_autocast_dtype(x.device.type))
            product = self._driver.kind.apply
            y = product(x, self.weight, lambda packed, dtype: self.dequantize(dtype))
        except Exception as problem:
            self._driver.fails(problem)
            return super().forward(x)
        return y if self.bias is None else y + self.bias.to(y.dtype)


@functools.cache
def _driven(kind: type[nn.Module], how: type) -> type[nn.Module]:
    """The library's class with another forward pass; a copy of a layer is driven, too."""
    return type(kind.__name__, (how, kind), {"__module__": kind.__module__})


def _drive(layer: AdapterLayer, driver: Driver) -> None:
    if issubclass(driver.kind, AdapterLayer) or driver.failed:
        return
    # Where a layer of theirs starts is of no matter: it shares the parameters of the library's.
    try:
        with torch.random.fork_rng(devices=[]):
            own, shared, how = _own_layer(layer, driver.kind)
    except Exception as problem:
        driver.fails(problem)
        return
    layer.__class__ = _driven(type(layer), how)
    layer._own = (own, driver, shared)


def _own_layer(layer: AdapterLayer, kind: Any) -> tuple[nn.Module, dict[str, str], type]:
    """A learner's layer in place of this one, and which of its parameters are whose."""
    if isinstance(layer, BottleneckLayer):
        if layer.method.parallel or layer.method.activation != "relu" or layer.method.scaling != 1:
            raise ValueError("it is a ReLU adapter after its module, without a factor")
        size, width = layer.W_down.shape
        shared = {"W_down": "down.weight", "b_down": "down.bias"}
        shared |= {"W_up": "up.weight", "b_up": "up.bias"}
        return kind(width, size), shared, _Bottleneck
    if not layer.weight.is_floating_point():
        raise ValueError("the base is in 4 bits")
    rank, alpha = len(layer.A), layer.scaling * len(layer.A)
    if isinstance(layer, DoRALinear):
        shared = {name: name for name in layer.PARAMETERS}
        return kind(_with_bias(layer), rank, alpha), shared, _Linear
    own = kind(layer.base, rank, alpha, layer.method.dropout)
    return own, {"A": "A", "B": "B"}, _Linear


def _with_bias(layer: AdapterLayer) -> nn.Linear:
    """The layer's own linear layer, with a bias of zeros where it has none."""
    base = layer.innermost
    if base.bias is not None:
        return base
    weight = dense_weight(layer)
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight = base.weight
    linear.bias = nn.Parameter(weight.new_zeros(len(weight)), requires_grad=False)
    return linear
