"""Save and load adapters.

The files are those of Hugging Face PEFT: a folder with ``adapter_config.json`` and
``adapter_model.safetensors``. An adapter trained here loads there and the other way round, with
the same logits. Only the adapter is in the file, a few hundred kilobytes; the base model is not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from peftlab import copies, inject
from peftlab.copies import trains_beside
from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, Method, innermost
from peftlab.methods.adalora import AdaLoRAConfig
from peftlab.methods.bitfit import BitFitConfig
from peftlab.methods.bottleneck import BottleneckConfig
from peftlab.methods.dora import DoRAConfig
from peftlab.methods.fusion import FusionConfig
from peftlab.methods.ia3 import IA3Config
from peftlab.methods.lora import LoRAConfig
from peftlab.methods.partial import PartialConfig
from peftlab.methods.prefix import PrefixConfig
from peftlab.methods.prompt import PromptConfig
from peftlab.methods.subspace import SubspaceConfig
from peftlab.targets import named_layers

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

# PEFT writes each tensor as base_model.model.<module>.<its own parameter name>. A method for which
# it has another prefix says so in PEFT_PREFIX.
PREFIX = "base_model.model."

# PEFT's names of tensors that belong to the whole model: no module's name stands before them.
WHOLE_MODEL = {"prompt_embeddings"}

# The methods whose files can be read, by PEFT's name for them.
METHODS: dict[str, type] = {
    "LORA": LoRAConfig,
    "DORA": DoRAConfig,
    "ADALORA": AdaLoRAConfig,
    "IA3": IA3Config,
    "PREFIX_TUNING": PrefixConfig,
    "PROMPT_TUNING": PromptConfig,
    "BOTTLENECK": BottleneckConfig,
    "ADAPTER_FUSION": FusionConfig,
    "BITFIT": BitFitConfig,
    "PARTIAL": PartialConfig,
    "SUBSPACE": SubspaceConfig,
}


def save(model: nn.Module, folder: str | Path, name: str | None = None) -> Path:
    """Write one adapter as a Hugging Face PEFT folder.

    Args:
        model: the model that holds it.
        folder: where to write; created if need be.
        name: which adapter; may be left out if the model has just one.

    Returns:
        The folder.

    Raises:
        PeftlabError: the adapter is not there, or there are several and no name is given.
    """
    if name is None and len(inject.adapters(model)) > 1:
        raise PeftlabError(f"say which adapter to save: {', '.join(inject.adapters(model))}.")
    layers = inject.select(model, name)
    adapting = {path: layer for path, layer in layers if not trains_beside(layer)}
    method = next(iter(adapting.values())).method
    fields = {
        "peft_type": method.PEFT_TYPE,
        "task_type": "CAUSAL_LM" if hasattr(model, "lm_head") else None,
        "base_model_name_or_path": getattr(model, "name_or_path", "") or None,
        "inference_mode": True,
        **method.peft_fields(model, adapting),
        **copies.peft_fields(layers),
    }
    found = _file_names(layers)
    if fields["task_type"] == "SEQ_CLS":
        # PEFT then expects the head that classifies in the file, whether it was trained or not.
        found = _head(model, _prefix(method)) | found
    # `clone`, because a file cannot hold two names for one piece of memory, as tied copies are.
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in found.items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    return folder


def load(
    model: nn.Module, folder: str | Path, name: str = "default", *, trainable: bool = False
) -> nn.Module:
    """Add the adapter of a Hugging Face PEFT folder to the model, in place.

    Everything is read and checked against the model before the model is touched: a call that
    fails changes nothing.

    Args:
        model: the base model, with or without other adapters.
        folder: a folder that ``save`` or PEFT's ``save_pretrained`` wrote.
        name: what to call the adapter.
        trainable: whether its parameters train; otherwise nothing in the model does.

    Returns:
        The same model, for chaining.

    Raises:
        PeftlabError: a file is missing or damaged, uses an option that is not supported, or does
            not fit this model.
    """
    folder = Path(folder)
    fields = _read_fields(folder / CONFIG_FILE)
    tensors = _read_tensors(folder / WEIGHTS_FILE)
    method, options = _method(fields, tensors, model, folder)
    wrappers = inject.build(model, method, name, **options)
    parameters = _file_names(wrappers)
    _check_fit(parameters, tensors, folder)
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(tensors[key])
    model.requires_grad_(False)
    for _, wrapper in wrappers:
        for parameter in wrapper.adapter_parameters().values():
            parameter.requires_grad_(trainable)
    inject.attach(model, wrappers)
    return model


def _file_names(layers: Sequence[tuple[str, AdapterLayer]]) -> dict[str, Tensor]:
    """What a file holds of an adapter, by the names there."""
    adapted = {path: layer for path, layer in layers if not trains_beside(layer)}
    prefix = _prefix(next(iter(adapted.values())).method)
    names = {}
    for path, layer in layers:
        # PEFT's wrapper of an adapted layer calls what it wraps `base_layer`.
        inner = ".base_layer" if trains_beside(layer) and path in adapted else ""
        for key, value in layer.saved_parameters().items():
            name = layer.method.PEFT_NAMES[key]
            names[name if name in WHOLE_MODEL else f"{prefix}{path}{inner}.{name}"] = value
    return names


def _head(model: nn.Module, prefix: str) -> dict[str, Tensor]:
    """What a classifying head holds, by the names in a file."""
    return {
        f"{prefix}{path}.{key}": parameter
        for path, module in named_layers(model)
        if path.split(".")[0] in ("classifier", "score")
        for key, parameter in innermost(module)._parameters.items()
        if parameter is not None
    }


def _prefix(method: Any) -> str:
    return getattr(method, "PEFT_PREFIX", PREFIX)


def _read_fields(file: Path) -> dict[str, Any]:
    """What ``adapter_config.json`` says."""
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(fields.get("peft_type"), str):
            raise ValueError("it does not name a peft_type")
    except FileNotFoundError:
        raise PeftlabError(
            f"{file.parent} is not an adapter: it has no {file.name}; give the folder that "
            "peftlab.save or PEFT's save_pretrained wrote."
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise PeftlabError(f"{file} is damaged ({error}); save the adapter again.") from None
    return fields


def _read_tensors(file: Path) -> dict[str, Tensor]:
    """What ``adapter_model.safetensors`` holds."""
    try:
        tensors = load_file(file)
    except FileNotFoundError:
        raise PeftlabError(f"{file} is missing; save the adapter again.") from None
    except (OSError, SafetensorError) as error:
        raise PeftlabError(f"{file} is damaged ({error}); save the adapter again.") from None
    if not tensors:
        raise PeftlabError(f"{file} holds no tensors; save the adapter again.")
    return tensors


def _method(
    fields: dict[str, Any], tensors: dict[str, Tensor], model: nn.Module, folder: Path
) -> tuple[Method, dict[str, Any]]:
    """The method that a file describes, and what trains beside it as options of ``build``.

    Tensors that repeat what the model holds already are taken out of ``tensors``.
    """
    file = folder / CONFIG_FILE
    # PEFT files DoRA under LoRA's name, with a flag.
    kind = "DORA" if fields.get("use_dora") else fields["peft_type"]
    method = METHODS.get(kind)
    if method is None:
        raise PeftlabError(
            f"{file} describes a {kind} adapter; peftlab reads {', '.join(METHODS)}."
        )
    for option, off in method.PEFT_OFF.items():
        if fields.get(option, off) not in (off, None):
            raise PeftlabError(
                f"{file} sets {option}={fields[option]!r}, which peftlab does not support; "
                "load it with Hugging Face PEFT instead."
            )
    prefix = _prefix(method)
    known = {path for path, _ in named_layers(model)}
    paths, others = [], []
    for key in tensors:
        if key in WHOLE_MODEL & set(method.PEFT_NAMES.values()):
            continue
        name = next((n for n in method.PEFT_NAMES.values() if key.endswith("." + n)), None)
        if name is None:
            others.append(key)
            continue
        path = key.removeprefix(prefix).removesuffix("." + name)
        if path not in known:
            raise PeftlabError(
                f"{folder} adapts the layer {path!r}, which {type(model).__name__} does not have; "
                "load it into the base model it was trained on."
            )
        if path not in paths:
            paths.append(path)
    modules = set()
    for key in others:
        module = copies.module_of(key.removeprefix(prefix), tensors[key], fields, model)
        if module is copies.NOTHING_NEW:
            del tensors[key]
        elif module is None or not key.startswith(prefix):
            raise PeftlabError(
                f"{folder} holds {key!r}, which is no {kind} parameter; "
                "load it with Hugging Face PEFT instead."
            )
        elif module:
            modules.add(module)
    options = {
        "also_train": sorted(modules),
        "bias": copies.OUR_BIAS.get(fields.get("bias") or "none", "none"),
        "tie": bool(fields.get("ensure_weight_tying")),
    }
    try:
        return method.from_peft(fields, model, paths), options
    except (AttributeError, KeyError, TypeError) as error:
        raise PeftlabError(f"{file} lacks a usable value ({error}); save it again.") from None


def _check_fit(parameters: dict[str, Tensor], tensors: dict[str, Tensor], folder: Path) -> None:
    """The file holds a tensor for every parameter, with its shape, and no other."""
    for key in parameters.keys() ^ tensors.keys():
        where = "the file lacks" if key in parameters else "the adapter does not have"
        raise PeftlabError(f"{folder}: {where} {key!r}; save the adapter again.")
    for key, parameter in parameters.items():
        if tensors[key].shape != parameter.shape:
            raise PeftlabError(
                f"{folder}: {key!r} has shape {tuple(tensors[key].shape)}, the model needs "
                f"{tuple(parameter.shape)}; load it into the base model it was trained on."
            )
