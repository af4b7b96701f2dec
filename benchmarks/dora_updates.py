"""What fine-tuning does to magnitudes and directions: full fine-tuning, LoRA and DoRA.

    OMP_NUM_THREADS=1 python -m benchmarks.dora_updates

Each method trains the bundled model on the ``voice`` task, with several seeds, which decide the
order of the texts and where A starts. At four steps of each run the magnitude change ΔM and the
direction change ΔD of every linear layer are measured against the pretrained weight, as in the DoRA
paper's analysis. Learning rates of full fine-tuning and LoRA are those that
``benchmarks.lora_separation`` chose on validation data; DoRA takes LoRA's.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

import peftlab
from peftcourse.experiments import evaluate, models, results, tasks, train
from peftcourse.experiments.decomposition import linear_weights, weight_change

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.dora_updates"
RATES = {"full": 3e-4, "lora": 6e-3, "dora": 6e-3}
RANK, ALPHA, LENGTH, STEPS, MARKS = 8, 16, 48, 64, 4
SEEDS = (0, 1, 2, 3)


def run(method: str, seed: int, data: list, held_out: list) -> dict[str, Any]:
    """Train once; ΔM and ΔD of each layer at each mark."""
    model, _ = models.load("tiny", device="cpu", dtype=torch.float32)
    before = linear_weights(model)
    torch.manual_seed(seed)
    if method == "full":
        model.requires_grad_(True)
    else:
        config = peftlab.LoRAConfig if method == "lora" else peftlab.DoRAConfig
        peftlab.apply(model, config(rank=RANK, alpha=ALPHA, targets="all-linear"))
    marks: dict[str, dict[str, list[float]]] = {}

    def measure(step: int, model: nn.Module) -> None:
        if step % (STEPS // MARKS) == 0:
            after = linear_weights(model)
            changes = [weight_change(before[path], after[path]) for path in before]
            magnitude, direction = zip(*changes, strict=True)
            marks[str(step)] = {
                "magnitude": [float(f"{value:.6g}") for value in magnitude],
                "direction": [float(f"{value:.6g}") for value in direction],
            }

    config = train.TrainConfig(steps=STEPS, learning_rate=RATES[method], seed=seed)
    history = train.train(model, data, config, on_step=measure, progress=False)
    return {
        "method": method,
        "seed": seed,
        "loss": evaluate.loss(model, held_out),
        "seconds": round(history.seconds, 2),
        "marks": marks,
        "config": asdict(config),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="results/dora_updates.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    started = time.perf_counter()
    model, tokenizer = models.load("tiny", device="cpu", dtype=torch.float32)
    voice = tasks.load("voice", voice="pirate")
    data = tasks.encode(voice.train, tokenizer, LENGTH)
    held_out = tasks.encode(voice.validation[:64], tokenizer, LENGTH)
    runs = []
    for seed in SEEDS:
        for method in RATES:
            runs.append(run(method, seed, data, held_out))
            print(method, seed, f"{runs[-1]['loss']:.3f}", flush=True)
    file = results.write(
        arguments.out,
        what="Mean change of magnitude (unit of the weights) and of direction (1 - cosine) of the "
        "rows of each linear layer of the bundled model, for full fine-tuning, LoRA and DoRA "
        f"(r = {RANK}, α = {ALPHA}, all linear layers) on the voice task, {STEPS} steps of 8 x "
        f"{LENGTH} tokens; validation loss in nats per token",
        command=COMMAND,
        seeds=list(SEEDS),
        numbers={
            "learning_rates": RATES,
            "layers": list(linear_weights(model)),
            "runs": runs,
            "minutes": round((time.perf_counter() - started) / 60, 2),
        },
    )
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
