"""Methods that PEFT does not have: their files have the same layout, under names of our own."""

from __future__ import annotations

from torch import Tensor, nn

from peftlab.layers import AdapterLayer
from peftlab.methods import bitfit
from peftlab.methods.bitfit import BitFitConfig
from peftlab.methods.bottleneck import BottleneckConfig
from peftlab.methods.fusion import FusionConfig
from peftlab.methods.partial import PartialConfig
from peftlab.methods.subspace import SubspaceConfig, SubspaceLinear
from peftlab.peft_format.format import Fields, Format
from peftlab.targets import compact_targets

Layers = dict[str, AdapterLayer]

# --- bottleneck adapters -------------------------------------------------------------------------

_SETTINGS = ("size", "style", "activation", "scaling")


def _write_bottleneck(method: BottleneckConfig, model: nn.Module, layers: Layers) -> Fields:
    return {key: getattr(method, key) for key in (*_SETTINGS, "targets")}


def _read_bottleneck(fields: Fields, model: nn.Module, paths: list[str]) -> BottleneckConfig:
    settings = {key: fields[key] for key in _SETTINGS}
    usual = BottleneckConfig(**settings)
    if fields["targets"] is None and list(usual.targets_of(model)) == paths:
        return usual
    return BottleneckConfig(**settings, targets=tuple(paths))


BOTTLENECK = Format(
    config=BottleneckConfig,
    peft_type="BOTTLENECK",
    names={
        "W_down": "adapter_down.weight",
        "b_down": "adapter_down.bias",
        "W_up": "adapter_up.weight",
        "b_up": "adapter_up.bias",
    },
    write=_write_bottleneck,
    read=_read_bottleneck,
)


# --- AdapterFusion -------------------------------------------------------------------------------


FUSION = Format(
    config=FusionConfig,
    peft_type="ADAPTER_FUSION",
    names={"Q": "fusion_Q", "K": "fusion_K", "V": "fusion_V"},
    write=lambda method, model, layers: {"adapters": list(method.adapters)},
    read=lambda fields, model, paths: FusionConfig(tuple(fields["adapters"])),
)


# --- BitFit --------------------------------------------------------------------------------------


def _write_bitfit(method: BitFitConfig, model: nn.Module, layers: Layers) -> Fields:
    whole = method.biases in (bitfit.ALL, bitfit.SUBSET)
    return {"biases": method.biases if whole else list(layers)}


BITFIT = Format(
    config=BitFitConfig,
    peft_type="BITFIT",
    names={"delta": "bias_delta"},
    write=_write_bitfit,
    read=lambda fields, model, paths: BitFitConfig(fields["biases"]),
)


# --- partial fine-tuning -------------------------------------------------------------------------


PARTIAL = Format(
    config=PartialConfig,
    peft_type="PARTIAL",
    names={"weight": "weight", "bias": "bias"},
    write=lambda method, model, layers: {"targets": method.targets},
    read=lambda fields, model, paths: PartialConfig(fields["targets"]),
)


# --- a random subspace ---------------------------------------------------------------------------


def _write_subspace(method: SubspaceConfig, model: nn.Module, layers: Layers) -> Fields:
    return {
        "dimension": method.dimension,
        "seed": method.seed,
        "target_modules": compact_targets(model, list(layers)),
    }


def _read_subspace(fields: Fields, model: nn.Module, paths: list[str]) -> SubspaceConfig:
    return SubspaceConfig(fields["dimension"], fields["seed"], fields["target_modules"])


def _subspace_tensors(layer: SubspaceLinear) -> dict[str, Tensor]:
    """z, in the first layer only: a file need not hold it once per layer."""
    return layer.adapter_parameters() if layer.number == 0 else {}


SUBSPACE = Format(
    config=SubspaceConfig,
    peft_type="SUBSPACE",
    names={"z": "subspace_z"},
    write=_write_subspace,
    read=_read_subspace,
    tensors=_subspace_tensors,
)
