"""Virtual tokens: what prefix tuning and prompt tuning share.

Both put T learned positions in front of the input. They wrap the model's backbone (``model.model``
in Llama, ``model.transformer`` in GPT-2), where masks, positions and the cache of keys and values
come together, so that the head above and the caller see the sequence that the caller passed.

A row that is padded on the left has its virtual tokens behind the padding, right before its text:
a sliding window and a recurrent state then see what they see without padding.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, innermost
from peftlab.targets import named_layers


def backbone(model: nn.Module) -> tuple[str, nn.Module]:
    """(name, module) of the part of a transformers model that is below its head.

    In a model that sees or hears as well, that is the part that reads text.

    Raises:
        PeftlabError: the model has no such part, or it is an encoder and a decoder, or it keeps
            its state where virtual tokens could not be noted.
    """
    path = getattr(model, "base_model_prefix", "")
    layers = dict(named_layers(model))
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise PeftlabError(
            f"{type(model).__name__} has an encoder and a decoder, and virtual tokens are only for "
            "models with one of them; use LoRA instead."
        )
    if not path or path not in layers or not hasattr(layers[path], "get_input_embeddings"):
        raise PeftlabError(
            f"{type(model).__name__} has no backbone below a head to put virtual tokens in front "
            "of; use a transformers model with a head, such as AutoModelForCausalLM."
        )
    # OPT's head calls the decoder inside its backbone, and passes over the backbone itself.
    inner = (f"{path}.{name}" for name in ("decoder", "language_model", "text_model"))
    path = next((name for name in inner if name in layers), path)
    inputs = inspect.signature(innermost(layers[path]).forward).parameters
    reason = "reads no text, which virtual tokens stand before"
    if {"input_ids", "inputs_embeds"} <= inputs.keys():
        reason = "has a memory of earlier tokens that cannot tell whether it holds virtual ones"
        if not {"state", "mems"} & inputs.keys():
            return path, layers[path]
    raise PeftlabError(f"{type(model).__name__} {reason}; use LoRA instead.")


class VirtualTokens(AdapterLayer):
    """A backbone that sees T positions more than the caller passes."""

    MERGES = ()

    @property
    def cache_argument(self) -> str:
        """What the backbone calls its cache."""
        recurrent = "cache_params" in inspect.signature(self.innermost.forward).parameters
        return "cache_params" if recurrent else "past_key_values"

    def start(self, inputs: dict[str, Any], length: int) -> bool:
        """Whether this call begins a sequence, so that the virtual tokens have to be put in now.

        When a sequence is continued, as in generation, they are in the cache from the first call.
        The cache itself notes whose virtual tokens it holds.

        Args:
            inputs: the backbone's inputs.
            length: how many tokens the caller passes.

        Raises:
            PeftlabError: the cache was filled while this adapter was off, its size is fixed, or
                the mask does not cover what is in it.
        """
        cache = inputs.get(self.cache_argument)
        if cache is None:
            return True
        # All layers are asked: that of a recurrent state is "compileable" in any cache.
        kinds = " ".join(type(layer).__name__ for layer in cache.layers)
        if "Static" in kinds or "Quant" in kinds:
            raise PeftlabError(
                "a cache of fixed size or in few bits has no room for virtual tokens; leave out "
                "cache_implementation, so that the cache grows."
            )
        noted = _noted(cache)
        known = sum(noted.values())
        filled = _length(cache)
        if self.adapter not in noted:
            if filled > known:
                raise PeftlabError(
                    f"the cache was filled without the adapter {self.adapter!r}; "
                    "start the sequence again with an empty cache."
                )
            return True
        if self.adapter == next(iter(noted)) and filled < RECURRENT:  # what others see is widened
            self._check_covered(inputs, filled - known + length)
        return False

    def _check_covered(self, inputs: dict[str, Any], expected: int) -> None:
        """Raise a PeftlabError unless mask or positions are for this many tokens."""
        mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
        covered = mask.shape[-1] if isinstance(mask, Tensor) else expected
        if mask is None and isinstance(positions, Tensor) and positions.ndim == 2:
            covered = int(positions[:, -1].max()) + 1
        if covered != expected:
            raise PeftlabError(
                f"mask or positions are for {covered} tokens, and cache and input hold {expected} "
                "without virtual ones. If generate() was given a cache, leave past_key_values out."
            )

    def passed_through(self, *args: Any, **inputs: Any) -> Any:
        """The base's output while the adapter is off.

        Raises:
            PeftlabError: the cache holds its virtual tokens.
        """
        cache = inputs.get(self.cache_argument)
        if self.adapter in getattr(cache, "virtual_tokens", ()):
            raise PeftlabError(
                f"the cache holds the virtual tokens of {self.adapter!r}, which is switched off; "
                "start the sequence again with an empty cache."
            )
        return self.base(*args, **inputs)

    def note(self, cache: Any) -> None:
        """Note in the cache that it holds this adapter's virtual tokens."""
        if cache is not None:
            _noted(cache)[self.adapter] = self.method.tokens

    def widened_mask(self, inputs: dict[str, Any], left: Tensor | None) -> dict[str, Any]:
        """The inputs with T visible positions more in the attention mask (B, n)."""
        mask = inputs.get("attention_mask")
        if mask is None:  # then every position is visible, virtual ones included
            return inputs
        ones = mask.new_ones(mask.shape[0], self.method.tokens)
        return {**inputs, "attention_mask": in_front(ones, mask, left)}  # (B, T + n)

    def shifted_positions(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs with T added to the positions, if there are any: the first T are taken."""
        positions = inputs.get("position_ids")
        if positions is None:  # then the model counts on from the length of its cache
            return inputs
        return {**inputs, "position_ids": positions + self.method.tokens}


# --- where virtual tokens stand ------------------------------------------------------------------


def left_padding(inputs: dict[str, Any]) -> Tensor | None:
    """How many positions of padding each row begins with, (B,); ``None`` if no row has any.

    Raises:
        PeftlabError: the attention mask is not of shape (batch, length).
    """
    mask = inputs.get("attention_mask")
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        raise PeftlabError(
            "virtual tokens need an attention mask of shape (batch, length), to put theirs in "
            "front of; pass that one instead of a prepared mask."
        )
    left = (mask.cumsum(dim=1) == 0).sum(dim=1)
    return left if left.any() else None


def in_front(virtual: Tensor, given: Tensor, left: Tensor | None, dim: int = 1) -> Tensor:
    """Virtual tokens and then the caller's, along ``dim``; padding on the left comes before both.

    Args:
        virtual: (B, ..., T, ...).
        given: (B, ..., n, ...).
        left: see ``left_padding``.
        dim: where T and n are.
    """
    both = torch.cat([virtual, given], dim)
    if left is None:
        return both
    T, left = virtual.shape[dim], left[:, None]
    place = torch.arange(both.shape[dim], device=left.device)
    text = torch.where(place < left + T, place - left, place)
    return _taken(both, torch.where(place < left, place + T, text), dim)


def without(states: Tensor, tokens: int, left: Tensor | None, dim: int = 1) -> Tensor:
    """The caller's positions alone, (B, ..., n, ...), of a tensor in which ``in_front`` put T."""
    length = states.shape[dim] - tokens
    if left is None:
        return states.narrow(dim, tokens, length)
    place = torch.arange(length, device=left.device)
    return _taken(states, torch.where(place < left[:, None], place, place + tokens), dim)


def _taken(tensor: Tensor, source: Tensor, dim: int) -> Tensor:
    """The positions (B, m) of a tensor whose first axis is B and whose axis ``dim`` is long."""
    shape = [1] * tensor.ndim
    shape[0], shape[dim] = source.shape
    return torch.take_along_dim(tensor, source.view(shape), dim)


# --- what is in a cache --------------------------------------------------------------------------

RECURRENT = 2**62  # stands for the length of a state that does not know how many tokens it has seen


def _length(cache: Any) -> int:
    """How many positions the cache holds."""
    try:
        return cache.get_seq_length()
    except ValueError:  # layers with a recurrent state only
        return RECURRENT if cache.has_previous_state() else 0


def _noted(cache: Any) -> dict[str, int]:
    """How many virtual tokens of which adapter are in the cache; an attribute, so that a copy of
    the cache has it too."""
    if not hasattr(cache, "virtual_tokens"):
        cache.virtual_tokens = {}
    return cache.virtual_tokens


def check_ids(ids: Any, model: nn.Module) -> Tensor:
    """Token ids to start from, as a tensor (1, n) on the device of the model's embeddings.

    Raises:
        PeftlabError: an id is not in the model's vocabulary.
    """
    table = model.get_input_embeddings()
    size = table.num_embeddings
    for token in ids:
        if not 0 <= token < size:
            raise PeftlabError(f"token id {token} is not in the vocabulary of {size:,} entries.")
    return torch.tensor([list(ids)], device=table.weight.device)
