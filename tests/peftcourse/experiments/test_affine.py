"""The best affine map: exact for what is affine, and what is left of what is not."""

import pytest
import torch
from small_models import build, randomise_adapter

import peftlab
from peftcourse.experiments import affine

TEXTS = [{"input_ids": row, "labels": row} for row in ([3, 5, 9, 7, 8], [4, 11, 12], [6, 7])]


def adapted(method):
    model = peftlab.apply(build("llama"), method, name="voice")
    randomise_adapter(model)
    return model, dict(peftlab.adapter_layers(model, "voice"))


def test_a_map_is_found_again_and_without_intercept_it_is_not():
    u, M, c = torch.randn(40, 5), torch.randn(3, 5), torch.randn(3)
    target = u @ M.T + c
    found = affine.fit(u, target)
    assert torch.allclose(found.M, M.double(), atol=1e-5)
    assert torch.allclose(found.c, c.double(), atol=1e-5)
    assert affine.residual(found, u, target) < 1e-6
    linear = affine.fit(u, target, intercept=False)
    assert linear.c.count_nonzero() == 0 and affine.residual(linear, u, target) > 0.01
    with pytest.raises(peftlab.PeftlabError, match="fit any target"):
        affine.fit(u[:6], target[:6])


@pytest.mark.parametrize(
    "method",
    [
        peftlab.BottleneckConfig(4, "houlsby"),
        peftlab.BottleneckConfig(4, "parallel", scaling=2.0),
        peftlab.LoRAConfig(rank=2, targets="q_proj"),
    ],
)
def test_inputs_and_what_is_added_are_those_of_the_layer(method):
    model, layers = adapted(method)
    seen = affine.inputs(model, TEXTS, "voice", batch_size=2)
    assert list(seen) == list(layers) and all(len(u) == 10 for u in seen.values())
    path, layer = next(iter(layers.items()))
    caught = []
    layer.register_forward_hook(lambda _, inputs, output: caught.append(output))
    layer.base.register_forward_hook(lambda _, inputs, output: caught.append(output))
    with torch.no_grad():
        model(torch.tensor([TEXTS[0]["input_ids"]]))
        base, output = (c[0] if isinstance(c, tuple) else c for c in caught[:2])
        expected = (output - base)[0]
        found = affine.added(layer, seen[path][:5])
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_stand_in_is_used_inside_the_block_only():
    model, layers = adapted(peftlab.BottleneckConfig(4, "pfeiffer"))
    ids = torch.tensor([TEXTS[0]["input_ids"]])
    with torch.no_grad():
        before = model(ids).logits
        nothing = affine.AffineMap(torch.zeros(32, 32), torch.zeros(32))
        with affine.replaced(model, "voice", dict.fromkeys(layers, nothing)):
            replaced = model(ids).logits
        with peftlab.disabled(model):
            bare = model(ids).logits
        assert torch.equal(replaced, bare) and not torch.equal(before, bare)
        assert torch.equal(model(ids).logits, before)


def test_units_that_never_switch_are_told_apart():
    _, layers = adapted(peftlab.BottleneckConfig(3))
    layer = next(iter(layers.values()))
    with torch.no_grad():
        layer.W_down.zero_()
        layer.W_down[2, 0] = 1.0
        layer.b_down.copy_(torch.tensor([1.0, -1.0, 0.0]))
    u = torch.zeros(2, 32)
    u[:, 0] = torch.tensor([1.0, -1.0])
    assert affine.switching(layer, u) == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_other_methods_have_no_branch():
    _, layers = adapted(peftlab.IA3Config())
    with pytest.raises(peftlab.PeftlabError, match="no bottleneck adapter"):
        affine.added(next(iter(layers.values())), torch.zeros(2, 32))


def test_the_best_constant_is_the_mean_and_leaves_the_spread():
    u, target = torch.randn(20, 4), torch.randn(20, 3) + 2
    found = affine.constant(u, target)
    assert torch.allclose(found(u), target.mean(dim=0).expand(20, 3), atol=1e-6)
    spread = ((target - target.mean(dim=0)).norm() / target.norm()).item()
    assert affine.residual(found, u, target) == pytest.approx(spread, rel=1e-5)
