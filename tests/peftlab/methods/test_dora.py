"""DoRA against its equation, against finite differences and against Hugging Face PEFT."""

import peft
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
from peftlab import DoRAConfig, LoRAConfig
from peftlab.layers import dense_weight
from peftlab.methods.dora import DoRALinear
from peftlab.methods.pissa import PiSSAConfig, PiSSADoRAConfig

sizes = st.integers(1, 12)
METHOD = DoRAConfig(rank=4, alpha=6.0)


def layer_of(d_in, d_out, rank=2, alpha=3.0, bias=True, **options):
    layer = DoRALinear(
        nn.Linear(d_in, d_out, bias=bias, dtype=torch.float64),
        DoRAConfig(rank=rank, alpha=alpha, **options),
    )
    nn.init.normal_(layer.B)
    nn.init.normal_(layer.magnitude)
    return layer


def equation(layer, x):
    """y = m ⊙ V x / ‖V‖ + b with a dense V = W + s B A."""
    adapted = layer.base.weight + layer.scaling * layer.B @ layer.A
    norm = torch.linalg.vector_norm(adapted, dim=1)
    if layer.method.detach_norm:
        norm = norm.detach()
    bias = 0 if layer.base.bias is None else layer.base.bias
    return layer.magnitude / norm * (x @ adapted.T) + bias


def cancellation(layer):
    """How much larger the parts of ‖V‖² are than their sum, for the worst row."""
    update = layer.scaling * layer.B @ layer.A
    parts = layer.base.weight.norm(dim=1) + update.norm(dim=1)
    return (parts / (layer.base.weight + update).norm(dim=1)).square().max().item()


@settings(deadline=None)
@given(
    d_in=sizes,
    d_out=sizes,
    rank=sizes,
    alpha=st.floats(0.1, 64),
    bias=st.booleans(),
    batch=st.integers(0, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_forward_is_the_equation(d_in, d_out, rank, alpha, bias, batch, seed):
    torch.manual_seed(seed)
    layer = layer_of(d_in, d_out, rank, alpha, bias)
    x = torch.randn(batch, 3, d_in, dtype=torch.float64)
    # Where an update nearly takes its row of W away, the identity of ‖V‖² keeps fewer digits.
    tolerance = {"rtol": 1e-8 + 1e-14 * cancellation(layer), "atol": 1e-8}
    torch.testing.assert_close(layer(x), equation(layer, x), **tolerance)
    merged = x @ layer.merged_weight(layer.base.weight).T
    merged = merged if layer.base.bias is None else merged + layer.base.bias
    torch.testing.assert_close(merged, layer(x), **tolerance)


@settings(deadline=None)
@given(
    d_in=st.integers(1, 64),
    d_out=sizes,
    rank=sizes,
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 9),
)
def test_the_low_rank_norm_is_the_norm(d_in, d_out, rank, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    layer = DoRALinear(nn.Linear(d_in, d_out), DoRAConfig(rank=rank, alpha=scale))
    with torch.no_grad():
        layer.B.normal_(generator=generator)
        layer.A.normal_(generator=generator)
        weight = torch.randn(d_out, d_in, generator=generator)
        dense = weight.double() + layer.scaling * layer.B.double() @ layer.A.double()
    reference = torch.linalg.vector_norm(dense, dim=1)
    # Where terms cancel, float32 cannot know their sum better than it knows them.
    update = layer.scaling * layer.B.norm(dim=1) * layer.A.norm()
    terms = (weight.norm(dim=1) + update).double()
    squared_error = (layer.norm(weight).double().square() - reference.square()).abs()
    assert (squared_error / terms.square()).max() < 3e-6


def test_the_low_rank_norm_is_exact_to_float32_on_a_real_size():
    torch.manual_seed(0)
    layer = DoRALinear(nn.Linear(512, 384), DoRAConfig(rank=16))
    nn.init.normal_(layer.B, std=0.05)
    weight = layer.base.weight
    dense = weight.double() + layer.scaling * layer.B.double() @ layer.A.double()
    reference = torch.linalg.vector_norm(dense, dim=1)
    assert ((layer.norm(weight) - reference) / reference).abs().max() < 1e-6


@pytest.mark.parametrize("detach_norm", [True, False])
def test_gradients_are_those_of_the_equation(detach_norm):
    layer = layer_of(5, 4, detach_norm=detach_norm)
    x = torch.randn(3, 5, dtype=torch.float64)
    parameters = list(layer.adapter_parameters().values())
    weights = torch.randn(3, 4, dtype=torch.float64)
    mine = torch.autograd.grad((layer(x) * weights).sum(), parameters)
    reference = torch.autograd.grad((equation(layer, x) * weights).sum(), parameters)
    for gradient, expected in zip(mine, reference, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=10)
@given(d_in=st.integers(1, 5), d_out=st.integers(1, 5), rank=st.integers(1, 3))
def test_with_the_norm_in_the_graph_gradients_equal_finite_differences(d_in, d_out, rank):
    layer = layer_of(d_in, d_out, rank, detach_norm=False)
    x = torch.randn(2, d_in, dtype=torch.float64, requires_grad=True)

    def output(x, A, B, magnitude):
        values = {"A": A, "B": B, "magnitude": magnitude}
        return torch.func.functional_call(layer, values, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.A, layer.B, layer.magnitude))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_magnitude_starts_as_the_norm_of_each_output_feature(family):
    model, ids = build(family, torch.float64), token_ids()
    before = model(ids).logits
    apply_alone(model, METHOD)
    for _, layer in peftlab.adapter_layers(model):
        weight = layer.weight.T if family == "gpt2" and hasattr(layer, "nf") else layer.weight
        torch.testing.assert_close(layer.magnitude, weight.norm(dim=1))
    assert relative_error(model(ids).logits, before) < 1e-12
    check_only_the_adapter_trains(model)


def test_a_weight_row_of_zeros_does_not_divide_by_zero():
    base = nn.Linear(4, 3)
    base.weight.data[1] = 0
    layer = DoRALinear(base, DoRAConfig(rank=2))
    x = torch.randn(2, 4)
    torch.testing.assert_close(layer(x), base(x))
    layer(x).sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.adapter_parameters().values())


def test_dropout_acts_on_the_low_rank_branch_only():
    layer = layer_of(6, 5, dropout=0.5)
    x = torch.randn(50, 6, dtype=torch.float64)
    full = layer.eval()(x)
    assert not torch.allclose(layer.train()(x), full)
    layer.A.data.zero_()
    torch.testing.assert_close(layer(x), layer.eval()(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_16_bit_base_gets_a_float32_adapter_and_norm(dtype):
    layer = DoRALinear(nn.Linear(64, 5, dtype=dtype), DoRAConfig(rank=2))
    assert {p.dtype for p in layer.adapter_parameters().values()} == {torch.float32}
    expected = torch.linalg.vector_norm(layer.base.weight.float(), dim=1)
    torch.testing.assert_close(layer.magnitude.data, expected, rtol=1e-6, atol=0)
    assert layer(torch.randn(2, 64).to(dtype)).dtype == dtype


def test_the_norm_is_in_float32_under_autocast():
    layer = DoRALinear(nn.Linear(64, 5), DoRAConfig(rank=4))
    nn.init.normal_(layer.B)
    norm = layer.norm(layer.weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.norm(layer.weight), norm)
        assert layer(torch.randn(2, 64)).isfinite().all()


# --- with other adapters, merged, quantized ------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_merging(family):
    _, ours, _ = twins(family, METHOD)
    check_merging(ours)


def test_merging_in_float32():
    _, ours, _ = twins("llama", METHOD, torch.float32)
    check_merging(ours, 1e-5)


def test_on_a_layer_with_another_adapter_each_adds_its_own_term():
    base = nn.Sequential(nn.Linear(6, 5, dtype=torch.float64))
    model = apply_alone(base, LoRAConfig(rank=2), name="lora")
    apply_alone(model, METHOD, name="dora")
    randomise_adapter(model)
    x = torch.randn(3, 6, dtype=torch.float64)
    dora, lora = model[0], model[0].base
    plain = lora.base(x)
    expected = lora(x) + (equation_of(dora, lora.base, x) - plain)
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)
    for names in (["lora"], ["dora"], ["lora", "dora"]):
        for name in names:
            peftlab.merge(model, name)
        torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)
        peftlab.unmerge(model)
    with pytest.raises(peftlab.PeftlabError, match="'dora' is computed from the weights"):
        peftlab.merge(model, "lora", keep_base=False)
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)
    peftlab.merge(model, keep_base=False)
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)


def equation_of(dora, plain, x):
    adapted = plain.weight + dora.scaling * dora.B @ dora.A
    return dora.magnitude / adapted.norm(dim=1) * (x @ adapted.T) + plain.bias


def test_works_on_bitsandbytes_4bit_layers():
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    base = bitsandbytes.nn.Linear4bit(64, 32, bias=True, quant_type="nf4")
    base.load_state_dict(nn.Linear(64, 32).state_dict())
    base = base.to("cpu")
    layer = DoRALinear(base, DoRAConfig(rank=2))
    weight = dense_weight(layer)
    assert weight.shape == (32, 64)
    torch.testing.assert_close(layer.magnitude.data, weight.norm(dim=1))
    x = torch.randn(3, 64)
    torch.testing.assert_close(layer(x), base(x))
    nn.init.normal_(layer.B)
    adapted = weight + layer.scaling * layer.B @ layer.A
    expected = layer.magnitude / adapted.norm(dim=1) * (x @ adapted.T) + base.bias
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)
    layer(x).sum().backward()
    assert layer.A.grad.norm() > 0


def test_works_on_an_nf4_base_and_merges_into_it():
    model, ids = build("llama"), token_ids()
    peftlab.quantize_model(model)
    before = model(ids).logits
    apply_alone(model, METHOD)
    assert relative_error(model(ids).logits, before) < 1e-5
    randomise_adapter(model)
    adapted = model(ids).logits
    assert relative_error(adapted, before) > 0.1
    peftlab.merge(model)
    assert relative_error(model(ids).logits, adapted) < 1e-5


# --- parity with Hugging Face PEFT ---------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_gradients_and_counts_agree_with_peft(family, dtype, tolerance):
    check_logits_and_gradients(*twins(family, METHOD, dtype), tolerance)


@pytest.mark.parametrize("family", FAMILIES)
def test_five_optimizer_steps_agree_with_peft(family):
    _, ours, theirs = twins(family, METHOD)
    check_five_steps(ours, theirs)


@pytest.mark.parametrize(
    "method",
    [
        METHOD,
        DoRAConfig(rank=3, rank_stabilized=True, targets=("q_proj", "down_proj")),
        DoRAConfig(rank=3, rank_pattern={"q_proj": 5}, alpha_pattern={"0.self_attn.*": 3.0}),
        PiSSADoRAConfig(rank=3),
    ],
)
def test_files_are_exchanged_with_peft(method, tmp_path):
    _, ours, theirs = twins("llama", method)
    if isinstance(
        method, PiSSAConfig
    ):  # PEFT's own file of PiSSA needs PEFT's residual as the base
        peftlab.save(ours, tmp_path)
        there = peft.PeftModel.from_pretrained(build("llama", torch.float64), tmp_path).eval()
        expected = theirs(token_ids()).logits
        assert relative_error(there(token_ids()).logits, expected) < 1e-10
    else:
        check_exchange("llama", ours, theirs, tmp_path)
        loaded = peftlab.load(build("llama"), tmp_path / "ours")
        assert isinstance(peftlab.adapter_layers(loaded)[0][1], DoRALinear)
