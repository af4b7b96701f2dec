"""What the calculator's page needs to evaluate the formulas and to offer choices, as plain data.

``book/_calculator/estimate.js`` evaluates it. What goes together is asked of `Settings` here, so
that the page has no rules of its own.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from itertools import product
from typing import Any

from peftcourse.calculator.report import LABELS
from peftlab.errors import PeftlabError
from peftlab.memory import blocks, formulas, table
from peftlab.memory.architecture import Architecture, read
from peftlab.memory.estimate import estimate, inputs
from peftlab.memory.gpus import GIB, HEADROOM_PERCENT, by_size, usable
from peftlab.memory.presets import PRESETS
from peftlab.memory.settings import (
    ATTENTIONS,
    BLOCK_SIZES,
    IMPLEMENTATIONS,
    METHODS,
    OPTIMIZERS,
    PRECISIONS,
    Settings,
)

DEFAULT_MODEL = "llama-2-7b"

# The values of a choice and how the page calls them.
CHOICES: dict[str, dict[Any, str]] = {
    "method": {
        "full": "full fine-tuning",
        "lora": "LoRA",
        "qlora": "QLoRA",
        "dora": "DoRA",
        "ia3": "IA³",
        "bitfit": "BitFit",
        "bottleneck": "bottleneck adapters",
        "prefix": "prefix tuning",
        "prompt": "prompt tuning",
    },
    "quantization": {"nf4": "NF4", "fp4": "FP4 (bitsandbytes)"},
    "block_size": {size: str(size) for size in BLOCK_SIZES},
    "precision": {"bf16": "16 bit", "mixed": "mixed, 32-bit weights", "fp32": "32 bit"},
    "optimizer": {
        "adamw": "AdamW",
        "adamw_32bit": "AdamW, bitsandbytes, 32 bit",
        "adamw_8bit": "AdamW, 8 bit",
        "paged_adamw_32bit": "AdamW, paged, 32 bit",
        "paged_adamw_8bit": "AdamW, paged, 8 bit",
        "sgd": "SGD",
        "sgd_momentum": "SGD with momentum",
    },
    "attention": {"sdpa": "SDPA", "flash": "FlashAttention 2", "eager": "eager"},
    "implementation": {"peft": "peft", "peftlab": "peftlab"},
}

# The fields of a model that a reader can give in numbers; all are of a decoder of Llama's kind.
CUSTOM = {
    "layers": "Blocks",
    "hidden": "Hidden size",
    "intermediate": "Feed-forward width",
    "heads": "Heads",
    "kv_heads": "Key/value heads",
    "head_dim": "Size of a head",
    "vocabulary": "Vocabulary",
}

# Families of presets by the start of their names.
FAMILIES = {
    "Llama": "llama-",
    "Mistral": "mistral-",
    "Qwen3": "qwen3-",
    "SmolLM": "smollm",
    "GPT-2": "gpt2",
    "BERT": "bert-",
}

# What restricts what: the later ones are offered as the earlier ones allow.
VALIDATED = ("method", "implementation", "precision", "attention", "gradient_checkpointing")

# Parts of the form that a method uses.
USES = {
    "rank": ("lora", "qlora", "dora"),
    "quantization": ("qlora",),
    "tokens": ("prefix", "prompt"),
    "bottleneck": ("bottleneck",),
}


def data() -> dict[str, Any]:
    """Everything as JSON can hold it; deterministic."""
    presets = {name: read(name) for name in PRESETS}
    default = presets[DEFAULT_MODEL]
    return {
        "formulas": {
            "functions": formulas.FUNCTIONS,
            "sizes": formulas.SIZES,
            "linear": formulas.LINEAR,
            "operations": formulas.OPERATIONS,
            "parameters": formulas.PARAMETERS,
            "parameters_of_linear": formulas.PARAMETERS_OF_LINEAR,
            "adapter_tensors": formulas.ADAPTER_TENSORS,
            "adapters_of_linear": formulas.ADAPTERS_OF_LINEAR,
            "adapters_of_model": formulas.ADAPTERS_OF_MODEL,
            "totals": formulas.TOTALS,
            "moments": formulas.MOMENTS,
            "flops": formulas.FLOPS,
        },
        "blocks": {"operations": blocks.BLOCKS, "outside": blocks.OUTSIDE, "other": blocks.OTHER},
        "presets": {name: numbers(shape) for name, shape in presets.items()},
        "families": {
            shape.family: _inputs("gpt2 bert layer_norm", shape) for shape in presets.values()
        },
        "methods": {
            method: _inputs(
                "full low_rank dora quantized ia3 bitfit adapter prefix prompt", method=method
            )
            for method in METHODS
        },
        "optimizers": {
            name: _inputs(
                "torch_states takes_roots bnb_states eight_bit paged_optimizer", optimizer=name
            )
            for name in OPTIMIZERS
        },
        "modes": _modes(),
        "unsupported": {
            shape.family: _unsupported(shape)
            for shape in {shape.family: shape for shape in presets.values()}.values()
        },
        "valid": _valid(),
        "validated": VALIDATED,
        "components": [
            {"name": name, "label": LABELS[name], "total": table.FIXED.get(name)}
            for name in table.COMPONENTS
        ],
        "summed": table.SUMMED,
        "gpus": [
            {
                "names": names,
                "gib": gib,
                "bytes": gib * GIB,
                "usable_bytes": usable(gib * GIB),
            }
            for gib, names in by_size().items()
        ],
        "headroom_percent": HEADROOM_PERCENT,
        "groups": {
            family: [name for name in PRESETS if name.startswith(start)]
            for family, start in FAMILIES.items()
        },
        "choices": {name: list(labels.items()) for name, labels in CHOICES.items()},
        "uses": {
            method: {part: method in methods for part, methods in USES.items()}
            for method in METHODS
        },
        "targets": {family: _targets(family) for family in blocks.BLOCKS},
        "default_targets": blocks.DEFAULT_TARGETS,
        "default_model": DEFAULT_MODEL,
        "defaults": asdict(Settings()),
        "custom": [{"key": key, "label": label} for key, label in CUSTOM.items()],
        "defaults_custom": {key: getattr(default, key) for key in (*CUSTOM, "tied")},
    }


def numbers(shape: Architecture) -> dict[str, Any]:
    """An architecture's family and its numbers, flags as 0 and 1."""
    fields = asdict(shape)
    del fields["name"]
    return {name: int(value) if name != "family" else value for name, value in fields.items()}


def _inputs(names: str, shape: Architecture | None = None, **settings: Any) -> dict[str, int]:
    """Some of the numbers that the formulas start from."""
    made = inputs(shape or read(DEFAULT_MODEL), Settings(**settings))
    return {name: made[name] for name in names.split()}


def _modes() -> dict[str, dict[str, int]]:
    """The inputs that depend on method, implementation and precision together, where they go."""
    modes = {}
    for method, implementation, precision in product(METHODS, IMPLEMENTATIONS, PRECISIONS):
        with suppress(PeftlabError):  # they do not go together
            modes[f"{method}/{implementation}/{precision}"] = _inputs(
                "sixteen_bit autocast peft",
                method=method,
                implementation=implementation,
                precision=precision,
            )
    return modes


def _valid() -> list[str]:
    """Every combination of choices that `Settings` takes, as ``"method/…/true"``.

    The order is that of ``VALIDATED``: what the page offers for one depends on those before it.
    """
    choices = (METHODS, IMPLEMENTATIONS, PRECISIONS, ATTENTIONS, (False, True))
    valid = []
    for values in product(*choices):
        with suppress(PeftlabError):
            Settings(**dict(zip(VALIDATED, values, strict=True)))
            valid.append("/".join(str(value).lower() for value in values))
    return valid


def _unsupported(shape: Architecture) -> list[str]:
    """Methods that a model has no place for, such as BitFit where there are no biases."""
    refused = []
    for method in METHODS:
        try:
            estimate(shape, Settings(method=method, seq_len=1, tokens=1))
        except PeftlabError:
            refused.append(method)
    return refused


def _targets(family: str) -> list[str]:
    """The ends of the names of the linear layers, each once."""
    names = [name for operation in blocks.BLOCKS[family] for name in operation["layers"]]
    return list(dict.fromkeys(name.rpartition(".")[2] for name in names))
