"""Wrapping layers, switching adapters, counting parameters."""

import copy
import subprocess
import sys

import pytest
import torch
from small_models import FAMILIES, apply_alone, build, randomise_adapter, token_ids
from torch import nn

import peftlab
from peftlab import LoRAConfig, PeftlabError
from peftlab.layers import AdapterLayer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_adapter_changes_nothing_and_alone_trains(family):
    model, ids = build(family), token_ids()
    before = model(ids).logits
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    apply_alone(model, LoRAConfig(rank=3, alpha=5))
    torch.testing.assert_close(model(ids).logits, before, rtol=0, atol=0)

    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    declared = {id(p) for _, layer in peftlab.adapter_layers(model) for p in (layer.A, layer.B)}
    assert trainable == declared

    randomise_adapter(model)
    model(ids).logits.square().sum().backward()
    for name, p in model.named_parameters():
        assert (p.grad is not None) == p.requires_grad, name
    for name, p in model.named_parameters():
        plain = name.replace(".base", "")
        if plain in weights:
            assert torch.equal(p, weights[plain]), name


def test_adapters_stack_and_their_contributions_add_up():
    model, ids = build("llama", torch.float64), token_ids()
    layer_input = torch.randn(3, 32, dtype=torch.float64)
    base = copy.deepcopy(model.model.layers[0].self_attn.q_proj)
    apply_alone(model, LoRAConfig(rank=2, targets="q_proj"), name="one")
    apply_alone(model, LoRAConfig(rank=3, targets="all-linear"), name="two")
    randomise_adapter(model)
    outer = model.model.layers[0].self_attn.q_proj
    assert (outer.adapter, outer.base.adapter) == ("two", "one")
    expected = (
        base(layer_input)
        + layer_input @ outer.delta_weight().T
        + layer_input @ outer.base.delta_weight().T
    )
    torch.testing.assert_close(outer(layer_input), expected, rtol=1e-12, atol=1e-12)

    assert peftlab.adapters(model) == ["one", "two"]
    peftlab.switch(model, "one")
    only_one = model(ids).logits
    assert {
        layer.adapter for _, layer in peftlab.adapter_layers(model) if layer.A.requires_grad
    } == {"one"}
    peftlab.remove(model, "two")
    assert torch.equal(model(ids).logits, only_one)


def test_disabled_gives_the_base_back_and_restores_what_was_on():
    model, ids = build("llama"), token_ids()
    base = model(ids).logits
    apply_alone(model, LoRAConfig(), name="a")
    apply_alone(model, LoRAConfig(), name="b")
    randomise_adapter(model)
    peftlab.switch(model, "b")
    adapted = model(ids).logits
    with pytest.raises(RuntimeError), peftlab.disabled(model):
        assert torch.equal(model(ids).logits, base)
        raise RuntimeError("the adapters come back even so")
    assert torch.equal(model(ids).logits, adapted)
    assert not torch.equal(adapted, base)


def test_a_layer_shared_by_two_places_is_wrapped_once_and_stays_shared():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = self.first

        def forward(self, x):
            return self.second(self.first(x))

    model = apply_alone(Shared(), LoRAConfig(rank=2))
    assert model.first is model.second
    assert isinstance(model.first, AdapterLayer)
    assert len(peftlab.adapter_layers(model)) == 1


def test_a_failed_call_changes_nothing():
    model = build("llama")
    apply_alone(model, LoRAConfig(targets="q_proj"), name="a")
    structure = str(model)
    flags = [p.requires_grad for p in model.parameters()]
    for config, name in [(LoRAConfig(targets="query"), "b"), (LoRAConfig(), "a")]:
        with pytest.raises(PeftlabError):
            apply_alone(model, config, name=name)
    with pytest.raises(PeftlabError, match=r"does not have an adapter named 'c'.*'a'"):
        peftlab.switch(model, "a", "c")
    assert str(model) == structure
    assert [p.requires_grad for p in model.parameters()] == flags


def test_report_counts_tied_weights_once():
    model = build("llama")
    total = sum(p.numel() for p in model.parameters())
    apply_alone(model, LoRAConfig(rank=4, targets="q_proj"))
    report = peftlab.trainable_report(model)
    assert report.trainable == 2 * 4 * (32 + 32)
    assert report.total == total + report.trainable
    assert str(report) == f"512 of {report.total:,} parameters train ({report.percent:.4g} %)"


def test_report_counts_the_weights_of_a_packed_parameter():
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    layer = bitsandbytes.nn.Linear4bit(64, 32, bias=False, quant_type="nf4")
    layer.load_state_dict(nn.Linear(64, 32, bias=False).state_dict())
    layer = layer.to("cpu")  # moving it to a device packs the weight
    assert layer.weight.numel() == 32 * 64 / 2
    assert peftlab.trainable_report(layer).total == 32 * 64


def test_importing_peftlab_pulls_in_neither_transformers_nor_matplotlib():
    code = (
        "import sys, peftlab; peftlab.apply; peftlab.LoRAConfig; unwanted = "
        "{'transformers', 'matplotlib', 'peft', 'bitsandbytes'}; print(unwanted & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
