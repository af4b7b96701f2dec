"""Shipping an adapter, and the temperature: measured, saved, checked, and written down."""

from __future__ import annotations

from importlib.resources import files

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import peftlab
from peftcourse.experiments import capstone, models, own_data, temperature
from peftlab.errors import PeftlabError


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
