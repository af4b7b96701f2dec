"""Do the tasks tell methods apart? Full fine-tuning against LoRA of rank 1 and 8, on all three.

    python -m benchmarks.lora_separation

For each task and method the learning rate is chosen first, on the validation split and with seeds
of its own. With that rate the model is then trained once for each of the test seeds and measured on
the test split. A seed decides the data (which stories, which invented world), their order and
LoRA's starting values. Full fine-tuning and rank-1 LoRA count as separated where their means differ
by more than two standard errors of the difference.

On a GPU several processes train at once, since a single one would wait for kernel launches most
of the time. ``--quick`` runs everything once, small, to show that it works; its numbers mean
nothing and are not kept.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing.pool
import statistics
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

import peftlab
from peftcourse.experiments import evaluate, models, results, tasks, train

COMMAND = "python -m benchmarks.lora_separation"
TUNING_SEEDS = (100, 101)
TEST_SEEDS = (0, 1, 2, 3, 4)

# Method → the learning rates to choose from. LoRA's best is several times full fine-tuning's.
RATES = {
    "full": (3e-4, 1e-3, 2e-3),
    "lora-1": (1e-3, 3e-3, 1e-2, 3e-2),
    "lora-8": (2e-3, 6e-3, 2e-2),
}


@dataclass(frozen=True)
class Setting:
    """How a task is trained and its outputs generated; ``samples`` texts for ``voice``."""

    max_length: int
    steps: int
    batch_size: int
    new_tokens: int
    temperature: float = 0.0
    samples: int | None = None


SETTINGS = {
    "voice": Setting(128, 300, 16, new_tokens=96, temperature=0.8, samples=128),
    "facts": Setting(48, 600, 32, new_tokens=12),
    "slots": Setting(128, 300, 16, new_tokens=64),
}


@dataclass(frozen=True)
class Run:
    """One training run; ``method`` None measures the base model as it is."""

    task: str
    method: str | None
    rate: float
    seed: int
    split: str
    setting: Setting
    device: str


def measure(run: Run) -> dict[str, Any]:
    """Train one model and measure it on the run's split."""
    torch.set_num_threads(1)
    task = tasks.load(run.task, seed=run.seed)
    model, tokenizer = models.load("tiny", device=run.device, dtype=torch.float32)
    torch.manual_seed(run.seed)
    if run.method == "full":
        model.requires_grad_(True)
    elif run.method:
        rank = int(run.method.removeprefix("lora-"))
        peftlab.apply(model, peftlab.LoRAConfig(rank=rank, alpha=2 * rank, targets="all-linear"))
    record: dict[str, Any] = {
        "task": run.task,
        "method": run.method,
        "learning_rate": run.rate,
        "seed": run.seed,
        "split": run.split,
        "trainable": 0,
    }
    setting = run.setting
    if run.method:
        record["trainable"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
        config = train.TrainConfig(
            steps=setting.steps,
            batch_size=setting.batch_size,
            learning_rate=run.rate,
            seed=run.seed,
        )
        encoded = tasks.encode(task.train, tokenizer, setting.max_length)
        try:
            history = train.train(model, encoded, config, progress=False)
        except peftlab.errors.PeftlabError as error:
            return record | {"failed": str(error)}
        record["seconds"] = round(history.seconds, 2)

    examples = getattr(task, run.split)
    record["loss"] = evaluate.loss(model, tasks.encode(examples, tokenizer, setting.max_length))
    if run.split == "validation":
        return record  # the learning rate is chosen by the loss
    plain = tasks.encode(tasks.stories(run.split)[:100], tokenizer, 128)
    record["story_loss"] = evaluate.loss(model, plain)
    asked = examples[: setting.samples]
    outputs = evaluate.generate(
        model,
        tokenizer,
        [example.prompt for example in asked],
        max_new_tokens=setting.new_tokens,
        temperature=setting.temperature,
        seed=run.seed,
        batch_size=256,
    )
    scores = [task.score(example, text) for example, text in zip(asked, outputs, strict=True)]
    record["score"] = statistics.fmean(scores)
    if run.task == "slots":
        record["valid"] = statistics.fmean(map(tasks.valid_json, outputs))
    record["samples"] = outputs[:2]
    return record


def measure_all(pool: multiprocessing.pool.Pool, runs: list[Run]) -> list[dict[str, Any]]:
    """Measure in parallel, the longest runs first, and say how far it is."""
    records = []
    ordered = sorted(runs, key=lambda run: -run.setting.steps)
    for record in pool.imap_unordered(measure, ordered):
        records.append(record)
        line = {key: value for key, value in record.items() if key != "samples"}
        print(f"{len(records)}/{len(runs)} {line}", flush=True)
    return sorted(
        records, key=lambda r: (r["task"], r["method"] or "", r["learning_rate"], r["seed"])
    )


def best_rate(records: list[dict[str, Any]]) -> float:
    """The learning rate with the lowest mean validation loss over the tuning seeds."""
    losses: dict[float, list[float]] = {}
    for record in records:
        losses.setdefault(record["learning_rate"], []).append(record.get("loss", math.inf))
    return min(losses, key=lambda rate: statistics.fmean(losses[rate]))


def mean_and_error(values: list[float]) -> dict[str, float]:
    """Mean over the seeds and its standard error."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {"mean": statistics.fmean(values), "standard_error": error}


def separation(full: list[float], low: list[float]) -> dict[str, Any]:
    """Difference of two means, and how many of its standard errors it is."""
    first, second = mean_and_error(full), mean_and_error(low)
    difference = first["mean"] - second["mean"]
    error = math.hypot(first["standard_error"], second["standard_error"])
    # Means without any spread, such as all 0 or all 1, are as far apart as can be, or equal.
    ratio = difference / error if error > 0 else math.copysign(math.inf, difference)
    ratio = ratio if difference else 0.0
    return {"difference": difference, "standard_error": error, "in_standard_errors": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, help="processes at once; 14 on a GPU, else 1")
    parser.add_argument("--quick", action="store_true", help="one small run of each, not kept")
    parser.add_argument("--output", default="results/lora_separation.json")
    arguments = parser.parse_args()
    workers = arguments.workers or (14 if arguments.device == "cuda" else 1)

    settings, tuning_seeds, test_seeds = SETTINGS, TUNING_SEEDS, TEST_SEEDS
    if arguments.quick:
        tuning_seeds, test_seeds = TUNING_SEEDS[:1], TEST_SEEDS[:2]
        settings = {
            name: replace(setting, steps=4, batch_size=4, new_tokens=4, samples=4)
            for name, setting in SETTINGS.items()
        }

    def runs(method: str | None, name: str, rates: tuple, seeds: tuple, split: str) -> list[Run]:
        return [
            Run(name, method, rate, seed, split, settings[name], arguments.device)
            for rate in rates
            for seed in seeds
        ]

    started = time.perf_counter()
    # "spawn": a forked process cannot use the parent's CUDA.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pairs = [(name, method) for name in SETTINGS for method in RATES]
        base = [run for name in SETTINGS for run in runs(None, name, (0.0,), test_seeds, "test")]
        tuning = [
            run
            for name, method in pairs
            for run in runs(method, name, RATES[method], tuning_seeds, "validation")
        ]
        records = measure_all(pool, tuning + base)
        tuned = [record for record in records if record["method"]]
        zero_shot = [record for record in records if not record["method"]]
        chosen = {
            (name, method): best_rate(
                [r for r in tuned if (r["task"], r["method"]) == (name, method)]
            )
            for name, method in pairs
        }
        final = measure_all(
            pool,
            [
                run
                for (name, method), rate in chosen.items()
                for run in runs(method, name, (rate,), test_seeds, "test")
            ],
        )

    numbers: dict[str, Any] = {"minutes": (time.perf_counter() - started) / 60, "tasks": {}}
    for name in SETTINGS:
        summary: dict[str, Any] = {"setting": asdict(settings[name]), "methods": {}}
        for method in (None, *RATES):
            mine = [r for r in zero_shot + final if (r["task"], r["method"]) == (name, method)]
            measures = [key for key in ("loss", "score", "valid", "story_loss") if key in mine[0]]
            summary["methods"][method or "base"] = {
                "learning_rate": chosen.get((name, method)),
                "trainable": mine[0]["trainable"],
            } | {key: mean_and_error([r[key] for r in mine]) for key in measures}
        for key in ("loss", "score"):
            summary[f"full_minus_lora-1_{key}"] = separation(
                *(
                    [r[key] for r in final if (r["task"], r["method"]) == (name, method)]
                    for method in ("full", "lora-1")
                )
            )
        numbers["tasks"][name] = summary
    numbers["tuning_runs"], numbers["base_runs"], numbers["test_runs"] = tuned, zero_shot, final

    for name, summary in numbers["tasks"].items():
        for method, row in summary["methods"].items():
            print(
                f"{name:6} {method:7} lr {row['learning_rate'] or 0:<7g} "
                f"loss {row['loss']['mean']:.3f} ± {row['loss']['standard_error']:.3f}  "
                f"score {row['score']['mean']:.3f} ± {row['score']['standard_error']:.3f}"
            )
        gap = summary["full_minus_lora-1_score"]
        print(f"       full - lora-1: {gap['in_standard_errors']:+.1f} standard errors in score")
    if not arguments.quick:
        file = results.write(
            arguments.output,
            what="Test loss (nats per target token) and score (0 to 1) of full fine-tuning and of "
            "LoRA on all linear layers, on the three tasks, with the learning rate of each tuned "
            "on validation; mean and standard error over the seeds.",
            command=COMMAND,
            seeds=[*tuning_seeds, *test_seeds],
            numbers=numbers,
        )
        print(f"wrote {file}")


if __name__ == "__main__":
    main()
