"""Full fine-tuning with care for the lower layers: rates by depth, and gradual unfreezing.

Both come from ULMFiT (Howard and Ruder 2018, arXiv 1801.06146, §3.2 and §3.3): lower layers hold
what is general, so they move less, and they start to move later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from peftcourse.experiments.tasks import Encoded
from peftcourse.experiments.train import TrainConfig, train


def levels(model: nn.Module) -> list[list[nn.Parameter]]:
    """A Llama's parameters by depth, from the top: last norm, each block, embedding.

    An output head that shares its weight with the embedding lies with it, at the bottom; one that
    has a weight of its own lies at the top.
    """
    embedding = list(model.get_input_embeddings().parameters())
    below = {id(parameter) for parameter in embedding}
    head = [p for p in model.get_output_embeddings().parameters() if id(p) not in below]
    blocks = [list(block.parameters()) for block in reversed(model.model.layers)]
    return [[*head, *model.model.norm.parameters()], *blocks, embedding]


def rate_groups(model: nn.Module, factor: float) -> list[dict[str, Any]]:
    """Parameter groups in which each level's rate is that of the level above over ``factor``.

    They hold what requires a gradient. ``train(..., groups=)`` reads the ratios.
    """
    groups = []
    for depth, level in enumerate(levels(model)):
        trained = [parameter for parameter in level if parameter.requires_grad]
        if trained:
            groups.append({"params": trained, "lr_ratio": factor**-depth})
    return groups


def unfreeze(model: nn.Module, top: int) -> None:
    """Let the ``top`` highest levels train, and freeze those below."""
    for depth, level in enumerate(levels(model)):
        for parameter in level:
            parameter.requires_grad_(depth < top)


def train_gradually(
    model: nn.Module,
    examples: Sequence[Encoded],
    config: TrainConfig,
    stages: Sequence[int],
    factor: float = 1.0,
) -> None:
    """Train in stages of equal length; each lets more levels train, and has its own schedule.

    Args:
        model: a Llama; it is trained in place.
        examples: encoded examples.
        config: its steps are shared out among the stages.
        stages: how many levels train in each, from the top.
        factor: of the rates by depth; 1 gives every level the same.
    """
    for number, top in enumerate(stages):
        unfreeze(model, top)
        # Another order of the texts, or each stage would begin with the batches of the last.
        stage = replace(
            config, steps=config.steps // len(stages), seed=len(stages) * config.seed + number
        )
        train(model, examples, stage, groups=rate_groups(model, factor), progress=False)
