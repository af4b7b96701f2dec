"""Rates by depth and gradual unfreezing: what trains, when, and how fast."""

import pytest
import torch
from small_models import build

from peftcourse.experiments import depth
from peftcourse.experiments.train import TrainConfig


def examples(count=8, length=7):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(3, 61, (count, length), generator=generator).tolist()
    return [{"input_ids": row, "labels": row} for row in rows]


def with_head(tied):
    model = build("llama")
    weight = model.model.embed_tokens.weight
    model.lm_head.weight = weight if tied else torch.nn.Parameter(weight.detach().clone())
    return model


@pytest.mark.parametrize("tied", [False, True])
def test_each_parameter_has_one_level_and_the_head_lies_where_its_weight_does(tied):
    model = with_head(tied)
    levels = depth.levels(model)
    everything = [id(parameter) for level in levels for parameter in level]
    assert sorted(everything) == sorted(id(parameter) for parameter in model.parameters())
    assert len(levels) == len(model.model.layers) + 2
    assert levels[1][0] is next(model.model.layers[-1].parameters())
    assert any(parameter is model.model.embed_tokens.weight for parameter in levels[-1])
    assert any(parameter is model.lm_head.weight for parameter in levels[-1 if tied else 0])


def test_rates_fall_by_the_factor_from_level_to_level_and_hold_what_trains():
    model = build("llama")
    groups = depth.rate_groups(model, 2.0)
    assert [group["lr_ratio"] for group in groups] == [2.0**-d for d in range(len(groups))]
    depth.unfreeze(model, 2)
    groups = depth.rate_groups(model, 2.0)
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert {id(parameter) for group in groups for parameter in group["params"]} == trained
    assert len(groups) == 2 and trained


def test_a_level_that_is_never_unfrozen_never_moves_and_all_others_do():
    torch.manual_seed(0)
    model = build("llama")
    before = [[p.detach().clone() for p in level] for level in depth.levels(model)]
    config = TrainConfig(4, batch_size=2, learning_rate=1e-2)
    depth.train_gradually(model, examples(), config, stages=(1, 2))
    moved = [
        [not torch.equal(old, new) for old, new in zip(*pair, strict=True)]
        for pair in zip(before, depth.levels(model), strict=True)
    ]
    assert all(map(all, moved[:2])) and not any(map(any, moved[2:]))


def test_a_large_factor_leaves_the_bottom_nearly_as_it_was():
    distances = {}
    for factor in (1.0, 100.0):
        torch.manual_seed(0)
        model = build("llama")
        embedding = model.model.embed_tokens.weight
        before = embedding.detach().clone()
        config = TrainConfig(4, batch_size=2, learning_rate=1e-2)
        whole = len(depth.levels(model))
        depth.train_gradually(model, examples(), config, stages=(whole,), factor=factor)
        distances[factor] = (embedding - before).norm().item()
    assert 0 < distances[100.0] < distances[1.0] / 1000
