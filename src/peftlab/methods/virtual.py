"""Virtual tokens: what prefix tuning and prompt tuning share.

Both put T learned positions in front of the input. They wrap the model's backbone (``model.model``
in Llama, ``model.transformer`` in GPT-2), where masks, positions and the cache of keys and values
come together, so that the head above and the caller see the sequence that the caller passed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer
from peftlab.targets import named_layers


def backbone(model: nn.Module) -> tuple[str, nn.Module]:
    """(name, module) of the part of a transformers model that is below its head.

    Raises:
        PeftlabError: the model has no such part, or it is an encoder and a decoder.
    """
    path = getattr(model, "base_model_prefix", "")
    layers = dict(named_layers(model))
    if not path or path not in layers or not hasattr(layers[path], "get_input_embeddings"):
        raise PeftlabError(
            f"{type(model).__name__} has no backbone below a head to put virtual tokens in front "
            "of; use a transformers model with a head, such as AutoModelForCausalLM."
        )
    if model.config.is_encoder_decoder:
        raise PeftlabError(
            f"{type(model).__name__} has an encoder and a decoder, and virtual tokens are only for "
            "models with one of them; use LoRA instead."
        )
    # OPT's head calls the decoder inside its backbone, and passes over the backbone itself.
    decoder = f"{path}.decoder"
    return (decoder, layers[decoder]) if decoder in layers else (path, layers[path])


class VirtualTokens(AdapterLayer):
    """A backbone that sees T positions more than the caller passes."""

    MERGES = ()

    def start(self, cache: Any) -> bool:
        """Whether this call begins a sequence, so that the virtual tokens have to be put in now.

        When a sequence is continued, as in generation, they are in the cache from the first call.
        The cache itself notes whose virtual tokens it holds.

        Raises:
            PeftlabError: the cache was filled while this adapter was off, or its size is fixed.
        """
        if cache is None:
            return True
        if cache.is_compileable:
            raise PeftlabError(
                "a cache of fixed size has no room for virtual tokens; leave out "
                "cache_implementation, so that the cache grows."
            )
        noted = _noted(cache)
        if self.adapter in noted:
            return False
        if cache.get_seq_length() > sum(noted.values()):
            raise PeftlabError(
                f"the cache of keys and values was filled without the adapter {self.adapter!r}; "
                "start the sequence again with an empty cache."
            )
        return True

    def note(self, cache: Any) -> None:
        """Note in the cache that it holds this adapter's virtual tokens."""
        if cache is not None:
            _noted(cache)[self.adapter] = self.method.tokens

    def widened_mask(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs with T visible positions in front of the attention mask (B, n)."""
        mask = inputs.get("attention_mask")
        if mask is None:  # then every position is visible, virtual ones included
            return inputs
        if not isinstance(mask, Tensor) or mask.ndim != 2:
            raise PeftlabError(
                "virtual tokens need an attention mask of shape (batch, length), to put theirs in "
                "front of; pass that one instead of a prepared mask."
            )
        ones = mask.new_ones(mask.shape[0], self.method.tokens)
        return {**inputs, "attention_mask": torch.cat([ones, mask], dim=1)}  # (B, T + n)

    def shifted_positions(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs with T added to the positions, if there are any: the first T are taken."""
        positions = inputs.get("position_ids")
        if positions is None:  # then the model counts on from the length of its cache
            return inputs
        return {**inputs, "position_ids": positions + self.method.tokens}


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
