"""Learning against forgetting: which rate is taken, and what each method trains."""

import pytest
import torch

import peftlab
from benchmarks import evaluate_forgetting as benchmark
from peftcourse.experiments import models


def record(method, rate, *losses):
    curve = [{"step": step, "target": loss} for step, loss in enumerate(losses)]
    return {"method": method, "rate": rate, "curve": curve or None}


def test_the_rate_with_the_lowest_point_is_taken_and_a_diverged_run_is_not():
    records = [
        record("full", 1e-4, 5.0, 2.0, 1.9),
        record("full", 1e-3, 5.0, 1.5, 2.5),
        record("full", 1e-2),
        record("lora-8", 2e-3, 5.0, 3.0),
    ]
    assert benchmark.best_rates(records) == {"full": 1e-3, "lora-8": 2e-3}


@pytest.mark.parametrize(
    ("method", "trained"), [("full", 6_951_168), ("lora-8", 299_008), ("head", 4096 * 256)]
)
def test_a_method_trains_what_it_is_called(method, trained):
    model = models.load("tiny", device="cpu", dtype=torch.float32).model
    benchmark.adapt(model, method)
    assert peftlab.trainable_report(model).trainable == trained
