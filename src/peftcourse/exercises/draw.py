"""What the random inputs of all lessons are drawn with; every draw moves the generator on."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def integer(rng: Generator, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    return int(torch.randint(low, high + 1, (), generator=rng))


def different(rng: Generator, count: int, low: int, high: int) -> list[int]:
    """``count`` different whole numbers from ``low`` to ``high``."""
    return [low + int(place) for place in torch.randperm(high - low + 1, generator=rng)[:count]]


def uniform(rng: Generator, low: float, high: float) -> float:
    """A number from ``low`` to ``high``, all equally likely."""
    return low + (high - low) * float(torch.rand((), generator=rng, dtype=torch.float64))


def normal(rng: Generator, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """A tensor of this shape from the standard normal distribution; the same in every dtype."""
    return torch.randn(*shape, generator=rng, dtype=torch.float64).to(dtype)
