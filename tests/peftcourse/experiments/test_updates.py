"""What training changed is found, put in place and taken back."""

import pytest
import torch

from peftcourse.experiments import models
from peftcourse.experiments.updates import matrices, nearest_cosines, replaced, updates
from peftlab import PeftlabError


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
    layer = model.model.layers[0].self_attn.q_proj
    layer.weight = torch.nn.Parameter(layer.weight.to(torch.uint8), requires_grad=False)
    with pytest.raises(PeftlabError, match="load the model in 16 or 32 bit"):
        matrices(model)


def test_a_direction_that_was_not_there_is_found_among_the_leading_ones():
    generator = torch.Generator().manual_seed(0)
    U, _ = torch.linalg.qr(torch.randn(40, 40, generator=generator, dtype=torch.float64))
    V, _ = torch.linalg.qr(torch.randn(30, 30, generator=generator, dtype=torch.float64))
    sigma = torch.linspace(10, 1, 30, dtype=torch.float64)
    before = (U[:, :30] * sigma) @ V.T
    assert torch.allclose(nearest_cosines(before, 2 * before), torch.ones(10, dtype=torch.float64))
    # The 31st direction is at right angles to all that the matrix has; with weight it leads.
    after = before + 20 * torch.outer(U[:, 30], V[:, 12])
    nearest = nearest_cosines(before, after, leading=3)
    assert nearest.shape == (3,) and nearest[0] < 0.5 < nearest[1]
    # Without weight it is not among the leading ones.
    assert nearest_cosines(before, before + 0.01 * torch.outer(U[:, 30], V[:, 12])).min() > 0.99
    # Turning two equal directions into each other makes two that lie between the old ones.
    turned = before.clone()
    mixed = (U[:, :1] + U[:, 1:2]) / 2**0.5, (U[:, :1] - U[:, 1:2]) / 2**0.5
    turned += sum(
        w * m @ V[:, i : i + 1].T for i, (w, m) in enumerate(zip((30, 25), mixed, strict=True))
    )
    assert nearest_cosines(before, turned, leading=2).max() < 0.95


def test_matrices_that_cannot_be_compared_are_refused():
    with pytest.raises(PeftlabError, match=r"shapes \(4, 3\) and \(3, 4\)"):
        nearest_cosines(torch.ones(4, 3), torch.ones(3, 4))
    with pytest.raises(PeftlabError, match="leading must be from 1 to 3"):
        nearest_cosines(torch.ones(4, 3), torch.ones(4, 3), leading=4)
