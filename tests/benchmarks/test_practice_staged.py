"""What trains in stages: variants do what they are called, and no seed chooses and reports."""

import pytest
import torch

import peftlab
from benchmarks import practice_plan as plan
from benchmarks import practice_staged as staged
from peftcourse.experiments import depth, models, results


def record(variant, rate, loss):
    return {"part": "targets", "task": "voice", "variant": variant, "rate": rate, "loss": loss}


def test_the_rate_with_the_lowest_loss_is_tested_and_a_diverged_run_is_not():
    tuned = [record("q, v", 1e-3, 2.0), record("q, v", 3e-3, 1.0), record("q, v", 1e-2, None)]
    tests = list(staged.test_runs(tuned))
    assert {run.rate for run in tests} == {3e-3}
    assert [run.seed for run in tests] == list(plan.TEST_SEEDS)
    assert staged.TUNING_SEED not in plan.TEST_SEEDS


def test_the_stages_end_with_the_whole_model_and_the_targets_grow():
    model = models.load("tiny", device="cpu", dtype=torch.float32).model
    everything = len(depth.levels(model))
    for name, variant in staged.DEPTH.items():
        if isinstance(variant, staged.Careful):
            assert list(variant.stages) == sorted(variant.stages)
            assert (variant.stages[-1] == everything) is (name != "two upper blocks")
    counts = []
    for method in staged.TARGETS.values():
        peftlab.apply(model, method, name="counted")
        counts.append(peftlab.trainable_report(model).trainable)
        peftlab.remove(model, "counted")
    assert counts == sorted(set(counts))


@pytest.mark.parametrize("part", staged.PARTS)
def test_the_record_is_the_planned_one(part):
    runs = [
        run for run in results.recorded("practice_staged")["numbers"]["runs"] if run["part"] == part
    ]
    tuned = [run for run in runs if run["split"] == "validation"]
    keys = ("part", "task", "variant", "rate", "seed", "split")
    assert [staged.Run(*(run[key] for key in keys)) for run in tuned] == staged.tuning_runs(part)
    tested = [staged.Run(*(run[key] for key in keys)) for run in runs if run["split"] == "test"]
    assert tested == list(staged.test_runs(tuned))
