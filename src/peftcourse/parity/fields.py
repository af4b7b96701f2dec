"""The settings of each method, here and in Hugging Face PEFT, with their defaults."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass
from typing import Any

from peftlab.methods.adalora import AdaLoRAConfig
from peftlab.methods.dora import DoRAConfig
from peftlab.methods.ia3 import IA3Config
from peftlab.methods.lora import LoRAConfig
from peftlab.methods.partial import PartialConfig
from peftlab.methods.prefix import PrefixConfig
from peftlab.methods.prompt import PromptConfig

_LORA = {
    "rank": "r",
    "alpha": "lora_alpha",
    "targets": "target_modules",
    "dropout": "lora_dropout",
    "rank_stabilized": "use_rslora",
    "rank_pattern": "rank_pattern",
    "alpha_pattern": "alpha_pattern",
}

# Our configuration → the name of PEFT's, and our fields → PEFT's; None where it has none.
FIELDS: dict[type, tuple[str, dict[str, str | None]]] = {
    LoRAConfig: ("LoraConfig", _LORA),
    DoRAConfig: ("LoraConfig", {**_LORA, "detach_norm": None}),
    AdaLoRAConfig: (
        "AdaLoraConfig",
        {
            "total_steps": "total_step",
            "rank": "init_r",
            "target_rank": "target_r",
            "alpha": "lora_alpha",
            "targets": "target_modules",
            "dropout": "lora_dropout",
            "warmup_steps": "tinit",
            "final_steps": "tfinal",
            "every": "deltaT",
            "beta1": "beta1",
            "beta2": "beta2",
            "orthogonality": "orth_reg_weight",
            "ranks": "rank_pattern",
        },
    ),
    IA3Config: ("IA3Config", {"targets": "target_modules", "feedforward": "feedforward_modules"}),
    PrefixConfig: (
        "PrefixTuningConfig",
        {"tokens": "num_virtual_tokens", "mlp_size": "encoder_hidden_size", "init": "init_weights"},
    ),
    PromptConfig: (
        "PromptTuningConfig",
        {"tokens": "num_virtual_tokens", "init": "prompt_tuning_init"},
    ),
    PartialConfig: ("LNTuningConfig", {"targets": "target_modules"}),
}

REQUIRED = "required"
NONE = "always so"  # PEFT has no field for it


@dataclass(frozen=True)
class FieldRow:
    """One setting of a method, here and there.

    Attributes:
        config: the names of both classes, ours first.
        ours: our field.
        our_default: its default, as it is written.
        theirs: PEFT's field; empty if there is none.
        their_default: its default.
    """

    config: tuple[str, str]
    ours: str
    our_default: str
    theirs: str
    their_default: str


def rows(config: type) -> Iterator[FieldRow]:
    """The fields of one of our configurations beside those of PEFT's, in our order."""
    import peft

    name, names = FIELDS[config]
    theirs = {field.name: field for field in dataclasses.fields(getattr(peft, name))}
    for field in dataclasses.fields(config):
        other = names[field.name]
        yield FieldRow(
            config=(config.__name__, name),
            ours=field.name,
            our_default=_default(field),
            theirs=other or "",
            their_default=NONE if other is None else _default(theirs[other]),
        )


def _default(field: dataclasses.Field) -> str:
    make: Callable[[], Any] | Any = field.default_factory
    if make is not MISSING:
        return repr(make())
    if field.default is MISSING:
        return REQUIRED
    value = field.default
    return repr(value.value if isinstance(value, enum.Enum) else value)
