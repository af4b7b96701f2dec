"""Bottleneck adapters against their equation, placed in real models."""

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import FAMILIES, apply_alone, build, randomise_adapter, relative_error, token_ids
from soft import adapter_parameters, check_only_the_adapter_trains, gradients
from torch import nn

import peftlab
from peftlab import PeftlabError
from peftlab.methods.bottleneck import ACTIVATIONS, BottleneckConfig, BottleneckLayer

PLACES = {
    "gpt2": ("transformer.h.{}.attn", "transformer.h.{}.mlp"),
    "opt": ("model.decoder.layers.{}.self_attn", "model.decoder.layers.{}.fc2"),
    "bert": (
        "bert.encoder.layer.{}.attention.output.dense",
        "bert.encoder.layer.{}.output.dense",
    ),
}
LLAMA = ("model.layers.{}.self_attn", "model.layers.{}.mlp")
sizes = st.integers(1, 6)


def adapted(family="llama", dtype=torch.float64, base=None, name="default", seed=1, **config):
    base = build(family, dtype) if base is None else copy.deepcopy(base)
    model = apply_alone(base, BottleneckConfig(**{"size": 4, **config}), name=name)
    randomise_adapter(model, name, seed=seed)
    return model


# --- the adapter ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    d_in=sizes,
    d_out=sizes,
    size=sizes,
    style=st.sampled_from(["pfeiffer", "parallel"]),
    activation=st.sampled_from(list(ACTIVATIONS)),
    scaling=st.floats(0.1, 8),
)
def test_forward_is_the_equation(d_in, d_out, size, style, activation, scaling):
    config = BottleneckConfig(size, style, activation, scaling)
    base = nn.Linear(d_in, d_out).double()
    layer = BottleneckLayer(base, config, "default", d_in, d_out)
    x = torch.randn(2, 3, d_in, dtype=torch.float64)
    assert torch.equal(layer(x), base(x))
    for parameter in layer.adapter_parameters().values():
        nn.init.normal_(parameter)
    u = x if style == "parallel" else base(x)
    narrow = getattr(torch if activation == "tanh" else F, activation)(
        u @ layer.W_down.T + layer.b_down
    )
    expected = base(x) + scaling * (narrow @ layer.W_up.T + layer.b_up)
    torch.testing.assert_close(layer(x), expected)


@settings(deadline=None, max_examples=10)
@given(d=st.integers(1, 4), size=st.integers(1, 3), style=st.sampled_from(["pfeiffer", "parallel"]))
def test_gradients_equal_finite_differences(d, size, style):
    config = BottleneckConfig(size, style, "gelu")
    layer = BottleneckLayer(nn.Linear(d, d).double(), config, "default", d, d)
    for parameter in layer.adapter_parameters().values():
        nn.init.normal_(parameter)
    x = torch.randn(2, d, dtype=torch.float64)

    def output(*values):
        parameters = dict(zip(layer.PARAMETERS, values, strict=True))
        return torch.func.functional_call(layer, parameters, (x,))

    assert torch.autograd.gradcheck(output, tuple(layer.adapter_parameters().values()))


@pytest.mark.parametrize("style", ["houlsby", "pfeiffer"])
@pytest.mark.parametrize("family", FAMILIES)
def test_where_the_adapters_are_and_how_many_parameters_they_have(family, style):
    model = adapted(family, style=style)
    attention, feed_forward = PLACES.get(family, LLAMA)
    places = (attention, feed_forward) if style == "houlsby" else (feed_forward,)
    paths = [path for path, _ in peftlab.adapter_layers(model)]
    assert paths == [place.format(i) for i in range(2) for place in places]
    each = 2 * 32 * 4 + 4 + 32  # 2 d m + m + d
    assert peftlab.trainable_report(model).trainable == len(paths) * each


@pytest.mark.parametrize("style", ["houlsby", "pfeiffer", "parallel"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_starts_as_its_base_and_only_the_adapters_train(family, style):
    base, ids = build(family, torch.float64), token_ids()
    model = apply_alone(copy.deepcopy(base), BottleneckConfig(size=4, style=style))
    assert torch.equal(model(ids).logits, base(ids).logits)
    randomise_adapter(model)
    assert relative_error(model(ids).logits, base(ids).logits) > 0.1
    check_only_the_adapter_trains(model)
    with peftlab.disabled(model):
        assert torch.equal(model(ids).logits, base(ids).logits)
    peftlab.remove(model)
    assert str(model) == str(base)


@pytest.mark.parametrize("style", ["houlsby", "pfeiffer", "parallel"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_in_a_model_it_is_the_block_written_out(family, style):
    """The same as changing each sublayer's output with a hook, before the residual is added."""
    model, ids = adapted(family, style=style, scaling=2.0), token_ids()
    reference = build(family, torch.float64)

    def add(layer):
        def hook(module, args, kwargs, output):
            h = output[0] if isinstance(output, tuple) else output
            x = args[0] if args else kwargs["hidden_states"]
            u = x if style == "parallel" else h
            narrow = torch.relu(u @ layer.W_down.T + layer.b_down)
            h = h + 2.0 * (narrow @ layer.W_up.T + layer.b_up)
            return (h, *output[1:]) if isinstance(output, tuple) else h

        return hook

    for path, layer in peftlab.adapter_layers(model):
        reference.get_submodule(path).register_forward_hook(add(layer), with_kwargs=True)
    parameters = adapter_parameters(model)
    logits, expected = model(ids).logits, reference(ids).logits
    assert relative_error(logits, expected) < 1e-12
    assert relative_error(gradients(logits, parameters), gradients(expected, parameters)) < 1e-10


@pytest.mark.parametrize(
    ("family", "first", "last"),
    [
        ("opt", "model.decoder.layers.{}.fc1", "model.decoder.layers.{}.fc2"),
        ("bert", "bert.encoder.layer.{}.intermediate.dense", "bert.encoder.layer.{}.output.dense"),
    ],
)
def test_a_parallel_adapter_spans_a_feed_forward_network_of_several_modules(family, first, last):
    model, ids = adapted(family, style="parallel", scaling=2.0), token_ids()
    reference, seen = build(family, torch.float64), {}
    layers = dict(peftlab.adapter_layers(model))

    def see(i):
        return lambda module, args: seen.update({i: args[0]})

    def add(i):
        return lambda module, args, h: h + layers[last.format(i)].branch(seen[i])

    for i in range(2):
        assert layers[last.format(i)].W_down.shape == (4, 32)
        reference.get_submodule(first.format(i)).register_forward_pre_hook(see(i))
        reference.get_submodule(last.format(i)).register_forward_hook(add(i))
    parameters = adapter_parameters(model)
    logits, expected = model(ids).logits, reference(ids).logits
    assert relative_error(logits, expected) < 1e-12
    assert relative_error(gradients(logits, parameters), gradients(expected, parameters)) < 1e-10
    assert all(layers[last.format(i)].seen is None for i in range(2))  # nothing is kept alive
    assert torch.equal(copy.deepcopy(model)(ids).logits, logits)


def test_a_parallel_adapter_beside_attention():
    model = adapted("llama", style="parallel", targets="self_attn")
    assert [path for path, _ in peftlab.adapter_layers(model)] == [
        "model.layers.0.self_attn",
        "model.layers.1.self_attn",
    ]
    assert relative_error(model(token_ids()).logits, build("llama")(token_ids()).logits) > 0.1


def test_targets_can_be_any_modules():
    model = adapted("llama", targets=["down_proj", r".*\.0\.self_attn\.q_proj"])
    shapes = {
        path.rsplit(".", 1)[-1]: layer.W_down.shape for path, layer in peftlab.adapter_layers(model)
    }
    assert shapes == {"down_proj": (4, 32), "q_proj": (4, 32)}
    assert len(peftlab.adapter_layers(model)) == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_adapters_stay_in_float32_on_a_16_bit_base(dtype):
    model = adapted(dtype=dtype, style="houlsby")
    assert {p.dtype for p in adapter_parameters(model)} == {torch.float32}
    assert model(token_ids()).logits.dtype == dtype


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be a whole number of at least 1, not 0"),
        ({"style": "serial"}, "style must be one of houlsby, pfeiffer, parallel, not 'serial'"),
        ({"activation": "softmax"}, "activation must be one of relu, gelu, silu, tanh"),
        ({"scaling": 0}, "scaling must be a positive number"),
        ({"targets": ()}, "targets is empty"),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(PeftlabError, match=message):
        BottleneckConfig(**options)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda: build("llama"), {"targets": "fc"}, "target 'fc' matches no module of Llama"),
        (lambda: nn.Sequential(nn.Linear(2, 2)), {}, "in a way that peftlab does not know"),
        (lambda: nn.Sequential(nn.ReLU()), {"targets": "0"}, "ReLU is not a linear layer"),
    ],
)
def test_what_cannot_be_placed_is_said(model, options, message):
    with pytest.raises(PeftlabError, match=message):
        apply_alone(model(), BottleneckConfig(**options))


def test_it_cannot_merge_and_says_why():
    model, ids = adapted(), token_ids()
    before = model(ids).logits
    with pytest.raises(PeftlabError, match="'default' cannot be merged: its activation makes"):
        peftlab.merge(model)
    assert torch.equal(model(ids).logits, before)


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"style": "houlsby", "activation": "tanh"},
        {"style": "parallel", "scaling": 4.0},
        {"style": "parallel", "family": "opt"},
        {"style": "parallel", "family": "opt", "targets": "fc2"},
    ],
)
def test_files(options, tmp_path):
    model, ids = adapted(**options), token_ids()
    peftlab.save(model, tmp_path)
    base = build(options.get("family", "llama"), torch.float64)
    loaded = peftlab.load(base, tmp_path, trainable=True)
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert peftlab.trainable_report(loaded) == peftlab.trainable_report(model)
    before = str(loaded)
    with pytest.raises(PeftlabError, match="already has an adapter named 'default'"):
        peftlab.load(loaded, tmp_path)
    assert str(loaded) == before


@pytest.mark.parametrize(
    ("fields", "base", "message"),
    [
        ({}, {"hidden_size": 48}, "load it into the base model it was trained on"),
        ({}, {"num_hidden_layers": 1}, "adapts the layer 'model.layers.1.mlp'"),
        ({"size": 5}, {}, r"has shape \(4, 32\), the model needs \(5, 32\)"),
        ({"style": None}, {}, "style must be one of"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing_and_says_why(fields, base, message, tmp_path):
    peftlab.save(adapted(), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    model = build("llama", **base)
    before = str(model)
    with pytest.raises(PeftlabError, match=message):
        peftlab.load(model, tmp_path)
    assert str(model) == before
