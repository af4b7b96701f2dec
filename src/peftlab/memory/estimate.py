"""Will it fit? The memory of a fine-tuning step, by component, without building the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
NO_OPTIMIZER = {
    "torch_states": 0, "takes_roots": 0, "bnb_states": 0, "eight_bit": 0, "paged_optimizer": 0,
}  # fmt: skip


_BY_NAME = ("full", "dora", "ia3", "bitfit", "prefix", "prompt")  # methods with a switch each


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
        **{name: int(method == name) for name in _BY_NAME},
        "low_rank": int(method in ("lora", "qlora", "dora")),
        "quantized": int(method == "qlora"),
        "adapter": int(method == "bottleneck"),
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
        **(NO_OPTIMIZER | OPTIMIZERS[settings.optimizer]),
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


@dataclass(frozen=True)
class Estimate:
    """What a training run needs.

    Attributes:
        model: the model's name.
        settings: how it is trained.
        components: what is alive at the peak, in bytes, by the names in ``table.COMPONENTS``.
        moment: the moment of a step at which that is, a key of ``moments``.
        moments: the memory at each moment, in bytes.
        parameters: of the model, without the adapter.
        trained: parameters that train: the adapter's, or all of the model's.
        file_bytes: what a saved adapter takes, or the weights of a model that is trained in full;
            the header of the file, some kilobytes, comes on top.
        paged_bytes: optimizer states in managed memory, which ``peak_bytes`` does not contain.
        flops: floating-point operations of a step, a product and a sum counting as two.
    """

    model: str
    settings: Settings
    components: dict[str, int]
    moment: str
    moments: dict[str, int]
    parameters: int
    trained: int
    file_bytes: int
    paged_bytes: int
    flops: int

    @property
    def peak_bytes(self) -> int:
        """The predicted ``torch.cuda.max_memory_allocated`` while training: the components' sum."""
        return sum(self.components.values())


def estimate(model: Any, settings: Settings) -> Estimate:
    """Predict the memory of a training run.

    >>> estimate("llama-2-7b", Settings(method="qlora", gradient_checkpointing=True)).peak_bytes

    Args:
        model: a preset's name, a folder or ``config.json``, a transformers configuration, or a hub
            id; see ``architecture.read``.
        settings: the method and how it is trained.

    Raises:
        PeftlabError: the model is not known, or the settings make no sense for it.
    """
    architecture = read(model)
    _check(architecture, settings)
    found = table.evaluate(
        architecture.family, inputs(architecture, settings), targeted(architecture, settings)
    )
    names = found.names
    if not names["trained"]:
        raise PeftlabError(
            f"{architecture.name} has no biases for BitFit to train; use a model that has, such as "
            "GPT-2 or BERT, or another method."
        )
    moments = table.moments(found)
    totals = {moment: sum(components.values()) for moment, components in moments.items()}
    highest = max(totals, key=totals.__getitem__)
    return Estimate(
        model=architecture.name,
        settings=settings,
        components=moments[highest],
        moment=highest,
        moments=totals,
        parameters=int(names["parameters"]),
        trained=int(names["trained"]),
        file_bytes=int(names["file_bytes"]),
        paged_bytes=int(names["paged"]),
        flops=int(names["flops"]),
    )


def _check(architecture: Architecture, settings: Settings) -> None:
    """Refuse what the model cannot do."""
    if architecture.family == "bert" and settings.method in ("prompt", "prefix"):
        raise PeftlabError(
            f"memory of {settings.method} tuning is known for causal models; {architecture.name} "
            "is an encoder: use LoRA, IA³, BitFit or bottleneck adapters."
        )
    longest = architecture.positions
    virtual = settings.tokens if settings.method in ("prompt", "prefix") else 0
    if longest and settings.seq_len + virtual > longest:
        raise PeftlabError(
            f"{architecture.name} has {longest:,} positions, fewer than {settings.seq_len:,} tokens"
            f"{f' and {virtual} virtual ones' if virtual else ''}; use shorter sequences."
        )
