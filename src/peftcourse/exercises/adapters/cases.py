"""Lesson 07: random inputs for each exercise.

All sizes of a case differ, with one exception: the weights that IA³ is merged into are square, as
in a model without grouped queries. Only there does scaling the wrong axis run at all.
"""

from __future__ import annotations

import torch
from torch import Generator

from peftcourse.exercises.draw import different, integer, normal
from peftcourse.exercises.observe import Case


def count(rng: Generator) -> list[Case]:
    return [
        {
            "style": style,
            "layers": integer(rng, 6, 40),
            "hidden_size": 64 * integer(rng, 4, 40),
            "size": integer(rng, 5, 60),
        }
        for style in ("houlsby", "pfeiffer", "parallel")
    ]


def layer(rng: Generator) -> list[Case]:
    cases = []
    for dtype in (torch.float64, torch.float32, torch.float64):
        batch, tokens, size = different(rng, 3, 3, 6)
        width = integer(rng, 8, 12)
        cases.append(
            {
                "h": normal(rng, batch, tokens, width, dtype=dtype),
                "size": size,
                "W_down": normal(rng, size, width, dtype=dtype),
                "b_down": normal(rng, size, dtype=dtype),
                "W_up": normal(rng, width, size, dtype=dtype),
                "b_up": normal(rng, width, dtype=dtype),
            }
        )
    return cases


def block(rng: Generator) -> list[Case]:
    """A block for each style; its parts are small functions of these tensors, see the probe."""
    cases = []
    for style in ("houlsby", "pfeiffer", "parallel"):
        batch, tokens = different(rng, 2, 2, 5)
        width = integer(rng, 6, 9)
        cases.append(
            {
                "style": style,
                "x": normal(rng, batch, tokens, width),
                "gains": 1 + 0.5 * normal(rng, 2, width),
                **{
                    name: normal(rng, width, width) / width**0.5
                    for name in ("attention", "feed_forward", "adapter_1", "adapter_2")
                },
            }
        )
    return cases


def ia3(rng: Generator) -> list[Case]:
    cases = []
    widths = different(rng, 3, 4, 9)
    for width, where, dtype in zip(
        widths, ("output", "input", "output"), (torch.float64, torch.float64, torch.float32),
        strict=True,
    ):  # fmt: skip
        cases.append(
            {
                "W": normal(rng, width, width, dtype=dtype),
                "bias": normal(rng, width, dtype=dtype),
                "scale": 1 + 0.4 * normal(rng, width, dtype=dtype),
                "where": where,
            }
        )
    return cases


# Parameters of a made-up model, with their number of dimensions: names that real models have.
# T5 calls a table `relative_attention_bias`, Swin one `relative_position_bias_table`.
NAMES = {
    "embedding.weight": 2,
    "layers.0.attention.relative_attention_bias.weight": 2,
    "layers.0.attention.query.weight": 2,
    "layers.0.attention.query.bias": 1,
    "layers.0.attention.position_bias": 2,
    "layers.0.norm.weight": 1,
    "layers.0.norm.bias": 1,
    "layers.1.mlp.up.weight": 2,
    "layers.1.mlp.up.bias": 1,
    "layers.1.layer_scale": 1,
    "layers.1.norm.weight": 1,
    "layers.1.norm.bias": 1,
    "head.weight": 2,
    "head.bias": 1,
}


def biases(rng: Generator) -> list[Case]:
    cases = []
    for _ in range(2):
        sizes = different(rng, len(NAMES), 3, 30)
        shapes = {
            name: [size] * dimensions
            for (name, dimensions), size in zip(NAMES.items(), sizes, strict=True)
        }
        cases.append({"shapes": shapes})
    return cases


def affine(rng: Generator) -> list[Case]:
    """What adapters add: a ReLU network's, and a linear one's, whose residual is zero."""
    cases = []
    for linear in (False, True, False):
        size, width = different(rng, 2, 3, 7)
        # Not centred, as activations are not.
        u = 1.5 * normal(rng, width) + normal(rng, 40 + integer(rng, 0, 9), width)
        narrow = u @ normal(rng, width, size) + normal(rng, size)
        narrow = narrow if linear else narrow.relu()
        added = narrow @ normal(rng, size, width + 2) + normal(rng, width + 2)
        cases.append({"u": u, "added": added})
    return cases


def overhead(rng: Generator) -> list[Case]:
    """A machine that is slow at first, grows slower as it runs, and is interrupted now and then."""
    cases = []
    for _ in range(2):
        warmup, rounds = integer(rng, 2, 4), 2 * integer(rng, 4, 6) + 1
        total = warmup + rounds
        # Slower and slower, unevenly: what is measured later is measured on another machine.
        drift = 1 + (0.05 + 0.1 * torch.rand(total, generator=rng).double()).cumsum(0)
        jitter = 1 + 0.02 * torch.rand(2, total, generator=rng).double()
        spikes = torch.ones(2, total, dtype=torch.float64)
        spikes[1, warmup + 1] = 9.0  # one turn of the adapted model, and one of the base
        spikes[0, warmup + 3] = 4.0
        cases.append(
            {
                "base": 0.01 * (1 + torch.rand(1, generator=rng).item()),
                "slower": 1.1 + 0.3 * torch.rand(1, generator=rng).item(),
                "cold": [3.0, 7.0],
                "machine": drift * jitter * spikes,
                "warmup": warmup,
                "rounds": rounds,
            }
        )
    return cases
