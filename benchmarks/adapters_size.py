"""How good is an adapter of a given size, and where should it go?

    python -m benchmarks.adapters_size --workers 14

Each run trains the bundled model on the pirate voice, 200 steps of 8 texts of at most 64 tokens.

- ``tuning``: every method and size at each of its learning rates, one seed, validation loss.
- ``final``: at the best of these rates, three other seeds, test loss.

The methods are bottleneck adapters (Houlsby's, Pfeiffer's, parallel) of width 1 to 64, LoRA on
queries and values and on all linear layers, IA³, BitFit (on the model with biases of zero added,
which compute the same), the last block, the head, and full fine-tuning. The update of full
fine-tuning is measured once more with only its largest entries kept (``pruned``), as diff pruning
does at its end.

With several GPUs the processes share them in turn. Finished runs are kept beside the result until
it is written, so that the same command goes on after an interruption. ``--quick`` runs a small
part, to show that it works; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

import peftlab
from peftcourse.experiments import evaluate, models, results, tasks, train
from peftcourse.experiments.biases import add_biases
from peftcourse.experiments.updates import matrices, replaced, updates
from peftlab import PeftlabError

COMMAND = "python -m benchmarks.adapters_size --workers 14"
WHAT = (
    "Loss (nats per token) of the bundled model on the pirate voice after 200 steps of 8 x 64 "
    "tokens, by method, size (width of the bottleneck, or rank) and learning rate: validation "
    "loss of the tuning runs, test loss of the final ones"
)
TUNING_SEED = 100
SEEDS = (0, 1, 2)
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
ADAPTERS = ("houlsby", "pfeiffer", "parallel")
SIZES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(ADAPTERS, WIDTHS),
    "lora-qv": (1, 2, 4, 8, 16, 32),
    "lora-all": (1, 2, 4, 8),
    # These have one size.
    **dict.fromkeys(("ia3", "bitfit", "last-block", "head", "full"), (0,)),
}
RATES: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("houlsby", "pfeiffer"), (1e-3, 3e-3, 1e-2, 3e-2)),
    "parallel": (3e-4, 1e-3, 3e-3, 1e-2),
    "lora-qv": (1e-3, 3e-3, 1e-2, 3e-2, 6e-2),
    "lora-all": (7e-4, 2e-3, 6e-3, 2e-2),
    "ia3": (3e-2, 1e-1, 2e-1, 4e-1, 8e-1),
    "bitfit": (1e-3, 3e-3, 6e-3, 1e-2, 2e-2),
    "last-block": (3e-4, 1e-3, 3e-3, 1e-2),
    "head": (3e-4, 1e-3, 3e-3, 1e-2),
    "full": (3e-5, 1e-4, 3e-4, 1e-3),
}
KEPT = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Run:
    """One training run; ``size`` is the width of the bottleneck, or LoRA's rank."""

    part: str
    method: str
    size: int
    rate: float
    seed: int
    steps: int = 200


def config(run: Run) -> Any:
    """The method that a run trains; full fine-tuning has none."""
    if run.method in ADAPTERS:
        return peftlab.BottleneckConfig(run.size, run.method)
    if run.method.startswith("lora"):
        targets = "all-linear" if run.method == "lora-all" else ("q_proj", "v_proj")
        return peftlab.LoRAConfig(rank=run.size, alpha=2 * run.size, targets=targets)
    if run.method in ("head", "last-block"):
        return peftlab.PartialConfig(run.method)
    return {"ia3": peftlab.IA3Config(), "bitfit": peftlab.BitFitConfig(), "full": None}[run.method]


@cache
def _loaded(device: str) -> tuple[nn.Module, dict[str, list[tasks.Encoded]]]:
    """One model and the data for each process."""
    torch.set_num_threads(1)
    model, tokenizer = models.load("tiny", device=device, dtype=torch.float32)
    task = tasks.load("voice", voice="pirate")
    data = {
        split: tasks.encode(getattr(task, split), tokenizer, 64)
        for split in ("train", "validation", "test")
    }
    return model, data


_device = "cpu"


def take_device(devices: Any) -> None:
    """Give this process the next device of the queue."""
    global _device
    _device = devices.get()


def measure(run: Run) -> dict[str, Any]:
    """Train once and measure; a run that diverges has no loss."""
    original, data = _loaded(_device)
    model = copy.deepcopy(original)
    if run.method == "bitfit":
        add_biases(model)
    torch.manual_seed(run.seed)
    if run.method == "full":
        model.requires_grad_(True)
    else:
        peftlab.apply(model, config(run), name="run")
    record: dict[str, Any] = {
        **asdict(run),
        "trainable": peftlab.trainable_report(model).trainable,
    }
    before = matrices(model)
    recipe = train.TrainConfig(run.steps, learning_rate=run.rate, seed=run.seed)
    split = "validation" if run.part == "tuning" else "test"
    try:
        history = train.train(model, data["train"], recipe, progress=False)
    except PeftlabError as error:
        return record | {"loss": None, "problem": str(error)}
    record["loss"] = evaluate.loss(model, data[split])
    record["seconds"] = round(history.seconds, 2)
    if (run.part, run.method) == ("final", "full"):
        record["pruned"] = pruned(model, before, data[split])
    return record


def pruned(model: nn.Module, before: dict[str, Any], held_out: list) -> list[dict[str, float]]:
    """Loss with only the largest entries of the update kept, taken over all matrices together.

    What trained besides the matrices (embeddings, norms) stays as it was trained.
    """
    change = updates(model, before)
    sizes = torch.cat([delta.abs().flatten() for delta in change.values()])
    found = []
    for share in (0.0, *KEPT):
        count = round(share * len(sizes))
        least = sizes.topk(count).values[-1] if count else float("inf")
        weights = {
            path: before[path] + delta * (delta.abs() >= least) for path, delta in change.items()
        }
        with replaced(model, weights):
            found.append({"kept": share, "entries": count, "loss": evaluate.loss(model, held_out)})
    return found


def tuning_runs() -> list[Run]:
    """Every method, size and rate."""
    return [
        Run("tuning", method, size, rate, TUNING_SEED)
        for method, sizes in SIZES.items()
        for size, rate in product(sizes, RATES[method])
    ]


def final_runs(tuned: Sequence[dict[str, Any]]) -> list[Run]:
    """Every method and size at the rate with the lowest validation loss, other seeds."""
    runs = []
    for method, size in sorted({(record["method"], record["size"]) for record in tuned}):
        same = [r for r in tuned if (r["method"], r["size"]) == (method, size)]
        best = min((r for r in same if r["loss"] is not None), key=lambda r: r["loss"])
        runs += [Run("final", method, size, best["rate"], seed, best["steps"]) for seed in SEEDS]
    return runs


def finish(pool: Any, runs: Sequence[Run], kept: Path) -> list[dict[str, Any]]:
    """The records of these runs: those in the file, and the others, which are added to it."""
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    records = {_key(record): record for record in map(json.loads, lines)}
    todo = [run for run in runs if _key(asdict(run)) not in records]
    started = time.perf_counter()
    with kept.open("a", encoding="utf-8") as file:
        for number, record in enumerate(pool.imap_unordered(measure, todo), start=1):
            records[_key(record)] = record
            print(json.dumps(record), file=file, flush=True)
            if number % 20 == 0 or number == len(todo):
                print(f"{number}/{len(todo)} after {time.perf_counter() - started:.0f} s")
    return [records[_key(asdict(run))] for run in runs]


def _key(record: dict[str, Any]) -> tuple:
    return tuple(record[name] for name in ("part", "method", "size", "rate", "seed", "steps"))


def main(arguments: list[str] | None = None) -> None:
    """Run both parts and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/adapters_size.json")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at once")
    parser.add_argument("--quick", action="store_true", help="a small part of it, 2 steps each")
    options = parser.parse_args(arguments)

    tuning = tuning_runs()
    if options.quick:
        tuning = [replace(run, steps=2) for run in tuning if run.size in (0, 8)]
        tuning = [run for run in tuning if run.rate in (3e-3, 1e-2, 6e-3, 1e-1)]
    gpus = torch.cuda.device_count()
    context = multiprocessing.get_context("spawn")
    devices = context.Queue()
    for worker in range(options.workers):
        devices.put(f"cuda:{worker % gpus}" if gpus else "cpu")
    kept = Path(options.out).with_suffix(".partial.jsonl")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with context.Pool(options.workers, take_device, (devices,)) as pool:
        tuned = finish(pool, tuning, kept)
        records = tuned + finish(pool, final_runs(tuned), kept)
    results.write(
        options.out,
        what=WHAT,
        command=COMMAND,
        seeds=(*SEEDS, TUNING_SEED),
        numbers={"runs": records},
    )
    kept.unlink()


if __name__ == "__main__":
    main()
