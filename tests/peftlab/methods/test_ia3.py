"""IA³ against its equation, against finite differences and against Hugging Face PEFT."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lowrank import (
    TOLERANCES,
    check_exchange,
    check_five_steps,
    check_logits_and_gradients,
    check_merging,
    check_only_the_adapter_trains,
    twins,
)
from small_models import FAMILIES, apply_alone, build, randomise_adapter, relative_error, token_ids
from torch import nn

import peftlab
from peftlab import IA3Config, LoRAConfig, PeftlabError
from peftlab.methods.ia3 import IA3Linear

sizes = st.integers(1, 12)


def layer_of(d_in, d_out, feedforward, bias=True):
    layer = IA3Linear(
        nn.Linear(d_in, d_out, bias=bias, dtype=torch.float64), IA3Config(), feedforward=feedforward
    )
    nn.init.normal_(layer.scale)
    return layer


@settings(deadline=None)
@given(d_in=sizes, d_out=sizes, feedforward=st.booleans(), bias=st.booleans())
def test_forward_and_merging_are_the_equation(d_in, d_out, feedforward, bias):
    layer = layer_of(d_in, d_out, feedforward, bias)
    x = torch.randn(2, 3, d_in, dtype=torch.float64)
    base = layer.base
    expected = base(layer.scale * x) if feedforward else layer.scale * base(x)
    assert layer.scale.shape == ((d_in if feedforward else d_out),)
    torch.testing.assert_close(layer(x), expected)
    merged = x @ layer.merged_weight(base.weight).T
    if bias:
        merged = merged + layer.merged_bias(base.bias)
    torch.testing.assert_close(merged, expected)


@settings(deadline=None, max_examples=10)
@given(d_in=st.integers(1, 5), d_out=st.integers(1, 5), feedforward=st.booleans())
def test_gradients_equal_finite_differences(d_in, d_out, feedforward):
    layer = layer_of(d_in, d_out, feedforward)
    x = torch.randn(2, d_in, dtype=torch.float64, requires_grad=True)

    def output(x, scale):
        return torch.func.functional_call(layer, {"scale": scale}, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.scale))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_adapter_changes_nothing_and_alone_trains(family):
    model, ids = build(family), token_ids()
    before = model(ids).logits
    apply_alone(model, IA3Config())
    torch.testing.assert_close(model(ids).logits, before, rtol=0, atol=0)
    check_only_the_adapter_trains(model)


@pytest.mark.parametrize(
    ("family", "outputs", "inputs"),
    [
        ("llama", {"k_proj", "v_proj"}, {"down_proj"}),
        ("qwen3", {"k_proj", "v_proj"}, {"down_proj"}),
        ("mistral", {"k_proj", "v_proj"}, {"down_proj"}),
        ("gpt2", {"c_attn"}, {"c_proj"}),
        ("opt", {"k_proj", "v_proj"}, {"fc2"}),
        ("bert", {"key", "value"}, {"dense"}),
    ],
)
def test_default_targets_are_keys_values_and_the_down_projection(family, outputs, inputs):
    model = apply_alone(build(family), IA3Config())
    layers = peftlab.adapter_layers(model)
    assert len(layers) == 2 * (len(outputs) + 1)  # two blocks, one down-projection in each
    assert {path.rsplit(".", 1)[-1] for path, x in layers if not x.feedforward} == outputs
    assert {path.rsplit(".", 1)[-1] for path, x in layers if x.feedforward} == inputs
    down = next(layer for _, layer in layers if layer.feedforward)
    assert down.scale.numel() == (128 if family == "gpt2" else 56)


def test_targets_can_be_chosen():
    model = build("llama")
    apply_alone(model, IA3Config(targets=["q_proj", "up_proj"], feedforward="up_proj"))
    kinds = {path.rsplit(".", 1)[-1]: x.feedforward for path, x in peftlab.adapter_layers(model)}
    assert kinds == {"q_proj": False, "up_proj": True}
    model = apply_alone(build("llama"), IA3Config(targets="all-linear", feedforward=()))
    assert not any(layer.feedforward for _, layer in peftlab.adapter_layers(model))
    model = apply_alone(build("llama"), IA3Config(targets=["v_proj", "down_proj"]))
    assert [layer.feedforward for _, layer in peftlab.adapter_layers(model)] == [False, True] * 2


@pytest.mark.parametrize(
    ("options", "model", "message"),
    [
        ({}, nn.Sequential(nn.Linear(2, 2)), "no default targets for 'Sequential'"),
        ({"targets": ["0"]}, nn.Sequential(nn.Linear(2, 2)), "give targets="),
        (
            {"targets": ["0"], "feedforward": ["1"]},
            nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)),
            "feedforward '1' matches none of the targets",
        ),
    ],
)
def test_a_model_that_it_does_not_fit_is_named(options, model, message):
    with pytest.raises(PeftlabError, match=message):
        apply_alone(model, IA3Config(**options))


def test_empty_targets_are_refused():
    with pytest.raises(PeftlabError, match="targets is empty"):
        IA3Config(targets=())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("feedforward", [False, True])
def test_a_16_bit_base_gets_a_float32_adapter(dtype, feedforward):
    layer = IA3Linear(nn.Linear(6, 5, dtype=dtype), IA3Config(), feedforward=feedforward)
    assert layer.scale.dtype == torch.float32
    assert layer(torch.randn(2, 6).to(dtype)).dtype == dtype


@pytest.mark.parametrize("feedforward", [(), "0"])
def test_a_16_bit_base_is_merged_with_one_rounding(feedforward):
    model = nn.Sequential(nn.Linear(6, 5, dtype=torch.bfloat16))
    apply_alone(model, IA3Config(targets="0", feedforward=feedforward))
    layer, base = model[0], copy.deepcopy(model[0].base)
    nn.init.uniform_(layer.scale, 0.5, 2)
    peftlab.merge(model)
    along = layer.scale if feedforward else layer.scale[:, None]
    assert torch.equal(layer.base.weight, (along * base.weight.float()).bfloat16())
    expected = base.bias if feedforward else (layer.scale * base.bias.float()).bfloat16()
    assert torch.equal(layer.base.bias, expected)


# --- merging -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "opt"])
def test_merging_restores_weights_and_biases(family):
    model = apply_alone(build(family, torch.float64), IA3Config())
    randomise_adapter(model)
    check_merging(model)


def test_with_lora_it_merges_from_the_inside_out_only():
    model, ids = build("llama", torch.float64), token_ids()
    apply_alone(model, IA3Config(), name="inner")
    apply_alone(model, LoRAConfig(rank=2), name="middle")
    apply_alone(model, IA3Config(), name="outer")
    randomise_adapter(model)
    expected = model(ids).logits
    for name in ("middle", "outer"):
        with pytest.raises(PeftlabError, match="'inner', which acts before it, is not"):
            peftlab.merge(model, name)
    assert torch.equal(model(ids).logits, expected)
    for name in ("inner", "middle", "outer"):
        peftlab.merge(model, name)
        assert relative_error(model(ids).logits, expected) < 1e-12
    with pytest.raises(PeftlabError, match="merge or unmerge both"):
        peftlab.unmerge(model, "inner")
    assert relative_error(model(ids).logits, expected) < 1e-12
    peftlab.unmerge(model)
    assert torch.equal(model(ids).logits, expected)
    peftlab.merge(model, keep_base=False)
    assert relative_error(model(ids).logits, expected) < 1e-12


# --- parity with Hugging Face PEFT ---------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_gradients_and_counts_agree_with_peft(family, dtype, tolerance):
    check_logits_and_gradients(*twins(family, IA3Config(), dtype, scale=4.0), tolerance)


@pytest.mark.parametrize("family", FAMILIES)
def test_five_optimizer_steps_agree_with_peft(family):
    _, ours, theirs = twins(family, IA3Config(), scale=4.0)
    check_five_steps(ours, theirs)


@pytest.mark.parametrize("family", FAMILIES)
def test_files_are_exchanged_with_peft(family, tmp_path):
    _, ours, theirs = twins(family, IA3Config(), scale=4.0)
    check_exchange(family, ours, theirs, tmp_path)


def test_a_file_with_one_projection_scaled_either_way(tmp_path):
    method = IA3Config(targets="down_proj", feedforward="layers.0.mlp.down_proj")
    _, ours, theirs = twins("llama", method, scale=4.0)
    check_exchange("llama", ours, theirs, tmp_path)
    loaded = peftlab.load(build("llama"), tmp_path / "ours")
    assert [layer.feedforward for _, layer in peftlab.adapter_layers(loaded)] == [True, False]


def test_a_regular_expression_for_the_feedforward_layers_in_a_peft_file(tmp_path):
    import peft

    base, ids = build("llama", torch.float64), token_ids()
    config = peft.IA3Config(
        target_modules=["k_proj", "down_proj"],
        feedforward_modules=r".*\.down_proj",
        init_ia3_weights=False,
    )
    theirs = peft.get_peft_model(build("llama", torch.float64), config).eval()
    theirs.save_pretrained(tmp_path)
    ours = peftlab.load(base, tmp_path)
    assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10
