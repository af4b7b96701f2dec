"""AdapterFusion against its equation, placed in real models."""

import pytest
import torch
from small_models import FAMILIES, apply_alone, build, randomise_adapter, relative_error, token_ids
from soft import adapter_parameters, gradients

import peftlab
from peftlab import BottleneckConfig, FusionConfig, PeftlabError


def with_adapter(family="llama", **config):
    """A model with a random adapter named "a"."""
    config = BottleneckConfig(**{"size": 4, **config})
    model = apply_alone(build(family, torch.float64), config, name="a")
    randomise_adapter(model, "a")
    return model


def fused(family="llama", style="pfeiffer"):
    model = with_adapter(family, style=style)
    apply_alone(model, BottleneckConfig(size=3, style=style, activation="gelu"), name="b")
    randomise_adapter(model, "b", seed=7)
    return apply_alone(model, FusionConfig(("a", "b")), name="fusion")


@pytest.mark.parametrize("family", FAMILIES)
def test_fusion_is_attention_over_the_adapters(family):
    model, ids = fused(family, "houlsby"), token_ids()
    randomise_adapter(model, "fusion", seed=11)
    reference = build(family, torch.float64)
    layers = dict(peftlab.adapter_layers(model, "fusion"))
    a, b = (dict(peftlab.adapter_layers(model, name)) for name in "ab")

    def fuse(path):
        def hook(module, args, kwargs, output):
            h = output[0] if isinstance(output, tuple) else output
            layer = layers[path]
            added = [adapter[path].branch(h) for adapter in (a, b)]
            scores = [((h @ layer.Q.T) * (z @ layer.K.T)).sum(-1, keepdim=True) for z in added]
            weights = torch.cat(scores, dim=-1).softmax(-1)
            h = h + sum(weights[..., n : n + 1] * (z @ layer.V.T) for n, z in enumerate(added))
            return (h, *output[1:]) if isinstance(output, tuple) else h

        return hook

    for path in layers:
        reference.get_submodule(path).register_forward_hook(fuse(path), with_kwargs=True)
    logits, expected = model(ids).logits, reference(ids).logits
    assert relative_error(logits, build(family, torch.float64)(ids).logits) > 0.1
    assert relative_error(logits, expected) < 1e-12
    own = adapter_parameters(model, "fusion")
    assert relative_error(gradients(logits, own), gradients(expected, own)) < 1e-10


def test_only_the_fusion_trains_and_the_adapters_stay_as_they_are():
    model, ids = fused(), token_ids()
    own = {id(p) for p in adapter_parameters(model, "fusion")}
    assert all(p.requires_grad == (id(p) in own) for p in model.parameters())
    assert peftlab.trainable_report(model).trainable == 2 * 3 * 32 * 32
    before = model(ids).logits
    peftlab.switch(model, "fusion")  # whether the adapters are on themselves does not matter
    assert torch.equal(model(ids).logits, before)
    peftlab.switch(model, "a")
    assert relative_error(model(ids).logits, with_adapter()(ids).logits) < 1e-15


def test_fusion_of_one_adapter_starts_as_that_adapter():
    model, ids = with_adapter(), token_ids()
    alone = model(ids).logits
    apply_alone(model, FusionConfig(["a"]), name="fusion")
    assert relative_error(model(ids).logits, alone) < 1e-12


def test_fusion_without_one_of_its_adapters_says_so():
    model = fused()
    peftlab.remove(model, "a")
    with pytest.raises(PeftlabError, match="'fusion' combines the adapter 'a', which is not in"):
        model(token_ids())
    peftlab.remove(model, "fusion")
    model(token_ids())


@pytest.mark.parametrize(
    ("other", "names", "message"),
    [
        (BottleneckConfig(), ("a", "c"), "does not have an adapter named 'c'"),
        (BottleneckConfig(style="houlsby"), ("a", "b"), "are not on the same modules"),
        (BottleneckConfig(style="parallel"), ("a", "b"), "'b' cannot be fused"),
        (peftlab.LoRAConfig(), ("a", "b"), "'b' cannot be fused"),
        (BottleneckConfig(), (), "must be different names"),
        (BottleneckConfig(), ("a", "a"), "must be different names"),
        (BottleneckConfig(), "ab", "must be different names"),
    ],
)
def test_what_cannot_be_fused_is_said(other, names, message):
    model = apply_alone(with_adapter(), other, name="b")
    with pytest.raises(PeftlabError, match=message):
        apply_alone(model, FusionConfig(names), name="fusion")


def test_a_fusion_cannot_merge_and_says_why():
    with pytest.raises(PeftlabError, match="depends on the input"):
        peftlab.merge(fused(), "fusion")


def test_the_file_of_a_fusion_needs_its_adapters(tmp_path):
    model, ids = fused(), token_ids()
    randomise_adapter(model, "fusion", seed=11)
    for name in ("a", "b", "fusion"):
        peftlab.save(model, tmp_path / name, name)
    loaded = build("llama", torch.float64)
    with pytest.raises(PeftlabError, match="does not have an adapter named 'a'"):
        peftlab.load(loaded, tmp_path / "fusion", "fusion")
    for name in ("a", "b", "fusion"):
        peftlab.load(loaded, tmp_path / name, name)
    assert torch.equal(loaded(ids).logits, model(ids).logits)
