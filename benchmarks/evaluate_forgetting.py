"""What is learned and what is forgotten over training: LoRA, full fine-tuning, and the head alone.

    python -m benchmarks.evaluate_forgetting --workers 14

Each run trains the bundled model on the pirate voice and measures, every few steps, its loss on
held-out pirate texts (what it learned) and on held-out plain stories (what it forgot).

- ``rates``: each method at several learning rates, with a seed that is not reported; the best, by
  the loss on validation texts at its lowest, is taken for the other parts.
- ``methods``: each method at its rate, several seeds, on the test texts.
- ``sizes``: LoRA of rank 8 on 25 to 800 training texts, several seeds, on the test texts.

A seed decides the adapter's start and the order of the texts; the texts are the same in all runs.
``--small`` is a version for one CPU core, about five minutes long: fewer methods, rates, seeds and
steps, said in the result. ``--quick`` takes two steps each, to show that it works.
"""

from __future__ import annotations

import argparse
import multiprocessing.pool
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch

import peftlab
from peftcourse.experiments import evaluate, models, results, tasks, train
from peftlab import PeftlabError

RATE_SEED = 100
RATES = {
    "full": (1e-4, 3e-4, 1e-3, 3e-3),
    "lora-64": (1e-3, 3e-3, 1e-2),
    "lora-8": (2e-3, 6e-3, 2e-2),
    "lora-1": (3e-3, 1e-2, 3e-2),
    "head": (1e-3, 3e-3, 1e-2),
}
SMALL_RATES = {"full": (1e-4, 3e-4, 1e-3), "lora-8": (1e-3, 2e-3, 6e-3)}
SIZES = (25, 50, 100, 200, 400, 800)


@dataclass(frozen=True)
class Scale:
    """How much is run."""

    rates: dict[str, tuple[float, ...]]
    seeds: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: int
    every: int
    batch: int
    max_length: int
    held_out: int


FULL = Scale(RATES, (0, 1, 2, 3, 4), SIZES, 300, 20, 8, 64, 96)
SMALL = Scale(SMALL_RATES, (0, 1, 2), (25, 100, 800), 60, 10, 4, 48, 16)
QUICK = Scale(SMALL_RATES, (0,), (25,), 2, 1, 2, 24, 4)


@dataclass(frozen=True)
class Run:
    """One training run on ``size`` texts."""

    part: str
    method: str
    rate: float
    seed: int
    size: int
    scale: Scale
    device: str


def adapt(model: torch.nn.Module, method: str) -> None:
    """Make trainable what the method trains."""
    if method == "full":
        model.requires_grad_(True)
    elif method == "head":
        peftlab.apply(model, peftlab.PartialConfig("head"), name="run")
    else:
        rank = int(method.removeprefix("lora-"))
        peftlab.apply(model, peftlab.LoRAConfig(rank=rank, alpha=2 * rank), name="run")


def measure(run: Run) -> dict[str, Any]:
    """Train one model and follow both losses; a run that diverges has no curve."""
    torch.set_num_threads(1)
    scale = run.scale
    model, tokenizer = models.load("tiny", device=run.device, dtype=torch.float32)
    task = tasks.load("voice", voice="pirate")
    split = "validation" if run.part == "rates" else "test"
    data = tasks.encode(task.train[: run.size], tokenizer, scale.max_length)
    target, story = (
        tasks.encode(texts[: scale.held_out], tokenizer, scale.max_length)
        for texts in (getattr(task, split), tasks.stories(split))
    )
    torch.manual_seed(run.seed)
    adapt(model, run.method)
    record: dict[str, Any] = {
        key: value for key, value in asdict(run).items() if key not in ("scale", "device")
    } | {"trainable": peftlab.trainable_report(model).trainable, "curve": []}

    def follow(step: int, model: torch.nn.Module) -> None:
        if step % scale.every == 0:
            losses = {"step": step, "target": evaluate.loss(model, target)}
            if run.part == "methods":
                losses["story"] = evaluate.loss(model, story)
            if run.part == "sizes":
                losses["train"] = evaluate.loss(model, data[: scale.held_out])
            record["curve"].append(losses)

    follow(0, model)
    recipe = train.TrainConfig(scale.steps, scale.batch, run.rate, seed=run.seed)
    try:
        history = train.train(model, data, recipe, on_step=follow, progress=False)
        record["seconds"] = round(history.seconds, 2)
    except PeftlabError as error:
        record |= {"curve": None, "problem": str(error)}
    return record


def best_rates(records: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Of each method the rate whose curve has the lowest loss."""
    lowest: dict[str, tuple[float, float]] = {}
    for record in records:
        if record["curve"]:
            loss = min(point["target"] for point in record["curve"])
            lowest[record["method"]] = min(
                lowest.get(record["method"], (loss, record["rate"])), (loss, record["rate"])
            )
    return {method: rate for method, (_, rate) in lowest.items()}


def measure_all(pool: multiprocessing.pool.Pool, runs: list[Run]) -> list[dict[str, Any]]:
    """Measure runs in any order, say how far it is, and sort the records."""
    started, records = time.perf_counter(), []
    for record in pool.imap_unordered(measure, runs):
        records.append(record)
        print(f"{len(records)}/{len(runs)} after {time.perf_counter() - started:.0f} s", flush=True)
    keys = ("part", "method", "size", "rate", "seed")
    return sorted(records, key=lambda record: [record[key] for key in keys])


def main(arguments: list[str] | None = None) -> None:
    """Run all parts and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/evaluate_forgetting.json")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at once")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--small", action="store_true", help="what one CPU core does in 5 minutes")
    size.add_argument("--quick", action="store_true", help="two steps of each")
    options = parser.parse_args(arguments)
    scale = QUICK if options.quick else SMALL if options.small else FULL

    def run(part: str, method: str, rate: float, seed: int, size: int = 800) -> Run:
        return Run(part, method, rate, seed, size, scale, options.device)

    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        rates = measure_all(
            pool, [run("rates", m, r, RATE_SEED) for m in scale.rates for r in scale.rates[m]]
        )
        chosen = best_rates(rates)
        final = measure_all(
            pool,
            [run("methods", m, chosen[m], seed) for m in chosen for seed in scale.seeds]
            + [
                run("sizes", "lora-8", chosen["lora-8"], seed, size)
                for size in scale.sizes
                for seed in scale.seeds[:3]
            ],
        )
    command = "python -m benchmarks.evaluate_forgetting"
    results.write(
        options.out,
        what="Loss (nats per token) of the bundled model on pirate texts and on plain stories over "
        "the steps of fine-tuning on the pirate voice: full, LoRA, output head alone; and LoRA "
        "by the number of training texts",
        command=command + (" --small" if options.small else f" --workers {options.workers}"),
        seeds=(*scale.seeds, RATE_SEED),
        numbers={"scale": asdict(scale), "rates": chosen, "runs": rates + final},
    )


if __name__ == "__main__":
    main()
