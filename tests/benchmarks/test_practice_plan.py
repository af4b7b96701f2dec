"""The grid of lesson 04: equal parameters, honest seeds, every cell tuned before it is tested."""

from itertools import product

import torch

import peftlab
from benchmarks import practice_plan as plan
from benchmarks import practice_smollm2 as larger
from peftcourse.experiments import models, results


def test_the_choices_of_targets_have_about_the_same_parameters():
    model = models.load("tiny", device="cpu", dtype=torch.float32).model
    counts = []
    for cell in plan.cells("targets")[: len(plan.TARGETS)]:
        peftlab.apply(model, plan.method(cell, 100), name="counted")
        counts.append(peftlab.trainable_report(model).trainable)
        peftlab.remove(model, "counted")
    assert max(counts) < 1.03 * min(counts)


def test_no_seed_both_chooses_and_reports():
    assert not set(plan.TUNING_SEEDS) & set(plan.TEST_SEEDS)
    tuning = plan.tuning_runs(plan.PARTS)
    assert len(set(tuning)) == len(tuning)
    assert {(run.split, run.seed in plan.TUNING_SEEDS) for run in tuning} == {("validation", True)}


def test_tests_take_the_rate_with_the_lowest_mean_and_failures_count():
    cell = plan.cells("pissa")[0]
    losses = {(1e-3, 100): 1.0, (1e-3, 101): 1.2, (2e-3, 100): 0.1, (2e-3, 101): None}
    tuned = [
        (plan.Run(cell, rate, seed, "validation"), {"loss": loss})
        for (rate, seed), loss in losses.items()
    ]
    tests = plan.test_runs(("pissa",), tuned)
    assert {run.rate for run in tests} == {1e-3}
    assert [run.seed for run in tests] == list(plan.TEST_SEEDS)


def test_the_recorded_grid_is_the_planned_one():
    runs = results.recorded("practice_grid")["numbers"]["runs"]
    planned = plan.tuning_runs(plan.PARTS)
    rows = {(r["part"], r["task"], r["variant"], r["rank"], r["examples"], r["rate"], r["seed"])
            for r in runs if r["split"] == "validation"}  # fmt: skip
    assert rows == {
        (c.part, c.task, c.variant, c.rank, c.examples, run.rate, run.seed)
        for run in planned
        for c in (run.cell,)
    }
    cells = [cell for part in plan.PARTS for cell in plan.cells(part)]
    assert sum(r["split"] == "test" for r in runs) == len(cells) * len(plan.TEST_SEEDS)


def test_the_larger_models_record_is_the_planned_one():
    runs = results.recorded("practice_smollm2")["numbers"]["runs"]
    tuned = {(r["rank"], r["rate"]): r for r in runs if r["split"] == "validation"}
    assert set(tuned) == set(product(larger.RANKS, larger.RATES))
    assert {r["seed"] for r in tuned.values()} == {larger.TUNING_SEED}
    assert larger.TUNING_SEED not in larger.TEST_SEEDS
    assert len(runs) == len(tuned) + len(larger.RANKS) * len(larger.TEST_SEEDS)
    for rank in larger.RANKS:
        best = min(larger.RATES, key=lambda rate, r=rank: tuned[r, rate]["loss"])
        assert min(larger.RATES) < best < max(larger.RATES)
        tested = [r for r in runs if r["split"] == "test" and r["rank"] == rank]
        assert {r["rate"] for r in tested} == {best}
        assert sorted(r["seed"] for r in tested) == list(larger.TEST_SEEDS)
