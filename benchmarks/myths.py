"""What common claims say about time, memory under pressure and scale, measured.

    OMP_NUM_THREADS=1 python -m benchmarks.myths            # results/myths_cpu.json
    python -m benchmarks.myths --out results/myths_cuda.json  # on a GPU
    python -m benchmarks.myths --only paging --out results/myths_paging_cuda.json  # idle

Four measurements, each for a claim in the book's "Myths, measured":

- *step*: a training step of full fine-tuning, of LoRA and of PEFT's LoRA, on the bundled model and,
  on a GPU, on the shape of Llama 3.2 1B with random weights ("LoRA trains faster");
- *latency*: a forward pass of one short text with each kind of adapter, and merged ("adapters slow
  the model down");
- *scale*: how far LoRA moves the weights at several ranks, with α/r and with α/√r ("α/r keeps the
  scale the same whatever the rank");
- *paging*, on a GPU: full fine-tuning with AdamW and with a paged AdamW, with the GPU empty and
  with all of it taken but what weights and gradients need ("paged optimizers save memory").

Contestants take turns within a round, so that a slow moment of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import shlex
import statistics
import sys
import time
from typing import Any

import torch
from torch import nn

import peftlab
from benchmarks.lora_step import BATCH, LENGTH, ours, steps, theirs, timed
from peftcourse.experiments import evaluate, models, results, tasks, train
from peftcourse.experiments.tasks import Encoded
from peftlab.methods.bottleneck import BottleneckConfig
from peftlab.methods.dora import DoRAConfig
from peftlab.methods.prefix import PrefixConfig

LARGE = "llama-3.2-1b"
RANKS, ALPHA, SEEDS = (1, 4, 16, 64), 16.0, (0, 1)


# --- a training step -----------------------------------------------------------------------------


def full() -> nn.Module:
    """The bundled model, all of it trained."""
    return models.load("tiny").model.requires_grad_(True)


def large() -> nn.Module:
    """Llama 3.2 1B's shape with random weights, in bfloat16 on the GPU."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from peftlab.memory import PRESETS

    config = AutoConfig.for_model(**PRESETS[LARGE])
    with torch.device("cuda"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


def large_lora(library: str) -> nn.Module:
    """The same with LoRA r = 8 on all linear layers."""
    if library == "peftlab":
        return peftlab.apply(large(), peftlab.LoRAConfig(rank=8, alpha=16))
    import peft

    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
    return peft.get_peft_model(large(), config)


def step_ms(contestants: dict[str, nn.Module], data: list, rounds: int, count: int) -> dict:
    """Milliseconds of a step of each contestant in each round."""
    runs = {}
    for name, model in contestants.items():
        runs[name] = steps(model, data, next(model.parameters()).device)
        timed(runs[name], 2)  # warm up
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        for name in sorted(runs, reverse=turn % 2 == 1):
            taken[name].append(1e3 * timed(runs[name], count)[0] / count)
    return taken


def step(quick: bool) -> dict[str, Any]:
    """Training steps of the bundled model and, on a GPU, of a model of 1.2 billion parameters."""
    tokenizer = models.load("tiny").tokenizer
    data = tasks.encode(tasks.load("voice", voice="pirate").train, tokenizer, LENGTH)
    data = [example for example in data if len(example["input_ids"]) == LENGTH]
    cuda = torch.cuda.is_available()
    rounds, count = (2, 1) if quick else (7, 20) if cuda else (9, 3)
    lora = ours()
    small = {"full fine-tuning": full(), "LoRA": lora, "LoRA, PEFT's": theirs(lora)}
    found = {"bundled model": step_ms(small, data, rounds, count)}
    if cuda:
        del small, lora
        free()
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(0, 100_000, (32, 1024), generator=generator).tolist()
        texts = [Encoded(input_ids=row, labels=row) for row in ids]
        contestants = {
            "full fine-tuning": large().requires_grad_(True),
            "LoRA": large_lora("peftlab"),
            "LoRA, PEFT's": large_lora("peft"),
        }
        found[f"{LARGE}, random weights"] = step_ms(contestants, texts, rounds, max(1, count // 4))
        del contestants
        free()
    return found


# --- latency -------------------------------------------------------------------------------------


def latency(quick: bool) -> dict[str, list[float]]:
    """Milliseconds of a forward pass of one text of 16 tokens, by what is in the model."""
    methods = {
        "base model": None,
        "LoRA": peftlab.LoRAConfig(rank=8),
        "LoRA, merged": peftlab.LoRAConfig(rank=8),
        "DoRA": DoRAConfig(rank=8),
        "adapters (Houlsby)": BottleneckConfig(size=64, style="houlsby"),
        "prefix of 20": PrefixConfig(20),
    }
    contestants = {}
    for name, method in methods.items():
        model = models.load("tiny").model
        if method is not None:
            peftlab.apply(model, method)
        if name.endswith("merged"):
            peftlab.merge(model, keep_base=False)
        contestants[name] = model.eval()
    device = next(model.parameters()).device
    ids = torch.arange(16, device=device)[None] + 100
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    with torch.no_grad():
        for turn in range(5 if quick else 60):
            for name in list(contestants)[:: 1 if turn % 2 else -1]:
                started = now()
                contestants[name](ids, use_cache=False)
                if turn >= 3:  # the first ones warm up
                    taken[name].append(1e3 * (now() - started))
    return taken


def now() -> float:
    """The time, when the GPU has done what was asked of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


# --- scale ---------------------------------------------------------------------------------------


def scale(quick: bool) -> list[dict[str, Any]]:
    """Size of LoRA's update and validation loss after a short training, by rank and scaling."""
    tokenizer = models.load("tiny").tokenizer
    pirate = tasks.load("voice", voice="pirate")
    data = tasks.encode(pirate.train, tokenizer, 48)
    held_out = tasks.encode(pirate.validation[:32], tokenizer, 48)
    ranks, seeds, count = (RANKS[:2], SEEDS[:1], 2) if quick else (RANKS, SEEDS, 16)
    rows = []
    for seed in seeds:
        for rank in ranks:
            for stabilized in (False, True):
                torch.manual_seed(seed)
                model = models.load("tiny", dtype=torch.float32).model
                # At rank 4 both scalings are the same: alpha is chosen so.
                alpha = ALPHA / 2 if stabilized else ALPHA
                method = peftlab.LoRAConfig(rank=rank, alpha=alpha, rank_stabilized=stabilized)
                peftlab.apply(model, method)
                config = train.TrainConfig(steps=count, learning_rate=1e-3, seed=seed)
                train.train(model, data, config, progress=False)
                moved = [
                    (layer.delta_weight().norm() / layer.weight.norm()).item()
                    for _, layer in peftlab.adapter_layers(model)
                ]
                rows.append(
                    {
                        "scaling": "α/√r" if stabilized else "α/r",
                        "rank": rank,
                        "seed": seed,
                        "moved": statistics.fmean(moved),
                        "loss": evaluate.loss(model, held_out),
                    }
                )
    return rows


# --- paging --------------------------------------------------------------------------------------


def free() -> None:
    """Return what nobody holds to the GPU."""
    gc.collect()
    torch.cuda.empty_cache()


def paged_run(optimizer: str, room: int | None, count: int) -> dict[str, Any]:
    """Full fine-tuning of the 1.2 billion parameters, on a GPU that is empty or nearly full.

    Args:
        optimizer: a class of ``bitsandbytes.optim``.
        room: bytes of the GPU to leave free when training starts; None for all of them.
        count: steps.

    Returns:
        Milliseconds of the steps after the first, the peak of torch's allocator in bytes, the
        number of parameters, and how many bytes of the GPU were free before and after (another
        program may give some back); or the error, and what was free.
    """
    import bitsandbytes as bnb

    model = large().requires_grad_(True)
    ids = torch.randint(0, 100_000, (1, 512), device="cuda")
    adam = getattr(bnb.optim, optimizer)(model.parameters(), lr=1e-5)
    ballast = None
    if room is not None:
        # Else torch would keep what making the model took, as room that nobody counts.
        free()
        available = torch.cuda.mem_get_info()[0]
        ballast = torch.empty(max(0, available - room), dtype=torch.uint8, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.mem_get_info()[0]
    taken = []
    try:
        for _ in range(count + 1):
            started = now()
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
            adam.step()
            adam.zero_grad(set_to_none=True)
            taken.append(1e3 * (now() - started))
    except torch.cuda.OutOfMemoryError:
        return {"error": "out of memory", "free_before": before}
    held = ballast.numel() if ballast is not None else 0
    return {
        "step_ms": taken[1:],
        "peak_bytes": torch.cuda.max_memory_allocated() - held,
        "parameters": sum(p.numel() for p in model.parameters()),
        "free_before": before,
        "free_after": torch.cuda.mem_get_info()[0],
    }


def alone(optimizer: str, room: int | None, count: int) -> dict[str, Any]:
    """``paged_run`` in a process of its own.

    bitsandbytes keeps what it paged until the process ends. On a GPU that looks full, the driver
    can move those pages out, and the next run would find room that nobody counted.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(paged_run, (optimizer, room, count))


def paging(quick: bool) -> dict[str, Any]:
    """AdamW and a paged AdamW, with the GPU empty and with room for half of the states."""
    count = 2 if quick else 6
    both = {"AdamW, 32 bit": "AdamW32bit", "paged AdamW": "PagedAdamW32bit"}
    found = {f"{name}, empty GPU": alone(kind, None, count) for name, kind in both.items()}
    # What a paged run takes of the allocator is all but its states. Weights are there already.
    paged = found["paged AdamW, empty GPU"]
    room = paged["peak_bytes"] - 2 * paged["parameters"] + 4 * paged["parameters"]
    for name, kind in both.items():
        found[f"{name}, full GPU"] = alone(kind, room, count)
    return {"runs": found, "parameters": paged["parameters"], "room_bytes": room}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few steps of each, to try it out")
    parser.add_argument("--only", help="one of step, latency, scale and, on a GPU, paging")
    parser.add_argument("--out", default="results/myths_cpu.json")
    arguments = parser.parse_args()

    measures = [step, latency, scale] + ([paging] if torch.cuda.is_available() else [])
    numbers: dict[str, Any] = {}
    for measure in measures:
        if arguments.only in (None, measure.__name__):
            numbers[measure.__name__] = measure(arguments.quick)
            print(f"{measure.__name__} measured", flush=True)
    file = results.write(
        arguments.out,
        what=f"Milliseconds of training steps ({BATCH} x {LENGTH} tokens on the bundled model, "
        f"{BATCH} x 1024 on {LARGE}) with full fine-tuning and LoRA (r = 8, all linear layers); "
        "milliseconds of a forward pass of one text of 16 tokens by adapter; mean relative size "
        "of LoRA's update and validation loss (nats per token) after 16 steps by rank and "
        "scaling; on a GPU, milliseconds and peak bytes of full fine-tuning with paged states",
        command=shlex.join(["python", "-m", "benchmarks.myths", *sys.argv[1:]]),
        seeds=list(SEEDS),
        numbers=numbers,
    )
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
