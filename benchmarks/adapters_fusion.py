"""AdapterFusion: can one model tell which of two voices is asked for, and use its adapter?

    OMP_NUM_THREADS=1 python -m benchmarks.adapters_fusion --workers 3

Two adapters learn a voice each, 80 steps. Then a fusion of them trains on a few texts of both
voices, and so does, as a control, one new adapter from scratch. Each model's loss is measured on
test texts of either voice, and where the fusion looks: the share of each adapter, by voice.

``--quick`` shows that it works; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
from typing import Any

import torch
from torch import Tensor, nn

import peftlab
from peftcourse.experiments import evaluate, models, results, tasks, train

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.adapters_fusion --workers 3"
WHAT = (
    "Test loss (nats per token) of the bundled model on two voices with each voice's adapter "
    "(Pfeiffer, width 16, 80 steps of 8 x 48 tokens), with a fusion of both and with one new "
    "adapter, these two trained 40 steps on 64 texts of each voice; and the share of the "
    "fusion's softmax that goes to each adapter"
)
SEEDS = (0, 1, 2)
VOICES = ("pirate", "robot")
RATES = {"voice": 1e-2, "fusion": 2e-3, "new": 1e-2}
FEW, STEPS, LENGTH, TESTED = 64, 80, 48, 32


def shares(model: nn.Module, examples: list) -> list[list[float]]:
    """The mean share of each adapter over the tokens of some texts, layer by layer."""
    layers = [layer for _, layer in peftlab.adapter_layers(model, "fusion")]
    seen: list[list[Tensor]] = [[] for _ in layers]
    hooks = [
        layer.base.register_forward_hook(lambda _, __, output, kept=kept: kept.append(output[0]))
        for layer, kept in zip(layers, seen, strict=True)
    ]
    with evaluate.evaluating(model) as device:
        for example in examples:  # one by one, so that there is no padding
            model(torch.tensor([example["input_ids"]], device=device))
        for hook in hooks:
            hook.remove()
        found = []
        for layer, kept in zip(layers, seen, strict=True):
            h = torch.cat(kept)
            a = torch.stack([adapter.branch(h) for adapter in layer.fused()], dim=-2)
            found.append(layer.weights(h, a).mean(0).tolist())
    return found


def measure(seed: int, steps: int, tested: int) -> dict[str, Any]:
    """Train two adapters, a fusion and a new adapter; their losses on each voice."""
    _, tokenizer = models.load("tiny")
    data: dict[str, dict[str, list]] = {}
    for voice in VOICES:
        task = tasks.load("voice", voice=voice)
        data[voice] = {
            "train": tasks.encode(task.train, tokenizer, LENGTH),
            "test": tasks.encode(task.test[:tested], tokenizer, LENGTH),
        }
    model, _ = models.load("tiny", dtype=torch.float32)
    losses: dict[str, dict[str, float]] = {}

    def note(name: str) -> None:
        losses[name] = {voice: evaluate.loss(model, data[voice]["test"]) for voice in VOICES}

    def learn(method: Any, name: str, rate: float, texts: list, steps: int) -> None:
        torch.manual_seed(seed)
        peftlab.apply(model, method, name=name)
        recipe = train.TrainConfig(steps, learning_rate=rate, seed=seed)
        train.train(model, texts, recipe, progress=False)
        note(name)

    note("base")
    adapter = peftlab.BottleneckConfig(16, "pfeiffer")
    for voice in VOICES:
        learn(adapter, voice, RATES["voice"], data[voice]["train"], steps)
        peftlab.switch(model)
    few = [text for voice in VOICES for text in data[voice]["train"][:FEW]]
    learn(adapter, "new adapter", RATES["new"], few, steps // 2)
    peftlab.remove(model, "new adapter")
    peftlab.switch(model, *VOICES)
    note("sum of both")
    learn(peftlab.FusionConfig(VOICES), "fusion", RATES["fusion"], few, steps // 2)
    looks = {voice: shares(model, data[voice]["test"][:24]) for voice in VOICES}
    trainable = peftlab.trainable_report(model).trainable
    return {"seed": seed, "losses": losses, "shares": looks, "trainable": trainable}


def main(arguments: list[str] | None = None) -> None:
    """Measure each seed and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/adapters_fusion.json")
    parser.add_argument("--workers", type=int, default=1, help="seeds measured at once")
    parser.add_argument("--quick", action="store_true", help="one seed, 2 steps")
    options = parser.parse_args(arguments)
    seeds, steps, tested = ((0,), 2, 8) if options.quick else (SEEDS, STEPS, TESTED)
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        runs = pool.starmap(measure, [(seed, steps, tested) for seed in seeds])
    results.write(
        options.out,
        what=WHAT,
        command=COMMAND,
        seeds=seeds,
        numbers={"voices": VOICES, "runs": runs},
    )


if __name__ == "__main__":
    main()
