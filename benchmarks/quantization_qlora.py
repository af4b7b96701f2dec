"""QLoRA against LoRA, and three ways to merge, over several seeds.

    python -m benchmarks.quantization_qlora

The bundled model learns a pirate's voice through LoRA of rank 8 on three bases: in 32 bit, in NF4
with double quantization, and in int4 with one scale for a whole matrix, which is a poor base. A
seed decides where A starts and the order of the texts. Each adapter on a quantized base is then
merged in the three ways of `peftlab.quantization.merging`.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

import peftlab
from benchmarks.quantization_errors import WHOLE
from peftcourse.experiments import evaluate, models, results, tasks, train
from peftlab import LoRAConfig
from peftlab.quantization.linear import quantize_model
from peftlab.quantization.merging import merge_into_original, merge_requantized

COMMAND = "python -m benchmarks.quantization_qlora"
SEEDS = (0, 1, 2)
STEPS, LENGTH = 80, 64
BASES: dict[str, dict[str, Any] | None] = {
    "LoRA, 32-bit base": None,
    "QLoRA, NF4 base": {"format": "nf4", "double": True},
    "QLoRA, int4 base, one scale per matrix": {
        "format": "int4",
        "double": False,
        "block_size": WHOLE,
    },
}


def run(base: str, seed: int, data: dict[str, list[tasks.Encoded]]) -> dict[str, Any]:
    """Train one adapter and merge it in every way."""
    original = models.load("tiny", dtype=torch.float32, device="cpu").model
    model, options = copy.deepcopy(original), BASES[base]
    if options is not None:
        quantize_model(model, **options)
    torch.manual_seed(seed)
    peftlab.apply(model, LoRAConfig(rank=8, alpha=16), name="pirate")
    config = train.TrainConfig(steps=STEPS, learning_rate=4e-3, seed=seed)
    history = train.train(model, data["train"], config, validation=data["validation"])
    found: dict[str, Any] = {
        "base": base,
        "seed": seed,
        "before": history.validation[0][1],
        "loss": history.validation[-1][1],
    }
    if options is not None:
        found["merged"] = _merged(model, original, data["validation"])
    return found


def _merged(model: Any, original: Any, validation: list[tasks.Encoded]) -> dict[str, Any]:
    """Loss, and error in units of the update, of each way to merge."""
    exact = copy.deepcopy(model)
    peftlab.merge(exact, "pirate", keep_base=False)
    found = {"dequantized, then merged": {"loss": evaluate.loss(exact, validation)}}
    found["the same, rounded to 16 bit"] = {
        "loss": evaluate.loss(exact.to(torch.bfloat16).float(), validation)
    }
    for name, merge in (
        ("merged, then quantized again", lambda copied: merge_requantized(copied, "pirate")),
        (
            "into the original weights",
            lambda copied: merge_into_original(copied, original, "pirate"),
        ),
    ):
        copied = copy.deepcopy(model)
        error = merge(copied)
        found[name] = {"loss": evaluate.loss(copied, validation), "of_update": error.of_update}
    return found


def main() -> None:
    tokenizer = models.load("tiny").tokenizer
    pirate = tasks.load("voice", voice="pirate")
    data = {
        "train": tasks.encode(pirate.train, tokenizer, LENGTH),
        "validation": tasks.encode(pirate.validation[:96], tokenizer, LENGTH),
    }
    runs = []
    for seed in SEEDS:
        for base in BASES:
            runs.append(run(base, seed, data))
            print(runs[-1], flush=True)
    results.write(
        "results/quantization_qlora.json",
        what=f"Validation loss in nats per token of the voice task after {STEPS} steps of LoRA "
        "(r = 8, all linear layers) on three bases, and after merging each adapter in several ways",
        command=COMMAND,
        seeds=SEEDS,
        numbers={"steps": STEPS, "runs": runs},
    )


if __name__ == "__main__":
    main()
