"""Could a trained adapter be merged after all? The best affine map in its place, and what is lost.

    OMP_NUM_THREADS=1 python -m benchmarks.adapters_linear --workers 3

Adapters of Pfeiffer's kind, with ReLU and with GELU, learn the pirate voice.
For each layer, what the adapter adds is fitted by an affine map of what it reads, on activations of
training texts; the residual is measured on test texts, and beside it that of the best constant.
Inputs are also scaled by a factor, and both fitted anew for each. Then the maps replace all
adapters, and the loss is measured. LoRA on the output projections of attention gets the same
treatment: it is a linear map, so nothing is left.

``--quick`` shows that it works; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
from typing import Any

import torch
from torch import nn

import peftlab
from peftcourse.experiments import affine, evaluate, models, results, tasks, train
from peftlab.inject import disabled
from peftlab.methods.bottleneck import BottleneckLayer

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.adapters_linear --workers 3"
WHAT = (
    "What is left of a trained adapter's contribution after the best affine map of its input, "
    "relative to the contribution, on test texts; and the test loss (nats per token) with the maps "
    "in place of the adapters. Bundled model, pirate voice, 100 steps of 8 x 48 tokens"
)
SEEDS = (0, 1, 2)
SCALES = (0.03, 0.1, 0.3, 1.0, 3.0)
STEPS, LENGTH, TESTED, FITTED = 100, 48, 64, 96
# (activation, width); the adapters' learning rate is the one that `adapters_size` chose.
CASES = (("relu", 16), ("gelu", 16))
ADAPTER_RATE, LORA_RATE = 1e-2, 1e-2


def trained(method: Any, rate: float, seed: int, steps: int, data: list) -> nn.Module:
    """The bundled model with an adapter trained on the voice."""
    model, _ = models.load("tiny", dtype=torch.float32)
    torch.manual_seed(seed)
    peftlab.apply(model, method, name="voice")
    recipe = train.TrainConfig(steps, learning_rate=rate, seed=seed)
    train.train(model, data, recipe, progress=False)
    return model


def residuals(model: nn.Module, fitting: list, test: list) -> tuple[list[dict], dict[str, dict]]:
    """For each layer what is left of its contribution; and the maps, with and without intercept."""
    layers = dict(peftlab.adapter_layers(model, "voice"))
    first, second = (affine.inputs(model, texts, "voice") for texts in (fitting, test))
    found: list[dict[str, Any]] = []
    maps: dict[str, dict[str, affine.AffineMap]] = {"affine": {}, "linear": {}, "constant": {}}
    with torch.no_grad():
        for path, layer in layers.items():
            u, v = first[path], second[path]
            row: dict[str, Any] = {"path": path, "scales": {}}
            for scale in SCALES:
                target, held_out = affine.added(layer, scale * u), affine.added(layer, scale * v)
                fit = affine.fit(scale * u, target)
                constant = affine.constant(u, target)
                row["scales"][str(scale)] = [
                    affine.residual(candidate, scale * v, held_out) for candidate in (fit, constant)
                ]
                if scale == 1:
                    maps["affine"][path] = fit
                    maps["linear"][path] = affine.fit(u, target, intercept=False)
                    maps["constant"][path] = constant
                    for name in maps:
                        row[name] = affine.residual(maps[name][path], v, held_out)
                    row["size"] = (held_out.norm() / v.norm()).item()
            if isinstance(layer, BottleneckLayer) and layer.method.activation == "relu":
                row["units"] = affine.switching(layer, v)
            found.append(row)
    return found, maps


def measure(seed: int, cases: tuple, steps: int, tested: int) -> list[dict[str, Any]]:
    """Train, fit and replace each kind of adapter with one seed."""
    _, tokenizer = models.load("tiny")
    task = tasks.load("voice", voice="pirate")
    data = tasks.encode(task.train, tokenizer, LENGTH)
    test = tasks.encode(task.test[:tested], tokenizer, LENGTH)
    fitting = data[:FITTED]
    runs = []
    for activation, width in cases:
        method = peftlab.BottleneckConfig(width, "pfeiffer", activation=activation)
        model = trained(method, ADAPTER_RATE, seed, steps, data)
        rows, maps = residuals(model, fitting, test)
        losses = {"adapter": evaluate.loss(model, test)}
        with disabled(model):
            losses["base"] = evaluate.loss(model, test)
        for name, found in maps.items():
            with affine.replaced(model, "voice", found):
                losses[name] = evaluate.loss(model, test)
        runs.append({
            "method": "pfeiffer", "activation": activation, "size": width, "seed": seed,
            "rate": ADAPTER_RATE, "losses": losses, "layers": rows,
        })  # fmt: skip
        print(seed, activation, width, {k: round(v, 3) for k, v in losses.items()}, flush=True)
    model = trained(peftlab.LoRAConfig(rank=8, targets="o_proj"), LORA_RATE, seed, steps, data)
    rows, _ = residuals(model, fitting, test)
    losses = {"adapter": evaluate.loss(model, test)}
    peftlab.merge(model, "voice")
    losses["merged"] = evaluate.loss(model, test)
    runs.append({
        "method": "lora", "activation": None, "size": 8, "seed": seed, "rate": LORA_RATE,
        "losses": losses, "layers": rows,
    })  # fmt: skip
    return runs


def main(arguments: list[str] | None = None) -> None:
    """Measure each seed, in processes of their own, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/adapters_linear.json")
    parser.add_argument("--workers", type=int, default=1, help="seeds measured at once")
    parser.add_argument("--quick", action="store_true", help="one seed, 2 steps")
    options = parser.parse_args(arguments)
    seeds, cases, steps, tested = SEEDS, CASES, STEPS, TESTED
    if options.quick:
        seeds, cases, steps, tested = (0,), (("relu", 4),), 2, 16
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        found = pool.starmap(measure, [(seed, cases, steps, tested) for seed in seeds])
    results.write(
        options.out, what=WHAT, command=COMMAND, seeds=seeds,
        numbers={
            "scales": list(SCALES), "steps": steps, "runs": [run for runs in found for run in runs]
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
