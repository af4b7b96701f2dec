"""Partial fine-tuning against training the model's own parameters."""

import copy

import pytest
import torch
from small_models import FAMILIES, apply_alone, build, randomise_adapter, relative_error, token_ids
from soft import check_only_the_adapter_trains, gradients, train
from torch import nn

import peftlab
from peftlab import PeftlabError
from peftlab.methods.partial import PartialConfig

TARGETS = ["head", "last-block", ("last-block", "head")]
BLOCK = {
    "gpt2": "transformer.h.1.",
    "opt": "model.decoder.layers.1.",
    "bert": "bert.encoder.layer.1.",
}


def adapted(family="llama", dtype=torch.float64, base=None, targets="head", name="default"):
    base = build(family, dtype) if base is None else base
    model = apply_alone(copy.deepcopy(base), PartialConfig(targets), name=name)
    randomise_adapter(model, name)
    return model


def trained_names(model):
    """Names in the plain model of the parameters that train."""
    return {
        f"{path}.{key}"
        for path, layer in peftlab.adapter_layers(model)
        for key in layer.adapter_parameters()
    }


def plain_twin(base, ours):
    """A copy of the base whose own parameters train and have the values of our copies."""
    theirs = copy.deepcopy(base).requires_grad_(False)
    if "lm_head.weight" in trained_names(ours):  # our copy of a tied head is not tied
        theirs.lm_head.weight = nn.Parameter(theirs.lm_head.weight.detach().clone(), False)
    mine, others = [], []
    for path, layer in peftlab.adapter_layers(ours):
        for key, parameter in layer.adapter_parameters().items():
            other = theirs.get_parameter(f"{path}.{key}").requires_grad_(True)
            other.data.copy_(parameter.data)
            mine.append(parameter)
            others.append(other)
    return theirs, mine, others


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_targets_mean(family):
    block = BLOCK.get(family, "model.layers.1.")
    names = set(dict(build(family).named_parameters()))
    expected = {name for name in names if name.startswith(block)}
    assert trained_names(adapted(family, targets="last-block")) == expected
    head = {"classifier.weight", "classifier.bias"} if family == "bert" else {"lm_head.weight"}
    assert trained_names(adapted(family, targets="head")) == head
    assert trained_names(adapted(family, targets=["head", "last-block"])) == expected | head


def test_named_modules():
    model = adapted("llama", targets=["layers.0.mlp", r".*norm"])
    names = trained_names(model)
    assert "model.layers.0.mlp.up_proj.weight" in names
    assert "model.norm.weight" in names
    assert not any("self_attn" in name for name in names)


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_starts_as_the_base_and_nothing_else_trains(family, targets):
    base, ids = build(family, torch.float64), token_ids()
    model = apply_alone(copy.deepcopy(base), PartialConfig(targets))
    assert torch.equal(model(ids).logits, base(ids).logits)
    check_only_the_adapter_trains(adapted(family, targets=targets))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_gradients_and_steps_are_those_of_plain_training(family, targets, dtype, tolerance):
    base, ids = build(family, dtype), token_ids()
    ours = adapted(base=base, targets=targets)
    theirs, mine, others = plain_twin(base, ours)
    logits, reference = ours(ids).logits, theirs(ids).logits
    assert relative_error(base(ids).logits, reference) > 0.1
    assert relative_error(logits, reference) < tolerance
    assert relative_error(gradients(logits, mine), gradients(reference, others)) < tolerance
    if dtype == torch.float64:
        train(mine, lambda: ours(ids).logits)
        train(others, lambda: theirs(ids).logits)
        assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10


def test_switching_off_gives_the_base_back():
    base, ids = build("gpt2", torch.float64), token_ids()
    model = adapted(base=base, targets="last-block")
    with peftlab.disabled(model):
        assert torch.equal(model(ids).logits, base(ids).logits)
    assert not torch.equal(model(ids).logits, base(ids).logits)
    peftlab.remove(model)
    assert str(model) == str(base)


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_merging_puts_the_copies_in_place_and_unmerging_restores_every_bit(family):
    model, ids = adapted(family, targets="last-block"), token_ids()
    base = {name: p.clone() for name, p in model.state_dict().items()}
    before = model(ids).logits
    peftlab.merge(model)
    assert torch.equal(model(ids).logits, before)
    peftlab.unmerge(model)
    assert all(torch.equal(p, base[name]) for name, p in model.state_dict().items())
    peftlab.merge(model, keep_base=False)
    assert str(model) == str(build(family))
    assert torch.equal(model(ids).logits, before)


def test_a_tied_head_is_not_merged():
    model = adapted("llama", targets="head")
    with pytest.raises(PeftlabError, match="'lm_head' is tied to another layer"):
        peftlab.merge(model)


def test_lora_adds_to_the_copy():
    base, ids = build("gpt2", torch.float64), token_ids()
    model = apply_alone(copy.deepcopy(base), peftlab.LoRAConfig(rank=2), name="lora")
    apply_alone(model, PartialConfig("last-block"), name="block")
    randomise_adapter(model)
    both = model(ids).logits
    peftlab.switch(model, "block")
    assert not torch.equal(model(ids).logits, both)
    peftlab.switch(model, "block", "lora")
    peftlab.merge(model)
    assert relative_error(model(ids).logits, both) < 1e-12


@pytest.mark.parametrize("targets", [*TARGETS, ("mlp",)])
def test_files(targets, tmp_path):
    model, ids = adapted(targets=targets), token_ids()
    peftlab.save(model, tmp_path)
    loaded = peftlab.load(build("llama", torch.float64), tmp_path)
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    before = str(loaded)
    with pytest.raises(PeftlabError, match="already has an adapter named 'default'"):
        peftlab.load(loaded, tmp_path)
    assert str(loaded) == before
    with pytest.raises(PeftlabError, match="load it into the base model it was trained on"):
        peftlab.load(build("llama", hidden_size=48), tmp_path)


@pytest.mark.parametrize(
    ("model", "targets", "message"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 2)), "head", "Sequential has no head; name"),
        (lambda: nn.Sequential(nn.Linear(2, 2)), "last-block", "has no list of blocks"),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU()), "1", "1 has no parameters to train"),
        (lambda: build("llama"), "out_proj", "'out_proj' matches no module of LlamaForCausalLM"),
        (lambda: build("llama"), (), "targets is empty"),
    ],
)
def test_what_cannot_be_done_is_said(model, targets, message):
    with pytest.raises(PeftlabError, match=message):
        apply_alone(model(), PartialConfig(targets))
