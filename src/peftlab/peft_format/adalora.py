"""AdaLoRA in PEFT's files."""

from __future__ import annotations

from torch import Tensor, nn

from peftlab.layers import AdapterLayer
from peftlab.methods.adalora import AdaLoRAConfig, AdaLoRALinear
from peftlab.peft_format.format import Fields, Format, linear_fields
from peftlab.targets import compact_targets

# PEFT's names of the settings, and ours.
_NAMES = {
    "init_r": "rank", "target_r": "target_rank", "lora_alpha": "alpha", "lora_dropout": "dropout",
    "total_step": "total_steps", "tinit": "warmup_steps", "tfinal": "final_steps",
    "deltaT": "every", "beta1": "beta1", "beta2": "beta2", "orth_reg_weight": "orthogonality",
}  # fmt: skip


def _write(method: AdaLoRAConfig, model: nn.Module, layers: dict[str, AdapterLayer]) -> Fields:
    """The settings, and which directions are kept."""
    kept = {path: layer.kept.tolist() for path, layer in layers.items()}
    pattern = {
        f"{path}.lora_E": mask + [False] * (method.rank - len(mask)) for path, mask in kept.items()
    }
    allocated = any(not all(mask) for mask in pattern.values())
    return {
        **{theirs: getattr(method, ours) for theirs, ours in _NAMES.items()},
        "rank_pattern": pattern if allocated else None,
        **linear_fields(model, layers),
    }


def _read(fields: Fields, model: nn.Module, paths: list[str]) -> AdaLoRAConfig:
    pattern = fields.get("rank_pattern") or {}
    return AdaLoRAConfig(
        total_steps=fields["total_step"],
        rank=fields["init_r"],
        # PEFT ignores the target in a file that it only loads.
        target_rank=min(fields["target_r"], fields["init_r"]),
        alpha=fields["lora_alpha"],
        dropout=fields.get("lora_dropout", 0.0),
        warmup_steps=fields.get("tinit", 0),
        final_steps=fields.get("tfinal", 0),
        every=fields.get("deltaT", 1),
        beta1=fields.get("beta1", 0.85),
        beta2=fields.get("beta2", 0.85),
        orthogonality=fields.get("orth_reg_weight", 0.5),
        ranks={name.removesuffix(".lora_E"): sum(mask) for name, mask in pattern.items()},
        targets=compact_targets(model, paths),
    )


def _tensors(layer: AdaLoRALinear) -> dict[str, Tensor]:
    """The directions that are kept, without the others."""
    if layer.kept.all():
        return layer.adapter_parameters()
    return {"P": layer.P[:, layer.kept], "lam": layer.lam[layer.kept], "Q": layer.Q[layer.kept]}


ADALORA = Format(
    config=AdaLoRAConfig,
    peft_type="ADALORA",
    names={"Q": "lora_A", "lam": "lora_E", "P": "lora_B"},
    write=_write,
    read=_read,
    tensors=_tensors,
    off={"trainable_token_indices": None, "use_dora": False},
)
