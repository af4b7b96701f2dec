"""LoRA+'s parameter groups against Hugging Face PEFT's, and in the training loop."""

import copy

import pytest
import torch
from lowrank import twins
from small_models import build, relative_error, token_ids

import peftlab
from peftlab import DoRAConfig, LoRAConfig, PeftlabError
from peftlab.methods.lora_plus import parameter_groups


def test_lora_plus_groups_agree_with_peft():
    from peft.optimizers import create_loraplus_optimizer

    _, ours, theirs = twins("llama", LoRAConfig(rank=4))
    groups = parameter_groups(ours, 1e-3, ratio=8)
    optimizers = [
        torch.optim.AdamW(groups, weight_decay=0.0),
        create_loraplus_optimizer(
            theirs, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=8, loraplus_weight_decay=0.0
        ),
    ]
    rates = [
        sorted({group["lr"] for group in o.param_groups if group["params"]}) for o in optimizers
    ]
    assert rates[0] == rates[1] == [1e-3, 8e-3]
    for model, optimizer in zip((ours, theirs), optimizers, strict=True):
        for _ in range(5):
            optimizer.zero_grad()
            model(token_ids()).logits.square().mean().backward()
            optimizer.step()
    assert relative_error(ours(token_ids()).logits, theirs(token_ids()).logits) < 1e-10


def test_lora_plus_covers_whatever_else_trains():
    model = peftlab.apply(build("bert"), DoRAConfig(rank=2), also_train="classifier")
    slow, fast = parameter_groups(model, 1e-3)
    layers = [layer for _, layer in peftlab.adapter_layers(model) if hasattr(layer, "magnitude")]
    assert {id(p) for p in fast["params"]} == {id(layer.B) for layer in layers}
    everything = [p for p in model.parameters() if p.requires_grad]
    assert len(slow["params"]) + len(fast["params"]) == len(everything)
    assert (fast["lr"], fast["lr_ratio"], slow["lr_ratio"]) == (0.016, 16.0, 1.0)


def test_lora_plus_in_the_training_loop_keeps_the_ratio():
    from peftcourse.experiments.train import TrainConfig, train

    model = peftlab.apply(build("llama"), LoRAConfig(rank=2, targets="q_proj"))
    example = {"input_ids": [5, 9, 13, 7], "labels": [5, 9, 13, 7]}
    moved = {}
    for ratio in (1, 50):
        copied = copy.deepcopy(model)
        train(
            copied,
            [example],
            TrainConfig(steps=1, batch_size=1, learning_rate=1e-4, warmup_fraction=0.0),
            groups=parameter_groups(copied, 1.0, ratio),
            progress=False,
        )
        # Adam's first step has the size of the learning rate.
        moved[ratio] = peftlab.adapter_layers(copied)[0][1].B.abs().max().item()
    assert moved[1] == pytest.approx(1e-4, rel=1e-2)
    assert moved[50] == pytest.approx(5e-3, rel=1e-2)
    groups = parameter_groups(model, 1.0)[:1]
    with pytest.raises(PeftlabError, match="each parameter that trains once"):
        train(model, [example], TrainConfig(steps=1), groups=groups, progress=False)


def test_lora_plus_misuse_is_named():
    model = peftlab.apply(build("llama"), LoRAConfig())
    with pytest.raises(PeftlabError, match="ratio must be positive, not 0"):
        parameter_groups(model, 1e-3, 0)
    peftlab.switch(model)
    with pytest.raises(PeftlabError, match="needs LoRA layers that train"):
        parameter_groups(model, 1e-3)
