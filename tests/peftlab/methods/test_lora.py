"""LoRA and rsLoRA against their equations, finite differences and Hugging Face PEFT."""

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lowrank import (
    TOLERANCES,
    check_exchange,
    check_five_steps,
    check_logits_and_gradients,
    twins,
)
from peft import LoraConfig, get_peft_model
from peft.utils.other import get_pattern_key
from small_models import FAMILIES, build, relative_error, token_ids
from torch import nn

import peftlab
from peftlab import DoRAConfig, LoRAConfig, PeftlabError, PiSSAConfig
from peftlab.methods.checks import from_pattern
from peftlab.methods.lora import LoRALinear

sizes = st.integers(1, 12)


def layer_of(d_in, d_out, rank, alpha, bias=True, dropout=0.0):
    layer = LoRALinear(
        nn.Linear(d_in, d_out, bias=bias, dtype=torch.float64),
        LoRAConfig(rank=rank, alpha=alpha, dropout=dropout),
    )
    nn.init.normal_(layer.B)
    return layer


@given(d_in=sizes, d_out=sizes, rank=sizes, alpha=st.floats(0.1, 64), batch=st.integers(0, 4))
def test_forward_is_the_equation(d_in, d_out, rank, alpha, batch):
    layer = layer_of(d_in, d_out, rank, alpha)
    x = torch.randn(batch, 3, d_in, dtype=torch.float64)
    delta = alpha / rank * layer.B @ layer.A
    expected = x @ (layer.base.weight + delta).T + layer.base.bias
    torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(layer.delta_weight(), delta)
    assert torch.linalg.matrix_rank(delta) <= rank


@settings(deadline=None, max_examples=10)
@given(d_in=st.integers(1, 5), d_out=st.integers(1, 5), rank=st.integers(1, 3))
def test_gradients_equal_finite_differences(d_in, d_out, rank):
    layer = layer_of(d_in, d_out, rank, alpha=3.0)
    x = torch.randn(2, d_in, dtype=torch.float64, requires_grad=True)

    def output(x, A, B):
        return torch.func.functional_call(layer, {"A": A, "B": B}, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.A, layer.B))


def test_initialisation_is_kaiming_uniform_for_A_and_zero_for_B():
    layer = LoRALinear(nn.Linear(400, 50), LoRAConfig(rank=64))
    bound = 1 / math.sqrt(400)  # √(6 / ((1 + 5) d_in))
    assert layer.A.abs().max() <= bound
    assert layer.A.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert layer.B.count_nonzero() == 0
    assert layer.A.shape == (64, 400)
    assert layer.B.shape == (50, 64)


def test_dropout_is_on_the_branch_only_and_off_in_evaluation():
    layer = layer_of(6, 5, 2, 4.0, dropout=0.5)
    x = torch.randn(2000, 6, dtype=torch.float64)
    base = layer.base(x)
    full = base + x @ layer.delta_weight().T
    torch.testing.assert_close(layer.eval()(x), full)
    dropped = layer.train()(x)
    assert not torch.allclose(dropped, full)
    # Dropping is unbiased, and it leaves the base's share alone: the mean is that of no dropout.
    layer.A.data.zero_()
    torch.testing.assert_close(layer(x), base, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
def test_adapter_precision_and_output_dtype(dtype, expected):
    layer = LoRALinear(nn.Linear(6, 5, dtype=dtype), LoRAConfig(rank=2))
    assert layer.A.dtype == layer.B.dtype == expected
    assert layer(torch.randn(2, 6).to(dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rank", 0, "rank must be a whole number of at least 1, not 0"),
        ("rank", 2.5, "not 2.5"),
        ("alpha", 0, "alpha must be a positive number"),
        ("alpha", math.nan, "not nan"),
        ("dropout", 1.0, "below 1, not 1.0"),
        ("targets", "", "targets is empty"),
        ("targets", [], "targets is empty"),
    ],
)
def test_bad_values_are_named(field, value, message):
    with pytest.raises(PeftlabError, match=message):
        LoRAConfig(**{field: value})


# --- parity with Hugging Face PEFT ---------------------------------------------------------------

METHOD = LoRAConfig(rank=4, alpha=6.0)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_gradients_and_counts_agree_with_peft(family, dtype, tolerance):
    check_logits_and_gradients(*twins(family, METHOD, dtype), tolerance)


@pytest.mark.parametrize("family", FAMILIES)
def test_five_optimizer_steps_agree_with_peft(family):
    _, ours, theirs = twins(family, METHOD)
    check_five_steps(ours, theirs)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.bfloat16, 0.01)], ids=str
)
def test_dropout_draws_what_peft_draws(dtype, tolerance):
    _, ours, theirs = twins("llama", LoRAConfig(rank=4, dropout=0.3), dtype)
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(3)
        model.logits = model(token_ids()).logits
    assert relative_error(ours.logits, theirs.logits) < tolerance


def test_the_adapter_works_on_bitsandbytes_4bit_layers():
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    base = bitsandbytes.nn.Linear4bit(64, 32, bias=True, quant_type="nf4")
    base.load_state_dict(nn.Linear(64, 32).state_dict())
    base = base.to("cpu")
    layer = LoRALinear(base, LoRAConfig(rank=2))
    x = torch.randn(3, 64)
    torch.testing.assert_close(layer(x), base(x))
    nn.init.normal_(layer.B)
    layer(x).sum().backward()
    assert layer.A.grad.norm() > 0
    torch.testing.assert_close(layer(x) - base(x), x @ layer.delta_weight().T, rtol=1e-4, atol=1e-4)


# --- the scaling: LoRA's and rsLoRA's ------------------------------------------------------------


@given(rank=st.integers(1, 512), alpha=st.floats(0.1, 64))
def test_the_scaling_is_alpha_over_the_rank_or_its_root(rank, alpha):
    assert LoRAConfig(rank, alpha).scaling_of("") == alpha / rank
    stabilized = LoRAConfig(rank, alpha, rank_stabilized=True).scaling_of("")
    assert stabilized == pytest.approx(alpha / math.sqrt(rank))


def test_rank_stabilised_updates_do_not_shrink_with_the_rank():
    def size(rank, stabilized):
        torch.manual_seed(0)
        method = LoRAConfig(rank, rank_stabilized=stabilized)
        layer = LoRALinear(nn.Linear(256, 256), method)
        nn.init.normal_(layer.B)
        return layer.delta_weight().norm().item()

    assert size(256, True) == pytest.approx(size(4, True), rel=0.2)
    assert size(256, False) == pytest.approx(size(4, False) / 8, rel=0.2)


# --- ranks and alphas of single layers -----------------------------------------------------------

PATTERNS = LoRAConfig(
    rank=3,
    alpha=6.0,
    rank_pattern={"layers.0.*": 5, "q_proj": 2},
    alpha_pattern={"self_attn.v_proj": 9.0, ".*down_proj": 1.5},
)


@settings(deadline=None)
@given(
    path=st.lists(st.sampled_from(["layers", "0", "1", "q_proj", "my_q_proj"]), min_size=1).map(
        ".".join
    ),
    keys=st.lists(
        st.sampled_from(["q_proj", "0", "layers.0.*", ".*q_proj", "layers.1.q_proj", "proj"])
    ),
)
def test_patterns_match_as_in_peft(path, keys):
    pattern = {key: index for index, key in enumerate(keys)}
    assert from_pattern(pattern, path, -1) == pattern.get(get_pattern_key(pattern, path), -1)


def test_layers_have_their_own_rank_and_alpha():
    model = peftlab.apply(build("llama"), PATTERNS)
    found = {path: (x.A.shape[0], x.scaling) for path, x in peftlab.adapter_layers(model)}
    assert found["model.layers.0.self_attn.q_proj"] == (5, 6 / 5)
    assert found["model.layers.1.self_attn.q_proj"] == (2, 6 / 2)
    assert found["model.layers.1.self_attn.v_proj"] == (3, 9 / 3)
    assert found["model.layers.0.mlp.down_proj"] == (5, 1.5 / 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank_pattern": {"q_proj": 0}}, "rank must be a whole number of at least 1, not 0"),
        ({"alpha_pattern": {"q_proj": -1}}, "alpha must be a positive number, not -1"),
        ({"rank_pattern": {"(": 2}}, r"'\(' is not a regular expression"),
    ],
)
def test_bad_patterns_are_named(options, message):
    with pytest.raises(PeftlabError, match=message):
        LoRAConfig(**options)


# --- parity and files ----------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("family", FAMILIES)
def test_rank_stabilised_lora_agrees_with_peft(family, dtype, tolerance):
    method = LoRAConfig(rank=4, alpha=6.0, rank_stabilized=True)
    base, ours, theirs = twins(family, method, dtype)
    check_logits_and_gradients(base, ours, theirs, tolerance)
    if dtype == torch.float64:
        check_five_steps(ours, theirs)


@pytest.mark.parametrize(
    "method",
    [
        PATTERNS,
        LoRAConfig(rank=4, alpha=6.5, rank_stabilized=True, targets=("q_proj", "down_proj")),
        LoRAConfig(rank=4, dropout=0.1, targets=r".*\.1\..*_proj", rank_pattern={"q_proj": 9}),
    ],
)
def test_files_are_exchanged_with_peft(method, tmp_path):
    base, ours, theirs = twins("llama", method)
    check_exchange("llama", ours, theirs, tmp_path)
    loaded = peftlab.adapter_layers(peftlab.load(base, tmp_path / "theirs"))
    mine = {path: (x.A.shape, x.scaling, x.method.dropout) for path, x in loaded}
    expected = peftlab.adapter_layers(ours)
    assert mine == {path: (x.A.shape, x.scaling, x.method.dropout) for path, x in expected}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "^q_proj",
            "decides nothing: it matches none of the layers; these are adapted: model.layers.0",
        ),
        ("qproj", "decides nothing: it matches none"),
        ("layers.99.self_attn.q_proj", "decides nothing: it matches none"),
        ("down_proj", "decides nothing: it matches none"),  # a layer, but none of the targets
        ("0.self_attn.q_proj", "decides nothing: it matches only layers that a key before"),
    ],
)
@pytest.mark.parametrize("pattern", ["rank_pattern", "alpha_pattern"])
@pytest.mark.parametrize("config", [LoRAConfig, DoRAConfig, PiSSAConfig])
def test_a_key_that_decides_nothing_is_an_error(config, pattern, key, message):
    values = {"q_proj": 4, key: 2} if "before" in message else {key: 2}
    method = config(rank=3, targets=("q_proj", "v_proj"), **{pattern: values})
    with pytest.raises(PeftlabError, match=f"{pattern} {re.escape(repr(key))} {message}"):
        peftlab.apply(build("llama"), method)


def test_a_file_of_pefts_may_have_a_key_that_decides_nothing(tmp_path):
    theirs = LoraConfig(
        r=3, target_modules=["q_proj"], rank_pattern={"qproj": 9, "0.self_attn.q_proj": 2}
    )
    with pytest.warns(RuntimeWarning, match="did not match"):
        get_peft_model(build("llama"), theirs).save_pretrained(tmp_path)
    layers = peftlab.adapter_layers(peftlab.load(build("llama"), tmp_path))
    assert [len(layer.A) for _, layer in layers] == [2, 3]
