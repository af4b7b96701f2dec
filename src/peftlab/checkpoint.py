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

from peftlab import inject
from peftlab.copies import trains_beside
from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, Method, innermost
from peftlab.peft_format import copies
from peftlab.peft_format.format import Fields, Format
from peftlab.peft_format.registry import format_in, format_of
from peftlab.targets import named_layers

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def save(model: nn.Module, folder: str | Path, name: str | None = None) -> Path:
    """Write one adapter as a Hugging Face PEFT folder.

    Args:
        model: the model that holds it.
        folder: where to write; created if need be.
        name: which adapter; may be left out if the model has just one.

    Returns:
        The folder.

    Raises:
        PeftlabError: the adapter is not there, there are several and no name is given, or its
            method has no format.
    """
    if name is None and len(inject.adapters(model)) > 1:
        raise PeftlabError(f"say which adapter to save: {', '.join(inject.adapters(model))}.")
    layers = inject.select(model, name)
    adapting = {path: layer for path, layer in layers if not trains_beside(layer)}
    method = next(iter(adapting.values())).method
    form = format_of(method)
    fields = {
        "peft_type": form.peft_type,
        "task_type": "CAUSAL_LM" if hasattr(model, "lm_head") else None,
        "base_model_name_or_path": getattr(model, "name_or_path", "") or None,
        "inference_mode": True,
        **form.write(method, model, adapting),
        **copies.write(layers),
    }
    found = _file_names(form, layers)
    if fields["task_type"] == "SEQ_CLS":
        # PEFT then expects the head that classifies in the file, whether it was trained or not.
        found = _head(model, form.prefix) | found
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
    form = format_in(fields, folder / CONFIG_FILE)
    method, options = _method(form, fields, tensors, model, folder)
    wrappers = inject.build(model, method, name, **options)
    parameters = _file_names(form, wrappers)
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


def _file_names(form: Format, layers: Sequence[tuple[str, AdapterLayer]]) -> dict[str, Tensor]:
    """What a file holds of an adapter, by the names there."""
    adapted = {path for path, layer in layers if not trains_beside(layer)}
    names = {}
    for path, layer in layers:
        place = f"{form.prefix}{path}."
        if trains_beside(layer):
            # PEFT's wrapper of an adapted layer calls what it wraps `base_layer`.
            inner = "base_layer." if path in adapted else ""
            for key, value in layer.adapter_parameters().items():
                names[f"{place}{inner}{key}"] = value
        else:
            for key, value in form.tensors(layer).items():
                name = form.names[key]
                names[name if form.whole_model else place + name] = value
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


def _read_fields(file: Path) -> Fields:
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
    form: Format, fields: Fields, tensors: dict[str, Tensor], model: nn.Module, folder: Path
) -> tuple[Method, dict[str, Any]]:
    """The method that a file describes, and what trains beside it as options of ``build``.

    Tensors that repeat what the model holds already are taken out of ``tensors``.
    """
    known = {path for path, _ in named_layers(model)}
    paths, others = [], []
    for key in tensors:
        if form.whole_model and key in form.names.values():
            continue
        name = next((n for n in form.names.values() if key.endswith("." + n)), None)
        if name is None:
            others.append(key)
            continue
        path = key.removeprefix(form.prefix).removesuffix("." + name)
        if path not in known:
            raise PeftlabError(
                f"{folder} adapts the layer {path!r}, which {type(model).__name__} does not have; "
                "load it into the base model it was trained on."
            )
        if path not in paths:
            paths.append(path)
    modules = set()
    for key in others:
        module = copies.module_of(key.removeprefix(form.prefix), tensors[key], fields, model)
        if module is copies.NOTHING_NEW:
            del tensors[key]
        elif module is None or not key.startswith(form.prefix):
            raise PeftlabError(
                f"{folder} holds {key!r}, which is no {fields['peft_type']} parameter; "
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
        return form.read(fields, model, paths), options
    except (AttributeError, KeyError, TypeError) as error:
        raise PeftlabError(
            f"{folder / CONFIG_FILE} lacks a usable value ({error}); save it again."
        ) from None


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
