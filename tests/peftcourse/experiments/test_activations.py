"""What autograd saves is counted exactly, shared storages once and weights never."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import peftlab
from peftcourse.experiments import activations, models

IDS = torch.arange(24).reshape(2, 12)
pytestmark = pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")


class Output:
    def __init__(self, loss):
        self.loss = loss


class Chain(nn.Module):
    """A stand-in for a language model: linear layers one after another, on embedded tokens."""

    def __init__(self, widths, frozen=()):
        super().__init__()
        self.embedding = nn.Embedding(32, widths[0])
        self.layers = nn.ModuleList(
            nn.Linear(d_in, d_out) for d_in, d_out in itertools.pairwise(widths)
        )
        for index in frozen:
            self.layers[index].requires_grad_(False)

    def forward(self, input_ids, labels, use_cache):
        x = self.embedding(input_ids)
        for layer in self.layers:
            x = layer(x)
        return Output(x.sum())


def bytes_of_inputs(widths, frozen):
    """The ids (int64), which the embedding keeps, and the input of each layer that trains."""
    kept = [width for index, width in enumerate(widths[:-1]) if index not in frozen]
    return IDS.numel() * (8 + 4 * sum(kept))


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_trained_linear_layer_keeps_its_input_and_a_frozen_one_nothing(data):
    widths = data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=5))
    frozen = data.draw(st.sets(st.integers(0, len(widths) - 2)))
    saved = activations.saved(Chain(widths, frozen), IDS)
    assert saved.forward == saved.peak == bytes_of_inputs(widths, frozen)
    assert saved.curve[0] == saved.curve[-1] == 0  # what was saved was freed again
    rising, falling = saved.curve[: saved.turn], saved.curve[saved.turn - 1 :]
    assert list(rising) == sorted(rising) and list(falling) == sorted(falling, reverse=True)


def test_an_input_that_two_layers_share_counts_once():
    class Fork(Chain):
        def forward(self, input_ids, labels, use_cache):
            x = self.embedding(input_ids)
            return Output(self.layers[0](x).sum() + self.layers[1](x).sum())

    saved = activations.saved(Fork([6, 6, 6]), IDS)
    assert saved.forward == IDS.numel() * (8 + 4 * 6)


def test_the_gradients_are_those_of_an_ordinary_step():
    torch.manual_seed(0)
    model = Chain([4, 5, 3])
    model(IDS, IDS, False).loss.backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    activations.saved(model, IDS)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)


def fresh(method=None):
    model = models.load("tiny", dtype=torch.float32, device="cpu").model.train()
    return model if method is None else peftlab.apply(model, method)


@pytest.fixture(scope="module")
def full():
    return activations.saved(fresh(), IDS)


def test_lora_keeps_the_inputs_of_the_layers_that_it_adapts(full):
    everywhere = activations.saved(fresh(peftlab.LoRAConfig(rank=2)), IDS)
    two = activations.saved(fresh(peftlab.LoRAConfig(rank=2, targets=("q_proj", "v_proj"))), IDS)
    assert 0.8 * full.peak < everywhere.peak < full.peak
    assert two.peak < everywhere.peak


def test_checkpointing_keeps_the_inputs_of_the_blocks_and_computes_the_rest_again(full):
    model = fresh()
    model.gradient_checkpointing_enable({"use_reentrant": True})
    again = activations.saved(model, IDS)
    assert again.forward < full.forward / 3
    assert again.peak >= again.forward
    backward = again.curve[again.turn :]  # it rises where a block is run again
    assert any(later > earlier for earlier, later in itertools.pairwise(backward))
    assert again.curve[-1] == 0
