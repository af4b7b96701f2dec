"""LoRA against its equation, against finite differences and against Hugging Face PEFT."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lowrank import TOLERANCES, check_five_steps, check_logits_and_gradients, twins
from small_models import FAMILIES, relative_error, token_ids
from torch import nn

from peftlab import LoRAConfig, PeftlabError
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
