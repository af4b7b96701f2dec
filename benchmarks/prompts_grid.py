"""How good do soft prompts and prefixes get? Number of virtual tokens, start and learning rate.

    python -m benchmarks.prompts_grid --workers 14

Each run trains one adapter for the bundled model on the pirate voice, 200 steps of 8 texts of at
most 64 tokens, and measures its loss on the validation split. There are two parts.

- ``tuning``: prompt and prefix tuning with 1 to 50 virtual tokens, and LoRA with rank 1 and 8, at
  each learning rate, one seed.
- ``starts``: ten virtual tokens, each kind of start at five learning rates, three seeds.

A seed decides where the adapter starts and the order of the texts; the texts are the same in all
runs. On a GPU several processes train at once, since a single one would wait for kernel launches
most of the time. ``--quick`` runs a small part, to show that it works; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import torch

import peftlab
from peftcourse.experiments import evaluate, models, results, tasks, train
from peftlab import LoRAConfig, PeftlabError
from peftlab.methods.prefix import PrefixConfig
from peftlab.methods.prompt import PromptConfig

COMMAND = "python -m benchmarks.prompts_grid --workers 14"
WHAT = (
    "Loss (nats per token) of the bundled model on the pirate voice with prompt tuning, prefix "
    "tuning and LoRA after 200 steps of 8 x 64 tokens, by virtual tokens, start and learning rate. "
    "Losses are of the validation split, which also chose the rates"
)
TUNING_SEED = 100
START_SEEDS = (0, 1, 2)
LENGTHS = (1, 2, 5, 10, 20, 50)
TEXT = "The pirate captain's log. Ahoy, me hearties! Arr, the ship sails the seas, and the crew"

# Method → the learning rates to choose from.
RATES = {
    "prompt": (0.003, 0.01, 0.03, 0.1, 0.3),
    "prefix": (0.01, 0.03, 0.1, 0.3, 1.0),
    "lora": (2e-3, 6e-3, 2e-2),
}
STARTS = {"prompt": ("random", "vocabulary", "text"), "prefix": ("random", "mlp", "text")}
# An MLP multiplies the steps of its parameters, so its rates are those of a network.
MLP_RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


@dataclass(frozen=True)
class Run:
    """One training run; ``size`` is the number of virtual tokens, or LoRA's rank."""

    part: str
    method: str
    size: int
    start: str
    rate: float
    seed: int
    steps: int = 200
    device: str = "cpu"


def config(run: Run, tokenizer: Any) -> PromptConfig | PrefixConfig | LoRAConfig:
    """The adapter that a run trains."""
    if run.method == "lora":
        return LoRAConfig(rank=run.size, alpha=2 * run.size)
    init = run.start
    if init == "text":
        ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
        init = tuple((ids * run.size)[: run.size])
    if run.method == "prompt":
        return PromptConfig(run.size, init)
    if init == "mlp":
        return PrefixConfig(run.size, mlp_size=64)
    return PrefixConfig(run.size, init=init)


@cache
def _loaded(device: str) -> tuple[Any, Any, dict[str, list[tasks.Encoded]]]:
    """One model and the data for each process."""
    torch.set_num_threads(1)
    model, tokenizer = models.load("tiny", device=device, dtype=torch.float32)
    task = tasks.load("voice", voice="pirate")
    data = {
        split: tasks.encode(getattr(task, split), tokenizer, 64)
        for split in ("train", "validation")
    }
    return model, tokenizer, data


def measure(run: Run) -> dict[str, Any]:
    """Train one adapter and measure it; a run that diverges has no loss."""
    model, tokenizer, data = _loaded(run.device)
    torch.manual_seed(run.seed)
    peftlab.apply(model, config(run, tokenizer), name="run")
    record: dict[str, Any] = {
        **asdict(run),
        "trainable": peftlab.trainable_report(model).trainable,
    }
    recipe = train.TrainConfig(run.steps, learning_rate=run.rate, seed=run.seed)
    try:
        history = train.train(model, data["train"], recipe, progress=False)
        record["loss"] = evaluate.loss(model, data["validation"][:96])
        record["seconds"] = history.seconds
    except PeftlabError as error:
        record |= {"loss": None, "problem": str(error)}
    finally:
        peftlab.remove(model, "run")
    return record


def all_runs() -> list[Run]:
    """Both parts."""
    tuning = [
        Run("tuning", method, size, start, rate, TUNING_SEED)
        for method, start in (("prompt", "vocabulary"), ("prefix", "random"))
        for size, rate in product(LENGTHS, RATES[method])
    ]
    tuning += [
        Run("tuning", "lora", size, "standard", rate, TUNING_SEED)
        for size, rate in product((1, 8), RATES["lora"])
    ]
    starts = [
        Run("starts", method, 10, start, rate, seed)
        for method in STARTS
        for start in STARTS[method]
        for rate in (MLP_RATES if start == "mlp" else RATES[method])
        for seed in START_SEEDS
    ]
    return tuning + starts


def main(arguments: list[str] | None = None) -> None:
    """Run all parts and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/prompts_grid.json")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at once")
    parser.add_argument("--quick", action="store_true", help="a small part of it, 2 steps each")
    options = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    runs = [replace(run, device=device) for run in all_runs()]
    if options.quick:
        small = [run for run in runs if run.size in (8, 10) and run.seed in (0, TUNING_SEED)]
        runs = [replace(run, steps=2) for run in small if run.rate in (0.03, 1e-2, 2e-2)]
    started = time.perf_counter()
    records = []
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for record in pool.imap_unordered(measure, runs):
            records.append(record)
            if len(records) % 10 == 0 or len(records) == len(runs):
                print(f"{len(records)}/{len(runs)} after {time.perf_counter() - started:.0f} s")
    keys = ("part", "method", "start", "size", "rate", "seed")
    results.write(
        options.out,
        what=WHAT,
        command=COMMAND,
        seeds=(*START_SEEDS, TUNING_SEED),
        numbers={
            "text": TEXT,
            "runs": sorted(records, key=lambda record: [record[key] for key in keys]),
        },
    )


if __name__ == "__main__":
    main()
