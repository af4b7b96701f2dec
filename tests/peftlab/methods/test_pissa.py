"""PiSSA's start, for LoRA and for DoRA, against Hugging Face PEFT's."""

import copy
import json

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lowrank import (
    TOLERANCES,
    check_five_steps,
    check_logits_and_gradients,
    check_merging,
    check_only_the_adapter_trains,
    twins,
)
from small_models import build, randomise_adapter, relative_error, token_ids
from torch import nn

import peftlab
from peftlab import PeftlabError, PiSSAConfig
from peftlab.methods.pissa import PiSSADoRAConfig, PiSSALinear

PISSA = PiSSAConfig(rank=3, alpha=6.0)


@settings(deadline=None)
@given(d_in=st.integers(1, 12), d_out=st.integers(1, 12), data=st.data(), alpha=st.floats(0.5, 32))
def test_pissa_starts_at_the_best_approximation_of_the_weight(d_in, d_out, data, alpha):
    rank = data.draw(st.integers(1, min(d_in, d_out)))
    base = nn.Linear(d_in, d_out, dtype=torch.float64)
    layer = PiSSALinear(base, PiSSAConfig(rank, alpha))
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
    method = PiSSAConfig(
        rank=3,
        alpha=6.0,
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


@pytest.mark.parametrize("method", [PISSA, PiSSADoRAConfig(rank=3)])
def test_pissa_merges(method):
    model = peftlab.apply(build("gpt2", torch.float64), method)
    randomise_adapter(model)
    check_merging(model)


def test_pissa_needs_enough_singular_values():
    with pytest.raises(PeftlabError, match=r"rank of at most 4 for a layer of \(5, 4\), not 8"):
        peftlab.apply(nn.Sequential(nn.Linear(4, 5)), PiSSAConfig(rank=8))
