"""What a wrapper shows of the layer it wraps, and the weight of a layer in any layout."""

import pytest
import torch
from small_models import build
from torch import nn

import peftlab
from peftlab import LoRAConfig
from peftlab.layers import dense_weight, linear_features
from peftlab.targets import named_layers


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


def test_the_dense_weight_survives_an_evaluation_on_the_cpu():
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    linear = nn.Linear(128, 64, bias=False)
    layer = bitsandbytes.nn.Linear4bit(
        128, 64, bias=False, quant_type="nf4", compute_dtype=torch.bfloat16
    )
    layer.load_state_dict(linear.state_dict())
    layer = layer.to("cpu").eval()
    before = dense_weight(layer)
    with torch.no_grad():
        layer(torch.randn(3, 128).bfloat16())  # some CPUs repack the weight here
    # A repacked layer rounds its absmax to bfloat16, and so does what it computes.
    for _ in range(2):
        torch.testing.assert_close(dense_weight(layer), before, rtol=4e-3, atol=0)


def test_the_dense_weight_is_one_row_per_output_and_a_view_where_it_can_be():
    linear = nn.Linear(5, 3)
    assert dense_weight(linear).data_ptr() == linear.weight.data_ptr()
    conv1d = build("gpt2").transformer.h[0].attn.c_attn
    d_in, d_out = linear_features(conv1d)
    assert d_in != d_out
    assert dense_weight(conv1d).shape == (d_out, d_in)
    assert torch.equal(dense_weight(conv1d), conv1d.weight.T)
    assert dense_weight(conv1d).data_ptr() == conv1d.weight.data_ptr()
