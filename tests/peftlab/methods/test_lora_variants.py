"""rsLoRA, PiSSA, LoRA+, ranks and alphas of single layers."""

import copy
import json
import math

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
from peft.utils.other import get_pattern_key
from small_models import FAMILIES, build, randomise_adapter, relative_error, token_ids
from torch import nn

import peftlab
from peftlab import DoRAConfig, LoRAConfig, PeftlabError
from peftlab.methods.lora import LoRALinear, from_pattern
from peftlab.methods.lora_variants import parameter_groups

PISSA = LoRAConfig(rank=3, alpha=6.0, init="pissa")
PATTERNS = LoRAConfig(
    rank=3,
    alpha=6.0,
    rank_pattern={"layers.0.*": 5, "q_proj": 2},
    alpha_pattern={"self_attn.v_proj": 9.0, ".*down_proj": 1.5},
)


# --- the scaling ---------------------------------------------------------------------------------


@given(rank=st.integers(1, 512), alpha=st.floats(0.1, 64))
def test_the_scaling_is_alpha_over_the_rank_or_its_root(rank, alpha):
    assert LoRAConfig(rank, alpha).scaling_of("") == alpha / rank
    stabilized = LoRAConfig(rank, alpha, rank_stabilized=True).scaling_of("")
    assert stabilized == pytest.approx(alpha / math.sqrt(rank))


def test_rank_stabilised_updates_do_not_shrink_with_the_rank():
    def size(rank, stabilized):
        torch.manual_seed(0)
        method = LoRAConfig(rank, rank_stabilized=stabilized)
        layer = LoRALinear(nn.Linear(256, 256), method)
        nn.init.normal_(layer.B)
        return layer.delta_weight().norm().item()

    assert size(256, True) == pytest.approx(size(4, True), rel=0.2)
    assert size(256, False) == pytest.approx(size(4, False) / 8, rel=0.2)


# --- ranks and alphas of single layers -----------------------------------------------------------


@settings(deadline=None)
@given(
    path=st.lists(st.sampled_from(["layers", "0", "1", "q_proj", "my_q_proj"]), min_size=1).map(
        ".".join
    ),
    keys=st.lists(
        st.sampled_from(["q_proj", "0", "layers.0.*", ".*q_proj", "layers.1.q_proj", "proj"])
    ),
)
def test_patterns_match_as_in_peft(path, keys):
    pattern = {key: index for index, key in enumerate(keys)}
    assert from_pattern(pattern, path, -1) == pattern.get(get_pattern_key(pattern, path), -1)


def test_layers_have_their_own_rank_and_alpha():
    model = peftlab.apply(build("llama"), PATTERNS)
    found = {path: (x.A.shape[0], x.scaling) for path, x in peftlab.adapter_layers(model)}
    assert found["model.layers.0.self_attn.q_proj"] == (5, 6 / 5)
    assert found["model.layers.1.self_attn.q_proj"] == (2, 6 / 2)
    assert found["model.layers.1.self_attn.v_proj"] == (3, 9 / 3)
    assert found["model.layers.0.mlp.down_proj"] == (5, 1.5 / 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank_pattern": {"q_proj": 0}}, "rank must be a whole number of at least 1, not 0"),
        ({"alpha_pattern": {"q_proj": -1}}, "alpha must be a positive number, not -1"),
        ({"rank_pattern": {"(": 2}}, r"'\(' is not a regular expression"),
        ({"init": "zeros"}, 'init must be "kaiming" or "pissa", not \'zeros\''),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(PeftlabError, match=message):
        LoRAConfig(**options)


# --- PiSSA ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(d_in=st.integers(1, 12), d_out=st.integers(1, 12), data=st.data(), alpha=st.floats(0.5, 32))
def test_pissa_starts_at_the_best_approximation_of_the_weight(d_in, d_out, data, alpha):
    rank = data.draw(st.integers(1, min(d_in, d_out)))
    base = nn.Linear(d_in, d_out, dtype=torch.float64)
    layer = LoRALinear(base, LoRAConfig(rank, alpha, init="pissa"))
    left, values, right = torch.linalg.svd(base.weight, full_matrices=False)
    best = left[:, :rank] * values[:rank] @ right[:rank]
    torch.testing.assert_close(layer.scaling * layer.B @ layer.A, best, rtol=1e-9, atol=1e-9)
    # The layer itself computes what its base does: what A and B hold, A0 and B0 take away.
    x = torch.randn(3, d_in, dtype=torch.float64)
    torch.testing.assert_close(layer(x), base(x), rtol=1e-9, atol=1e-9)


def test_pissa_starts_where_peft_does():
    base, ids = build("llama"), token_ids()
    ours = peftlab.apply(copy.deepcopy(base), PISSA)
    paths = peftlab.match_targets(base, "all-linear")
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=paths, init_lora_weights="pissa")
    theirs = peft.get_peft_model(copy.deepcopy(base), config).eval()
    for path, layer in peftlab.adapter_layers(ours):
        other = theirs.base_model.model.get_submodule(path)
        product = other.lora_B["default"].weight @ other.lora_A["default"].weight
        torch.testing.assert_close(layer.B @ layer.A, product, rtol=1e-4, atol=1e-5)
    assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-5


def test_pissa_leaves_the_base_alone():
    model, ids = build("llama", torch.float64), token_ids()
    before = model(ids).logits
    peftlab.apply(model, PISSA)
    assert relative_error(model(ids).logits, before) < 1e-12
    check_only_the_adapter_trains(model)
    with peftlab.disabled(model):
        assert torch.equal(model(ids).logits, before)
    peftlab.remove(model)
    assert torch.equal(model(ids).logits, before)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_pissa_agrees_with_peft(family, dtype, tolerance):
    base, ours, theirs = twins(family, PISSA, dtype, randomise=False)
    add_noise(ours, theirs)
    check_logits_and_gradients(base, ours, theirs, tolerance)
    if dtype == torch.float64:
        check_five_steps(ours, theirs)


def add_noise(ours, theirs):
    from peftcourse.parity import twins_lora

    with torch.no_grad():
        for mine, other in twins_lora.pairs(ours, theirs):
            noise = 0.1 * torch.randn(mine.shape, generator=torch.Generator().manual_seed(4))
            mine.add_(noise)
            other.add_(noise)


@pytest.mark.parametrize("stabilized", [False, True])
def test_pissa_files_are_loras_of_twice_the_rank(stabilized, tmp_path):
    method = LoRAConfig(
        rank=3,
        alpha=6.0,
        init="pissa",
        rank_stabilized=stabilized,
        rank_pattern={"q_proj": 2},
        alpha_pattern={"v_proj": 4.0},
    )
    _, ours, theirs = twins("llama", method, randomise=False)
    add_noise(ours, theirs)
    ids = token_ids()
    peftlab.save(ours, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == 6
    # Into the original base, not into the residual that PEFT trained on.
    for loader in (peftlab.load, peft.PeftModel.from_pretrained):
        loaded = loader(build("llama", torch.float64), tmp_path).eval()
        assert relative_error(loaded(ids).logits, theirs(ids).logits) < 1e-10


@pytest.mark.filterwarnings("ignore:PiSSA changes the base weights:UserWarning")
def test_pissa_files_equal_those_that_peft_converts(tmp_path):
    """PEFT subtracts the initial adapter when it is told where that was saved."""
    torch.manual_seed(0)
    base, ids = build("llama"), token_ids()
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules="all-linear")
    config.init_lora_weights = "pissa"
    theirs = peft.get_peft_model(copy.deepcopy(base), config).eval()
    initial = tmp_path / "initial"
    theirs.peft_config["default"].init_lora_weights = True
    theirs.save_pretrained(initial)
    theirs.peft_config["default"].init_lora_weights = "pissa"
    ours = peftlab.apply(copy.deepcopy(base), PISSA)
    add_noise(ours, theirs)
    theirs.save_pretrained(
        tmp_path / "theirs", path_initial_model_for_weight_conversion=str(initial)
    )
    converted = peftlab.load(copy.deepcopy(base), tmp_path / "theirs")
    assert relative_error(converted(ids).logits, theirs(ids).logits) < 1e-5
    assert relative_error(ours(ids).logits, converted(ids).logits) < 1e-4


def test_a_pissa_file_that_peft_did_not_convert_is_refused(tmp_path):
    """It goes with PEFT's residual weights; on the plain base its logits would be wrong."""
    config = peft.LoraConfig(r=3, target_modules=["q_proj"], init_lora_weights="pissa")
    peft.get_peft_model(build("llama"), config).save_pretrained(tmp_path)
    with pytest.raises(PeftlabError, match="init_lora_weights='pissa', which changes the base"):
        peftlab.load(build("llama"), tmp_path)


@pytest.mark.parametrize("method", [PISSA, DoRAConfig(rank=3, init="pissa")])
def test_pissa_merges(method):
    model = peftlab.apply(build("gpt2", torch.float64), method)
    randomise_adapter(model)
    check_merging(model)


def test_pissa_needs_enough_singular_values():
    with pytest.raises(PeftlabError, match=r"rank of at most 4 for a layer of \(5, 4\), not 8"):
        peftlab.apply(nn.Sequential(nn.Linear(4, 5)), LoRAConfig(rank=8, init="pissa"))


# --- LoRA+ ---------------------------------------------------------------------------------------


def test_lora_plus_groups_agree_with_peft():
    from peft.optimizers import create_loraplus_optimizer

    _, ours, theirs = twins("llama", LoRAConfig(rank=4))
    groups = parameter_groups(ours, 1e-3, ratio=8)
    optimizers = [
        torch.optim.AdamW(groups, weight_decay=0.0),
        create_loraplus_optimizer(
            theirs, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=8, loraplus_weight_decay=0.0
        ),
    ]
    rates = [
        sorted({group["lr"] for group in o.param_groups if group["params"]}) for o in optimizers
    ]
    assert rates[0] == rates[1] == [1e-3, 8e-3]
    for model, optimizer in zip((ours, theirs), optimizers, strict=True):
        for _ in range(5):
            optimizer.zero_grad()
            model(token_ids()).logits.square().mean().backward()
            optimizer.step()
    assert relative_error(ours(token_ids()).logits, theirs(token_ids()).logits) < 1e-10


def test_lora_plus_covers_whatever_else_trains():
    model = peftlab.apply(build("bert"), DoRAConfig(rank=2), also_train="classifier")
    slow, fast = parameter_groups(model, 1e-3)
    layers = [layer for _, layer in peftlab.adapter_layers(model) if hasattr(layer, "magnitude")]
    assert {id(p) for p in fast["params"]} == {id(layer.B) for layer in layers}
    everything = [p for p in model.parameters() if p.requires_grad]
    assert len(slow["params"]) + len(fast["params"]) == len(everything)
    assert (fast["lr"], fast["lr_ratio"], slow["lr_ratio"]) == (0.016, 16.0, 1.0)


def test_lora_plus_in_the_training_loop_keeps_the_ratio():
    from peftcourse.experiments.train import TrainConfig, train

    model = peftlab.apply(build("llama"), LoRAConfig(rank=2, targets="q_proj"))
    example = {"input_ids": [5, 9, 13, 7], "labels": [5, 9, 13, 7]}
    moved = {}
    for ratio in (1, 50):
        copied = copy.deepcopy(model)
        train(
            copied,
            [example],
            TrainConfig(steps=1, batch_size=1, learning_rate=1e-4, warmup_fraction=0.0),
            groups=parameter_groups(copied, 1.0, ratio),
            progress=False,
        )
        # Adam's first step has the size of the learning rate.
        moved[ratio] = peftlab.adapter_layers(copied)[0][1].B.abs().max().item()
    assert moved[1] == pytest.approx(1e-4, rel=1e-2)
    assert moved[50] == pytest.approx(5e-3, rel=1e-2)
    groups = parameter_groups(model, 1.0)[:1]
    with pytest.raises(PeftlabError, match="each parameter that trains once"):
        train(model, [example], TrainConfig(steps=1), groups=groups, progress=False)


def test_lora_plus_misuse_is_named():
    model = peftlab.apply(build("llama"), LoRAConfig())
    with pytest.raises(PeftlabError, match="ratio must be positive, not 0"):
        parameter_groups(model, 1e-3, 0)
    peftlab.switch(model)
    with pytest.raises(PeftlabError, match="needs LoRA layers that train"):
        parameter_groups(model, 1e-3)


# --- parity and files ----------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("family", FAMILIES)
def test_rank_stabilised_lora_agrees_with_peft(family, dtype, tolerance):
    method = LoRAConfig(rank=4, alpha=6.0, rank_stabilized=True)
    base, ours, theirs = twins(family, method, dtype)
    check_logits_and_gradients(base, ours, theirs, tolerance)
    if dtype == torch.float64:
        check_five_steps(ours, theirs)


@pytest.mark.parametrize(
    "method",
    [
        PATTERNS,
        LoRAConfig(rank=4, alpha=6.5, rank_stabilized=True, targets=("q_proj", "down_proj")),
        LoRAConfig(rank=4, dropout=0.1, targets=r".*\.1\..*_proj", rank_pattern={"q_proj": 9}),
    ],
)
def test_files_are_exchanged_with_peft(method, tmp_path):
    base, ours, theirs = twins("llama", method)
    check_exchange("llama", ours, theirs, tmp_path)
    loaded = peftlab.adapter_layers(peftlab.load(base, tmp_path / "theirs"))
    mine = {path: (x.A.shape, x.scaling, x.method.dropout) for path, x in loaded}
    expected = peftlab.adapter_layers(ours)
    assert mine == {path: (x.A.shape, x.scaling, x.method.dropout) for path, x in expected}
