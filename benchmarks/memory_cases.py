"""The configurations that ``benchmarks.memory`` measures.

Nothing in ``peftlab.memory`` is fitted, but its formulas were corrected while looking at ``SEEN``:
which tensors are alive, and why. ``HELD_OUT`` was measured after the last correction.
"""

from __future__ import annotations

from typing import Any

_CHECKPOINTED = {"gradient_checkpointing": True}
_OURS = {"implementation": "peftlab"}
_ALL = {"targets": "all-linear"}


def case(model: str, method: str, batch_size: int, seq_len: int, **more: Any) -> dict[str, Any]:
    """A configuration and its name."""
    flags = [key if value is True else f"{key}={value}" for key, value in more.items()]
    return {
        "name": " ".join([model, method, f"{batch_size}x{seq_len}", *flags]),
        "model": model,
        "settings": {"method": method, "batch_size": batch_size, "seq_len": seq_len, **more},
    }


SEEN = [
    case("smollm2-135m", "full", 2, 512),
    case("llama-2-7b", "lora", 1, 512),
    case("llama-2-7b", "qlora", 1, 512, **_CHECKPOINTED),
    case("llama-2-7b", "lora", 1, 512, **_OURS),
    case("llama-3.2-1b", "full", 1, 1024, precision="mixed"),
    case("llama-3-8b", "qlora", 1, 1024, **_CHECKPOINTED),
    case("llama-3.2-1b", "lora", 4, 1024, **_ALL),
    case("llama-3.2-1b", "dora", 2, 512),
    case("llama-3.2-1b", "ia3", 2, 512),
    case("llama-3.2-1b", "prompt", 2, 512),
    case("llama-3.2-1b", "prefix", 2, 512),
    case("qwen3-0.6b", "lora", 4, 1024, **_CHECKPOINTED),
    case("llama-2-7b", "full", 1, 512, **_CHECKPOINTED),
    case("llama-3.2-1b", "lora", 1, 1024, attention="eager"),
    case("gpt2-medium", "bitfit", 4, 512),
    case("llama-3.2-1b", "bottleneck", 2, 512),
    case("llama-2-7b", "qlora", 1, 512, **_CHECKPOINTED, **_OURS),
    case("llama-3.2-1b", "qlora", 2, 512, double_quantization=False),
    case("bert-base", "full", 8, 256),
    case("gpt2", "full", 4, 512),
    case("llama-3.2-1b", "lora", 2, 512, precision="fp32"),
    case("llama-2-7b", "qlora", 1, 512, **_CHECKPOINTED, optimizer="paged_adamw_32bit"),
    case("llama-3.2-1b", "full", 1, 512, optimizer="adamw_8bit"),
    case("llama-3.2-1b", "prefix", 2, 512, **_OURS),
    case("llama-3.2-1b", "dora", 2, 512, **_OURS),
    case("llama-3.2-1b", "ia3", 2, 512, **_OURS),
]

SEEN += [
    case("llama-2-13b", "qlora", 1, 512, **_CHECKPOINTED),
    case("llama-2-13b", "lora", 1, 512),
    case("llama-2-7b", "qlora", 4, 2048, **_CHECKPOINTED, **_ALL),
    case("llama-3-8b", "qlora", 4, 2048, **_CHECKPOINTED),
    case("llama-3-8b", "full", 1, 512, **_CHECKPOINTED, optimizer="sgd"),
    case("llama-3-8b", "dora", 2, 1024, **_CHECKPOINTED),
    case("llama-3-8b", "lora", 8, 512, **_CHECKPOINTED),
    case("mistral-7b", "lora", 4, 1024),
    case("smollm2-135m", "lora", 8, 2048),
    case("smollm2-135m", "full", 8, 512, **_CHECKPOINTED),
    case("smollm2-360m", "full", 4, 1024, precision="mixed"),
    case("smollm2-1.7b", "full", 2, 1024, **_CHECKPOINTED),
    case("smollm2-1.7b", "lora", 2, 2048, rank=64, **_ALL),
    case("smollm3-3b", "lora", 2, 1024, targets="q_proj,v_proj", **_CHECKPOINTED),
    case("smollm3-3b", "qlora", 4, 512, **_ALL, **_CHECKPOINTED),
    case("qwen3-0.6b", "full", 2, 512, precision="mixed"),
    case("qwen3-1.7b", "dora", 2, 512, **_ALL),
    case("qwen3-4b", "qlora", 2, 1024, **_CHECKPOINTED),
    case("qwen3-8b", "lora", 1, 2048, **_CHECKPOINTED),
    case("qwen3-8b", "ia3", 1, 512),
    case("llama-3.2-1b", "full", 2, 2048, **_CHECKPOINTED),
    case("llama-3.2-3b", "full", 1, 512, precision="mixed", **_CHECKPOINTED),
    case("llama-3.2-3b", "lora", 2, 1024, rank=16, **_ALL, **_CHECKPOINTED),
    case("llama-3.2-3b", "dora", 2, 1024, **_OURS),
    case("llama-3.2-3b", "prompt", 4, 512, tokens=100),
    case("llama-3.2-3b", "prefix", 2, 1024, tokens=30),
    case("llama-2-7b", "dora", 1, 512),
    case("llama-2-7b", "ia3", 2, 512),
    case("llama-2-7b", "ia3", 4, 1024, **_CHECKPOINTED),
    case("llama-2-7b", "prompt", 1, 512),
    case("llama-2-7b", "lora", 1, 1024, attention="eager"),
    case("llama-2-7b", "lora", 2, 512, rank=64, **_ALL, optimizer="paged_adamw_32bit"),
    case("llama-2-7b", "full", 1, 512, **_CHECKPOINTED, optimizer="adamw_8bit"),
    case("llama-2-7b", "full", 1, 512, **_CHECKPOINTED, optimizer="adamw_32bit"),
    case("llama-2-7b", "lora", 8, 256, **_ALL, **_OURS),
    case("llama-2-7b", "qlora", 4, 1024, **_CHECKPOINTED, **_OURS),
    case("mistral-7b", "qlora", 1, 2048, quantization="fp4", block_size=128, **_CHECKPOINTED),
    case("llama-2-13b", "lora", 4, 1024, **_ALL, **_CHECKPOINTED),
    case("llama-2-13b", "dora", 1, 256),
    case("llama-2-13b", "lora", 1, 2048, **_CHECKPOINTED, **_OURS),
    case("gpt2", "lora", 8, 256),
    case("gpt2-large", "full", 2, 512),
    case("gpt2-xl", "bottleneck", 2, 512),
    case("bert-large", "bitfit", 8, 256),
    case("bert-base", "lora", 16, 256, **_ALL, **_CHECKPOINTED, **_OURS),
    case("smollm2-360m", "full", 4, 512, precision="fp32"),
    # With the same case of the first list: what checkpointing saves.
    case("llama-3.2-1b", "lora", 4, 1024, **_ALL, **_CHECKPOINTED),
    case("gpt2-large", "full", 2, 512, **_CHECKPOINTED),
]

HELD_OUT = [
    case("llama-2-7b", "lora", 1, 512, **_CHECKPOINTED),
    case("llama-3.2-1b", "full", 2, 2048),
    case("qwen3-14b", "qlora", 1, 1024, **_CHECKPOINTED),
    case("qwen3-14b", "lora", 1, 512, **_CHECKPOINTED),
    case("llama-3.1-8b", "full", 1, 512, **_CHECKPOINTED),
    case("mistral-7b", "dora", 1, 512, **_ALL, **_CHECKPOINTED),
    case("mistral-7b", "qlora", 2, 1024, **_ALL),
    case("llama-2-13b", "ia3", 1, 512, **_CHECKPOINTED),
    case("llama-2-13b", "prompt", 2, 256, tokens=50),
    case("llama-2-13b", "qlora", 2, 1024, rank=64, **_ALL, **_CHECKPOINTED),
    case("llama-2-7b", "lora", 1, 2048, precision="fp32", **_CHECKPOINTED),
    case("llama-3.2-1b", "qlora", 8, 512, **_ALL, **_CHECKPOINTED, **_OURS),
    case("llama-3.2-1b", "full", 2, 512, optimizer="sgd_momentum"),
    case("llama-3.2-3b", "lora", 1, 2048, attention="eager", **_CHECKPOINTED),
    case("smollm2-135m", "full", 4, 512, optimizer="paged_adamw_8bit"),
    case("smollm2-360m", "dora", 8, 256),
    case("smollm2-1.7b", "full", 1, 1024, precision="mixed"),
    case("qwen3-1.7b", "full", 4, 512, **_CHECKPOINTED, optimizer="adamw_8bit"),
    case("qwen3-4b", "bottleneck", 2, 512),
    case("qwen3-0.6b", "prefix", 4, 256, **_OURS, **_CHECKPOINTED),
    case("smollm3-3b", "lora", 2, 2048, **_CHECKPOINTED, **_ALL),
    case("gpt2-medium", "lora", 4, 1024, **_ALL, **_CHECKPOINTED),
    case("gpt2", "bitfit", 16, 256),
    case("bert-base", "lora", 32, 128),
    case("bert-large", "full", 16, 128, precision="mixed"),
]

CASES: list[dict[str, Any]] = [{**one, "held_out": False} for one in SEEN] + [
    {**one, "held_out": True} for one in HELD_OUT
]
