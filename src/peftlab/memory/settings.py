"""What to estimate: the method, the numbers it has, and how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peftlab.errors import PeftlabError

METHODS = ("full", "lora", "qlora", "dora", "ia3", "bitfit", "bottleneck", "prefix", "prompt")
PRECISIONS = ("bf16", "mixed", "fp32")
QUANTIZATIONS = ("nf4", "fp4")
BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
OPTIMIZERS = (
    "adamw", "adamw_32bit", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "sgd",
    "sgd_momentum",
)  # fmt: skip
ATTENTIONS = ("sdpa", "flash", "eager")
IMPLEMENTATIONS = ("peft", "peftlab")
ALL_LINEAR = "all-linear"

_CHOICES = {
    "method": METHODS, "precision": PRECISIONS, "quantization": QUANTIZATIONS,
    "block_size": BLOCK_SIZES, "optimizer": OPTIMIZERS, "attention": ATTENTIONS,
    "implementation": IMPLEMENTATIONS,
}  # fmt: skip

_ADAPTS_LINEAR_LAYERS = ("lora", "qlora", "dora")


@dataclass(frozen=True)
class Settings:
    """A method and how it is trained.

    Attributes:
        method: one of ``METHODS``.
        rank: r of LoRA, QLoRA and DoRA.
        targets: the linear layers that LoRA, QLoRA or DoRA adapt: ``"all-linear"``, or ends of
            their names (``"q_proj"``); a string may hold several, with commas between. Without it
            queries and values, peft's choice. IA³, adapters, BitFit, prefix and prompt go where
            their papers put them.
        tokens: virtual tokens of a prefix or prompt.
        bottleneck: width of a bottleneck adapter (after each feed-forward network, Pfeiffer).
        precision: ``"bf16"``: weights and arithmetic in 16 bit; ``"mixed"``: full fine-tuning of
            32-bit weights under bfloat16 autocast; ``"fp32"``: everything in 32 bit. Adapters are
            in 32 bit always, as peft and peftlab make them.
        quantization: 4-bit format of QLoRA's base, ``"nf4"`` or bitsandbytes' ``"fp4"``.
        double_quantization: whether QLoRA's block constants are quantized too.
        block_size: weights of a quantization block.
        optimizer: ``"adamw"`` and ``"sgd"``, ``"sgd_momentum"`` are torch's, with states in the
            dtype of what trains; the others are those of bitsandbytes.
        batch_size, seq_len: sequences of a step and tokens of each.
        gradient_checkpointing: keep only the blocks' inputs, and compute each block again.
        attention: ``"sdpa"`` (transformers' default), ``"flash"`` or ``"eager"``.
        implementation: ``"peft"`` (transformers, peft and bitsandbytes in plain 16-bit arithmetic)
            or ``"peftlab"`` (this library, under autocast). BitFit and bottleneck adapters, which
            peft does not have, are peftlab's either way.

    Raises:
        PeftlabError: a value is out of range, or two do not go together.
    """

    method: str = "lora"
    rank: int = 8
    targets: str | tuple[str, ...] | None = None
    tokens: int = 20
    bottleneck: int = 64
    precision: str = "bf16"
    quantization: str = "nf4"
    double_quantization: bool = True
    block_size: int = 64
    optimizer: str = "adamw"
    batch_size: int = 1
    seq_len: int = 512
    gradient_checkpointing: bool = False
    attention: str = "sdpa"
    implementation: str = "peft"

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise PeftlabError(
                    f"{name} must be one of {', '.join(map(str, known))}, "
                    f"not {getattr(self, name)!r}."
                )
        for name in ("rank", "tokens", "bottleneck", "batch_size", "seq_len"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise PeftlabError(f"{name} must be a whole number of at least 1, not {value!r}.")
        if self.precision == "mixed" and self.method != "full":
            raise PeftlabError(
                f"precision 'mixed' keeps 32-bit copies of weights that train, and {self.method} "
                "trains none of the model's; use 'bf16'."
            )
        if self.precision != "bf16" and self.method == "qlora":
            raise PeftlabError(
                f"qlora computes in 16 bit, not in {self.precision!r}; use precision 'bf16'."
            )
        if self.precision == "fp32" and self.attention == "flash":
            raise PeftlabError(
                "flash attention computes in 16 bit; use precision 'bf16', or attention 'sdpa'."
            )
        if self.method == "prefix" and self.gradient_checkpointing and not self.ours:
            raise PeftlabError(
                "peft cannot train a prefix with gradient checkpointing; turn it off, or use "
                "implementation 'peftlab'."
            )
        object.__setattr__(self, "targets", _names(self.targets))

    @property
    def ours(self) -> bool:
        """Whether peftlab trains it."""
        return self.implementation == "peftlab" or self.method in ("bitfit", "bottleneck")

    @property
    def autocast(self) -> bool:
        """Whether the forward pass runs under bfloat16 autocast."""
        if self.method == "full":
            return self.precision == "mixed"
        return self.ours and self.precision == "bf16"

    @property
    def quantized(self) -> bool:
        """Whether the linear layers are in 4 bit."""
        return self.method == "qlora"

    @property
    def adapts_linear_layers(self) -> bool:
        """Whether ``targets`` and ``rank`` mean anything to the method."""
        return self.method in _ADAPTS_LINEAR_LAYERS


def _names(targets: str | Sequence[str] | None) -> str | tuple[str, ...] | None:
    """``"all-linear"``, a tuple of names, or None for the default."""
    if targets is None or targets == ALL_LINEAR:
        return targets
    names = targets.split(",") if isinstance(targets, str) else targets
    names = tuple(name.strip() for name in names)
    if not names or not all(names):
        raise PeftlabError(f'targets is empty; name a linear layer, or use "{ALL_LINEAR}".')
    return names
