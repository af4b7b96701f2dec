"""The reference solutions of lesson 07 do what the library does."""

import pytest
import torch
from small_models import build, randomise_adapter, token_ids

import peftlab
from peftcourse.exercises.adapters import inside, weights
from peftcourse.experiments import affine


@pytest.mark.parametrize("style", ["houlsby", "pfeiffer", "parallel"])
def test_counts_are_what_the_library_trains(style):
    model = peftlab.apply(build("llama"), peftlab.BottleneckConfig(5, style))
    config = model.config
    expected = inside.count(style, config.num_hidden_layers, config.hidden_size, 5)
    assert peftlab.trainable_report(model).trainable == expected


@pytest.mark.parametrize("style", ["houlsby", "pfeiffer", "parallel"])
def test_a_block_with_adapters_is_the_librarys(style):
    model = peftlab.apply(build("llama"), peftlab.BottleneckConfig(5, style))
    randomise_adapter(model)
    layers = dict(peftlab.adapter_layers(model))
    blocks, seen = model.model.layers, {}
    block = blocks[1]
    block.register_forward_pre_hook(
        lambda _, args, kwargs: seen.update(x=args[0], options=kwargs), with_kwargs=True
    )
    block.register_forward_hook(lambda _, args, output: seen.update(y=output))
    with torch.no_grad():
        model(token_ids())
        attention = layers.get("model.layers.1.self_attn")
        network = layers["model.layers.1.mlp"]
        bare = block.self_attn.base if attention else block.self_attn
        found = inside.block(
            seen["x"],
            lambda x: bare(hidden_states=x, **seen["options"])[0],
            network.base,
            block.input_layernorm,
            block.post_attention_layernorm,
            attention.branch if attention else None,
            network.branch,
            style,
        )
    output = seen["y"][0] if isinstance(seen["y"], tuple) else seen["y"]
    assert torch.allclose(found, output, atol=1e-5)


def test_an_adapter_is_the_librarys():
    model = peftlab.apply(build("llama"), peftlab.BottleneckConfig(5))
    randomise_adapter(model)
    layer = peftlab.adapter_layers(model)[0][1]
    adapter = inside.Adapter(32, 5)
    with torch.no_grad():
        for name, parameter in adapter.named_parameters():
            end, kind = name.split(".")
            parameter.copy_(layer.get_parameter(f"{'W' if kind == 'weight' else 'b'}_{end}"))
    h = torch.randn(3, 4, 32)
    assert torch.allclose(adapter(h), h + layer.branch(h), atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_merging_a_scale_is_the_librarys(family):
    model = peftlab.apply(build(family), peftlab.IA3Config())
    randomise_adapter(model)
    for _, layer in peftlab.adapter_layers(model):
        base, where = layer.innermost, "input" if layer.feedforward else "output"
        bias = base.bias if base.bias is not None else torch.zeros(len(base.weight))
        weight, moved = weights.ia3(base.weight, bias, layer.scale, where)
        assert torch.allclose(weight, layer.merged_weight(base.weight))
        assert torch.allclose(moved, layer.merged_bias(bias))


@pytest.mark.parametrize("family", ["gpt2", "opt", "bert"])
def test_the_biases_are_those_that_bitfit_trains(family):
    adapted = peftlab.apply(build(family), peftlab.BitFitConfig())
    assert weights.biases(build(family)) == peftlab.trainable_report(adapted).trainable


def test_the_affine_fit_is_the_one_the_chapter_uses():
    u, added = torch.randn(50, 6).double() + 1, torch.randn(50, 4).double()
    M, c, residual = weights.affine(u, added)
    found = affine.fit(u, added)
    assert torch.allclose(M, found.M) and torch.allclose(c, found.c)
    assert residual == pytest.approx(affine.residual(found, u, added))
