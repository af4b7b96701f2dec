"""Random-subspace training against its equation, with P written out as a matrix."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import (
    FAMILIES,
    apply_alone,
    build,
    checkpoint_activations,
    randomise_adapter,
    relative_error,
    token_ids,
)
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

import peftlab
from peftlab import PeftlabError, SubspaceConfig, inject
from peftlab.methods.subspace import hash32


def sequential(*sizes, dtype=torch.float64, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Linear(a, b, dtype=dtype) for a, b in itertools.pairwise(sizes)]
        return nn.Sequential(*layers)


def layers_of(model):
    return [layer for _, layer in peftlab.adapter_layers(model)]


def written_out(model):
    """P as a dense matrix: rows for all weights of all layers, a column for each coordinate."""
    rows = []
    for layer in layers_of(model):
        coordinate, sign = layer.projection()
        P = torch.zeros(len(coordinate), len(layer.z), dtype=torch.float64)
        P[torch.arange(len(coordinate)), coordinate] = sign * layer.scale.double()[coordinate]
        rows.append(P)
    return torch.cat(rows)


@settings(deadline=None, max_examples=30)
@given(d=st.integers(1, 12), seed=st.integers(0, 2**31), width=st.integers(8, 14))
def test_the_columns_of_P_are_orthonormal(d, seed, width):
    model = apply_alone(sequential(width, width, width), SubspaceConfig(d, seed))
    P = written_out(model)
    assert P.shape == (2 * width**2, d)
    assert torch.equal((P != 0).sum(1), torch.ones(len(P)).long())
    torch.testing.assert_close(P.T @ P, torch.eye(d, dtype=torch.float64))


def test_the_update_and_its_gradient_are_those_of_P():
    model = sequential(6, 9, 5)
    plain = copy.deepcopy(model)
    apply_alone(model, SubspaceConfig(7))
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.equal(model(x), plain(x))  # z = 0
    randomise_adapter(model, scale=1.0)
    layers = layers_of(model)
    assert layers[0].z is layers[1].z
    P = written_out(model)
    theta = (P @ layers[0].z).detach()
    first, second = theta[: 6 * 9].view(9, 6), theta[6 * 9 :].view(5, 9)
    torch.testing.assert_close(layers[0].delta_weight(), first)
    with torch.no_grad():
        plain[0].weight += first
        plain[1].weight += second
    torch.testing.assert_close(model(x), plain(x))

    model(x).square().sum().backward()
    grad_x, x.grad = x.grad, None
    plain(x).square().sum().backward()
    torch.testing.assert_close(grad_x, x.grad)
    g = torch.cat([plain[0].weight.grad.flatten(), plain[1].weight.grad.flatten()])
    torch.testing.assert_close(layers[0].z.grad, P.T @ g)


def test_gradients_equal_finite_differences():
    model = apply_alone(sequential(4, 5), SubspaceConfig(3))
    layer = layers_of(model)[0]
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    z = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, z: torch.func.functional_call(layer, {"z": z}, (x,)), (x, z)
    )


def test_it_trains_under_autocast():
    """The product is in 16 bit then, and its gradient too; z and its gradient stay in 32."""
    layer = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    x = torch.randn(4, 6)
    apply_alone(layer, SubspaceConfig(dimension=7, targets="all-linear"))
    randomise_adapter(layer)
    [z] = {p for p in layer.parameters() if p.requires_grad}

    def gradient():
        (found,) = torch.autograd.grad(layer(x).float().pow(2).sum(), z)
        return found

    exact = gradient()
    with torch.autocast("cpu", torch.bfloat16):
        inside = gradient()
        loss = layer(x).float().pow(2).sum()
    (outside,) = torch.autograd.grad(loss, z)  # as training does it
    for rounded in (inside, outside):
        assert rounded.dtype == torch.float32
        assert relative_error(rounded, exact) < 0.05


def test_a_frozen_z_needs_no_gradient():
    model = apply_alone(sequential(4, 5), SubspaceConfig(3))
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    layers_of(model)[0].z.requires_grad_(False)
    model(x).sum().backward()
    assert x.grad.norm() > 0
    layers_of(model)[0].z.requires_grad_(True)
    model(x.detach()).sum().backward()
    assert layers_of(model)[0].z.grad.norm() > 0


def test_the_projection_takes_no_memory():
    model = apply_alone(sequential(64, 64, 64, dtype=torch.float32), SubspaceConfig(5))
    sizes = []
    with saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        model(torch.randn(2, 64))
    assert sizes.count(64 * 64) == 1  # the second base layer keeps its weight for x's gradient
    assert max(sizes) == 64 * 64
    own = sum(b.numel() for layer in layers_of(model) for b in layer.buffers(recurse=False))
    assert own == 2 * 5


def test_seeds_and_layers_have_projections_of_their_own():
    def projections(seed):
        model = apply_alone(sequential(20, 20, 20), SubspaceConfig(10, seed))
        return [torch.stack(layer.projection()) for layer in layers_of(model)]

    a, b, c = *projections(0), projections(1)[0]
    assert torch.equal(a, projections(0)[0])
    for other in (b, c):
        assert 0.05 < (a[0] == other[0]).float().mean() < 0.15  # one in ten agrees by chance
        assert 0.4 < (a[1] == other[1]).float().mean() < 0.6


def test_the_hash_is_a_permutation_and_even():
    values = hash32(torch.arange(2**16))
    assert len(values.unique()) == 2**16
    assert ((values >= 0) & (values < 2**32)).all()
    counts = torch.bincount(values >> 28, minlength=16).float() / 2**12
    assert (counts - 1).abs().max() < 0.06
    # MurmurHash3's finalizer, by its definition in unsigned 32-bit arithmetic.
    x = 123_456_789
    x ^= x >> 16
    x = x * 0x85EBCA6B % 2**32
    x ^= x >> 13
    x = x * 0xC2B2AE35 % 2**32
    assert hash32(torch.tensor(123_456_789)) == x ^ x >> 16


def test_a_random_subspace_sees_its_share_of_the_gradient():
    # E‖Pᵀg‖² = d/D · ‖g‖² for any g.
    g = torch.randn(2 * 30 * 30, dtype=torch.float64)
    shares = []
    for seed in range(60):
        P = written_out(apply_alone(sequential(30, 30, 30), SubspaceConfig(90, seed)))
        shares.append((P.T @ g).square().sum().item() / g.square().sum().item())
    assert sum(shares) / 60 == pytest.approx(90 / 1800, rel=0.1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("family", FAMILIES)
def test_merged_and_unmerged_agree(family, dtype, tolerance):
    model, ids = build(family, dtype), token_ids()
    plain = model(ids).logits
    weights = {name: p.clone() for name, p in model.named_parameters()}
    apply_alone(model, SubspaceConfig(50, targets="all-linear"))
    randomise_adapter(model, scale=10.0)
    adapted = model(ids).logits
    assert relative_error(adapted, plain) > 0.1
    peftlab.merge(model)
    assert relative_error(model(ids).logits, adapted) < tolerance
    peftlab.unmerge(model)
    peftlab.remove(model)
    assert all(torch.equal(p, weights[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_only_z_trains(family):
    model = apply_alone(build(family), SubspaceConfig(40))
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    assert peftlab.trainable_report(model).trainable == 40
    parameters = [p for p in model.parameters() if p.requires_grad]
    assert len(parameters) == 1
    optimizer = torch.optim.SGD(parameters, lr=10.0)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(token_ids()).logits.square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    after = dict(model.named_parameters())
    assert all(torch.equal(after[n], p) and after[n].grad is None for n, p in frozen.items())


def test_gradient_checkpointing_changes_no_gradient():
    model = apply_alone(build("llama"), SubspaceConfig(40)).train()
    z = layers_of(model)[0].z

    def gradient():
        z.grad = None
        model(token_ids()).logits.square().mean().backward()
        return z.grad.clone()

    plain = gradient()
    checkpoint_activations(model, {"use_reentrant": False})
    assert relative_error(gradient(), plain) < 1e-6


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_files_hold_z_once_and_come_back(family, tmp_path):
    from safetensors.torch import load_file

    model, ids = apply_alone(build(family), SubspaceConfig(30, seed=3)), token_ids()
    randomise_adapter(model, scale=10.0)
    peftlab.save(model, tmp_path)
    assert [v.shape for v in load_file(tmp_path / "adapter_model.safetensors").values()] == [(30,)]
    again = peftlab.load(build(family), tmp_path, name="other")
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert layers_of(again)[0].method.seed == 3
    assert len(layers_of(again)) == len(layers_of(model))


def test_a_copy_of_the_model_shares_z_among_its_own_layers():
    model = copy.deepcopy(apply_alone(sequential(6, 9, 5), SubspaceConfig(3))).float()
    first, second = layers_of(model)
    assert first.z is second.z
    assert first.z.dtype == torch.float32


def test_it_works_on_a_quantized_base():
    model = peftlab.quantize_model(build("llama"))
    apply_alone(model, SubspaceConfig(40))
    randomise_adapter(model, scale=10.0)
    adapted = model(token_ids()).logits
    peftlab.merge(model)
    assert relative_error(model(token_ids()).logits, adapted) < 1e-5
    assert inject.adapters(model) == ["default"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimension": 0}, "dimension must be a whole number of at least 1, not 0"),
        ({"dimension": 2.5}, "not 2.5"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"seed": 0.5}, "not 0.5"),
        ({"targets": []}, "targets is empty"),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(PeftlabError, match=message):
        SubspaceConfig(**options)


def test_too_many_dimensions_are_refused():
    with pytest.raises(PeftlabError, match=r"dimension=100 leaves coordinates .* among 42 weights"):
        apply_alone(sequential(6, 7), SubspaceConfig(100))
