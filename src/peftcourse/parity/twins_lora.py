"""Twins of LoRA and its variants, DoRA, AdaLoRA and IA³ in Hugging Face PEFT."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from peftlab.copies import ParameterCopy
from peftlab.inject import adapter_layers
from peftlab.layers import AdapterLayer, dense_weight, is_conv1d, oriented
from peftlab.methods.adalora import AdaLoRAConfig
from peftlab.methods.dora import DoRAConfig
from peftlab.methods.ia3 import IA3Config
from peftlab.methods.lora import LoRAConfig
from peftlab.methods.pissa import PiSSAConfig
from peftlab.peft_format.copies import PEFT_BIAS

Method = LoRAConfig | AdaLoRAConfig | IA3Config

# Our parameter, and PEFT's inside the layer that it wraps. "default" is PEFT's adapter name.
_NAMES = {
    "A": "lora_A.default.weight",
    "B": "lora_B.default.weight",
    "magnitude": "lora_magnitude_vector.default.weight",
    "P": "lora_B.default",
    "lam": "lora_E.default",
    "Q": "lora_A.default",
    "scale": "ia3_l.default",
}


def twin(base: nn.Module, method: Method, ours: nn.Module) -> nn.Module:
    """PEFT's model with the same adapter as ours, holding the same values.

    Args:
        base: the model without an adapter; it is copied.
        method: the configuration that was applied to ours.
        ours: a copy of the base with our adapter, and nothing else, in it.

    Returns:
        The model wrapped by PEFT, in evaluation mode.
    """
    import peft

    layers = adapter_layers(ours)
    adapted = {path: layer for path, layer in layers if not isinstance(layer, ParameterCopy)}
    base = copy.deepcopy(base)
    if isinstance(method, PiSSAConfig):
        _subtract_initial(base, adapted)
    theirs = peft.get_peft_model(base, peft_config(method, layers)).eval()
    for name, parameter in theirs.named_parameters():
        if ".ranknum." in name:
            # AdaLoRA's divisor. PEFT freezes it, but casting it to a dtype other than float32
            # makes it a new parameter, which trains: a slip that is not copied here.
            parameter.requires_grad_(False)
    with torch.no_grad():
        for mine, other in pairs(ours, theirs):
            other.copy_(mine.view(other.shape))
    return theirs


def peft_config(method: Method, layers: list[tuple[str, AdapterLayer]]) -> Any:
    """PEFT's configuration for our method on these layers."""
    import peft

    adapted = {path: layer for path, layer in layers if not isinstance(layer, ParameterCopy)}
    beside = next((x.method for _, x in layers if isinstance(x, ParameterCopy)), None)
    options: dict[str, Any] = {
        "target_modules": list(adapted),
        "fan_in_fan_out": any(is_conv1d(layer.innermost) for layer in adapted.values()),
        "modules_to_save": list(beside.modules) or None if beside else None,
    }
    if isinstance(method, IA3Config):
        inputs = [path for path, layer in adapted.items() if layer.feedforward]
        return peft.IA3Config(feedforward_modules=inputs, **options)
    options |= {
        "lora_alpha": method.alpha,
        "lora_dropout": method.dropout,
        "bias": PEFT_BIAS[beside.bias] if beside else "none",
        "ensure_weight_tying": bool(beside and beside.tied),
    }
    if isinstance(method, AdaLoRAConfig):
        return peft.AdaLoraConfig(
            init_r=method.rank,
            target_r=method.target_rank,
            total_step=method.total_steps,
            tinit=method.warmup_steps,
            tfinal=method.final_steps,
            deltaT=method.every,
            beta1=method.beta1,
            beta2=method.beta2,
            orth_reg_weight=method.orthogonality,
            **options,
        )
    return peft.LoraConfig(
        r=method.rank,
        use_rslora=method.rank_stabilized,
        use_dora=isinstance(method, DoRAConfig),
        rank_pattern=dict(method.rank_pattern),
        alpha_pattern=dict(method.alpha_pattern),
        **options,
    )


def pairs(ours: nn.Module, theirs: nn.Module) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """(our parameter, PEFT's) for every parameter of the adapter; IA³'s differ in shape."""
    found = []
    for path, layer in adapter_layers(ours):
        if isinstance(layer, ParameterCopy):
            module = _counterpart_of_copy(theirs, path, layer)
            names = {name: name for name in layer.PARAMETERS}
        else:
            module = theirs.base_model.model.get_submodule(path)
            names = _NAMES
        found += [
            (parameter, module.get_parameter(names[name]))
            for name, parameter in layer.adapter_parameters().items()
        ]
    return found


def _counterpart_of_copy(theirs: nn.Module, path: str, layer: ParameterCopy) -> nn.Module:
    """PEFT's module with the parameters that one of our copies has."""
    model = theirs.base_model.model
    for module in layer.method.modules:
        if path == module or path.startswith(module + "."):
            wrapper = model.get_submodule(module)
            inside = path.removeprefix(module).removeprefix(".")
            return wrapper.modules_to_save["default"].get_submodule(inside)
    found = model.get_submodule(path)  # a bias, which PEFT trains where it is; or a tied weight
    if hasattr(found, "modules_to_save"):
        return found.modules_to_save["default"]
    return getattr(found, "base_layer", found)


@torch.no_grad()
def _subtract_initial(base: nn.Module, layers: dict[str, AdapterLayer]) -> None:
    """Put PiSSA's residual W - s B₀ A₀ in place of the weights, as PEFT does."""
    for path, layer in layers.items():
        module = base.get_submodule(path)
        initial: Tensor = layer.scaling * (layer.B0 @ layer.A0)
        residual = dense_weight(module) - initial
        module.weight.copy_(oriented(module, residual))
