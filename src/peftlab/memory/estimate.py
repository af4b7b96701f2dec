"""Will it fit? The memory of a fine-tuning step, by component, without building the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from peftlab.errors import PeftlabError
from peftlab.memory import blocks, table
from peftlab.memory.architecture import Architecture, read
from peftlab.memory.settings import ALL_LINEAR, Settings

# The inputs that stand for an optimizer: how many states torch keeps of each number, in the
# parameter's dtype, and whether it takes the roots of all at once; how many bitsandbytes keeps, in
# 32 bit or 8, in managed memory or not.
OPTIMIZERS: dict[str, dict[str, int]] = {
    "adamw": {"torch_states": 2, "takes_roots": 1},
    "adamw_32bit": {"bnb_states": 2},
    "adamw_8bit": {"bnb_states": 2, "eight_bit": 1},
    "paged_adamw_32bit": {"bnb_states": 2, "paged_optimizer": 1},
    "paged_adamw_8bit": {"bnb_states": 2, "eight_bit": 1, "paged_optimizer": 1},
    "sgd": {},
    "sgd_momentum": {"torch_states": 1},
}
_NO_OPTIMIZER = {
    "torch_states": 0,
    "takes_roots": 0,
    "bnb_states": 0,
    "eight_bit": 0,
    "paged_optimizer": 0,
}


def inputs(architecture: Architecture, settings: Settings) -> dict[str, int]:
    """The numbers that the formulas start from."""
    shape = asdict(architecture)
    family = shape.pop("family")
    del shape["name"]
    method = settings.method
    return {
        **{name: int(value) for name, value in shape.items()},
        "gpt2": int(family == "gpt2"),
        "bert": int(family == "bert"),
        "layer_norm": int(family != "llama"),
        "full": int(method == "full"),
        "low_rank": int(method in ("lora", "qlora", "dora")),
        "dora": int(method == "dora"),
        "quantized": int(method == "qlora"),
        "ia3": int(method == "ia3"),
        "bitfit": int(method == "bitfit"),
        "adapter": int(method == "bottleneck"),
        "prefix": int(method == "prefix"),
        "prompt": int(method == "prompt"),
        "rank": settings.rank,
        "virtual_tokens": settings.tokens,
        "bottleneck": settings.bottleneck,
        "double_quantization": int(settings.double_quantization),
        "block_size": settings.block_size,
        "sixteen_bit": int(settings.precision == "bf16"),
        "autocast": int(settings.autocast),
        "peft": int(not settings.ours),
        "eager": int(settings.attention == "eager"),
        "flash": int(settings.attention == "flash"),
        "checkpointing": int(settings.gradient_checkpointing),
        "batch": settings.batch_size,
        "seq_len": settings.seq_len,
        **(_NO_OPTIMIZER | OPTIMIZERS[settings.optimizer]),
    }


def targeted(architecture: Architecture, settings: Settings) -> frozenset[str]:
    """Names of the kinds of linear layer that LoRA adapts, ``"self_attn.q_proj"`` for example.

    Raises:
        PeftlabError: a target means none of the model's linear layers.
    """
    if not settings.adapts_linear_layers:
        return frozenset()
    names = [name for name, _ in table.linear_layers(architecture.family)]
    targets = settings.targets or blocks.DEFAULT_TARGETS[architecture.family]
    if targets == ALL_LINEAR:
        return frozenset(names)
    found = set()
    for target in targets:
        meant = {name for name in names if name == target or name.endswith("." + target)}
        if not meant:
            raise PeftlabError(
                f"target {target!r} means no linear layer of {architecture.name}; they are "
                f'{", ".join(names)} (or use "{ALL_LINEAR}").'
            )
        found |= meant
    return frozenset(found)
