"""Lesson 07: random inputs for each exercise.

All sizes of a case differ, with one exception: the weights that IA³ is merged into are square, as
in a model without grouped queries. Only there does scaling the wrong axis run at all.
"""

from __future__ import annotations

import math

import torch
from torch import Generator

from peftcourse.exercises.draw import different, integer, normal
from peftcourse.exercises.observe import Case

STYLES = ("houlsby", "pfeiffer", "parallel")


def count(rng: Generator) -> list[Case]:
    depths, widths, sizes = (
        different(rng, 3, low, high) for low, high in ((6, 40), (4, 40), (5, 60))
    )
    return [
        {
            "style": style,
            "layers": depths[i],
            "hidden_size": 64 * widths[i],
            "size": sizes[i],
        }
        for i, style in enumerate(STYLES)
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
                "down_weight": normal(rng, size, width, dtype=dtype),
                "down_bias": normal(rng, size, dtype=dtype),
                "up_weight": normal(rng, width, size, dtype=dtype),
                "up_bias": normal(rng, width, dtype=dtype),
                "pull": normal(rng, batch, tokens, width, dtype=dtype),
            }
        )
    return cases


def block(rng: Generator) -> list[Case]:
    """A block for each style; its parts are small functions of these tensors, see the probe."""
    cases = []
    for style in STYLES:
        batch, tokens = different(rng, 2, 2, 5)
        width = integer(rng, 6, 9)
        cases.append(
            {
                "style": style,
                "x": normal(rng, batch, tokens, width),
                "gain_1": 1 + 0.5 * normal(rng, width),
                "gain_2": 1 + 0.5 * normal(rng, width),
                **{
                    name: normal(rng, width, width) / width**0.5
                    for name in ("attention", "feed_forward", "adapter_1", "adapter_2")
                },
                "pull": normal(rng, batch, tokens, width),
            }
        )
    return cases


def ia3(rng: Generator) -> list[Case]:
    cases = []
    widths = different(rng, 4, 4, 9)
    kinds = (
        ("output", torch.float64),
        ("input", torch.float64),
        ("output", torch.float32),
        ("input", torch.float32),
    )
    for width, (where, dtype) in zip(widths, kinds, strict=True):
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
# T5 calls a table `relative_attention_bias`, Swin one `relative_position_bias_table`. The model has
# a bias of its own, as some heads have, and one bias of two dimensions.
NAMES = {
    "bias": 1,
    "embedding.weight": 2,
    "layers.0.attention.relative_attention_bias.weight": 2,
    "layers.0.attention.query.weight": 2,
    "layers.0.attention.query.bias": 1,
    "layers.0.attention.position_bias": 2,
    "layers.0.positions.bias": 2,
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
KINDS = {
    "layers.0.attention.query": "linear",
    "layers.0.norm": "norm",
    "layers.1.mlp.up": "linear",
    "layers.1.norm": "norm",
    "head": "linear",
}
GROUPS = {
    "biases of linear layers": [
        "layers.0.attention.query.bias",
        "layers.1.mlp.up.bias",
        "head.bias",
    ],
    "biases of norms": ["layers.0.norm.bias", "layers.1.norm.bias"],
    "a bias of a module of another kind": ["layers.0.positions.bias"],
    "the model's own bias": ["bias"],
}
GROUPS["parameters that are no biases"] = [
    name for name in NAMES if not any(name in group for group in GROUPS.values())
]


def biases(rng: Generator) -> list[Case]:
    """Models that train as a whole, and one that is frozen in part."""
    cases = []
    for frozen, about in (
        ((), ""),
        (("head.bias", "layers.0.norm.bias", "embedding.weight"), "some biases are frozen before"),
        ((), ""),
        (tuple(NAMES), "all parameters are frozen before"),
    ):
        sizes = different(rng, len(NAMES), 3, 30)
        shapes = {
            name: [size] * dimensions
            for (name, dimensions), size in zip(NAMES.items(), sizes, strict=True)
        }
        cases.append(
            {
                "shapes": shapes,
                "values": normal(rng, sum(math.prod(shape) for shape in shapes.values())),
                "frozen": list(frozen),
                "kinds": KINDS,
                "groups": GROUPS,
                "about": about,
            }
        )
    return cases


def affine(rng: Generator) -> list[Case]:
    """What adapters add: a ReLU network's, and a linear one's, whose residual is zero."""
    cases = []
    for linear in (False, True, False):
        size, width = different(rng, 2, 3, 7)
        # Not centred, as activations are not.
        u = 1.5 * normal(rng, width) + normal(rng, 41 + 2 * integer(rng, 0, 4), width)
        narrow = u @ normal(rng, width, size) + normal(rng, size)
        narrow = narrow if linear else narrow.relu()
        added = narrow @ normal(rng, size, width + 2) + normal(rng, width + 2)
        cases.append({"u": u, "added": added})
    return cases


def overhead(rng: Generator) -> list[Case]:
    """A machine that is slow at first, changes as it runs, and is interrupted now and then."""
    cases = []
    for odd, faster, warm, about in (
        (True, False, True, ""),
        (False, False, True, "the number of rounds is even"),
        (True, True, True, "the adapted model is the faster one"),
        (True, False, False, "there are no warm-up rounds"),
    ):
        warmup = integer(rng, 2, 4) * warm
        rounds = 2 * integer(rng, 4, 6) + odd
        total = warmup + rounds
        # Slower and slower, or faster and faster, unevenly: what is measured later is measured on
        # another machine.
        drift = 1 + (0.05 + 0.1 * torch.rand(total, generator=rng).double()).cumsum(0)
        drift = drift.flip(0) if faster else drift
        jitter = 1 + 0.02 * torch.rand(2, total, generator=rng).double()
        spikes = torch.ones(2, total, dtype=torch.float64)
        spikes[1, warmup + 1] = 9.0  # one turn of the adapted model, and one of the base
        spikes[0, warmup + 3] = 4.0
        much = 0.1 + 0.3 * torch.rand(1, generator=rng).item()
        cases.append(
            {
                "base": 0.01 * (1 + torch.rand(1, generator=rng).item()),
                "slower": 1 / (1 + much) if faster else 1 + much,
                "cold": [3.0, 7.0],
                "machine": drift * jitter * spikes,
                "warmup": warmup,
                "rounds": rounds,
                "about": about,
            }
        )
    return cases
