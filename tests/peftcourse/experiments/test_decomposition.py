"""What training did to a weight: checked on weights whose change is known."""

import math

import pytest
import torch
from small_models import build

import peftlab
from peftcourse.experiments.decomposition import correlation, linear_weights, weight_change
from peftlab.errors import PeftlabError


def test_stretching_is_magnitude_alone_and_turning_direction_alone():
    weight = torch.randn(4, 6)
    magnitude, direction = weight_change(weight, 1.5 * weight)
    assert magnitude == pytest.approx(0.5 * weight.norm(dim=1).mean().item(), rel=1e-6)
    assert direction == pytest.approx(0, abs=1e-7)
    turned = torch.stack([-weight[:, 1], weight[:, 0]], dim=1)
    magnitude, direction = weight_change(weight[:, :2], turned)
    assert magnitude == pytest.approx(0, abs=1e-7) and direction == pytest.approx(1, abs=1e-7)


def test_growing_and_shrinking_rows_do_not_cancel():
    weight = torch.eye(2)
    assert weight_change(weight, torch.diag(torch.tensor([1.5, 0.5])))[0] == pytest.approx(0.5)


def test_a_correlation_and_its_interval():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    y = torch.tensor([2.0, 1.0, 4.0, 3.0, 5.0])
    r, low, high = correlation(x, y)
    assert r == pytest.approx(0.8)
    assert math.atanh(high) - math.atanh(r) == pytest.approx(1.959964 / math.sqrt(2), rel=1e-5)
    assert math.atanh(r) - math.atanh(low) == pytest.approx(1.959964 / math.sqrt(2), rel=1e-5)
    assert correlation(x, -y)[0] == pytest.approx(-0.8)


@pytest.mark.parametrize("x", [torch.arange(3.0), torch.ones(5)])
def test_too_little_to_correlate_is_refused(x):
    with pytest.raises(PeftlabError, match="four pairs or more"):
        correlation(x, x)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("method", [peftlab.LoRAConfig, peftlab.DoRAConfig])
def test_weights_as_they_act_are_those_of_the_merged_model(family, method):
    model = build(family)
    plain = linear_weights(model)
    peftlab.apply(model, method(rank=2, alpha=3))
    for path, weight in linear_weights(model).items():
        torch.testing.assert_close(weight, plain[path])
    for _, layer in peftlab.adapter_layers(model):
        torch.nn.init.normal_(layer.B)
    acting = linear_weights(model)
    peftlab.merge(model, keep_base=False)
    merged = linear_weights(model)
    assert acting.keys() == merged.keys() == plain.keys()
    for path, weight in acting.items():
        torch.testing.assert_close(weight, merged[path], rtol=1e-4, atol=1e-5)
        assert not torch.equal(weight, plain[path])
