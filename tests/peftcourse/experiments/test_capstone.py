"""Shipping an adapter, and the temperature: measured, saved, checked, and written down."""

from __future__ import annotations

import sys
from importlib.resources import files

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import build

import peftlab
from peftcourse.experiments import capstone, models, own_data, temperature
from peftcourse.experiments.statistics import t_interval
from peftlab.errors import PeftlabError
from peftlab.methods.pissa import PiSSADoRAConfig
from peftlab.peft_format import registry


@pytest.fixture
def loaded():
    return models.load("tiny", device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def data():
    return own_data.read_jsonl(files("peftcourse").joinpath("data/capstone_example.jsonl"))


def test_what_is_shipped_is_what_was_measured(loaded, data, tmp_path):
    model, tokenizer = loaded
    torch.manual_seed(0)
    peftlab.apply(model, peftlab.LoRAConfig(rank=2, alpha=4), name="mine")
    for _, layer in peftlab.adapter_layers(model):
        torch.nn.init.normal_(layer.B, std=0.02)
    shipped = capstone.ship(model, tokenizer, data, tmp_path / "out")
    assert shipped.merges and abs(shipped.adapted.loss.mean - shipped.base.loss.mean) > 0.01
    assert shipped.trainable == peftlab.trainable_report(model).trainable
    assert shipped.base.exact.count == len(data.task.test)
    assert not any(layer.merged for _, layer in peftlab.adapter_layers(model))
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert text == shipped.as_markdown()
    assert f"{shipped.adapted.loss.mean:.2f} [" in text and "after merging: unchanged" in text
    fresh = models.load("tiny", device="cpu", dtype=torch.float32).model
    peftlab.load(fresh, tmp_path / "out")
    ids = torch.tensor([[0, 5, 9]])
    assert torch.allclose(fresh(ids).logits, model(ids).logits, atol=1e-5)


# Every method that can be saved: whether PEFT has it, and what merging says.
METHODS = {
    "lora": (peftlab.LoRAConfig(rank=2), True, "unchanged"),
    "rslora": (peftlab.LoRAConfig(rank=4, rank_stabilized=True), True, "unchanged"),
    "pissa": (peftlab.PiSSAConfig(rank=2), True, "unchanged"),
    "dora": (peftlab.DoRAConfig(rank=2), True, "unchanged"),
    "pissa-dora": (PiSSADoRAConfig(rank=2), True, "unchanged"),
    "adalora": (
        peftlab.AdaLoRAConfig(
            total_steps=9, rank=4, target_rank=2, warmup_steps=1, final_steps=2, every=1
        ),
        True,
        "unchanged",
    ),
    "ia3": (peftlab.IA3Config(), True, "unchanged"),
    "prefix": (
        peftlab.PrefixConfig(3, mlp_size=8),
        True,
        "none, 'mine' cannot be merged: its keys",
    ),
    "prompt": (peftlab.PromptConfig(3), True, "none, 'mine' cannot be merged: soft tokens"),
    "bottleneck": (
        peftlab.BottleneckConfig(size=4),
        False,
        "none, 'mine' cannot be merged: its activation",
    ),
    "partial": (peftlab.PartialConfig(("last-block", "norm")), False, "unchanged"),
    "head": (peftlab.PartialConfig("head"), False, "none, the base weight of 'lm_head' is tied"),
    "subspace": (peftlab.SubspaceConfig(4), False, "unchanged"),
}


def trained(model, method, name="mine"):
    """The model with an adapter that does something."""
    torch.manual_seed(0)
    peftlab.apply(model, method, name=name)
    with torch.no_grad():
        for _, layer in peftlab.adapter_layers(model, name):
            for parameter in layer.adapter_parameters().values():
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def checked(model, encoded, folder, name="mine"):
    loss = capstone.t_interval([capstone.evaluate.loss(model, [e]) for e in encoded])
    adapted = capstone.Measured(loss, None, None)
    return capstone._checks(model, name, peftlab.save(model, folder, name), encoded, adapted)


@pytest.fixture(scope="module")
def few(data):
    tokenizer = models.load("tiny", device="cpu").tokenizer
    return capstone.tasks.encode(data.task.test[:2], tokenizer, 64)


def test_every_method_that_can_be_saved_is_tried():
    apart = {peftlab.BitFitConfig, peftlab.FusionConfig}  # below
    assert {type(method) for method, _, _ in METHODS.values()} | apart == set(registry._BY_CONFIG)


@pytest.mark.parametrize("four_bit", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_what_is_saved_is_the_same_here_in_peft_and_merged(loaded, few, tmp_path, name, four_bit):
    method, in_peft, merging = METHODS[name]
    model, _ = loaded
    if four_bit and name not in ("lora", "dora", "prompt"):
        return  # what differs on a 4-bit base is how the weight is read and merged
    if four_bit:
        peftlab.quantize_model(model)
    trained(model, method)
    before = capstone._logits(model, few)
    loss, checks = checked(model, few, tmp_path)
    told = {check.what: check for check in checks}
    assert told["Loaded again"].ok
    assert told["Loaded with Hugging Face PEFT"].ok == (True if in_peft else None)
    if not in_peft:
        assert "PEFT does not have the method" in told["Loaded with Hugging Face PEFT"].told
    merged = told["Test loss after merging"]
    assert merged.told.startswith(merging)
    assert (loss is None) == (merged.ok is None) == merging.startswith("none")
    # The model itself is as it was: switched on, unmerged, in 4 bit if it was.
    assert all(map(torch.equal, before, capstone._logits(model, few)))
    assert peftlab.adapters(model) == ["mine"]


def test_a_bias_adapter_and_a_fusion_ship_too(tmp_path):
    model = build("gpt2")
    encoded = [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}]
    trained(model, peftlab.BitFitConfig())
    _, checks = checked(model, encoded, tmp_path / "bitfit")
    assert [check.ok for check in checks] == [True, None, True]
    peftlab.remove(model)
    for name in ("a", "b"):
        trained(model, peftlab.BottleneckConfig(size=2), name)
    trained(model, peftlab.FusionConfig(("a", "b")), "both")
    loss, checks = checked(model, encoded, tmp_path / "both", "both")
    assert [check.ok for check in checks] == [True, None, None] and loss is None
    assert "how much of each adapter it takes" in checks[2].told


def test_a_file_that_is_not_what_was_measured_is_told(loaded, few, tmp_path):
    model, _ = loaded
    trained(model, peftlab.LoRAConfig(rank=2))
    peftlab.save(model, tmp_path, "mine")
    with torch.no_grad():
        next(iter(peftlab.adapter_layers(model)))[1].B.add_(1.0)
    _, checks = capstone._checks(
        model, "mine", tmp_path, few, capstone.Measured(t_interval([0.0, 0.1]), None, None)
    )
    assert [check.ok for check in checks] == [False, False, False]
    assert [check.told.split()[0] for check in checks] == ["OTHER", "OTHER", "CHANGED"]


def test_without_peft_it_says_that_this_was_not_tried(loaded, few, tmp_path, monkeypatch):
    model, _ = loaded
    trained(model, peftlab.LoRAConfig(rank=2))
    monkeypatch.setitem(sys.modules, "peft", None)
    _, (_, check, _) = checked(model, few, tmp_path)
    assert check.ok is None and "the package peft is not installed" in check.told


def test_a_model_with_no_adapter_or_two_is_refused(loaded, data, tmp_path):
    model, tokenizer = loaded
    with pytest.raises(PeftlabError, match="the model has 0"):
        capstone.ship(model, tokenizer, data, tmp_path)


@given(st.integers(1, 500), st.data())
@settings(max_examples=100, deadline=None)
def test_wilsons_interval_holds_the_share_and_stays_between_0_and_1(count, drawn):
    hits = drawn.draw(st.integers(0, count))
    found = capstone.wilson(hits / count, count)
    assert -1e-12 <= found.low <= found.mean + 1e-12 and found.mean - 1e-12 <= found.high <= 1
    assert found.high - found.low > 0


def test_wilsons_interval_is_the_published_one():
    found = capstone.wilson(0.8, 10)  # 8 of 10, as R's prop.test without correction has it
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


@given(st.integers(0, 99), st.floats(0.3, 4))
@settings(max_examples=30, deadline=None)
def test_the_temperature_has_the_lowest_loss(seed, scale):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(200, 4, generator=rng, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]

    def loss(T):
        return torch.nn.functional.cross_entropy(scale * logits / T, labels).item()

    fitted = temperature.fit(scale * logits, labels)
    assert loss(fitted) <= min(loss(fitted * 1.05), loss(fitted / 1.05)) + 1e-9
    # Logarithms of probabilities are logits up to what softmax ignores.
    assert temperature.fit((scale * logits).log_softmax(1), labels) == pytest.approx(fitted)


def test_a_temperature_needs_predictions():
    with pytest.raises(PeftlabError, match="give at least one"):
        temperature.fit(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
