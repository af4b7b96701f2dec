"""The reference solutions of lesson 01 agree with the libraries, and with published numbers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint as torch_checkpoint
from transformers import AutoConfig, AutoModelForCausalLM

import peftlab
from peftcourse.exercises import find
from peftcourse.exercises.feedback import assess
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


def _saved(pack, key=lambda tensor: tensor.untyped_storage().data_ptr()):
    """An answer that notes storages by a key and returns something from pack."""

    def answer(forward, parameters):
        known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
        kept = {}

        def note(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in known:
                kept[key(tensor)] = storage.nbytes()
            return pack(tensor)

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            forward()
        return sum(kept.values())

    return answer


@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [
        ("parameters", lambda c: parameters({**c, "vocab_size": 32_000}), "is ignored"),
        ("states", lambda *a: states(*a[:4], a[4], False), "copy"),
        (
            "states",
            lambda f, t, b, own, moment, master: (
                *states(f, t, b, own, moment, False)[:2],
                2 * t * moment + 4 * master * (f + t),
            ),
            "master copy is counted for frozen parameters",
        ),
        ("states", lambda *a: dict.fromkeys("abc", 1.0), "a dictionary, not a number"),
        (
            "quantized",
            lambda m, n, double: quantized(m, n, double) - (m * n % 2) / 2,
            "half a byte is returned",
        ),
        ("saved", _saved(lambda tensor: None), "what `pack` returns is kept in place"),
        ("saved", _saved(lambda t: t, lambda t: t.data_ptr()), "where a view begins"),
        ("storage", lambda base, adapter, n: {n * base, base + n * adapter}, "a set, not a number"),
        ("storage", lambda base, adapter, n: (3 * base, base + 3 * adapter), "`tasks` is ignored"),
        ("batch", lambda *a: max(0, math.ceil(batch_before(*a)) - 1), "fills the room exactly"),
    ],
)
def test_wrong_answers_are_seen_and_named(exercise, answer, words):
    report = assess(find(f"memory.{exercise}"), answer, 0)
    assert not report.correct and words in report.cause


def batch_before(fixed, per_sequence, card, reserve):
    """The quotient before it is rounded."""
    return ((card - reserve) * 2**30 - fixed) / per_sequence


def test_gradients_of_an_earlier_pass_stay():
    class Zeroed(Checkpoint):
        @staticmethod
        def backward(ctx, gradient):
            ctx.block.zero_grad()
            return Checkpoint.backward(ctx, gradient)

    assert "had in .grad before is lost" in assess(find("memory.checkpoint"), Zeroed, 0).cause
