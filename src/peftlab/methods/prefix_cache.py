"""Where a prefix stands in a cache of keys and values: before the text, behind its padding."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from peftlab.methods.virtual import in_front


def shortest_window(cache: Any, config: Any) -> float:
    """How many positions the most short-sighted layer sees; infinity if each sees all."""
    windows = [getattr(layer, "sliding_window", None) or math.inf for layer in cache.layers]
    if "local" in (getattr(config, "attention_layers", None) or ()):  # GPT-Neo
        windows.append(config.window_size)
    return min(windows, default=math.inf)


def put_in_cache(cache: Any, index: int, keys: Tensor, values: Tensor, left: Tensor | None) -> None:
    """Put virtual keys and values (B, H, T, D) in a layer of a cache that holds no text yet.

    Padding on the left comes with the text and must stand before them: the layer's next ``update``
    sees to that, once.
    """
    layer = cache.layers[index] if index < len(cache.layers) else None
    pending = vars(layer).pop("update", None) if layer else None
    cache.update(keys, values, index)
    if left is None:
        return
    if pending is not None:  # those of an outer adapter come first
        outer = pending.keywords["virtual"]
        keys, values = torch.cat([outer[0], keys], dim=2), torch.cat([outer[1], values], dim=2)
    layer = cache.layers[index]
    layer.update = partial(_update_behind_padding, layer, left, virtual=(keys, values))


def _update_behind_padding(
    layer: Any, left: Tensor, *text: Any, virtual: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """``layer.update`` with the first keys and values of the text, padding included."""
    del layer.update
    shown, _ = layer.update(*text)
    keys, values = (in_front(a, b, left, dim=2) for a, b in zip(virtual, text[:2], strict=True))
    # A sliding window keeps and shows only the last of them; as many are put in their places.
    kept = layer.keys.shape[2]
    layer.keys, layer.values = keys[:, :, -kept:], values[:, :, -kept:]
    return keys[:, :, -shown.shape[2] :], values[:, :, -shown.shape[2] :]


class LayerPrefix:
    """The cache of one layer and one call: puts a prefix before the keys and values of the input,
    and remembers nothing but how many there are."""

    def __init__(
        self, keys: Tensor, values: Tensor, outer: LayerPrefix | None, window: int | None
    ) -> None:
        if outer is not None:  # the prefix of an outer adapter comes first
            keys = torch.cat([outer.keys, keys], dim=-2)
            values = torch.cat([outer.values, values], dim=-2)
        self.keys, self.values, self.window = keys, values, window
        self.length = keys.shape[-2]

    def update(self, keys: Tensor, values: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        """(B, H, n, D) → (B, H, T + n, D), or less of the prefix: what a sliding window reaches."""
        self.length += keys.shape[-2]
        T = self.keys.shape[-2]
        start = 0 if self.window is None else max(0, T - self.window + 1)
        keys = torch.cat([self.keys[..., start:, :].to(keys.dtype), keys], dim=-2)
        return keys, torch.cat([self.values[..., start:, :].to(values.dtype), values], dim=-2)

    def get_seq_length(self, layer: int = 0) -> int:
        """How many positions there are; MPT asks for it."""
        return self.length
