"""What peft's recipe for 4-bit training costs with grouped queries, with autocast and without.

    python -m benchmarks.quantization_kbit                # on a GPU, about 4 minutes
    python -m benchmarks.quantization_kbit --quick        # a tiny shape, on a CPU too; no record

``prepare_model_for_kbit_training`` casts norms, embedding and head to float32. The stream of hidden
states takes the dtype of the embedding, and attention that of the stream. In float32 PyTorch has no
fused kernel for grouped queries on CUDA, so a loop without autocast holds the scores of all pairs
of tokens. The shape is Mistral 7B's, and for comparison the same with a key and a value for every
query; weights are random, made on the GPU; LoRA of rank 16 is on all linear layers; every setting
uses gradient checkpointing. Cases that the file has already are not measured again.
"""

from __future__ import annotations

import argparse
import gc
import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from peftcourse.experiments import results
from peftcourse.experiments.attention import FusedAttention
from peftlab.memory import PRESETS

COMMAND = "python -m benchmarks.quantization_kbit"
RECORD = Path("results/quantization_kbit_cuda.json")
RANK, SEED, STEPS = 16, 0, 3
SIZES = ((4, 1024), (1, 4096), (4, 4096))  # sequences of a step, tokens of each

MISTRAL = PRESETS["mistral-7b"]
SHAPES = {
    "Mistral 7B": MISTRAL,
    "without grouped queries": MISTRAL | {"num_key_value_heads": MISTRAL["num_attention_heads"]},
}
SMALL = MISTRAL | {
    "num_hidden_layers": 2,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}


@dataclass(frozen=True)
class Setting:
    """How the base is stored and prepared, and how the loop runs.

    Attributes:
        four_bit: NF4 with double quantization through bitsandbytes, or bfloat16.
        recipe: whether ``prepare_model_for_kbit_training`` prepares it.
        autocast: whether the forward pass runs under bfloat16 autocast.
    """

    four_bit: bool
    recipe: bool
    autocast: bool


SETTINGS = {
    "QLoRA, the recipe alone": Setting(four_bit=True, recipe=True, autocast=False),
    "QLoRA, the recipe under autocast": Setting(four_bit=True, recipe=True, autocast=True),
    "QLoRA, nothing cast": Setting(four_bit=True, recipe=False, autocast=False),
    "LoRA, 16-bit base": Setting(four_bit=False, recipe=False, autocast=False),
}


# --- the model -----------------------------------------------------------------------------------


def build(shape: dict[str, Any], setting: Setting, device: str) -> nn.Module:
    """A model of random weights with LoRA on all linear layers, ready to train."""
    import peft
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(SEED)
    with torch.device(device):
        base = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape), dtype=torch.bfloat16)
    if setting.four_bit:
        _to_linear4bit(base)
    checkpointing = {"use_reentrant": False}
    if setting.recipe:
        base = peft.prepare_model_for_kbit_training(
            base, gradient_checkpointing_kwargs=checkpointing
        )
    else:
        base.gradient_checkpointing_enable(checkpointing)
    config = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    return peft.get_peft_model(base, config).train()


def _to_linear4bit(base: nn.Module) -> None:
    """Quantize the linear layers but the head, one after another, as transformers does."""
    import bitsandbytes

    head = base.get_output_embeddings()
    for parent in list(base.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear and layer is not head:
                quantized = bitsandbytes.nn.Linear4bit(
                    layer.in_features,
                    layer.out_features,
                    bias=False,
                    compute_dtype=torch.bfloat16,
                    quant_type="nf4",
                    device="meta",
                )
                quantized.weight = bitsandbytes.nn.Params4bit(
                    layer.weight.data,
                    requires_grad=False,
                    quant_type="nf4",
                    compress_statistics=True,
                ).to(layer.weight.device)
                setattr(parent, name, quantized)
    base.is_loaded_in_4bit = True


# --- a measurement -------------------------------------------------------------------------------


def measure(model: nn.Module, setting: Setting, size: tuple[int, int]) -> dict[str, Any]:
    """Seconds of each of ``STEPS`` steps after a first one, and the peak memory of all of them.

    The first step also says in which dtype the stream of hidden states reaches the first block,
    and which fused kernel computes its attention, if any.
    """
    device = next(model.parameters()).device
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    ids = torch.randint(0, model.config.vocab_size, size, device=device)

    def step() -> float:
        started = _now(device)
        autocast = torch.autocast(device.type, torch.bfloat16)
        with autocast if setting.autocast else nullcontext():
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return _now(device) - started

    stream = []
    watch = (
        model.get_base_model()
        .model.layers[0]
        .register_forward_pre_hook(lambda block, args: stream.append(args[0].dtype))
    )
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with FusedAttention() as fused:
        step()
    watch.remove()
    seconds = [step() for _ in range(STEPS)]
    return {
        "stream": _name(stream[0]),
        "fused_attention": {
            kernel: sorted(map(_name, dtypes)) for kernel, dtypes in fused.seen.items()
        },
        "seconds": seconds,
        "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None,
    }


def _now(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def key(case: dict[str, Any]) -> tuple[str, str, int, int]:
    """What a case measures, whatever it found."""
    return case["shape"], case["setting"], *case["size"]


def contestants(quick: bool) -> Iterator[tuple[str, dict[str, Any], str, Setting]]:
    """Each shape with each of its settings: names and values."""
    if quick:
        yield from (("small", SMALL, name, setting) for name, setting in SETTINGS.items())
        return
    for shape, fields in SHAPES.items():
        for name, setting in SETTINGS.items():
            # The second shape answers one question: are the grouped queries to blame?
            if shape == "Mistral 7B" or setting.recipe:
                yield shape, fields, name, setting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tiny shape, on a CPU too")
    parser.add_argument("--out", type=Path, help=f"the record (default {RECORD}; quick: none)")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not arguments.quick:
        raise SystemExit("this measures a CUDA device, and there is none; try it with --quick.")
    out = arguments.out or (None if arguments.quick else RECORD)
    # peft asks transformers by a name that newer versions call old.
    warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
    sizes = ((2, 16),) if arguments.quick else SIZES

    cases = results.read(out)["numbers"]["cases"] if out and out.exists() else []
    for shape, fields, name, setting in contestants(arguments.quick):
        measured = {key(case) for case in cases if "error" not in case}
        missing = [size for size in sizes if (shape, name, *size) not in measured]
        if not missing:
            continue
        model = build(fields, setting, device)
        for size in missing:
            case = {"shape": shape, "setting": name, "size": list(size)}
            try:
                case |= measure(model, setting, size)
            except torch.OutOfMemoryError as error:
                case["error"] = str(error).partition("\n")[0]
            model.zero_grad(set_to_none=True)
            free()
            print(case, flush=True)
            cases = [other for other in cases if key(other) != key(case)] + [case]
            if out:
                write(out, cases)
        del model
        free()


def write(out: Path, cases: list[dict[str, Any]]) -> None:
    """The record, complete after every case."""
    results.write(
        out,
        what=f"Seconds of each of {STEPS} training steps after a first one, and the peak of "
        f"torch.cuda.max_memory_allocated over them in bytes: LoRA (r = {RANK}, all linear "
        "layers, gradient checkpointing) through peft on random weights, by shape, preparation "
        "and size (sequences, tokens of each)",
        command=COMMAND,
        seeds=[SEED],
        numbers={"rank": RANK, "steps": STEPS, "cases": cases},
    )


def free() -> None:
    """Give back what is not used any more, so that the next peak is its own."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
