"""A base in 8 bits beside 16 and 4: what LoRA learns on it, and what training takes.

    python -m benchmarks.quantization_int8

``loss``: the bundled model learns a pirate's voice, as in ``quantization_qlora``, on a base in 16
bit, in int8 with blocks of 64 (`peftlab.quantization`), in LLM.int8 (Dettmers et al. 2022, arXiv
2208.07339, bitsandbytes' ``Linear8bitLt``), and in NF4. ``memory`` needs a CUDA GPU: the peak of
PEFT's LoRA on the shape of Llama 2 7B, measured as ``benchmarks.memory`` does.

``--quick`` takes one seed and two steps, and on a GPU a small shape: its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import gc
from typing import Any

import torch
from torch import nn

import peftlab
from benchmarks import memory
from benchmarks.quantization_qlora import LENGTH, STEPS
from peftcourse.experiments import evaluate, models, results, tasks, train
from peftlab import LoRAConfig
from peftlab.memory import Settings
from peftlab.quantization.linear import NF4Linear, quantize_model, replace, to_quantize

COMMAND = "python -m benchmarks.quantization_int8"
WHAT = (
    f"Validation loss in nats per token of the voice task after {STEPS} steps of LoRA (r = 8, all "
    "linear layers) on bases of 16, 8 and 4 bits, and the bytes of each base; peak GPU memory in "
    "bytes of LoRA (r = 8, queries and values) on the shape of Llama 2 7B, 1 x 512 tokens"
)
SEEDS = (0, 1, 2, 3, 4)
RATE = 4e-3
BASES = ("16 bit", "int8, blocks of 64", "LLM.int8", "NF4")
SHAPE, QUICK_SHAPE = "llama-2-7b", "smollm2-135m"
BITS = (16, 8, 4)


# --- what is learned -----------------------------------------------------------------------------


def quantized(base: str) -> nn.Module:
    """The bundled model, with its linear layers in one of ``BASES``."""
    model = models.load("tiny", dtype=torch.float32).model
    match base:
        case "int8, blocks of 64":
            quantize_model(model, format="int8", double=False)
        case "LLM.int8":
            to_llm_int8(model)
        case "NF4":
            quantize_model(model)
    return model


def to_llm_int8(model: nn.Module) -> None:
    """Put bitsandbytes' 8-bit layers in the place of the linear layers, one after another."""
    import bitsandbytes

    for layer in list(to_quantize(model, "all-linear").values()):
        new = bitsandbytes.nn.Linear8bitLt(
            layer.in_features, layer.out_features, bias=False, has_fp16_weights=False
        )
        device = layer.weight.device
        new.weight = bitsandbytes.nn.Int8Params(
            layer.weight.detach().cpu(), requires_grad=False, has_fp16_weights=False
        )
        # Quantizes, on this device.
        replace(model, layer, new.to(device))


def base_bytes(model: nn.Module) -> int:
    """Bytes of a base, scales included; what is not quantized counts with 16 bits."""
    total = 0
    for parameter in model.parameters():  # a head that shares the embedding's weight counts once
        packed = not parameter.is_floating_point()
        total += parameter.numel() * (parameter.element_size() if packed else 2)
        scales = getattr(parameter, "SCB", None)  # one for each output, in bitsandbytes
        total += 0 if scales is None else 4 * scales.numel()
    layers = [module for module in model.modules() if isinstance(module, NF4Linear)]
    return total + sum(b.numel() * b.element_size() for layer in layers for b in layer.buffers())


def learned(base: str, seed: int, data: dict[str, list[tasks.Encoded]], steps: int) -> dict:
    """Train one adapter on a base."""
    model = quantized(base)
    size = base_bytes(model)
    torch.manual_seed(seed)
    peftlab.apply(model, LoRAConfig(rank=8, alpha=16))
    config = train.TrainConfig(steps=steps, learning_rate=RATE, seed=seed)
    before = evaluate.loss(model, data["validation"])
    train.train(model, data["train"], config, progress=False)
    return {
        "base": base,
        "seed": seed,
        "base_bytes": size,
        "before": before,
        "loss": evaluate.loss(model, data["validation"]),
    }


# --- what it takes -------------------------------------------------------------------------------


def step_memory(shape: str, bits: int, checkpointing: bool) -> dict[str, Any]:
    """Peak memory of PEFT's LoRA on a base of so many bits."""
    settings = Settings(
        method="qlora" if bits == 4 else "lora", gradient_checkpointing=checkpointing
    )
    torch.manual_seed(0)
    model = _eight_bits(shape, settings) if bits == 8 else memory.build(shape, settings, "cuda")
    gc.collect()
    torch.cuda.empty_cache()
    counter = memory.CudaCounter()
    memory.train(model, settings, "cuda", counter)
    return {
        "shape": shape,
        "bits": bits,
        "checkpointing": checkpointing,
        "held_bytes": counter.moments[0]["allocated"],
        "peak_bytes": counter.peak,
    }


def _eight_bits(shape: str, settings: Settings) -> nn.Module:
    """As ``memory.build`` makes a QLoRA, with 8-bit layers."""
    import peft

    base = memory._skeleton(shape, settings)
    memory._materialize(base, "cuda")
    to_llm_int8(base)
    base.is_loaded_in_8bit = base.is_quantized = True
    base = peft.prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
    base = peft.get_peft_model(base, memory._peft_config(settings))
    if settings.gradient_checkpointing:
        base.gradient_checkpointing_enable()
        base.enable_input_require_grads()
    return base.train()


def main(arguments: list[str] | None = None) -> None:
    """Measure what this machine can, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/quantization_int8.json")
    parser.add_argument("--quick", action="store_true", help="one seed, two steps, a small shape")
    options = parser.parse_args(arguments)
    seeds, steps = (SEEDS[:1], 2) if options.quick else (SEEDS, STEPS)

    tokenizer = models.load("tiny").tokenizer
    pirate = tasks.load("voice", voice="pirate")
    shown = 8 if options.quick else 96
    data = {
        "train": tasks.encode(pirate.train, tokenizer, LENGTH),
        "validation": tasks.encode(pirate.validation[:shown], tokenizer, LENGTH),
    }
    runs, peaks = [], []
    for seed in seeds:
        for base in BASES:
            runs.append(learned(base, seed, data, steps))
            print(runs[-1], flush=True)
    if torch.cuda.is_available():
        shape = QUICK_SHAPE if options.quick else SHAPE
        for bits in BITS:
            for checkpointing in (False, True):
                peaks.append(step_memory(shape, bits, checkpointing))
                print(peaks[-1], flush=True)
                gc.collect()
                torch.cuda.empty_cache()
    results.write(
        options.out,
        what=WHAT,
        command=COMMAND,
        seeds=seeds,
        numbers={"steps": steps, "runs": runs, "memory": peaks},
    )


if __name__ == "__main__":
    main()
