"""LoRA, PiSSA and DoRA in PEFT's files: all three are of type LORA."""

from __future__ import annotations

import dataclasses
import math

from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer
from peftlab.methods import checks
from peftlab.methods.dora import DoRAConfig
from peftlab.methods.lora import LoRAConfig, LoRALinear
from peftlab.methods.pissa import PiSSAConfig, PiSSADoRAConfig
from peftlab.peft_format.format import Fields, Format, linear_fields
from peftlab.targets import compact_targets

# Initialisations of PEFT that change the base weights too.
RESIDUAL = ("pissa", "olora", "corda", "lora_ga", "loftq")


def _write(method: LoRAConfig, model: nn.Module, layers: dict[str, AdapterLayer]) -> Fields:
    return {
        "r": method.rank,
        "lora_alpha": method.alpha,
        "lora_dropout": method.dropout,
        "use_rslora": method.rank_stabilized,
        "rank_pattern": dict(method.rank_pattern),
        "alpha_pattern": dict(method.alpha_pattern),
        "use_dora": isinstance(method, DoRAConfig),
        **linear_fields(model, layers),
    }


def _write_pissa(method: PiSSAConfig, model: nn.Module, layers: dict[str, AdapterLayer]) -> Fields:
    """The plain LoRA of rank 2r for the original model that PiSSA amounts to.

    PEFT writes the same with ``save_pretrained(path_initial_model_for_weight_conversion=…)``.
    """
    # s = alpha / r, or alpha / √r: twice the rank needs twice alpha, or √2 times.
    factor = math.sqrt(2) if method.rank_stabilized else 2
    doubled = dataclasses.replace(
        method,
        rank=2 * method.rank,
        alpha=factor * method.alpha,
        rank_pattern={key: 2 * rank for key, rank in method.rank_pattern.items()},
        alpha_pattern={key: factor * alpha for key, alpha in method.alpha_pattern.items()},
    )
    return _write(doubled, model, layers)


def _read(fields: Fields, model: nn.Module, paths: list[str]) -> LoRAConfig:
    init = str(fields.get("init_lora_weights")).lower()
    if init.startswith(RESIDUAL):
        raise PeftlabError(
            f"the adapter was made with init_lora_weights={init!r}, which changes the base; "
            "save it in PEFT with path_initial_model_for_weight_conversion, as a plain LoRA."
        )
    config = DoRAConfig if fields.get("use_dora") else LoRAConfig
    # PEFT only warns of keys that decide for no layer.
    return config(
        rank=fields["r"],
        alpha=fields["lora_alpha"],
        dropout=fields.get("lora_dropout", 0.0),
        rank_stabilized=fields.get("use_rslora", False),
        rank_pattern=checks.used(fields.get("rank_pattern") or {}, paths),
        alpha_pattern=checks.used(fields.get("alpha_pattern") or {}, paths),
        targets=compact_targets(model, paths),
    )


def _tensors(layer: LoRALinear) -> dict[str, Tensor]:
    """PiSSA's factors have twice the rank: those of the LoRA that does the same."""
    A, B = layer.factors()
    return {**layer.adapter_parameters(), "A": A, "B": B}


# Options that change what is computed and that peftlab does not have.
_NOT_HERE = (
    "lora_bias", "use_qalora", "velora_config", "trainable_token_indices", "target_parameters",
    "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication",
    "monteclora_config", "use_bdlora",
)  # fmt: skip

LORA = Format(
    config=LoRAConfig,
    peft_type="LORA",
    names={"A": "lora_A.weight", "B": "lora_B.weight"},
    write=_write,
    read=_read,
    tensors=_tensors,
    off=dict.fromkeys(_NOT_HERE, False),
)
DORA = dataclasses.replace(
    LORA, config=DoRAConfig, names={**LORA.names, "magnitude": "lora_magnitude_vector"}
)
PISSA = dataclasses.replace(LORA, config=PiSSAConfig, write=_write_pissa)
PISSA_DORA = dataclasses.replace(DORA, config=PiSSADoRAConfig, write=_write_pissa)
