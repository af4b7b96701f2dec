"""What a DoRA step costs against a LoRA step, and what of it is the norm.

    OMP_NUM_THREADS=1 python -m benchmarks.dora_step

Four contestants train the bundled model on the ``voice`` task, r = 8 on all linear layers: LoRA;
DoRA with peftlab's norm, which never builds B A; DoRA with the norm of the dense W + s B A; and
PEFT's DoRA. Each round gives every contestant a slice of steps, in an order that turns, so that a
slow moment of the machine hits all of them; ratios are taken within a round. Then both norms are
timed alone on one layer of 4096 x 4096.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import peft
import torch
from torch import Tensor, nn

import peftlab
from peftcourse.experiments import models, results, tasks
from peftcourse.experiments.evaluate import next_token_loss
from peftcourse.experiments.train import batch_indices
from peftlab.methods.dora import DoRALinear

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.dora_step"
RANK, ALPHA, BATCH, LENGTH = 8, 16, 8, 64
ROUNDS, SLICE, WARM_UP = 9, 6, 2
SIDE = 4096  # of the layer whose norm is timed alone


def dense_norm(layer: DoRALinear, weight: Tensor) -> Tensor:
    """‖W + s B A‖ of each row, from the dense matrix."""
    return torch.linalg.vector_norm(weight + layer.scaling * (layer.B @ layer.A), dim=1)


class DenseNorm(DoRALinear):
    """DoRA as one writes it first."""

    norm = dense_norm


def contestant(name: str) -> nn.Module:
    """The bundled model with one of the four adapters."""
    torch.manual_seed(0)
    model = models.load("tiny", device="cpu", dtype=torch.float32).model
    if name == "PEFT's DoRA":
        config = peft.LoraConfig(
            r=RANK, lora_alpha=ALPHA, target_modules="all-linear", use_dora=True
        )
        return peft.get_peft_model(model, config)
    method = peftlab.LoRAConfig if name == "LoRA" else peftlab.DoRAConfig
    peftlab.apply(model, method(rank=RANK, alpha=ALPHA))
    if name == "DoRA, dense norm":
        for _, layer in peftlab.adapter_layers(model):
            layer.__class__ = DenseNorm
    return model


def steps(model: nn.Module, data: list) -> Iterator[float]:
    """Train step by step; yields the loss of each."""
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-3, weight_decay=0.0)
    step = 0
    while True:
        step += 1
        batch = tasks.collate([data[i] for i in batch_indices(step, len(data), BATCH, 0)], 1)
        optimizer.zero_grad(set_to_none=True)
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = next_token_loss(logits, batch["labels"])
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        yield loss.item()


def seconds(call: Callable[[], object], count: int) -> float:
    """Time of one call, in the mean of ``count``."""
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def norms() -> dict[str, list[float]]:
    """Milliseconds of each norm on one large layer, interleaved, and their largest difference."""
    layer = DoRALinear(nn.Linear(SIDE, SIDE, bias=False), peftlab.DoRAConfig(rank=RANK))
    nn.init.normal_(layer.B, std=0.01)
    weight = layer.base.weight
    taken: dict[str, list[float]] = {"low-rank": [], "dense": []}
    with torch.no_grad():
        for _ in range(10):
            taken["low-rank"].append(1e3 * seconds(lambda: layer.norm(weight), 1))
            taken["dense"].append(1e3 * seconds(lambda: dense_norm(layer, weight), 1))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="results/dora_step.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    tokenizer = models.load("tiny", device="cpu").tokenizer
    data = tasks.encode(tasks.load("voice", voice="pirate").train, tokenizer, LENGTH)
    data = [example for example in data if len(example["input_ids"]) == LENGTH]
    names = ("LoRA", "DoRA", "DoRA, dense norm", "PEFT's DoRA")
    runs = {name: steps(contestant(name), data) for name in names}
    for run in runs.values():
        seconds(lambda run=run: next(run), WARM_UP)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(ROUNDS):
        for name in names[turn % 4 :] + names[: turn % 4]:
            run = runs[name]
            taken[name].append(1e3 * seconds(lambda run=run: next(run), SLICE))
        print({name: round(values[-1], 1) for name, values in taken.items()}, flush=True)
    ratios = {
        name: [own / lora for own, lora in zip(taken[name], taken["LoRA"], strict=True)]
        for name in names
    }
    alone = norms()
    file = results.write(
        arguments.out,
        what=f"Milliseconds of a training step of the bundled model (r = {RANK}, all linear "
        f"layers, {BATCH} x {LENGTH} tokens, one thread): LoRA and three implementations of DoRA, "
        f"{ROUNDS} interleaved slices of {SLICE} steps, and their ratios to LoRA in the same "
        f"round; milliseconds of the norm alone on one {SIDE} x {SIDE} layer",
        command=COMMAND,
        seeds=[0],
        numbers={
            "median_step_ms": {name: statistics.median(taken[name]) for name in names},
            "median_ratio": {name: statistics.median(ratios[name]) for name in names},
            "step_ms": taken,
            "ratios": ratios,
            "norm_side": SIDE,
            "norm_ms": alone,
            "median_norm_ms": {name: statistics.median(alone[name]) for name in alone},
        },
    )
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
