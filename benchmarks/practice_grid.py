"""LoRA in practice: quality by rank, learning rate, targets, scaling, ratio, start and data size.

    python -m benchmarks.practice_grid --workers 56

Trains the bundled model about 1,200 times; ``practice_plan`` says on what. Every learning rate is
chosen on the validation split with seeds of its own; what is reported is measured on the test split
with five others. A seed decides the data, their order and where the adapter starts.

On GPUs many processes train at once, spread over all GPUs, since a single one would wait for
kernel launches most of the time. Every finished run goes into a journal; started again, the
command leaves out what is in it. ``--parts`` takes some parts only, ``--quick`` a few runs of four
steps, to show that it works: its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.pool
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

import peftlab
from benchmarks import practice_plan as plan
from peftcourse.experiments import evaluate, models, rank_cases, results, tasks, train
from peftlab import PeftlabError
from peftlab.methods.adalora import RankAllocator
from peftlab.methods.lora_plus import parameter_groups

COMMAND = "python -m benchmarks.practice_grid --workers 56"
WHAT = (
    "Loss (nats per target token) of the bundled model after fine-tuning: LoRA by rank and "
    "learning rate, by target modules at equal parameters, with alpha/r and alpha/√r at alpha 16, "
    "by the ratio of the rates of B and A; PiSSA; AdaLoRA and its final ranks; rank by number of "
    "examples in three cases. Rates chosen on the validation split with seeds of their own, "
    "test losses with five others"
)
SCORED = ("facts", "slots")
NEW_TOKENS = {"facts": 12, "slots": 64}


# --- one run -----------------------------------------------------------------------------------


def start_worker(counter: Any) -> None:
    """Give each worker one core and, in turn, one of the GPUs."""
    torch.set_num_threads(1)
    with counter.get_lock():
        index = counter.value
        counter.value += 1
    if torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())


@cache
def _tokenizer() -> Any:
    return models.load("tiny", device="cpu").tokenizer


@cache
def _examples(task: str, seed: int) -> dict[str, list[tasks.Example]]:
    sizes = plan.RECIPES[task].examples
    if task in rank_cases.CASES:
        return rank_cases.load(task, seed=seed, sizes=sizes)
    loaded = tasks.load(task, seed=seed, sizes=sizes)
    return {split: getattr(loaded, split) for split in ("train", "validation", "test")}


@cache
def encoded(task: str, seed: int, split: str) -> list[tasks.Encoded]:
    return tasks.encode(_examples(task, seed)[split], _tokenizer(), plan.RECIPES[task].max_length)


def measure(run: plan.Run, quick: bool = False) -> dict[str, Any]:
    """Train once and measure; a run that diverges has no loss."""
    cell, recipe = run.cell, plan.RECIPES[run.cell.task]
    recipe = replace(recipe, steps=4, batch_size=2) if quick else recipe
    steps, shown = recipe.steps, 2 if quick else None
    model, tokenizer = models.load("tiny", dtype=torch.float32)
    torch.manual_seed(run.seed)
    method = plan.method(cell, steps)
    if method is None:
        model.requires_grad_(True)
    else:
        peftlab.apply(model, method)
    record: dict[str, Any] = {"trainable": peftlab.trainable_report(model).trainable}
    options: dict[str, Any] = {}
    if cell.part == "ratio":
        options["groups"] = parameter_groups(model, run.rate, float(cell.variant))
    if cell.part == "adalora":
        allocator = RankAllocator(model)
        options |= {"on_step": allocator, "penalty": allocator.penalty}
    every = 0
    if run.split == "test" and cell.rank == 8 and cell.part in ("rank", "pissa"):
        options["validation"] = encoded(cell.task, run.seed, "validation")[: shown or 48]
        every = max(1, steps // 10)
    config = train.TrainConfig(
        steps, recipe.batch_size, run.rate, seed=run.seed, evaluate_every=every
    )
    data = encoded(cell.task, run.seed, "train")[: cell.examples]
    try:
        history = train.train(model, data, config, progress=False, **options)
    except PeftlabError as error:
        return record | {"loss": None, "problem": str(error)}
    record["seconds"] = round(history.seconds, 2)
    record["loss"] = evaluate.loss(model, encoded(cell.task, run.seed, run.split)[:shown])
    if cell.part in ("cases", "rank"):
        record["train_loss"] = evaluate.loss(model, data[: shown or 96])
    if every:
        record["curve"] = history.validation
    if cell.part == "scaling":
        record["update_norm"] = update_norm(model)
    if cell.part == "adalora":
        record["ranks"] = {path: int(a.kept.sum()) for path, a in allocator.layers.items()}
    if run.split == "test" and cell.part == "rank" and cell.task in SCORED:
        record["score"] = evaluate.task_score(
            model,
            tokenizer,
            tasks.load(cell.task, seed=run.seed, sizes=recipe.examples),
            _examples(cell.task, run.seed)["test"][:shown],
            max_new_tokens=NEW_TOKENS[cell.task],
            batch_size=160,
        )
    return record


@torch.no_grad()
def update_norm(model: torch.nn.Module) -> float:
    """Mean Frobenius norm of the adapters' updates of the weights."""
    norms = [layer.delta_weight().norm() for _, layer in peftlab.adapter_layers(model)]
    return torch.stack(norms).mean().item()


# --- all runs ----------------------------------------------------------------------------------


def as_row(run: plan.Run) -> dict[str, Any]:
    """The run's own values in one flat dictionary, which also identifies it in the journal."""
    return asdict(run.cell) | {"rate": run.rate, "seed": run.seed, "split": run.split}


def measure_all(
    pool: multiprocessing.pool.Pool, runs: Sequence[plan.Run], journal: Path, quick: bool
) -> list[tuple[plan.Run, dict[str, Any]]]:
    """Measure what the journal does not hold yet; returns everything, in the order of ``runs``."""
    done = {}
    if journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            done[json.dumps(entry["run"])] = entry["record"]
    missing = [run for run in runs if json.dumps(as_row(run)) not in done]
    # The longest first, so that no worker is left with one at the end.
    missing.sort(key=lambda run: -plan.RECIPES[run.cell.task].steps)
    started = time.perf_counter()
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as stream:
        finished = pool.imap_unordered(
            _numbered, [(i, run, quick) for i, run in enumerate(missing)]
        )
        for count, (index, record) in enumerate(finished, start=1):
            row = as_row(missing[index])
            done[json.dumps(row)] = record
            stream.write(json.dumps({"run": row, "record": record}) + "\n")
            stream.flush()
            if count % 20 == 0 or count == len(missing):
                seconds = time.perf_counter() - started
                print(f"{count}/{len(missing)} after {seconds:.0f} s", flush=True)
    return [(run, done[json.dumps(as_row(run))]) for run in runs]


def _numbered(job: tuple[int, plan.Run, bool]) -> tuple[int, dict[str, Any]]:
    index, run, quick = job
    return index, measure(run, quick)


def main(arguments: list[str] | None = None) -> None:
    """Run all parts and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/practice_grid.json")
    parser.add_argument("--journal", default="build/practice_grid.jsonl")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at once")
    parser.add_argument("--parts", nargs="+", choices=plan.PARTS, default=list(plan.PARTS))
    parser.add_argument("--quick", action="store_true", help="a few runs of four steps")
    options = parser.parse_args(arguments)
    journal = Path(options.journal)
    if options.quick:
        journal = journal.with_name("quick-" + journal.name)

    # "spawn": a forked process cannot use the parent's CUDA.
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers, start_worker, (context.Value("i", 0),)) as pool:
        tuning = plan.tuning_runs(options.parts)
        if options.quick:  # the last of each kind
            tuning = list({(r.cell.part, r.cell.variant): r for r in tuning}.values())
        tuned = measure_all(pool, tuning, journal, options.quick)
        tests = plan.test_runs(options.parts, tuned)
        if options.quick:
            tests = [run for run in tests if run.seed == 0]
        tested = measure_all(pool, tests, journal, options.quick)
    results.write(
        options.out,
        what=WHAT,
        command=COMMAND,
        seeds=(*plan.TUNING_SEEDS, *plan.TEST_SEEDS),
        numbers={
            "recipes": {name: asdict(recipe) for name, recipe in plan.RECIPES.items()},
            "runs": [as_row(run) | record for run, record in tuned + tested],
        },
    )


if __name__ == "__main__":
    main()
