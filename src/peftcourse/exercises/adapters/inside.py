"""Lesson 07, bottleneck adapters: reference solutions and typical wrong answers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant

Part = Callable[[Tensor], Tensor]

# --- adapters.count -------------------------------------------------------------------------------


def count(style: str, layers: int, hidden_size: int, size: int) -> int:
    each = 2 * hidden_size * size + size + hidden_size
    return layers * each * (2 if style == "houlsby" else 1)


COUNT = (
    Mutant(
        "no-biases",
        lambda style, L, d, m: L * 2 * d * m * (2 if style == "houlsby" else 1),
        "the biases are missing",
        "Add m for the down-projection's bias and d for the up-projection's",
    ),
    Mutant(
        "one-projection",
        lambda style, L, d, m: L * (d * m + m + d) * (2 if style == "houlsby" else 1),
        "one of the two projections is missing",
        "There are d·m weights on the way down and as many on the way up",
    ),
    Mutant(
        "biases-swapped-for-one",
        lambda style, L, d, m: L * (2 * d * m + 2 * m) * (2 if style == "houlsby" else 1),
        "both biases are counted with m numbers; the up-projection puts out d",
        "A bias is as long as the output of its layer",
    ),
    Mutant(
        "always-one",
        lambda style, L, d, m: count("pfeiffer", L, d, m),
        "Houlsby's style has two adapters in each block, and one was counted",
        "After the attention and after the feed-forward network: multiply by 2",
    ),
    Mutant(
        "parallel-twice",
        lambda style, L, d, m: count("pfeiffer" if style == "pfeiffer" else "houlsby", L, d, m),
        "the parallel style is counted with two adapters in each block; it has one",
        "Parallel means where the adapter reads; there is one, beside the feed-forward network",
    ),
)

# --- adapters.layer -------------------------------------------------------------------------------


class Adapter(nn.Module):
    def __init__(self, hidden_size: int, size: int) -> None:
        super().__init__()
        self.down = nn.Linear(hidden_size, size)
        self.up = nn.Linear(size, hidden_size)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.up(torch.relu(self.down(h)))


class _RandomStart(Adapter):
    def __init__(self, hidden_size: int, size: int) -> None:
        super().__init__(hidden_size, size)
        nn.init.normal_(self.up.weight)


class _RandomBias(Adapter):
    def __init__(self, hidden_size: int, size: int) -> None:
        super().__init__(hidden_size, size)
        nn.init.normal_(self.up.bias)


class _AllZero(Adapter):
    def __init__(self, hidden_size: int, size: int) -> None:
        super().__init__(hidden_size, size)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)


class _NoResidual(Adapter):
    def forward(self, h: Tensor) -> Tensor:
        return self.up(torch.relu(self.down(h)))


class _Linear(Adapter):
    def forward(self, h: Tensor) -> Tensor:
        return h + self.up(self.down(h))


class _ActivationOutside(Adapter):
    def forward(self, h: Tensor) -> Tensor:
        return h + torch.relu(self.up(self.down(h)))


class _ActivationBefore(Adapter):
    def forward(self, h: Tensor) -> Tensor:
        return h + self.up(self.down(torch.relu(h)))


class _Normalised(Adapter):
    def forward(self, h: Tensor) -> Tensor:
        return super().forward(nn.functional.layer_norm(h, h.shape[-1:]))


class _WithoutBiases(Adapter):
    def __init__(self, hidden_size: int, size: int) -> None:
        super().__init__(hidden_size, size)
        self.down = nn.Linear(hidden_size, size, bias=False)
        self.up = nn.Linear(size, hidden_size, bias=False)
        nn.init.zeros_(self.up.weight)


LAYER = (
    Mutant(
        "random-start",
        _RandomStart,
        "a new adapter changes its input: the up-projection starts at random",
        "Set the up-projection's weight to zero in __init__",
    ),
    Mutant(
        "random-bias",
        _RandomBias,
        "a new adapter adds the same vector to every token: its last bias does not start at zero",
        "Set the up-projection's bias to zero too: nn.Linear starts it at random",
    ),
    Mutant(
        "all-zero",
        _AllZero,
        "both projections start at zero: what reaches the up-projection is zero, so it never "
        "learns",
        "Leave the down-projection random, and zero the up-projection alone",
    ),
    Mutant(
        "no-residual",
        _NoResidual,
        "what the adapter computes replaces its input; at the start that is zero",
        "Return h + ...: an adapter adds to what it reads",
    ),
    Mutant(
        "no-activation",
        _Linear,
        "a new adapter is right, a trained one has no activation: two linear maps are one of rank "
        "m",
        "Put torch.relu between the projections",
    ),
    Mutant(
        "activation-outside",
        _ActivationOutside,
        "the ReLU is behind the up-projection, so the adapter can only add what is not negative",
        "Put torch.relu between the projections",
    ),
    Mutant(
        "activation-before",
        _ActivationBefore,
        "the ReLU is in front of the down-projection: half of the input is cut off, and the "
        "bottleneck is linear",
        "Put torch.relu between the projections",
    ),
    Mutant(
        "normalised",
        _Normalised,
        "h is normalised first, and the residual with it: a new adapter changes its input",
        "These adapters have no LayerNorm inside; use h as it is",
    ),
    Mutant(
        "no-biases",
        _WithoutBiases,
        "the projections have no biases",
        "nn.Linear has a bias unless told otherwise",
    ),
)

# --- adapters.block -------------------------------------------------------------------------------


def block(
    x: Tensor,
    attention: Part,
    feed_forward: Part,
    norm_1: Part,
    norm_2: Part,
    adapter_1: Part,
    adapter_2: Part,
    style: str,
) -> Tensor:
    h = attention(norm_1(x))
    if style == "houlsby":
        h = h + adapter_1(h)
    x = x + h
    u = norm_2(x)
    h = feed_forward(u)
    return x + h + adapter_2(u if style == "parallel" else h)


def _block_after_residual(x, attention, feed_forward, norm_1, norm_2, first, second, style):
    x = x + attention(norm_1(x))
    if style == "houlsby":
        x = x + first(x)
    u = norm_2(x)
    x = x + feed_forward(u)
    return x + second(u if style == "parallel" else x)


def _block_beside_norm(x, attention, feed_forward, norm_1, norm_2, first, second, style):
    if style != "parallel":
        return block(x, attention, feed_forward, norm_1, norm_2, first, second, style)
    x = x + attention(norm_1(x))
    return x + feed_forward(norm_2(x)) + second(x)


def _block_parallel_is_serial(x, attention, feed_forward, norm_1, norm_2, first, second, style):
    serial = "pfeiffer" if style == "parallel" else style
    return block(x, attention, feed_forward, norm_1, norm_2, first, second, serial)


def _block_always_twice(x, attention, feed_forward, norm_1, norm_2, first, second, style):
    serial = "houlsby" if style == "pfeiffer" else style
    return block(x, attention, feed_forward, norm_1, norm_2, first, second, serial)


def _block_never_twice(x, attention, feed_forward, norm_1, norm_2, first, second, style):
    serial = "pfeiffer" if style == "houlsby" else style
    return block(x, attention, feed_forward, norm_1, norm_2, first, second, serial)


def _block_pfeiffer_at_attention(x, attention, feed_forward, norm_1, norm_2, first, second, style):
    if style != "pfeiffer":
        return block(x, attention, feed_forward, norm_1, norm_2, first, second, style)
    h = attention(norm_1(x))
    x = x + h + second(h)
    return x + feed_forward(norm_2(x))


def _block_replaced(x, attention, feed_forward, norm_1, norm_2, first, second, style):
    h = attention(norm_1(x))
    x = x + (first(h) if style == "houlsby" else h)
    u = norm_2(x)
    h = feed_forward(u)
    return x + (h + second(u) if style == "parallel" else second(h))


BLOCK = (
    Mutant(
        "after-the-residual",
        _block_after_residual,
        "the adapters read the sum with the residual stream; they belong before it is added",
        "Adapt h = attention(norm_1(x)) first, then add it to x; likewise behind the network",
    ),
    Mutant(
        "beside-the-norm",
        _block_beside_norm,
        "right in two styles; the parallel adapter reads x, and the network reads norm_2(x)",
        "Give both the same input: u = norm_2(x)",
    ),
    Mutant(
        "parallel-is-serial",
        _block_parallel_is_serial,
        "right in two styles; the parallel adapter reads the network's output, not its input",
        "In the parallel style give adapter_2 what the feed-forward network gets",
    ),
    Mutant(
        "always-twice",
        _block_always_twice,
        "right in two styles; Pfeiffer's has no adapter behind the attention",
        "Use adapter_1 in Houlsby's style only",
    ),
    Mutant(
        "never-twice",
        _block_never_twice,
        "right in two styles; Houlsby's has an adapter behind the attention too",
        "In Houlsby's style add adapter_1(h) to h = attention(norm_1(x))",
    ),
    Mutant(
        "pfeiffer-at-attention",
        _block_pfeiffer_at_attention,
        "right in two styles; Pfeiffer's adapter is behind the attention instead of the network",
        "Pfeiffer's one adapter comes after the feed-forward network",
    ),
    Mutant(
        "output-replaced",
        _block_replaced,
        "what an adapter adds stands in place of what it adapts",
        "h + adapter(h): the adapter here returns only what it adds",
    ),
)
