"""How low is the rank of a fine-tuning update, and how many dimensions does the task need?

    python -m benchmarks.rank updates
    python -m benchmarks.rank dimension
    python -m benchmarks.rank intruders

``updates`` trains all parameters of the bundled model on the voice task, once for each seed, and
decomposes what training did to its matrices: spectra, energy and effective ranks, and the loss when
each update is cut to a rank. It does so at the learning rate that is best for the task and at the
next higher one, because the answer hangs on it.

``dimension`` trains d numbers that drive all matrices through a random projection, for several d,
and the matrices themselves for comparison, and measures the loss and how many tokens are predicted
right. AdamW moves every number by about the rate, so steps of d numbers go as far as those of D
weights when their rate is √(D/d) times as high; in these units each d gets its own best rate.

Both choose a rate by the loss on validation texts with a seed that is not reported, and report on
test texts.

``intruders`` trains all parameters, and LoRA of several ranks, at three learning rates each, and
counts the leading singular vectors of the tuned matrices that resemble none of the matrix before.

On one core: about three minutes, a quarter of an hour, a quarter of an hour.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
from typing import Any

import torch
from torch import Tensor, nn

import peftlab
from peftcourse.experiments import calibration, evaluate, models, results, tasks, train
from peftcourse.experiments.updates import matrices, nearest_cosines, replaced, updates
from peftlab import LoRAConfig, PeftlabError, lowrank
from peftlab.methods.subspace import SubspaceConfig, SubspaceLinear

SEEDS = (0, 1, 2)
LENGTH = 64  # tokens of an example
TUNING_SEED = 100
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # of the weights; those of d numbers are √(D/d) larger
RANKS = (0, 1, 2, 4, 8, 16, 32, 64, 128)
WEIGHT_RANKS = (8, 16, 32, 64, 128, 192)
DIMENSIONS = (30, 300, 1_000, 3_000, 10_000, 30_000, 300_000)
# Learning rates by LoRA's rank, all linear layers, α = 2r; 0 is full fine-tuning. Around the best
# rates of results/practice_grid.json on the same task.
INTRUDER_RATES = {
    0: (1e-4, 3e-4, 1e-3),
    1: (4e-3, 8e-3, 1.6e-2),
    4: (2e-3, 4e-3, 8e-3),
    16: (1e-3, 2e-3, 4e-3),
    64: (5e-4, 1e-3, 2e-3),
}
LEADING = 10  # singular vectors of each matrix that are looked at, as in the paper's code
COSINES = (0.3, 0.5, 0.7)  # an intruder is below; the first and last show what the middle one hides


def data(tokenizer: Any) -> tuple[list, list, list]:
    """Encoded examples to train on, to choose a rate by, and to report on."""
    task = tasks.load("voice", voice="pirate")
    return tuple(
        tasks.encode(examples, tokenizer, LENGTH)
        for examples in (task.train, task.validation[:64], task.test[:64])
    )


def fresh() -> tuple[nn.Module, Any]:
    """The bundled model, in 32 bit on the CPU."""
    return models.load("tiny", dtype=torch.float32, device="cpu")


def cut(parts: dict[str, lowrank.SVD], rank: int) -> dict[str, Tensor]:
    """Each matrix at its best approximation of a rank; 0 is a matrix of zeros."""
    return {
        path: (part.U[:, :rank] * part.S[:rank]) @ part.Vh[:rank] for path, part in parts.items()
    }


def numbers_of(matrix: Tensor) -> dict[str, float]:
    """The ranks of one matrix, by several measures."""
    return {
        "rank": lowrank.rank(matrix),
        "rank_of_90_percent": lowrank.energy_rank(matrix, 0.9),
        "effective_rank": round(lowrank.effective_rank(matrix), 2),
        "stable_rank": round(lowrank.stable_rank(matrix), 3),
        "norm": round(matrix.norm().item(), 4),
    }


def measure_updates(steps: int, workers: int) -> dict[str, Any]:
    """Fully fine-tune with each seed; look at W and ΔW."""
    model, tokenizer = fresh()
    _, _, test = data(tokenizer)
    before = matrices(model)
    plain = tasks.encode(tasks.stories("validation"), tokenizer, LENGTH)[:64]
    weights = {path: lowrank.svd(weight) for path, weight in before.items()}
    found: dict[str, Any] = {
        "steps": steps,
        "loss_before": evaluate.loss(model, test),
        "weights": {path: numbers_of(weight) for path, weight in before.items()},
        "weight_spectra": spectra(weights),
        "stories_loss": {"whole": evaluate.loss(model, plain)},
    }
    for rank in WEIGHT_RANKS:
        with replaced(model, cut(weights, rank)):
            found["stories_loss"][str(rank)] = evaluate.loss(model, plain)

    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        tuning = pool.starmap(tuning_loss, [(steps, rate) for rate in RATES[:4]], chunksize=1)
        best = min(range(len(tuning)), key=tuning.__getitem__)
        higher = best + 1
        found |= {
            "tuning": dict(zip(RATES, tuning, strict=False)),
            "learning_rate": RATES[best],
            "higher_rate": RATES[higher],
        }
        jobs = [(steps, RATES[place], seed) for place in (best, higher) for seed in SEEDS]
        done = pool.starmap(full_run, jobs, chunksize=1)
    found["runs"], found["higher_runs"] = done[: len(SEEDS)], done[len(SEEDS) :]
    return found


def fully_tuned(steps: int, rate: float, seed: int) -> tuple[nn.Module, list, list]:
    """The bundled model with all parameters trained; texts to choose by, and to report on."""
    torch.set_num_threads(1)
    model, tokenizer = fresh()
    examples, validation, test = data(tokenizer)
    model.requires_grad_(True)
    config = train.TrainConfig(steps=steps, batch_size=8, learning_rate=rate, seed=seed)
    train.train(model, examples, config, progress=False)
    return model, validation, test


def tuning_loss(steps: int, rate: float) -> float:
    """The loss by which a rate for full fine-tuning is chosen."""
    model, validation, _ = fully_tuned(steps, rate, TUNING_SEED)
    return evaluate.loss(model, validation)


def full_run(steps: int, rate: float, seed: int) -> dict[str, Any]:
    """One full fine-tuning: its updates, and the loss with each of them cut to a rank."""
    before = matrices(fresh().model)
    model, _, test = fully_tuned(steps, rate, seed)
    changed = updates(model, before)
    parts = {path: lowrank.svd(delta) for path, delta in changed.items()}
    losses = {"whole": evaluate.loss(model, test)}
    for rank in RANKS:
        deltas = cut(parts, rank)
        with replaced(model, {path: before[path] + deltas[path] for path in before}):
            losses[str(rank)] = evaluate.loss(model, test)
    print(f"rate {rate:g}, seed {seed}: {losses}", flush=True)
    return {
        "seed": seed,
        "loss": losses,
        "updates": {path: numbers_of(delta) for path, delta in changed.items()},
        "spectra": spectra(parts),
    }


def spectra(parts: dict[str, lowrank.SVD]) -> dict[str, list[float]]:
    """Singular values relative to the largest, mean over the blocks, by the kind of layer."""
    kinds: dict[str, list[Tensor]] = {}
    for path, part in parts.items():
        kinds.setdefault(path.rsplit(".", 1)[-1], []).append(part.S / part.S[0])
    return {
        kind: [round(value, 5) for value in torch.stack(found).mean(0).tolist()]
        for kind, found in kinds.items()
    }


def keep_projection(model: nn.Module) -> None:
    """Remember P instead of hashing it anew in each pass: this model is small enough for that."""
    for module in model.modules():
        if isinstance(module, SubspaceLinear):
            known = module.projection()
            module.projection = lambda known=known: known


def measure_dimension(steps: int, workers: int) -> dict[str, Any]:
    """Train in random subspaces of several dimensions, and without one, each at its best rate."""
    model, tokenizer = fresh()
    _, _, test = data(tokenizer)
    D = sum(weight.numel() for weight in matrices(model).values())
    found: dict[str, Any] = {
        "steps": steps,
        "weights": D,
        **{f"{name}_before": value for name, value in quality(model, test).items()},
    }
    dimensions = (*DIMENSIONS, D)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        tried = [(steps, d, rate, TUNING_SEED) for d in dimensions for rate in RATES]
        found["tuning"] = pool.starmap(subspace_run, tried, chunksize=1)
        rates = {
            d: min((run for run in found["tuning"] if run["dimension"] == d), key=lowest)["rate"]
            for d in dimensions
        }
        jobs = [(steps, d, rates[d], seed) for d in dimensions for seed in SEEDS]
        found["runs"] = pool.starmap(subspace_run, jobs, chunksize=1)
    return found


def lowest(run: dict[str, Any]) -> float:
    """What a rate is chosen by; a run that diverged comes last."""
    return math.inf if run["loss"] is None else run["loss"]


def subspace_run(steps: int, dimension: int, rate: float, seed: int) -> dict[str, Any]:
    """Train d numbers, or, with as many as there are weights, the matrices themselves."""
    torch.set_num_threads(1)
    model, tokenizer = fresh()
    examples, validation, test = data(tokenizer)
    weights = matrices(model)
    D = sum(weight.numel() for weight in weights.values())
    if dimension == D:
        model.requires_grad_(False)
        for path in weights:
            model.get_submodule(path).requires_grad_(True)
    else:
        peftlab.apply(model, SubspaceConfig(dimension=dimension, seed=seed))
        keep_projection(model)
    config = train.TrainConfig(
        steps=steps, batch_size=4, learning_rate=rate * (D / dimension) ** 0.5, seed=seed
    )
    run: dict[str, Any] = {"dimension": dimension, "rate": rate, "seed": seed}
    try:
        train.train(model, examples, config, progress=False)
        run |= quality(model, validation if seed == TUNING_SEED else test)
    except PeftlabError as error:  # the rate was too high
        run |= {"loss": None, "accuracy": None, "problem": str(error)}
    print(run, flush=True)
    return run


def quality(model: nn.Module, validation: list) -> dict[str, float]:
    """Loss, and the share of the tokens that the model thinks likeliest and that are right."""
    loss, outcomes = calibration.over_tokens(model, validation)
    return {"loss": loss, "accuracy": outcomes.correct.mean().item()}


def measure_intruders(steps: int, workers: int) -> dict[str, Any]:
    """Train with each method, rate and seed; count intruder dimensions, and what was forgotten."""
    model, tokenizer = fresh()
    _, validation, _ = data(tokenizer)
    before = matrices(model)
    plain = tasks.encode(tasks.stories("validation"), tokenizer, LENGTH)[:64]
    found: dict[str, Any] = {
        "steps": steps,
        "leading": LEADING,
        "matrices": len(before),
        "loss_before": evaluate.loss(model, validation),
        "stories_before": evaluate.loss(model, plain),
        "runs": [],
    }
    jobs = [
        (steps, rank, rate, seed)
        for rank, rates in INTRUDER_RATES.items()
        for rate in rates
        for seed in SEEDS
    ]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        found["runs"] = pool.starmap(intruder_run, jobs, chunksize=1)
    return found


def intruder_run(steps: int, rank: int, rate: float, seed: int) -> dict[str, Any]:
    """Train LoRA of a rank, or everything with rank 0; count intruders, and what was forgotten."""
    torch.set_num_threads(1)
    model, tokenizer = fresh()
    examples, validation, _ = data(tokenizer)
    plain = tasks.encode(tasks.stories("validation"), tokenizer, LENGTH)[:64]
    before = matrices(model)
    torch.manual_seed(seed)
    if rank:
        peftlab.apply(model, LoRAConfig(rank=rank, alpha=2 * rank))
    else:
        model.requires_grad_(True)
    config = train.TrainConfig(steps=steps, batch_size=8, learning_rate=rate, seed=seed)
    train.train(model, examples, config, progress=False)
    run: dict[str, Any] = {
        "rank": rank,
        "rate": rate,
        "seed": seed,
        "loss": evaluate.loss(model, validation),
        "stories": evaluate.loss(model, plain),
    }
    if rank:
        peftlab.merge(model, keep_base=False)
    after = matrices(model)
    nearest = torch.stack([nearest_cosines(before[path], after[path], LEADING) for path in before])
    run["intruders"] = {
        str(cosine): (nearest < cosine).sum(dim=1).double().mean().item() for cosine in COSINES
    }
    print(run, flush=True)
    return run


MEASURES = {
    "updates": (
        measure_updates,
        60,
        "Singular values and ranks of the matrices of the bundled model and of their change by "
        "full fine-tuning on the voice task; test loss (nats per token) when each change is cut to "
        "a rank, at the best learning rate and at the next higher one, and loss on stories when "
        "each matrix is cut.",
    ),
    "dimension": (
        measure_dimension,
        30,
        "Test loss (nats per token) and accuracy (share of tokens predicted right) on the "
        "voice task after training d numbers that drive all matrices of the bundled model through "
        "a random projection, and after training the matrices themselves, each at its best rate.",
    ),
    "intruders": (
        measure_intruders,
        60,
        "Intruder dimensions of the bundled model's matrices after training on the voice task: how "
        "many of the ten leading left singular vectors have a cosine below a threshold with every "
        "one of the matrix before, mean over the matrices, for full fine-tuning and LoRA at three "
        "learning rates each; with the losses (nats per token) on the task and on stories.",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("measure", choices=MEASURES)
    parser.add_argument("--steps", type=int, help="fewer steps, to try it; nothing is written")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at once")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measure, steps, what = MEASURES[arguments.measure]
    started = time.perf_counter()
    numbers = measure(arguments.steps or steps, arguments.workers)
    print(f"{time.perf_counter() - started:.0f} s")
    if not arguments.steps:
        results.write(
            f"results/rank_{arguments.measure}.json",
            what=what,
            command=f"python -m benchmarks.rank {arguments.measure}",
            seeds=SEEDS,
            numbers=numbers,
        )


if __name__ == "__main__":
    main()
