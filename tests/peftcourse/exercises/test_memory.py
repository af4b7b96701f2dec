"""The reference solutions of lesson 01 agree with the libraries, and with published numbers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint as torch_checkpoint
from transformers import AutoConfig, AutoModelForCausalLM

import peftlab
from peftcourse.exercises import find
from peftcourse.exercises.memory.cases import LINEAR_LAYERS
from peftlab import LoRAConfig
from peftlab.memory.presets import PRESETS
from peftlab.quantization import nf4

parameters, states, quantized, saved, Checkpoint, adapter, batch = (
    find(f"memory.{name}").solution
    for name in ("parameters", "states", "quantized", "saved", "checkpoint", "adapter", "batch")
)


def skeleton(name: str) -> nn.Module:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**PRESETS[name]))


@pytest.mark.parametrize("name", ["llama-2-7b", "llama-3-8b", "smollm2-135m"])
def test_parameters_are_those_of_the_model(name):
    assert parameters(PRESETS[name]) == sum(p.numel() for p in skeleton(name).parameters())


def test_adapters_are_those_that_the_library_makes():
    assert adapter(PRESETS["llama-7b"], 8, ["q_proj", "v_proj"]) == 4_194_304
    assert adapter(PRESETS["llama-13b"], 8, ["q_proj", "v_proj"]) == 6_553_600
    model = skeleton("smollm2-135m")
    with torch.device("meta"):
        peftlab.apply(model, LoRAConfig(rank=3, alpha=6, targets="all-linear"))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert adapter(PRESETS["smollm2-135m"], 3, LINEAR_LAYERS) == trained


@pytest.mark.parametrize(
    ("recipe", "gigabytes"), [((2, 2, False), 53.9), ((2, 4, False), 80.9), ((2, 4, True), 107.8)]
)
def test_published_totals_of_a_7b_model(recipe, gigabytes):
    total = sum(states(0, 6_738_415_616, 16, *recipe))
    assert total / 1e9 == pytest.approx(gigabytes, abs=0.05)


@given(st.integers(1, 300), st.integers(1, 300), st.booleans())
@settings(max_examples=20, deadline=None)
def test_four_bits_take_what_the_quantizer_stores(rows, columns, double):
    packed, state = nf4.quantize(torch.ones(rows, columns), double=double)
    assert quantized(rows, columns, double) == nf4.stored_bytes(packed, state)


def test_saved_bytes_of_a_linear_layer():
    """Its input if its weight trains, and nothing otherwise."""
    layer, x = nn.Linear(5, 7), torch.ones(3, 5)
    assert saved(lambda: layer(x), list(layer.parameters())) == 3 * 5 * 4
    layer.weight.requires_grad_(False)
    assert saved(lambda: layer(x), list(layer.parameters())) == 0


def test_checkpointing_is_what_pytorch_does():
    block = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 5))
    gradients = []
    for run in (Checkpoint.apply, lambda *args: torch_checkpoint(*args, use_reentrant=False)):
        torch.manual_seed(0)
        x = torch.randn(4, 5, requires_grad=True)
        block.zero_grad()
        run(block, run(block, x)).square().sum().backward()
        gradients.append([x.grad, *(p.grad.clone() for p in block.parameters())])
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs)


@given(st.integers(1, 10**10), st.integers(1, 10**9), st.sampled_from([8, 24, 80]))
def test_the_largest_batch_fits_and_one_more_does_not(fixed, per_sequence, card):
    found = batch(fixed, per_sequence, card, 2.0)
    room = (card - 2) * 2**30
    assert not found or fixed + found * per_sequence <= room
    assert fixed + (found + 1) * per_sequence > room
