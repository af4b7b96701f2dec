import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.experiments import evaluate, models, tasks
from peftcourse.experiments.calibration import (
    Outcomes,
    calibration,
    label_probabilities,
    over_tokens,
)
from peftlab.errors import PeftlabError


@pytest.fixture(scope="module")
def tiny():
    return models.load("tiny", device="cpu")


def test_four_predictions_by_hand():
    probabilities = torch.tensor([[0.92, 0.08], [0.78, 0.22], [0.35, 0.65], [0.45, 0.55]])
    labels = torch.tensor([0, 1, 1, 0])  # right, wrong, right, wrong
    outcomes = Outcomes.of(probabilities, labels)
    assert outcomes.confidence.tolist() == pytest.approx([0.92, 0.78, 0.65, 0.55])
    assert outcomes.correct.tolist() == [1, 0, 1, 0]
    # (1 - 0.92)² + 0.08², (0 - 0.78)² + (1 - 0.22)², …
    errors = [0.0128, 1.2168, 0.245, 0.605]
    assert outcomes.squared_error.tolist() == pytest.approx(errors, abs=1e-6)

    found = calibration(outcomes, bins=2)
    assert found.count == 4 and found.accuracy == 0.5
    assert found.confidence == pytest.approx(0.725)
    assert found.ece == pytest.approx(0.225)  # one bin holds all: |0.5 - 0.725|
    assert found.brier == pytest.approx(sum(errors) / 4)
    assert found.bins.count == [0, 4]
    assert found.bins.accuracy == [None, 0.5]

    fine = calibration(outcomes, bins=10)
    assert fine.bins.count == [0, 0, 0, 0, 0, 1, 1, 1, 0, 1]
    assert fine.ece == pytest.approx((0.08 + 0.78 + 0.35 + 0.55) / 4, abs=1e-6)
    assert fine.as_json()["bins"]["low"][5] == pytest.approx(0.5)


def test_a_calibrated_forecast_has_no_error_and_the_brier_score_of_its_variance():
    # Eight of ten forecasts with p = 0.8 come true. Brier: 2 p (1 - p), as in Brier's equation 2.
    outcomes = Outcomes.of(
        torch.tensor([[0.8, 0.2]]).repeat(10, 1), torch.tensor([0] * 8 + [1] * 2)
    )
    found = calibration(outcomes)
    assert found.ece == pytest.approx(0, abs=1e-6)
    assert found.brier == pytest.approx(2 * 0.8 * 0.2)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40),
    st.integers(1, 15),
)
def test_the_ece_lies_between_the_mean_gap_and_one(pairs, bins):
    confidence = torch.tensor([c for c, _ in pairs], dtype=torch.float32)
    correct = torch.tensor([float(hit) for _, hit in pairs])
    outcomes = Outcomes(confidence, correct, torch.zeros(len(pairs)))
    found = calibration(outcomes, bins)
    gap = abs(found.accuracy - found.confidence)
    assert gap - 1e-6 <= found.ece <= 1 + 1e-6
    assert sum(found.bins.count) == len(pairs)
    if bins == 1:
        assert found.ece == pytest.approx(gap, abs=1e-6)
    for low, high, count, mean in zip(
        found.bins.low, found.bins.high, found.bins.count, found.bins.confidence, strict=True
    ):
        assert (mean is None) == (count == 0)
        assert mean is None or low - 1e-6 <= mean <= high + 1e-6


def test_nothing_has_no_calibration():
    with pytest.raises(PeftlabError, match="0 predictions"):
        calibration(Outcomes(torch.zeros(0), torch.zeros(0), torch.zeros(0)))


def test_over_tokens_agrees_with_the_loss_and_with_one_hot_vectors(tiny):
    examples = tasks.encode(tasks.stories("test")[:3], tiny.tokenizer, 24)
    loss, outcomes = over_tokens(tiny.model, examples, batch_size=2)
    assert loss == pytest.approx(evaluate.loss(tiny.model, examples), rel=1e-5)
    ids = torch.tensor([examples[0]["input_ids"]])
    with torch.no_grad():
        p = tiny.model(ids).logits[0, :-1].softmax(-1)
    y = torch.nn.functional.one_hot(ids[0, 1:], p.shape[1])
    count = len(p)
    assert outcomes.squared_error[:count].tolist() == pytest.approx(
        ((p - y) ** 2).sum(-1).tolist(), abs=1e-4
    )
    assert outcomes.correct[:count].tolist() == (p.argmax(-1) == ids[0, 1:]).float().tolist()
    with pytest.raises(PeftlabError, match="no target token"):
        over_tokens(tiny.model, [])


def test_label_probabilities_are_those_after_each_prompt(tiny):
    model, tokenizer = tiny
    labels = (" dog", " cat")
    prompts = ["Tom had a", "Once upon a time there was a little"]  # of different lengths
    found = label_probabilities(model, tokenizer, labels, [tasks.Example(p, "") for p in prompts])
    assert found.sum(dim=-1).tolist() == pytest.approx([1, 1])
    first = [tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in labels]
    for prompt, row in zip(prompts, found.tolist(), strict=True):
        ids = torch.tensor([tasks.prompt_ids(prompt, tokenizer)])
        with torch.no_grad():
            logits = model(ids).logits[0, -1, first]
        assert math.log(row[0] / row[1]) == pytest.approx((logits[0] - logits[1]).item(), abs=1e-4)


def test_labels_must_differ_at_once_and_examples_exist(tiny):
    with pytest.raises(PeftlabError, match="begin with the same token"):
        label_probabilities(*tiny, (" dog", " dog house"), [tasks.Example("A", "")])
    with pytest.raises(PeftlabError, match="no examples"):
        label_probabilities(*tiny, (" dog", " cat"), [])
