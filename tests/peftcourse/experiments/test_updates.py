"""What training changed is found, put in place and taken back."""

import pytest
import torch

from peftcourse.experiments import models
from peftcourse.experiments.updates import matrices, replaced, updates


@pytest.fixture
def model():
    return models.load("tiny", dtype=torch.float32, device="cpu").model


def test_matrices_are_copies_of_all_linear_layers_but_the_head(model):
    found = matrices(model)
    assert len(found) == 7 * model.config.num_hidden_layers
    assert not any("head" in path for path in found)
    path, weight = next(iter(found.items()))
    weight.add_(1)
    assert not torch.equal(weight, model.get_submodule(path).weight)


def test_an_update_is_what_was_added(model):
    before = matrices(model)
    path = next(iter(before))
    with torch.no_grad():
        model.get_submodule(path).weight.add_(0.25)
    changes = updates(model, before)
    assert torch.allclose(changes[path], torch.full_like(before[path], 0.25), atol=1e-6)
    assert all(not change.any() for name, change in changes.items() if name != path)


def test_weights_come_back_whatever_happens(model):
    before = matrices(model)
    path = next(iter(before))
    with pytest.raises(ZeroDivisionError), replaced(model, {path: 0 * before[path]}):
        assert not model.get_submodule(path).weight.any()
        raise ZeroDivisionError
    assert torch.equal(model.get_submodule(path).weight, before[path])


def test_four_bit_weights_are_refused(model):
    from peftlab import PeftlabError

    layer = model.model.layers[0].self_attn.q_proj
    layer.weight = torch.nn.Parameter(layer.weight.to(torch.uint8), requires_grad=False)
    with pytest.raises(PeftlabError, match="load the model in 16 or 32 bit"):
        matrices(model)
