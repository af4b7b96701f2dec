"""Ranks 8 to 256 on a real model: SmolLM2-135M-Instruct reads openings of stories into JSON.

    python -m benchmarks.practice_smollm2 --workers 15

LoRA on all linear layers with alpha = 2r, 100 steps of 8 examples. Rates are chosen on the
validation split with a seed of their own; five others are measured on the test split. Needs
SmolLM2 on this machine (`peftcourse.experiments.models` fetches it) and, to be done in minutes, a
GPU. ``--quick`` runs two of the trainings for two steps, to show that it works.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
from itertools import product
from typing import Any

import torch

import peftlab
from benchmarks.practice_grid import start_worker
from peftcourse.experiments import evaluate, models, results, tasks, train
from peftlab import LoRAConfig, PeftlabError

COMMAND = "python -m benchmarks.practice_smollm2 --workers 15"
WHAT = (
    "Loss (nats per target token) and exact match of SmolLM2-135M-Instruct on the slots task "
    "after 100 steps of 8 examples of LoRA on all linear layers with alpha = 2r, by rank; rates "
    "chosen on the validation split with a seed of their own"
)
RANKS = (8, 64, 128, 256)
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
TUNING_SEED = 100
TEST_SEEDS = (0, 1, 2, 3, 4)
STEPS, BATCH_SIZE, MAX_LENGTH = 100, 8, 160
SIZES = (800, 64, 128)


def measure(job: tuple[int, float, int, str, bool]) -> dict[str, Any]:
    """Train one adapter and measure it; a run that diverges has no loss."""
    rank, rate, seed, split, quick = job
    model, tokenizer = models.load("smollm2", dtype=torch.float32)
    task = tasks.load("slots", seed=seed, sizes=SIZES)
    data = tasks.encode(task.train, tokenizer, MAX_LENGTH)
    held_out = getattr(task, split)[: 2 if quick else None]
    torch.manual_seed(seed)
    peftlab.apply(model, LoRAConfig(rank=rank, alpha=2 * rank))
    record: dict[str, Any] = {
        "rank": rank,
        "rate": rate,
        "seed": seed,
        "split": split,
        "trainable": peftlab.trainable_report(model).trainable,
    }
    size = 1 if quick else BATCH_SIZE
    config = train.TrainConfig(2 if quick else STEPS, size, rate, seed=seed)
    try:
        history = train.train(model, data, config, progress=False)
    except PeftlabError as error:
        return record | {"loss": None, "problem": str(error)}
    record["seconds"] = round(history.seconds, 2)
    record["loss"] = evaluate.loss(model, tasks.encode(held_out, tokenizer, MAX_LENGTH))
    if split == "test":
        record["score"] = evaluate.task_score(
            model, tokenizer, task, held_out, max_new_tokens=4 if quick else 64, batch_size=64
        )
    return record


def main(arguments: list[str] | None = None) -> None:
    """Choose a rate for each rank, measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/practice_smollm2.json")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at once")
    parser.add_argument("--quick", action="store_true", help="two runs of two steps")
    options = parser.parse_args(arguments)
    quick = options.quick
    ranks, rates, seeds = (RANKS[:1], RATES[:1], (0,)) if quick else (RANKS, RATES, TEST_SEEDS)

    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers, start_worker, (context.Value("i", 0),)) as pool:
        jobs = [
            (rank, rate, TUNING_SEED, "validation", quick) for rank, rate in product(ranks, rates)
        ]
        tuned = pool.map(measure, jobs, chunksize=1)

        def validation_loss(rank: int, rate: float) -> float:
            loss = next(r["loss"] for r in tuned if (r["rank"], r["rate"]) == (rank, rate))
            return math.inf if loss is None else loss

        best = {
            rank: min(rates, key=lambda rate, r=rank: validation_loss(r, rate)) for rank in ranks
        }
        jobs = [(rank, best[rank], seed, "test", quick) for rank, seed in product(ranks, seeds)]
        tested = pool.map(measure, jobs, chunksize=1)
    for record in tuned + tested:
        print(record)
    results.write(
        options.out,
        what=WHAT,
        command=COMMAND,
        seeds=(TUNING_SEED, *seeds),
        numbers={"steps": STEPS, "batch_size": BATCH_SIZE, "runs": tuned + tested},
    )


if __name__ == "__main__":
    main()
