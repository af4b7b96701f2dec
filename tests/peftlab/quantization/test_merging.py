"""Merging that loses, and what it says it loses."""

import copy

import pytest
import torch
from small_models import build, randomise_adapter, relative_error, token_ids

import peftlab
from peftcourse.parity import twins_quantization as twins
from peftlab import LoRAConfig, PeftlabError
from peftlab.layers import innermost, is_conv1d, is_linear
from peftlab.quantization.linear import NF4Linear
from peftlab.quantization.merging import merge_into_original, merge_requantized
from peftlab.targets import named_layers


def adapted(family="llama", scale=0.2, dtype=torch.float32, **options):
    model = peftlab.quantize_model(build(family, dtype), **options)
    peftlab.apply(model, LoRAConfig(rank=4, alpha=4))
    randomise_adapter(model, scale=scale)
    return model


def weights(model):
    """The weight that each adapted layer computes with."""
    found = {}
    for path, layer in named_layers(model):
        base = innermost(layer)
        if isinstance(base, NF4Linear):
            found[path] = base.dequantize()
        elif is_linear(base):
            found[path] = base.weight.T if is_conv1d(base) else base.weight
    return {path: weight.detach() for path, weight in found.items()}


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_requantizing_reports_its_error(family):
    model = adapted(family)
    plain = weights(model)
    target = weights(peftlab.merge(copy.deepcopy(model)))
    error = merge_requantized(model)
    found = weights(model)
    layers = twins.quantized_layers(model)
    assert len(layers) == len(error.layers) > 0
    assert not peftlab.adapters(model)

    difference = update = size = 0.0
    for path, reported in error.layers.items():
        assert reported == pytest.approx(relative_error(found[path], target[path]), rel=1e-4)
        difference += (found[path] - target[path]).square().sum().item()
        update += (target[path] - plain[path]).square().sum().item()
        size += target[path].square().sum().item()
    assert error.of_weights == pytest.approx((difference / size) ** 0.5, rel=1e-4)
    assert error.of_update == pytest.approx((difference / update) ** 0.5, rel=1e-4)
    assert 0.02 < error.of_weights < 0.2
    assert str(error).startswith(f"{len(layers)} layers merged with an error of ")


def test_requantizing_keeps_the_format():
    model = adapted(format="fp4", block_size=32, double=False)
    merge_requantized(model)
    state = twins.quantized_layers(model)[0].quant_state
    assert (state.format.name, state.block_size, state.nested) == ("fp4", 32, None)


def test_a_small_update_is_rounded_away():
    small, large = (merge_requantized(adapted(scale=scale)) for scale in (0.01, 0.5))
    assert small.of_update > 1 > large.of_update


def test_an_adapter_of_zero_has_no_relative_error():
    model = peftlab.apply(peftlab.quantize_model(build("llama")), LoRAConfig(rank=2))
    before = weights(model)
    error = merge_requantized(model)
    assert error.of_update == float("inf")
    # The weights were on the levels already; the scales have been quantized a second time.
    assert error.of_weights < 0.01
    assert all(relative_error(weights(model)[path], before[path]) < 0.01 for path in error.layers)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_merging_into_the_original_brings_back_the_error_of_quantizing(family):
    model, original = adapted(family), build(family)
    quantized = weights(model)
    target = weights(peftlab.merge(copy.deepcopy(model)))
    before = weights(original)
    error = merge_into_original(model, original)
    found = weights(model)
    assert [type(m) for m in model.modules()] == [type(m) for m in original.modules()]
    for path, reported in error.layers.items():
        # Original plus update: off by what quantizing had changed.
        update = target[path] - quantized[path]
        torch.testing.assert_close(found[path], before[path] + update, rtol=1e-4, atol=1e-6)
        assert reported == pytest.approx(relative_error(found[path], target[path]), rel=1e-4)
    assert error.of_weights > 0.01
    assert all(torch.equal(weight, before[path]) for path, weight in weights(original).items())


def test_exact_merging_has_neither_error():
    model, ids = adapted(), token_ids()
    expected = model(ids).logits
    lossy = copy.deepcopy(model)
    merge_requantized(lossy)
    peftlab.merge(model)
    assert relative_error(model(ids).logits, expected) < 1e-5
    assert relative_error(lossy(ids).logits, expected) > 1e-3


def test_bitsandbytes_layers_become_ours():
    model = twins.linear4bit_twin(build("llama", hidden_size=64, intermediate_size=128))
    peftlab.apply(model, LoRAConfig(rank=4))
    randomise_adapter(model)
    error = merge_requantized(model)
    assert len(error.layers) == len(twins.quantized_layers(model))
    assert all(isinstance(layer, NF4Linear) for layer in twins.quantized_layers(model))


def test_one_of_two_adapters_is_merged():
    model = adapted()
    peftlab.apply(model, LoRAConfig(rank=2, targets="q_proj"), name="second")
    merge_requantized(model, "default")
    assert peftlab.adapters(model) == ["second"]


def test_another_model_is_refused_and_nothing_changes():
    model, ids = adapted(), token_ids()
    expected = model(ids).logits
    for other in (build("gpt2"), peftlab.quantize_model(build("llama"))):
        with pytest.raises(PeftlabError, match="the original model has no layer"):
            merge_into_original(model, other)
        assert relative_error(model(ids).logits, expected) < 1e-6


def test_an_ordinary_base_is_refused():
    model = peftlab.apply(build("llama"), LoRAConfig(rank=2))
    for merge in (merge_requantized, lambda m: merge_into_original(m, build("llama"))):
        with pytest.raises(PeftlabError, match="not on quantized layers"):
            merge(model)
