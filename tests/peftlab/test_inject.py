"""Matching targets, wrapping layers, switching adapters, counting parameters."""

import copy
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import FAMILIES, build, randomise_adapter, token_ids
from torch import nn

import peftlab
from peftlab import LoRAConfig, PeftlabError
from peftlab.inject import compact_targets, matches, named_layers


def test_a_suffix_matches_at_a_dot_only():
    assert matches("layers.0.q_proj", "q_proj")
    assert matches("q_proj", "q_proj")
    assert matches("layers.0.q_proj", "0.q_proj")
    assert not matches("layers.0.my_q_proj", "q_proj")
    assert not matches("layers.0.q_proj", "proj")


def test_a_regex_must_match_the_whole_name():
    assert matches("layers.3.q_proj", r"layers\.[0-3]\.q_proj")
    assert not matches("model.layers.3.q_proj", r"layers\.[0-3]\.q_proj")
    assert not matches("layers.3.q_proj", "(")  # not a valid regex, and no suffix either


@given(st.text("ab._", min_size=1, max_size=8), st.text("ab._", min_size=1, max_size=8))
def test_a_name_is_matched_by_each_of_its_dotted_suffixes(prefix, name):
    assert matches(f"{prefix}.{name}", name)


def test_targets_of_a_model():
    model = build("llama")
    queries = [f"model.layers.{i}.self_attn.q_proj" for i in range(2)]
    assert peftlab.match_targets(model, "q_proj") == queries
    assert peftlab.match_targets(model, [r".*\.0\..*q_proj"]) == queries[:1]
    everything = peftlab.match_targets(model, "all-linear")
    assert len(everything) == 2 * 7
    assert "lm_head" not in everything


@pytest.mark.parametrize("family", FAMILIES)
def test_all_linear_is_every_linear_layer_but_the_output_head(family):
    model = build(family)
    head = model.get_output_embeddings()
    linear = [
        name
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and module is not head
    ]
    assert peftlab.match_targets(model, "all-linear") == linear


def test_an_unmatched_target_says_what_could_match():
    with pytest.raises(PeftlabError, match=r"'query' matches no layer.*k_proj, .*q_proj"):
        peftlab.match_targets(build("llama"), ["q_proj", "query"])
    with pytest.raises(PeftlabError, match=r"matches Embedding, which is not a linear layer"):
        peftlab.match_targets(build("llama"), "embed_tokens")
    with pytest.raises(PeftlabError, match="no linear layer to adapt"):
        peftlab.match_targets(nn.Sequential(nn.ReLU()), "all-linear")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_adapter_changes_nothing_and_alone_trains(family):
    model, ids = build(family), token_ids()
    before = model(ids).logits
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    peftlab.apply(model, LoRAConfig(rank=3, alpha=5))
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


def test_wrapping_keeps_the_weight_object_and_hides_the_wrapper_from_names():
    model = build("llama")
    weight = model.model.layers[0].self_attn.q_proj.weight
    names = [path for path, _ in named_layers(model)]
    peftlab.apply(model, LoRAConfig())
    layer = model.model.layers[0].self_attn.q_proj
    assert layer.weight is weight
    assert layer.base.weight is weight
    assert (layer.in_features, layer.out_features, layer.bias) == (32, 32, None)
    assert [path for path, _ in named_layers(model)] == names


def test_adapters_stack_and_their_contributions_add_up():
    model, ids = build("llama", torch.float64), token_ids()
    layer_input = torch.randn(3, 32, dtype=torch.float64)
    base = copy.deepcopy(model.model.layers[0].self_attn.q_proj)
    peftlab.apply(model, LoRAConfig(rank=2, targets="q_proj"), name="one")
    peftlab.apply(model, LoRAConfig(rank=3, targets="all-linear"), name="two")
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
    peftlab.apply(model, LoRAConfig(), name="a")
    peftlab.apply(model, LoRAConfig(), name="b")
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

    model = peftlab.apply(Shared(), LoRAConfig(rank=2))
    assert model.first is model.second
    assert isinstance(model.first, peftlab.inject.AdapterLayer)
    assert len(peftlab.adapter_layers(model)) == 1


def test_a_failed_call_changes_nothing():
    model = build("llama")
    peftlab.apply(model, LoRAConfig(targets="q_proj"), name="a")
    structure = str(model)
    flags = [p.requires_grad for p in model.parameters()]
    for config, name in [(LoRAConfig(targets="query"), "b"), (LoRAConfig(), "a")]:
        with pytest.raises(PeftlabError):
            peftlab.apply(model, config, name=name)
    with pytest.raises(PeftlabError, match=r"does not have an adapter named 'c'.*'a'"):
        peftlab.switch(model, "a", "c")
    assert str(model) == structure
    assert [p.requires_grad for p in model.parameters()] == flags


def test_compact_targets_are_suffixes_only_if_they_mean_the_same_layers():
    model = build("llama")
    queries = peftlab.match_targets(model, "q_proj")
    assert compact_targets(model, queries) == ("q_proj",)
    assert compact_targets(model, queries[:1]) == (queries[0],)


def test_report_counts_tied_weights_once():
    model = build("llama")
    total = sum(p.numel() for p in model.parameters())
    peftlab.apply(model, LoRAConfig(rank=4, targets="q_proj"))
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
