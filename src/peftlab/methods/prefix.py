"""Prefix tuning: learned keys and values in every layer (Li & Liang 2021, arXiv 2101.00190)."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.inject import select
from peftlab.layers import AdapterLayer, innermost, new_parameter
from peftlab.methods import checks
from peftlab.methods.prefix_cache import LayerPrefix, put_in_cache, shortest_window
from peftlab.methods.virtual import VirtualTokens, backbone, check_ids, left_padding
from peftlab.targets import named_layers


@dataclass(frozen=True)
class PrefixConfig:
    """How to adapt a model with prefix tuning.

    Attributes:
        tokens: T, the number of virtual tokens; the adapter has ``T * L * 2 * H * D`` parameters
            for L layers with H key/value heads of D numbers.
        mlp_size: width of the MLP that computes the prefix while training (Li & Liang §4.3);
            ``None`` to train the keys and values themselves.
        init: where the prefix starts. ``"random"``: close to zero. A tuple of T token ids: the
            keys and values that the model itself computes for these tokens (§7.4, "real words"),
            so that the adapted model starts as the model with that text in front.

    Raises:
        PeftlabError: a value is out of range.
    """

    tokens: int = 20
    mlp_size: int | None = None
    init: str | tuple[int, ...] = "random"

    def __post_init__(self) -> None:
        checks.whole_number("tokens", self.tokens)
        size = self.mlp_size
        if size is not None and (not isinstance(size, int) or size < 1):
            raise PeftlabError(
                f"mlp_size must be None or a whole number of at least 1, not {size!r}."
            )
        if self.init == "random":
            return
        if isinstance(self.init, str) or len(self.init) != self.tokens:
            raise PeftlabError(
                f'init must be "random" or as many token ids as tokens ({self.tokens}), '
                f"not {self.init!r}."
            )
        if size is not None:
            raise PeftlabError(
                "a prefix cannot start from token ids and be computed by an MLP; "
                "leave out init or mlp_size."
            )
        object.__setattr__(self, "init", tuple(self.init))

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """One layer around the backbone, which owns the prefix, and one around each attention."""
        path, module = backbone(model)
        attention = attention_modules(model, path)
        shape = prefix_shape(model)
        prefix = PrefixLayer(module, self, adapter, shape)
        if self.init != "random":
            prefix.start_from(keys_and_values(model, self.init))
        return {path: prefix} | {
            where: PrefixAttention(layer, self, adapter, prefix) for where, layer in attention
        }


@dataclass(frozen=True)
class PrefixShape:
    """What a prefix has to fit: L layers with H key/value heads of D numbers each."""

    layers: int
    heads: int
    head_size: int

    @property
    def width(self) -> int:
        """H · D, the width of one layer's keys for one token."""
        return self.heads * self.head_size


def prefix_shape(model: nn.Module) -> PrefixShape:
    """The shape of one virtual token's keys, as the model's own cache has them.

    They are fewer than its queries in grouped-query attention. Where no cache can be looked at (in
    an encoder, or on the meta device, where parameters are counted) the configuration tells.

    Raises:
        PeftlabError: keys and values do not have one shape in all layers.
    """
    config = model.config.get_text_config()
    cached = [] if model.get_input_embeddings().weight.is_meta else _cached(model, (0,))
    shapes = {(x.shape[1], x.shape[3]) for layer in cached for x in layer}
    if len(shapes) > 1:
        raise PeftlabError(
            f"{type(model).__name__} keeps keys and values of different shapes, {sorted(shapes)} "
            "(heads, size), and a prefix has one for all; use LoRA or PromptConfig instead."
        )
    queries = config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or queries
    size = getattr(config, "head_dim", None) or config.hidden_size // queries
    return PrefixShape(config.num_hidden_layers, *next(iter(shapes), (heads, size)))


def attention_modules(model: nn.Module, place: str) -> list[tuple[str, nn.Module]]:
    """(name, module) of the self-attention of every layer, in order, in the backbone at a place.

    Raises:
        PeftlabError: there is not exactly one for each layer.
    """
    found = {
        path: module
        for path, module in named_layers(model)
        if path.startswith(place) and type(innermost(module)).__name__.endswith("Attention")
        if isinstance(layer_index(module), int) and cache_argument(module)
    }
    # GPT-Neo's attention is a module in one of the same kind.
    found = {p: m for p, m in found.items() if not any(x.startswith(f"{p}.") for x in found)}
    layers = getattr(model.config.get_text_config(), "num_hidden_layers", 0)
    if [layer_index(module) for module in found.values()] != list(range(layers)):
        raise PeftlabError(
            f"{type(model).__name__} does not have one self-attention with a cache in each of its "
            f"{layers} layers, which a prefix needs; use LoRA instead."
        )
    return list(found.items())


def layer_index(attention: nn.Module) -> int | None:
    """The number of an attention's layer, by which it finds its keys in the cache."""
    return getattr(attention, "layer_idx", getattr(attention, "layer_id", None))


def cache_argument(attention: nn.Module) -> str | None:
    """What an attention calls the cache that it is called with."""
    inputs = inspect.signature(innermost(attention).forward).parameters
    return next((name for name in ("past_key_values", "layer_past") if name in inputs), None)


@torch.no_grad()
def _cached(model: nn.Module, ids: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    """The keys and values of each layer, (1, H, T, D), that the model computes for T tokens;
    none if it keeps none, as an encoder."""
    tokens = check_ids(ids, model)
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False  # no dropout
        cache = backbone(model)[1](input_ids=tokens, use_cache=True).get("past_key_values")
    finally:
        for module in training:
            module.training = True
    # The last of them, where an adapter has put virtual ones in front.
    layers = [] if cache is None else cache.layers
    return [(x.keys[..., -len(ids) :, :], x.values[..., -len(ids) :, :]) for x in layers]


def keys_and_values(model: nn.Module, ids: tuple[int, ...]) -> Tensor:
    """The keys and values (L, 2, H, T, D) that the model computes for T tokens.

    Raises:
        PeftlabError: a sliding window does not keep as many, or the model keeps none at all.
    """
    layers = _cached(model, ids)
    if not layers or any(keys.shape[2] < len(ids) for keys, _ in layers):
        raise PeftlabError(
            f"{type(model).__name__} keeps no keys and values of {len(ids)} tokens; leave out init."
        )
    return torch.stack([torch.cat(layer) for layer in layers])


class PrefixLayer(VirtualTokens):
    r"""A frozen backbone with T learned keys and values before those of the input, in each layer.

    .. math::
        \mathrm{softmax}\!\left(\frac{Q\,[P_K; K]^\top}{\sqrt D}\right) [P_V; V], \qquad
        P_K, P_V \in \mathbb{R}^{H \times T \times D}

    The prefix is handed over as if it were the cache of T earlier tokens, so the model's own code
    for continuing a sequence does the rest: masks, positions, sliding windows, generation.

    With ``mlp_size`` the prefix is computed as ``tanh(E W1ᵀ + b1) W2ᵀ + b2``, which trains more
    stably (Li & Liang §4.3); a file holds only its result, and ``drop_mlp`` leaves only that.

    Shapes:
        input ids ``(B, n)``; ``prefix`` ``(T, L·2·H·D)``, PEFT's layout.
    """

    PARAMETERS = ("prefix",)
    CANNOT_MERGE = "its keys and values belong to extra positions, not to any weight"

    def __init__(
        self, base: nn.Module, method: PrefixConfig, adapter: str, shape: PrefixShape
    ) -> None:
        super().__init__(base, method, adapter)
        self.shape = shape
        T, m = method.tokens, method.mlp_size
        weight = self.get_input_embeddings().weight
        total = shape.layers * 2 * shape.width
        if m is None:
            self.prefix = new_parameter(T, total, like=weight)
        else:
            self.PARAMETERS = ("E", "W1", "b1", "W2", "b2")
            self.E = new_parameter(T, shape.width, like=weight)
            self.W1 = new_parameter(m, shape.width, like=weight)
            self.b1 = new_parameter(m, like=weight)
            self.W2 = new_parameter(total, m, like=weight)
            self.b2 = new_parameter(total, like=weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with keys and values near zero, σ = 0.02 as in GPT-2's initialisation.

        A key of zero draws the same attention whatever the query, and a value of zero adds
        nothing, so the model starts close to what it was.
        """
        if self.method.mlp_size is None:
            nn.init.normal_(self.prefix, std=0.02)
            return
        nn.init.normal_(self.E)
        nn.init.normal_(self.W1, std=self.shape.width**-0.5)
        nn.init.normal_(self.W2, std=0.02 * self.method.mlp_size**-0.5)
        nn.init.zeros_(self.b1)
        nn.init.zeros_(self.b2)

    @torch.no_grad()
    def start_from(self, keys_values: Tensor) -> None:
        """Set the prefix to these keys and values, (L, 2, H, T, D)."""
        self.prefix.copy_(keys_values.permute(3, 0, 1, 2, 4).reshape(self.prefix.shape))

    def computed_prefix(self, layers: slice = slice(None)) -> Tensor:
        """The prefix of some of the layers, (T, l, 2·H·D), by the MLP if there is one."""
        L, T = self.shape.layers, self.method.tokens
        if self.method.mlp_size is None:
            return self.prefix.view(T, L, -1)[:, layers]
        hidden = torch.tanh(F.linear(self.E, self.W1, self.b1))  # (T, m)
        W2 = self.W2.view(L, -1, self.method.mlp_size)[layers]  # (l, 2·H·D, m)
        b2 = self.b2.view(L, -1)[layers]  # (l, 2·H·D)
        return torch.einsum("tm,lom->tlo", hidden, W2) + b2

    def keys_and_values(self, batch: int, layers: slice = slice(None)) -> Tensor:
        """The prefix as a cache holds it: (l, 2, B, H, T, D)."""
        H, D = self.shape.heads, self.shape.head_size
        prefix = self.computed_prefix(layers).to(self.get_input_embeddings().weight.dtype)
        prefix = prefix.unflatten(-1, (2, H, D)).expand(batch, -1, -1, -1, -1, -1)
        return prefix.permute(2, 3, 0, 4, 1, 5)  # (B, T, l, 2, H, D) → (l, 2, B, H, T, D)

    def drop_mlp(self) -> None:
        """Keep the prefix that the MLP computes, and only that."""
        if self.method.mlp_size is None:
            return
        prefix = nn.Parameter(self.computed_prefix().flatten(1).detach(), self.E.requires_grad)
        for name in self.PARAMETERS:
            delattr(self, name)
        self.PARAMETERS = PrefixLayer.PARAMETERS
        self.method = replace(self.method, mlp_size=None)
        self.prefix = prefix

    def forward(self, input_ids: Tensor | None = None, **inputs: Any) -> Any:
        if not self.active:
            return self.passed_through(input_ids=input_ids, **inputs)
        given = input_ids if input_ids is not None else inputs["inputs_embeds"]
        cache = inputs.get("past_key_values")
        begins = self.start(inputs, given.shape[1])
        our_own = cache is None
        if our_own:
            from transformers import DynamicCache

            cache = DynamicCache(config=self.config)
        inputs = self._with_positions(inputs, given.shape[1])
        left = self._left_padding(inputs, cache, given.shape[1])
        inputs = self.widened_mask(self.shifted_positions(inputs), left)
        if begins:
            self.note(cache)
            for layer, (keys, values) in enumerate(self.keys_and_values(given.shape[0])):
                put_in_cache(cache, layer, keys, values, left)
            self.windows = [getattr(layer, "sliding_window", None) for layer in cache.layers]
        output = self.base(input_ids=input_ids, **{**inputs, "past_key_values": cache})
        if our_own and inputs.get("use_cache") is False:
            output.past_key_values = None  # not asked for; OPT returns it all the same
        return output

    def _with_positions(self, inputs: dict[str, Any], length: int) -> dict[str, Any]:
        """The inputs with positions that do not count padding on the left.

        To rotary embeddings only distances matter, so that a model may count it; but a prefix
        has no position to be at a distance from.
        """
        rotary = any("Rotary" in type(module).__name__ for module in self.innermost.modules())
        if not rotary or inputs.get("position_ids") is not None or left_padding(inputs) is None:
            return inputs
        positions = (inputs["attention_mask"].cumsum(dim=1) - 1).clamp_min(0)
        return {**inputs, "position_ids": positions[:, -length:]}

    def _left_padding(self, inputs: dict[str, Any], cache: Any, length: int) -> Tensor | None:
        """Behind how many positions of padding the prefix stands in each row, where that matters:
        where an attention has a window that is, or may become, too short to reach over padding.

        Raises:
            PeftlabError: gradient checkpointing, with which each layer puts the prefix in front.
        """
        left = left_padding(inputs)
        window = shortest_window(cache, self.config.get_text_config())
        trains_within = self.training and self.method.tokens + length <= window
        if left is None or window == math.inf or trains_within:
            return None
        if self.training and any(getattr(m, "gradient_checkpointing", 0) for m in self.modules()):
            raise PeftlabError(
                "with gradient checkpointing, a prefix cannot stand behind padding on the left, "
                f"where the attention's window of {window} needs it; pad on the right to train."
            )
        return left


class PrefixAttention(AdapterLayer):
    """The self-attention of one layer, which gets its share of the prefix when the cache is gone.

    With gradient checkpointing transformers takes the cache away from every layer, since computing
    a layer a second time would append its keys a second time. The keys and values of a prefix do
    not change, so they are handed over afresh, as often as the layer is computed.
    """

    MERGES = ()
    CANNOT_MERGE = PrefixLayer.CANNOT_MERGE

    def __init__(
        self, base: nn.Module, method: PrefixConfig, adapter: str, prefix: PrefixLayer
    ) -> None:
        super().__init__(base, method, adapter)
        # In a tuple, or torch would list the backbone as a part of its own attention.
        self._prefix = (prefix,)
        self.cache_argument = cache_argument(base)

    def forward(self, *args: Any, **inputs: Any) -> Any:
        cache = inputs.get(self.cache_argument)
        if self.active and (cache is None or isinstance(cache, LayerPrefix)):
            x = args[0] if args else inputs["hidden_states"]  # (B, n, d)
            index, (owner,) = layer_index(self), self._prefix
            (prefix,) = owner.keys_and_values(len(x), slice(index, index + 1))  # (2, B, H, T, D)
            inputs[self.cache_argument] = LayerPrefix(*prefix, cache, owner.windows[index])
        return self.base(*args, **inputs)


def drop_mlp(model: nn.Module, name: str | None = None) -> None:
    """Replace the MLP of a trained prefix by the prefix it computes (Li & Liang §4.3: "once
    training is complete, these reparametrization parameters can be dropped").

    Args:
        model: the model, changed in place; what it computes stays the same.
        name: which adapter; every prefix if left out.

    Raises:
        PeftlabError: the adapter is not there, or it is not a prefix.
    """
    layers = [layer for _, layer in select(model, name)]
    prefixes = [layer for layer in layers if isinstance(layer, PrefixLayer)]
    if not prefixes:
        raise PeftlabError("only a prefix has an MLP to drop, and none of these adapters is one.")
    for layer in layers:
        if isinstance(layer, PrefixLayer):
            layer.drop_mlp()
        elif isinstance(layer, PrefixAttention):
            layer.method = replace(layer.method, mlp_size=None)
