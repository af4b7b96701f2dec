"""LoRA fine-tuning time: peftlab against Hugging Face PEFT on the same work.

    python -m benchmarks.lora_step

The bundled model learns the ``voice`` task with LoRA r = 8 on all linear layers, 200 steps of
8 x 64 tokens, once with peftlab's layers and once with PEFT's. Model, data, order, optimizer and
loop are the same, so the ratio is that of the layers alone. Both runs are cut into slices that
alternate, so that a slow moment of the machine hits both; the ratio of a pair is that of its two
slices' times, and the median of the pairs is reported. The final losses must agree.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Iterator

import peft
import torch
from torch import nn
from tqdm import tqdm

import peftlab
from peftcourse.experiments import models, results, tasks
from peftcourse.experiments.evaluate import next_token_loss
from peftcourse.experiments.train import batch_indices

RANK, ALPHA, BATCH, LENGTH, STEPS = 8, 16, 8, 64, 200


def ours() -> nn.Module:
    """The bundled model with peftlab's LoRA."""
    return peftlab.apply(models.load("tiny").model, peftlab.LoRAConfig(rank=RANK, alpha=ALPHA))


def theirs(twin: nn.Module) -> nn.Module:
    """The bundled model with PEFT's LoRA, started from the same A and B."""
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear")
    model = peft.get_peft_model(models.load("tiny").model, config)
    with torch.no_grad():
        for path, layer in peftlab.adapter_layers(twin):
            other = model.base_model.model.get_submodule(path)
            other.lora_A["default"].weight.copy_(layer.A)
            other.lora_B["default"].weight.copy_(layer.B)
    return model


def steps(model: nn.Module, data: list, device: torch.device) -> Iterator[float]:
    """Train step by step; yields the loss of each."""
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-3, weight_decay=0.0)
    step = 0
    while True:
        step += 1
        batch = tasks.collate([data[i] for i in batch_indices(step, len(data), BATCH, 0)], 1)
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).logits
        loss = next_token_loss(logits, batch["labels"])
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        yield loss.item()


def timed(run: Iterator[float], count: int) -> tuple[float, float]:
    """(seconds, last loss) of the next steps; ``.item()`` in each step waits for the GPU."""
    started = time.perf_counter()
    for _ in range(count):
        loss = next(run)
    return time.perf_counter() - started, loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=7, help="interleaved pairs (default 7)")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps per run (default 200)")
    parser.add_argument("--out", default="results/lora_step.json")
    arguments = parser.parse_args()

    loaded = models.load("tiny")
    device = next(loaded.model.parameters()).device
    data = tasks.encode(tasks.load("voice", voice="pirate").train, loaded.tokenizer, LENGTH)
    data = [example for example in data if len(example["input_ids"]) == LENGTH]

    pairs, losses = [], []
    for run in tqdm(range(arguments.runs), desc="pairs"):
        torch.manual_seed(run)
        mine = ours()
        contestants = {
            "peftlab": steps(mine, data, device),
            "peft": steps(theirs(mine), data, device),
        }
        # Whoever goes first pays for cold caches, so they take turns; 5 steps warm up.
        order = sorted(contestants, reverse=run % 2 == 0)
        for name in order:
            timed(contestants[name], 5)
        seconds = {name: 0.0 for name in order}
        last = {}
        slices = 10
        for part in range(slices):
            for name in order if part % 2 == 0 else order[::-1]:
                taken, last[name] = timed(contestants[name], arguments.steps // slices)
                seconds[name] += taken
        pairs.append({**seconds, "ratio": seconds["peftlab"] / seconds["peft"]})
        losses.append(last)

    ratio = statistics.median(pair["ratio"] for pair in pairs)
    worst = max(abs(last["peftlab"] - last["peft"]) for last in losses)
    step_ms = {
        name: 1000 * statistics.median(pair[name] for pair in pairs) / arguments.steps
        for name in ("peftlab", "peft")
    }
    results.write(
        arguments.out,
        what="Seconds for LoRA fine-tuning (r=8, all linear layers) of the bundled model on the "
        f"voice task, {arguments.steps} steps of {BATCH} x {LENGTH} tokens, peftlab and PEFT "
        "interleaved in one process; the ratio is peftlab / PEFT",
        command=shlex.join(["python", "-m", "benchmarks.lora_step", *sys.argv[1:]]),
        seeds=list(range(arguments.runs)),
        numbers={
            "median_ratio": ratio,
            "median_step_ms": step_ms,
            "pairs": pairs,
            "final_losses": losses,
            "largest_loss_difference": worst,
        },
    )
    for pair in pairs:
        print(
            f"peftlab {pair['peftlab']:7.2f} s   peft {pair['peft']:7.2f} s   "
            f"ratio {pair['ratio']:.3f}"
        )
    print(f"step: peftlab {step_ms['peftlab']:.1f} ms, peft {step_ms['peft']:.1f} ms")
    print(f"final losses differ by at most {worst:.1e}")
    print(f"median ratio of {arguments.runs} interleaved runs: {ratio:.3f} -> {arguments.out}")


if __name__ == "__main__":
    main()
