"""Peak GPU memory of fine-tuning: what ``peftlab.memory`` predicts, measured.

    python -m benchmarks.memory --out results/memory_cuda.json

Each configuration is a real shape with random weights, built on the GPU without loading anything:
the peak does not depend on what the weights are. It trains a few steps on random tokens with
transformers + peft + bitsandbytes, or with peftlab; the peak is ``torch.cuda.max_memory_allocated``
since the end of the set-up. Configurations that the file has already are not measured again.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

import peftlab
from benchmarks.memory_cases import CASES
from peftcourse.experiments import results
from peftlab.errors import PeftlabError
from peftlab.memory import PRESETS, Settings
from peftlab.memory.blocks import BLOCKS, DEFAULT_TARGETS

STEPS = 3


# --- the model -----------------------------------------------------------------------------------


def build(model: str, settings: Settings, device: str) -> nn.Module:
    """A model of a preset's shape with its method applied, ready to train."""
    base = _skeleton(model, settings)
    quantized = settings.method == "qlora"
    if quantized and not settings.ours:
        _to_linear4bit(base, settings)
    _materialize(base, device)
    if quantized and settings.ours:
        peftlab.quantize_model(
            base,
            format=settings.quantization,
            block_size=settings.block_size,
            double=settings.double_quantization,
        )
    if settings.method != "full":
        base = _adapted(base, settings)
    if settings.gradient_checkpointing:
        base.gradient_checkpointing_enable()
        base.enable_input_require_grads()
    return base.train()


def _skeleton(model: str, settings: Settings) -> nn.Module:
    """The architecture on torch's meta device: shapes without values."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    fields = dict(PRESETS[model])
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    config.max_position_embeddings = max(config.max_position_embeddings, settings.seq_len)
    kind = AutoModelForMaskedLM if config.model_type == "bert" else AutoModelForCausalLM
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    attention = "flash_attention_2" if settings.attention == "flash" else settings.attention
    with torch.device("meta"):
        return kind.from_config(config, dtype=dtype, attn_implementation=attention)


def _to_linear4bit(base: nn.Module, settings: Settings) -> None:
    """Put bitsandbytes' layers in the place of the linear layers, as transformers does."""
    import bitsandbytes

    head = base.get_output_embeddings()
    for parent in list(base.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear and layer is not head:
                new = bitsandbytes.nn.Linear4bit(
                    layer.in_features,
                    layer.out_features,
                    bias=layer.bias is not None,
                    compute_dtype=torch.bfloat16,
                    compress_statistics=settings.double_quantization,
                    quant_type=settings.quantization,
                    device="meta",
                )
                new.weight.blocksize = settings.block_size
                setattr(parent, name, new)
    base.is_loaded_in_4bit = True
    base.is_quantized = True


def _materialize(base: nn.Module, device: str) -> None:
    """Give every parameter and buffer memory and random values, one after another."""
    made: dict[int, nn.Parameter] = {}  # tied weights are made once
    for module in base.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if parameter.dtype == torch.uint8 or hasattr(parameter, "quant_type"):
                module._parameters[name] = _quantized(module, device)
                continue
            if id(parameter) not in made:
                values = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                made[id(parameter)] = nn.Parameter(values.normal_(std=0.02))
            module._parameters[name] = made[id(parameter)]
    # What a model computes at the start and keeps: positions, frequencies.
    for module in list(base.modules()):
        if type(module).__name__.endswith("RotaryEmbedding"):
            module.__init__(base.config)
            module.to(device)
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_meta:
                values = torch.zeros(buffer.shape, dtype=buffer.dtype, device=device)
                module._buffers[name] = values


def _quantized(layer: nn.Module, device: str) -> nn.Parameter:
    """A random weight for bitsandbytes' ``Linear4bit``, made in 16 bit and quantized."""
    import bitsandbytes

    shape = (layer.out_features, layer.in_features)
    values = torch.empty(shape, dtype=torch.bfloat16, device=device).normal_(std=0.02)
    empty = layer.weight
    return bitsandbytes.nn.Params4bit(
        values,
        requires_grad=False,
        blocksize=empty.blocksize,
        compress_statistics=empty.compress_statistics,
        quant_type=empty.quant_type,
        module=layer,
    ).to(device)


def _adapted(base: nn.Module, settings: Settings) -> nn.Module:
    """The base with the method's adapter."""
    if settings.ours:
        kind = base.config.model_type
        return peftlab.apply(base, _our_config(settings, kind if kind in BLOCKS else "llama"))
    import peft

    if settings.method == "qlora":
        base = peft.prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
    return peft.get_peft_model(base, _peft_config(settings))


def _peft_config(settings: Settings) -> Any:
    import peft

    targets = settings.targets
    if isinstance(targets, tuple):
        targets = list(targets)
    match settings.method:
        case "lora" | "qlora" | "dora":
            return peft.LoraConfig(
                r=settings.rank,
                lora_alpha=2 * settings.rank,
                target_modules=targets,
                use_dora=settings.method == "dora",
            )
        case "ia3":
            return peft.IA3Config(task_type="CAUSAL_LM")
        case "prefix":
            return peft.PrefixTuningConfig(
                task_type="CAUSAL_LM", num_virtual_tokens=settings.tokens
            )
        case "prompt":
            return peft.PromptTuningConfig(
                task_type="CAUSAL_LM", num_virtual_tokens=settings.tokens
            )
    raise PeftlabError(f"peft has no method {settings.method!r}; measure it with peftlab.")


def _our_config(settings: Settings, family: str) -> Any:
    targets = settings.targets or DEFAULT_TARGETS[family]
    match settings.method:
        case "lora" | "qlora":
            return peftlab.LoRAConfig(rank=settings.rank, targets=targets)
        case "dora":
            return peftlab.DoRAConfig(rank=settings.rank, targets=targets)
        case "ia3":
            return peftlab.IA3Config()
        case "bitfit":
            return peftlab.BitFitConfig()
        case "bottleneck":
            return peftlab.BottleneckConfig(size=settings.bottleneck)
        case "prefix":
            return peftlab.PrefixConfig(tokens=settings.tokens)
        case "prompt":
            return peftlab.PromptConfig(tokens=settings.tokens)
    raise PeftlabError(f"unknown method {settings.method!r}.")


# --- a step --------------------------------------------------------------------------------------


def optimizer_for(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """The optimizer over what trains."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(trained, lr=1e-4)
    if settings.optimizer.startswith("sgd"):
        momentum = 0.9 if settings.optimizer == "sgd_momentum" else 0.0
        return torch.optim.SGD(trained, lr=1e-4, momentum=momentum)
    import bitsandbytes

    name = {
        "adamw_32bit": "AdamW32bit",
        "adamw_8bit": "AdamW8bit",
        "paged_adamw_32bit": "PagedAdamW32bit",
        "paged_adamw_8bit": "PagedAdamW8bit",
    }[settings.optimizer]
    return getattr(bitsandbytes.optim, name)(trained, lr=1e-4)


def autocast(settings: Settings, device: str) -> AbstractContextManager:
    """bfloat16 where the estimate says that products run in it."""
    if settings.autocast:
        return torch.autocast(device, torch.bfloat16)
    return nullcontext()


def train(model: nn.Module, settings: Settings, device: str, mark: Callable[[str], None]) -> None:
    """Train ``STEPS`` steps on random tokens; ``mark`` is told where in a step it is."""
    vocabulary = model.config.vocab_size
    optimizer = optimizer_for(model, settings)
    shape = (settings.batch_size, settings.seq_len)
    tokens = torch.randint(0, vocabulary, shape, device=device)
    options = {} if model.config.model_type == "bert" else {"use_cache": False}
    if settings.method == "prefix":
        options = {}
    mark("set up")
    for step in range(STEPS):
        with autocast(settings, device):
            loss = model(input_ids=tokens, labels=tokens, **options).loss
        mark(f"forward {step}")
        loss.backward()
        mark(f"backward {step}")
        optimizer.step()
        optimizer.zero_grad()
        del loss
        mark(f"step {step}")


# --- a measurement -------------------------------------------------------------------------------


class CudaCounter:
    """The allocator's own counters, read at named moments."""

    def __init__(self) -> None:
        self.moments: list[dict[str, Any]] = []
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def __call__(self, moment: str) -> None:
        """Note what is allocated now, and the peak since the moment before."""
        torch.cuda.synchronize()
        now, peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
        self.moments.append({"moment": moment, "allocated": now, "peak": peak})
        torch.cuda.reset_peak_memory_stats()

    @property
    def peak(self) -> int:
        """The highest peak after the set-up."""
        return max(entry["peak"] for entry in self.moments[1:])


def measure(case: dict[str, Any], device: str = "cuda") -> dict[str, Any]:
    """Train one configuration; what was allocated, when."""
    settings = Settings(**case["settings"])
    torch.manual_seed(0)
    started = time.perf_counter()
    model = build(case["model"], settings, device)
    built = time.perf_counter()
    counter = CudaCounter()
    train(model, settings, device, counter)
    return {
        **case,
        "settings": asdict(settings),
        "peak_bytes": counter.peak,
        "moments": counter.moments,
        "seconds": {
            "build": round(built - started, 2),
            "train": round(time.perf_counter() - built, 2),
        },
    }


def attempt(case: dict[str, Any]) -> dict[str, Any]:
    """``measure``, where a failure is a record too; leaves the GPU empty."""
    try:
        return measure(case)
    except Exception as error:
        trace = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(trace.filename).name}:{trace.lineno}"
        return {**case, "error": f"{type(error).__name__}: {str(error)[:300]} ({where})"}
    finally:
        gc.collect()
        torch.cuda.empty_cache()


def remaining(cases: list[dict[str, Any]], done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The cases that were not measured yet, or failed."""
    names = {record["name"] for record in done if "error" not in record}
    return (case for case in cases if case["name"] not in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/memory_cuda.json"))
    parser.add_argument("--only", help="measure only the cases with this in their name")
    parser.add_argument("--minutes", type=float, default=9.0, help="start none later (default 9)")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this measures the memory of a CUDA device, and there is none.")
    warnings.simplefilter("ignore")

    done = []
    if arguments.out.exists():
        done = results.read(arguments.out)["numbers"]["cases"]
    chosen = [case for case in CASES if (arguments.only or "") in case["name"]]
    deadline = time.monotonic() + 60 * arguments.minutes
    for case in remaining(chosen, done):
        if time.monotonic() > deadline:
            print("out of time; run it again for the rest")
            break
        record = attempt(case)
        done = [other for other in done if other["name"] != case["name"]] + [record]
        results.write(
            arguments.out,
            what="Peak of torch.cuda.max_memory_allocated in bytes, set-up excluded, over "
            f"{STEPS} training steps of real model shapes with random weights",
            command="python -m benchmarks.memory",
            seeds=[0],
            numbers={"steps": STEPS, "cases": done},
        )
        shown = record.get("error") or f"{record['peak_bytes'] / 2**30:8.3f} GiB"
        print(f"{case['name']:<60} {shown} {json.dumps(record.get('seconds', {}))}")


if __name__ == "__main__":
    main()
