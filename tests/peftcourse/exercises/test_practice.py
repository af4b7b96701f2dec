"""The reference solutions of lesson 04 agree with the library, and with the model."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import peftlab
from peftcourse.exercises import find
from peftcourse.exercises.feedback import assess
from peftcourse.experiments import models, train
from peftlab import LoRAConfig
from peftlab.methods.adalora import AdaLoRAConfig, RankAllocator
from peftlab.methods.lora_plus import parameter_groups

count, scale, choose, ratio, allocate, schedule, accumulate, pack = (
    find(f"practice.{name}").solution
    for name in (
        "count", "scale", "choose", "ratio", "allocate", "schedule", "accumulate", "pack"
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return models.load("tiny", device="cpu", dtype=torch.float32).model


@pytest.mark.parametrize(
    "targets",
    [("q_proj",), ("k_proj", "o_proj"), ("gate_proj", "down_proj"), ("q_proj", "v_proj")],
)
def test_counts_are_those_of_the_model(model, targets):
    config = model.config
    shape = {
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "ffn": config.intermediate_size,
        "layers": config.num_hidden_layers,
    }
    peftlab.apply(model, LoRAConfig(rank=3, targets=targets), name="counted")
    counted = peftlab.trainable_report(model).trainable
    peftlab.remove(model, "counted")
    assert count(shape, 3, targets) == counted


@given(st.integers(1, 99), st.integers(1, 99), st.booleans())
@settings(max_examples=30, deadline=None)
def test_factors_are_those_of_the_library(rank, new_rank, stabilized):
    factor, alpha = scale(16.0, rank, new_rank, stabilized)
    after = LoRAConfig(rank=new_rank, alpha=16.0, rank_stabilized=stabilized)
    kept = LoRAConfig(rank=new_rank, alpha=alpha, rank_stabilized=stabilized)
    before = LoRAConfig(rank=rank, alpha=16.0, rank_stabilized=stabilized)
    assert factor == pytest.approx(after.scaling_of("x"))
    assert kept.scaling_of("x") == pytest.approx(before.scaling_of("x"))


@given(st.integers(1, 200), st.floats(0, 0.3))
@settings(max_examples=30, deadline=None)
def test_rates_are_those_of_the_training_loop(steps, warmup):
    config = train.TrainConfig(steps=steps, learning_rate=0.01, warmup_fraction=warmup)
    for step in range(1, steps + 1):
        assert schedule(step, steps, 0.01, warmup) == pytest.approx(
            train.learning_rate_at(step, config)
        )


def test_groups_are_those_of_the_library(model):
    peftlab.apply(model, LoRAConfig(rank=2), name="grouped")
    ours, theirs = ratio(model, 0.01, 8.0), parameter_groups(model, 0.01, 8.0)
    peftlab.remove(model, "grouped")
    for one, other in zip(ours, theirs, strict=True):
        assert one["lr"] == pytest.approx(other["lr"])
        assert list(map(id, one["params"])) == list(map(id, other["params"]))


def test_the_budget_is_that_of_the_allocator():
    layers = nn.ModuleDict({name: nn.Linear(6, 5) for name in ("a", "b", "c")})
    config = AdaLoRAConfig(
        total_steps=50,
        rank=8,
        target_rank=2,
        warmup_steps=5,
        final_steps=10,
        targets=("a", "b", "c"),
    )
    peftlab.apply(layers, config)
    allocator = RankAllocator(layers)
    importance = torch.rand(3, 8)
    for step in range(5, 41):
        budget, ranks = allocate(importance, step, 50, 5, 10, 6)
        assert budget == allocator.budget(step) == ranks.sum()


def test_a_lonely_best_cell_is_chosen_and_its_edge_is_seen():
    losses = torch.ones(3, 4, 5, dtype=torch.float64) + 0.01 * torch.rand(3, 4, 5)
    losses[1, 2] = 0.5
    assert choose(losses) == (1, 2, False)
    losses[0, 3] = 0.2
    assert choose(losses) == (0, 3, True)
    losses[0, 3, 1] = math.nan
    assert choose(losses) == (1, 2, False)


def test_accumulated_gradients_are_those_of_one_batch():
    torch.manual_seed(0)
    x, labels = torch.randn(9, 4), torch.randint(5, (9,))
    labels[:3] = -100
    ours, theirs = nn.Linear(4, 5), nn.Linear(4, 5)
    theirs.load_state_dict(ours.state_dict())
    loss = accumulate(ours, list(zip(x.split([4, 5]), labels.split([4, 5]), strict=True)))
    whole = F.cross_entropy(theirs(x), labels, ignore_index=-100)
    whole.backward()
    assert loss == pytest.approx(whole.item())
    assert torch.allclose(ours.weight.grad, theirs.weight.grad)


def test_packed_texts_get_the_logits_that_they_get_alone(model):
    texts = [[5, 9, 17, 4], [8, 3], [30, 31, 32]]
    ids, labels, positions, mask = pack(texts)
    bias = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    with torch.no_grad():
        packed = model(ids[None], attention_mask=bias[None, None], position_ids=positions[None])
        alone = [model(torch.tensor([text])).logits[0] for text in texts]
    assert torch.allclose(packed.logits[0], torch.cat(alone), atol=1e-4)
    assert labels.tolist() == [-100, 9, 17, 4, -100, 3, -100, 31, 32]


def report(exercise, answer):
    """What the check says of an answer; the seed is any."""
    return assess(find(f"practice.{exercise}"), answer, seed=7)


def test_a_target_that_is_counted_wrongly_is_named():
    def answer(shape, rank, targets):
        extra = 3 * rank * targets.count("up_proj")
        return count(shape, rank, targets) + extra

    assert "only up_proj is counted wrongly" in report("count", answer).cause


def test_a_rank_is_not_ruled_out_by_a_run_that_diverged():
    def answer(losses):
        means = losses.nan_to_num(nan=math.inf).mean(dim=2)
        means[losses.isnan().flatten(1).any(dim=1)] = math.inf
        return choose(means.unsqueeze(2) + losses - losses.mean(dim=2, keepdim=True))

    assert not report("choose", answer).correct


def test_a_parameter_that_is_named_b_alone_is_a_b():
    def answer(model, rate, factor):
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        fast = [p for name, p in named if name.endswith(".B")]
        slow = [p for name, p in named if not name.endswith(".B")]
        return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]

    found = report("ratio", answer)
    assert found.mutant == "b-behind-a-dot" and "without a dot" in found.observed


def test_a_step_of_an_optimizer_is_seen():
    def answer(model, parts):
        loss = accumulate(model, parts)
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        return loss

    assert "the parameters have changed" in report("accumulate", answer).cause


def test_texts_of_one_length_are_two():
    def answer(sequences):
        ids, labels, positions, _ = pack(sequences)
        length = torch.tensor([len(text) for text in sequences for _ in text])
        return ids, labels, positions, (length[:, None] == length).tril()

    assert report("pack", answer).mutant == "texts-of-one-length-are-one"


def test_ranks_of_layers_may_have_any_dtype_and_layers_that_keep_nothing_count():
    def floats(*inputs):
        budget, ranks = allocate(*inputs)
        return budget, ranks.float()

    def short(*inputs):
        budget, ranks = allocate(*inputs)
        return budget, ranks[: int(ranks.nonzero().max()) + 1]

    assert report("allocate", floats).correct
    assert "the last layer is worth the least" in report("allocate", short).observed
