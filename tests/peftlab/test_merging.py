"""Merging: what it computes, what it restores, what it refuses."""

import copy

import peft
import pytest
import torch
from small_models import FAMILIES, build, randomise_adapter, relative_error, token_ids

import peftlab
from peftlab import LoRAConfig, PeftlabError, PiSSAConfig

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def adapted(family="llama", dtype=torch.float32, name="default", **config):
    model = peftlab.apply(build(family, dtype), LoRAConfig(**config), name=name)
    randomise_adapter(model)
    return model


MERGEABLE = {
    "LoRA": LoRAConfig(rank=4, alpha=6),
    "LoRA rank-stabilized": LoRAConfig(rank=4, alpha=6, rank_stabilized=True),
    "LoRA PiSSA": PiSSAConfig(rank=4, alpha=6),
    "DoRA": peftlab.DoRAConfig(rank=4, alpha=6),
    "AdaLoRA": peftlab.AdaLoRAConfig(total_steps=10, rank=4, target_rank=2),
    "IA3": peftlab.IA3Config(),
    "BitFit": peftlab.BitFitConfig(),
    "partial": peftlab.PartialConfig(targets="last-block"),
    "subspace": peftlab.SubspaceConfig(dimension=50),
}
UNMERGEABLE = {
    "bottleneck": peftlab.BottleneckConfig(size=4),
    "prefix": peftlab.PrefixConfig(tokens=3),
    "prompt": peftlab.PromptConfig(tokens=3),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", MERGEABLE)
def test_every_method_that_merges_computes_the_same_merged_and_comes_out_again(name, dtype):
    family = "gpt2" if name == "BitFit" else "llama"  # Llama has no biases
    base = build(family, dtype)
    model, ids = peftlab.apply(copy.deepcopy(base), MERGEABLE[name]), token_ids()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, layer in peftlab.adapter_layers(model):
            for parameter in layer.adapter_parameters().values():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(0.2 * noise.to(parameter))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    unmerged = model(ids).logits
    assert relative_error(unmerged, base(ids).logits) > 0.01
    peftlab.merge(model)
    assert all(layer.merged for _, layer in peftlab.adapter_layers(model))
    assert relative_error(model(ids).logits, unmerged) < TOLERANCE[dtype]
    peftlab.unmerge(model)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    peftlab.merge(model, keep_base=False)
    assert relative_error(model(ids).logits, unmerged) < TOLERANCE[dtype]
    with pytest.raises(PeftlabError):
        peftlab.unmerge(model)


@pytest.mark.parametrize("name", UNMERGEABLE)
def test_a_method_that_cannot_merge_says_why_and_changes_nothing(name):
    model, ids = peftlab.apply(build("llama"), UNMERGEABLE[name]), token_ids()
    before = model(ids).logits
    with pytest.raises(PeftlabError, match=r"cannot be merged|cannot merge") as refusal:
        peftlab.merge(model)
    assert len(str(refusal.value)) > 60  # a reason, not only a refusal
    assert torch.equal(model(ids).logits, before)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("family", FAMILIES)
def test_merged_equals_unmerged_and_unmerging_restores_every_bit(family, dtype):
    model, ids = adapted(family, dtype), token_ids()
    base = {name: p.clone() for name, p in model.state_dict().items()}
    unmerged = model(ids).logits
    peftlab.merge(model)
    assert relative_error(model(ids).logits, unmerged) < TOLERANCE[dtype]
    weight = peftlab.adapter_layers(model)[0][1].weight
    name = next(key for key in base if key.endswith("base.weight"))
    assert not torch.equal(weight, base[name])
    assert set(model.state_dict()) == set(base)  # the originals are not part of the state
    peftlab.unmerge(model)
    assert all(torch.equal(p, base[key]) for key, p in model.state_dict().items())
    assert torch.equal(model(ids).logits, unmerged)


def test_merging_for_good_leaves_a_plain_model(tmp_path):
    model, ids = adapted("gpt2", torch.float64), token_ids()
    unmerged = model(ids).logits
    peftlab.merge(model, keep_base=False)
    assert str(model) == str(build("gpt2"))
    assert relative_error(model(ids).logits, unmerged) < 1e-12
    with pytest.raises(PeftlabError, match="does not have an adapter"):
        peftlab.unmerge(model)


def test_merging_agrees_with_peft(tmp_path):
    model, ids = adapted("llama", torch.float64), token_ids()
    peftlab.save(model, tmp_path)
    theirs = peft.PeftModel.from_pretrained(build("llama", torch.float64), tmp_path)
    merged = peftlab.merge(model, keep_base=False).state_dict()
    for name, weight in theirs.merge_and_unload().state_dict().items():
        torch.testing.assert_close(merged[name], weight, rtol=1e-12, atol=1e-12)
    assert relative_error(model(ids).logits, theirs.base_model.model(ids).logits) < 1e-10


def test_two_adapters_merge_in_any_order_and_one_can_leave_again():
    model, ids = adapted(name="a", dtype=torch.float64), token_ids()
    only_a = model(ids).logits
    peftlab.apply(model, LoRAConfig(rank=2, targets="q_proj"), name="b")
    randomise_adapter(model, "b", seed=5)
    both = model(ids).logits
    peftlab.merge(model, "b")
    peftlab.merge(model, "a")
    assert relative_error(model(ids).logits, both) < 1e-12
    peftlab.unmerge(model, "b")
    peftlab.merge(copy.deepcopy(model), "b")
    refused = pytest.raises(PeftlabError, match="cannot disable adapters while 'a' is merged")
    with refused, peftlab.disabled(model):
        pass
    peftlab.unmerge(model)
    peftlab.remove(model, "b")
    assert torch.equal(model(ids).logits, only_a)


def test_one_adapter_can_become_permanent_while_another_stays_merged():
    model, ids = adapted(name="a", dtype=torch.float64), token_ids()
    peftlab.apply(model, LoRAConfig(rank=2), name="b")
    randomise_adapter(model, "b", seed=5)
    both = model(ids).logits
    peftlab.merge(model)
    peftlab.merge(model, "a", keep_base=False)
    assert peftlab.adapters(model) == ["b"]
    assert relative_error(model(ids).logits, both) < 1e-12
    peftlab.unmerge(model, "b")
    assert relative_error(model(ids).logits, both) < 1e-12


def test_a_16_bit_base_is_merged_with_one_rounding():
    model = adapted("llama", torch.bfloat16)
    layer = peftlab.adapter_layers(model)[0][1]
    expected = (layer.weight.float() + layer.delta_weight()).bfloat16()
    peftlab.merge(model)
    assert torch.equal(layer.weight, expected)


def test_several_adapters_are_merged_with_one_rounding():
    model = adapted("gpt2", torch.bfloat16, name="a")
    peftlab.apply(model, LoRAConfig(rank=2), name="b")
    randomise_adapter(model, "b", seed=5)
    outer = model.transformer.h[0].mlp.c_fc
    assert [layer.adapter for layer in (outer, outer.base)] == ["b", "a"]
    deltas = outer.base.delta_weight() + outer.delta_weight()
    expected = (outer.weight.float() + deltas.T).bfloat16()  # Conv1D holds the transpose
    peftlab.merge(model)
    assert torch.equal(outer.weight, expected)
    assert outer.weight.is_contiguous()


def test_merging_twice_or_removing_what_is_merged_is_refused():
    model = adapted()
    with pytest.raises(PeftlabError, match="'default' is not merged"):
        peftlab.unmerge(model, "default")
    with pytest.raises(PeftlabError, match="no adapter is merged"):
        peftlab.unmerge(model)
    peftlab.merge(model)
    for action in (peftlab.merge, peftlab.remove, lambda m: peftlab.switch(m, "default")):
        with pytest.raises(PeftlabError, match="merged"):
            action(model)
    peftlab.unmerge(model)
    peftlab.switch(model)
    with pytest.raises(PeftlabError, match="no adapter is switched on"):
        peftlab.merge(model)
    with pytest.raises(PeftlabError, match="'default' is switched off"):
        peftlab.merge(model, "default")


def test_a_tied_weight_is_not_merged():
    model = adapted(targets="lm_head")
    embedding = model.get_input_embeddings().weight.clone()
    with pytest.raises(PeftlabError, match="'lm_head' is tied to another layer"):
        peftlab.merge(model)
    assert torch.equal(model.get_input_embeddings().weight, embedding)


def test_an_8_bit_base_is_not_merged():
    base = torch.nn.Linear(64, 32, bias=False)
    model = peftlab.apply(torch.nn.Sequential(base), LoRAConfig(rank=2))
    base.weight = torch.nn.Parameter(torch.ones(32, 64, dtype=torch.int8), requires_grad=False)
    with pytest.raises(PeftlabError, match="is quantized"):
        peftlab.merge(model)
