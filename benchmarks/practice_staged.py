"""What trains, in stages: layers by depth, and target modules one group after another.

    python -m benchmarks.practice_staged --workers 14

``depth``: full fine-tuning of the bundled model as it is, with rates that fall from layer to layer,
with layers that are unfrozen from the top, and with both (ULMFiT), beside the upper layers alone
and LoRA. ``targets``: LoRA of rank 8 on queries and values, then on all of attention, then on all
linear layers. Tasks and recipes are those of ``practice_grid``. A rate is chosen for each on the
validation split with a seed of its own; five others are measured on the test split.

``--quick`` is one run of four steps for each variant and split, to show that it works: its numbers
mean nothing.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import multiprocessing.pool
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import torch

import peftlab
from benchmarks import practice_grid as grid
from benchmarks import practice_plan as plan
from peftcourse.experiments import depth, evaluate, models, results, tasks, train
from peftlab import LoRAConfig, PeftlabError

COMMAND = "python -m benchmarks.practice_staged --workers 14"
WHAT = (
    "Loss (nats per target token) of the bundled model on the test split, and how much its loss on "
    "plain stories grew: full fine-tuning by depth (rates that fall from layer to layer, gradual "
    "unfreezing, both), and LoRA of rank 8 on three groups of target modules; rates chosen on the "
    "validation split with a seed of their own"
)
TUNING_SEED = 100
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
STORIES, STORY_LENGTH = 48, 96


@dataclass(frozen=True)
class Careful:
    """Full fine-tuning by depth: how many levels train in each stage, and the factor of the rates.

    The bundled model has ten levels: last norm, eight blocks, and the embedding with the head.
    """

    stages: tuple[int, ...] = (10,)
    factor: float = 1.0


FROM_THE_TOP = (3, 5, 7, 10)
ULMFIT = 2.6  # the factor of Howard and Ruder (2018), §3.2
DEPTH: dict[str, Careful | LoRAConfig] = {
    "all layers": Careful(),
    "rates ÷ 1.3 a layer": Careful(factor=1.3),
    "rates ÷ 2.6 a layer": Careful(factor=ULMFIT),
    "unfrozen from the top": Careful(FROM_THE_TOP),
    "unfrozen, rates ÷ 2.6": Careful(FROM_THE_TOP, ULMFIT),
    "two upper blocks": Careful((3,)),
    "LoRA, r = 8": LoRAConfig(8, 16),
}
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
TARGETS = {
    "q, v": LoRAConfig(8, 16, targets=("q_proj", "v_proj")),
    "attention": LoRAConfig(8, 16, targets=ATTENTION),
    "all linear": LoRAConfig(8, 16),
}
PARTS: dict[str, tuple[tuple[str, ...], dict[str, Careful | LoRAConfig]]] = {
    "depth": (("voice", "slots"), DEPTH),
    "targets": (plan.TASKS, TARGETS),
}


@dataclass(frozen=True)
class Run:
    """One training."""

    part: str
    task: str
    variant: str
    rate: float
    seed: int
    split: str


def tuning_runs(part: str) -> list[Run]:
    """What is trained to choose the rates of a part."""
    chosen, variants = PARTS[part]
    return [
        Run(part, task, name, rate, TUNING_SEED, "validation")
        for task, name, rate in product(chosen, variants, RATES)
    ]


def test_runs(tuned: list[dict[str, Any]]) -> Iterator[Run]:
    """What is reported: each variant at the rate with the lowest validation loss."""
    best: dict[tuple[str, str, str], dict[str, Any]] = {}
    for record in tuned:
        key = record["part"], record["task"], record["variant"]
        if key not in best or _loss(record) < _loss(best[key]):
            best[key] = record
    for key, record in best.items():
        for seed in plan.TEST_SEEDS:
            yield Run(*key, record["rate"], seed, "test")


def _loss(record: dict[str, Any]) -> float:
    return math.inf if record["loss"] is None else record["loss"]


def measure(job: tuple[Run, bool]) -> dict[str, Any]:
    """Train once and measure; a run that diverges has no loss."""
    run, quick = job
    recipe, variant = plan.RECIPES[run.task], PARTS[run.part][1][run.variant]
    recipe = replace(recipe, steps=4, batch_size=2) if quick else recipe
    shown = 2 if quick else None
    model, tokenizer = models.load("tiny", dtype=torch.float32)
    stories = tasks.encode(tasks.stories("test")[:STORIES], tokenizer, STORY_LENGTH)[:shown]
    before = evaluate.loss(model, stories)
    torch.manual_seed(run.seed)
    data = grid.encoded(run.task, run.seed, "train")
    config = train.TrainConfig(recipe.steps, recipe.batch_size, run.rate, seed=run.seed)
    record = asdict(run)
    try:
        if isinstance(variant, Careful):
            depth.train_gradually(model, data, config, variant.stages, variant.factor)
        else:
            peftlab.apply(model, variant)
            train.train(model, data, config, progress=False)
    except PeftlabError as error:
        return record | {"loss": None, "problem": str(error)}
    record["trainable"] = peftlab.trainable_report(model).trainable
    record["loss"] = evaluate.loss(model, grid.encoded(run.task, run.seed, run.split)[:shown])
    record["forgetting"] = evaluate.loss(model, stories) - before
    return record


def measure_all(pool: multiprocessing.pool.Pool, jobs: list[tuple[Run, bool]]) -> list[dict]:
    """Measure in parallel; the records come in the order of the jobs."""
    records = []
    for record in pool.imap(measure, jobs):
        records.append(record)
        print(f"{len(records)}/{len(jobs)} {record}", flush=True)
    return records


def main(arguments: list[str] | None = None) -> None:
    """Choose the rates, measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/practice_staged.json")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at once")
    parser.add_argument("--quick", action="store_true", help="short runs, one of each kind")
    options = parser.parse_args(arguments)
    quick = options.quick

    # "spawn": a forked process cannot use the parent's CUDA.
    context = multiprocessing.get_context("spawn")
    runs = []
    with context.Pool(options.workers, grid.start_worker, (context.Value("i", 0),)) as pool:
        for part in PARTS:
            tuning = tuning_runs(part)
            if quick:
                tuning = list({(run.part, run.variant): run for run in tuning}.values())
            tuned = measure_all(pool, [(run, quick) for run in tuning])
            tests = [run for run in test_runs(tuned) if not quick or run.seed == 0]
            runs += tuned + measure_all(pool, [(run, quick) for run in tests])
            results.write(
                options.out,
                what=WHAT,
                command=COMMAND,
                seeds=(TUNING_SEED, *plan.TEST_SEEDS),
                numbers={"factor": ULMFIT, "runs": runs},
            )


if __name__ == "__main__":
    main()
