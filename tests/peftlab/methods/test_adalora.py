"""AdaLoRA against its equation, against finite differences and against Hugging Face PEFT."""

import copy

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
from small_models import FAMILIES, apply_alone, build, relative_error, token_ids
from torch import nn

import peftlab
from peftlab import AdaLoRAConfig, LoRAConfig, PeftlabError
from peftlab.methods.adalora import AdaLoRALinear, RankAllocator

# PEFT reads its own files of AdaLoRA as if their rank_pattern were LoRA's, and takes a rank of zero
# for a broken tensor; both are warnings only.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The following rank_pattern keys:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.*have invalid shape"),
]

sizes = st.integers(1, 12)
METHOD = AdaLoRAConfig(
    total_steps=16,
    rank=6,
    target_rank=2,
    alpha=6.0,
    targets=("q_proj", "v_proj", "down_proj"),
    warmup_steps=2,
    final_steps=4,
    every=2,
)
ALL = AdaLoRAConfig(total_steps=10, rank=4, target_rank=2, alpha=6.0)


def layer_of(d_in, d_out, rank, alpha=6.0, **options):
    base = nn.Linear(d_in, d_out, dtype=torch.float64)
    layer = AdaLoRALinear(base, AdaLoRAConfig(9, rank, target_rank=1, alpha=alpha, **options))
    for parameter in layer.adapter_parameters().values():
        nn.init.normal_(parameter)
    return layer


@settings(deadline=None)
@given(d_in=sizes, d_out=sizes, rank=sizes, alpha=st.floats(0.1, 64), batch=st.integers(0, 4))
def test_forward_is_the_equation(d_in, d_out, rank, alpha, batch):
    layer = layer_of(d_in, d_out, rank, alpha)
    x = torch.randn(batch, 3, d_in, dtype=torch.float64)
    delta = alpha / (rank + 1e-5) * layer.P @ torch.diag(layer.lam[:, 0]) @ layer.Q
    expected = x @ (layer.base.weight + delta).T + layer.base.bias
    torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(layer.delta_weight(), delta)


@settings(deadline=None, max_examples=10)
@given(d_in=st.integers(1, 5), d_out=st.integers(1, 5), rank=st.integers(1, 3))
def test_gradients_equal_finite_differences(d_in, d_out, rank):
    layer = layer_of(d_in, d_out, rank)
    x = torch.randn(2, d_in, dtype=torch.float64, requires_grad=True)

    def output(x, P, lam, Q):
        return torch.func.functional_call(layer, {"P": P, "lam": lam, "Q": Q}, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.P, layer.lam, layer.Q))


def test_dropout_is_on_the_branch_only_and_off_in_evaluation():
    layer = layer_of(6, 5, 2, dropout=0.5)
    x = torch.randn(50, 6, dtype=torch.float64)
    full = layer.eval()(x)
    assert not torch.allclose(layer.train()(x), full)
    layer.lam.data.zero_()
    torch.testing.assert_close(layer(x), layer.base(x), rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_adapter_changes_nothing_and_alone_trains(family):
    model, ids = build(family), token_ids()
    before = model(ids).logits
    apply_alone(model, ALL)
    torch.testing.assert_close(model(ids).logits, before, rtol=0, atol=0)
    check_only_the_adapter_trains(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"total_steps": 0}, "total_steps must be a whole number of at least 1, not 0"),
        ({"rank": 2.5}, "rank must be a whole number"),
        ({"target_rank": 13}, "target_rank 13 is above the rank at the start, 12"),
        ({"warmup_steps": 5, "final_steps": 4}, "must leave some of the 9 steps"),
        ({"warmup_steps": -1}, "must leave some"),
        ({"beta1": 1.0}, "beta1 must be between 0 and 1, not 1.0"),
        ({"beta2": 0}, "beta2 must be between 0 and 1"),
        ({"alpha": 0}, "alpha must be a positive number"),
        ({"dropout": 1}, "dropout must be"),
        ({"orthogonality": -1}, "orthogonality must be at least 0"),
        ({"targets": ""}, "targets is empty"),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(PeftlabError, match=message):
        AdaLoRAConfig(**{"total_steps": 9, **options})


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_merging(family):
    _, ours, _ = twins(family, ALL, scale=0.5)
    check_merging(ours)


# --- the budget ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    rank=st.integers(1, 12),
    target=st.integers(1, 12),
    warmup=st.integers(0, 5),
    final=st.integers(0, 5),
    between=st.integers(1, 20),
)
def test_the_budget_falls_from_the_start_to_the_goal(rank, target, warmup, final, between):
    total = warmup + between + final
    method = AdaLoRAConfig(
        total, max(rank, target), min(rank, target), warmup_steps=warmup, final_steps=final
    )
    model = apply_alone(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), method)
    allocator = RankAllocator(model)
    budgets = [allocator.budget(step) for step in range(total + 1)]
    assert budgets == sorted(budgets, reverse=True)
    assert set(budgets[: warmup + 1]) == {2 * max(rank, target)}
    assert set(budgets[warmup + between :]) == {2 * min(rank, target)}


def test_the_penalty_is_zero_for_orthogonal_factors_and_the_mean_norm_otherwise():
    model = apply_alone(nn.Sequential(nn.Linear(6, 5, dtype=torch.float64)), METHOD_FOR_ONE)
    allocator, layer = RankAllocator(model), model[0]
    nn.init.orthogonal_(layer.P)
    nn.init.orthogonal_(layer.Q)
    assert allocator.penalty().item() == pytest.approx(0, abs=1e-12)
    with torch.no_grad():
        layer.P.mul_(2)
    # ‖4 I - I‖ = 3 √r for P, 0 for Q, their mean times γ = 0.5
    assert allocator.penalty().item() == pytest.approx(0.5 * 3 * 2**0.5 / 2)
    allocator.penalty().backward()
    assert layer.P.grad.norm() > 0


METHOD_FOR_ONE = AdaLoRAConfig(total_steps=9, rank=2, target_rank=1, targets="0")


def test_nothing_is_removed_when_the_goal_is_the_start():
    method = AdaLoRAConfig(total_steps=3, rank=2, target_rank=2, targets="0")
    model = apply_alone(nn.Sequential(nn.Linear(6, 5)), method)
    allocator = RankAllocator(model)
    for step in (1, 2, 3):
        model(torch.randn(2, 6)).sum().backward()
        allocator(step, model)
    assert model[0].kept.all()


def test_misuse_of_the_allocator_is_named():
    model = apply_alone(nn.Sequential(nn.Linear(6, 5)), METHOD_FOR_ONE)
    with pytest.raises(PeftlabError, match=r"after backward\(\) and before zero_grad\(\)"):
        RankAllocator(model)(1, model)
    model = apply_alone(nn.Sequential(nn.Linear(6, 5)), LoRAConfig())
    with pytest.raises(PeftlabError, match="is not AdaLoRA"):
        RankAllocator(model)


def test_it_trains_in_the_training_loop_down_to_the_target_rank():
    from peftcourse.experiments.train import TrainConfig, train

    model = apply_alone(build("llama"), METHOD)
    allocator = RankAllocator(model)
    example = {"input_ids": [5, 9, 13, 7], "labels": [5, 9, 13, 7]}
    before = allocator.penalty().item()
    history = train(
        model,
        [example],
        TrainConfig(steps=16, batch_size=1, learning_rate=2e-2),
        on_step=allocator,
        penalty=allocator.penalty,
        progress=False,
    )
    layers = [layer for _, layer in peftlab.adapter_layers(model)]
    assert sum(layer.kept.sum().item() for layer in layers) == 2 * len(layers)
    assert all(torch.all(layer.lam[~layer.kept] == 0) for layer in layers)
    assert history.losses[-1] < history.losses[0]
    assert allocator.penalty().item() < before


# --- parity with Hugging Face PEFT ---------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_gradients_and_counts_agree_with_peft(family, dtype, tolerance):
    base, ours, theirs = twins(family, ALL, dtype, scale=0.3)
    # PEFT keeps the rank itself as a frozen parameter in every layer.
    layers = sum(isinstance(x, AdaLoRALinear) for _, x in peftlab.adapter_layers(ours))
    check_logits_and_gradients(base, ours, theirs, tolerance, extra_total=layers)


@pytest.mark.parametrize("family", FAMILIES)
def test_five_optimizer_steps_agree_with_peft(family):
    _, ours, theirs = twins(family, ALL, scale=0.5)
    check_five_steps(ours, theirs)


def allocate_both(steps=16):
    """Ours and PEFT's after some steps with penalty and allocator; yields after each step."""
    _, ours, theirs = twins("llama", METHOD, scale=0.1)
    allocator = RankAllocator(ours)
    ids = token_ids(shape=(2, 12))
    optimizers = [
        torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-2)
        for model in (ours, theirs)
    ]
    for step in range(1, steps + 1):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = ours(ids, labels=ids).loss + allocator.penalty()
        loss.backward()
        optimizers[0].step()
        allocator(step, ours)

        reference = theirs.base_model(ids, labels=ids).loss  # PEFT adds the penalty itself
        reference.backward()
        optimizers[1].step()
        theirs.base_model.update_and_allocate(step)
        assert loss.item() == pytest.approx(reference.item(), rel=1e-6)  # theirs is in float32
        yield step, ours, theirs


def test_the_allocator_agrees_with_peft_at_every_step(tmp_path):
    ids = token_ids()
    seen = set()
    for _, ours, theirs in allocate_both():
        kept = {path: layer.kept for path, layer in peftlab.adapter_layers(ours)}
        for path, layer in peftlab.adapter_layers(ours):
            other = theirs.base_model.model.get_submodule(path).lora_E["default"]
            torch.testing.assert_close(layer.lam, other, rtol=1e-9, atol=1e-12)
        assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10
        seen.add(sum(mask.sum().item() for mask in kept.values()))
    assert max(seen) == 36
    assert min(seen) == 12
    assert len(seen) > 3
    ranks = {mask.sum().item() for mask in kept.values()}
    assert len(ranks) > 1  # the budget was shared unequally

    check_exchange("llama", ours, theirs, tmp_path)
    loaded = peftlab.load(build("llama"), tmp_path / "ours")
    assert {path: layer.lam.numel() for path, layer in peftlab.adapter_layers(loaded)} == {
        path: mask.sum().item() for path, mask in kept.items()
    }
    size = (tmp_path / "ours" / "adapter_model.safetensors").stat().st_size
    assert size < 8 * peftlab.trainable_report(ours).trainable


def test_files_of_an_adapter_that_was_not_allocated_are_exchanged(tmp_path):
    _, ours, theirs = twins("gpt2", ALL, scale=0.5)
    check_exchange("gpt2", ours, theirs, tmp_path)


def test_a_layer_whose_rank_became_zero_is_saved_and_loaded(tmp_path):
    _, ours, _ = twins("llama", METHOD, scale=0.5)
    for path, layer in peftlab.adapter_layers(ours):
        if path.endswith("0.self_attn.q_proj"):
            layer.kept[:] = False
            layer.lam.data.zero_()
    peftlab.save(ours, tmp_path)
    expected = ours(token_ids()).logits
    for loader in (peftlab.load, peft.PeftModel.from_pretrained):
        loaded = loader(build("llama", torch.float64), tmp_path).eval()
        assert relative_error(loaded(token_ids()).logits, expected) < 1e-10
    again = copy.deepcopy(peftlab.load(build("llama", torch.float64), tmp_path))
    assert relative_error(again(token_ids()).logits, expected) < 1e-10
