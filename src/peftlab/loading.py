"""Load adapters from the folders that ``saving`` or Hugging Face PEFT wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from peftlab import inject
from peftlab.errors import PeftlabError
from peftlab.layers import Method, unwrapped
from peftlab.peft_format import copies
from peftlab.peft_format.format import Fields, Format
from peftlab.peft_format.registry import format_in
from peftlab.renames import renamer
from peftlab.saving import CONFIG_FILE, WEIGHTS_FILE, file_names
from peftlab.targets import exactly, named_layers, within
from peftlab.verbs import put_in


def load(
    model: nn.Module, folder: str | Path, name: str = "default", *, trainable: bool = False
) -> nn.Module:
    """Add the adapter of a Hugging Face PEFT folder to the model, in place.

    Everything is read and checked against the model before the model is touched: a call that
    fails changes nothing.

    Args:
        model: the base model, with or without other adapters.
        folder: a folder that ``save`` or PEFT's ``save_pretrained`` wrote; names from before this
            transformers renamed modules are translated.
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
    form = format_in(fields, folder / CONFIG_FILE)
    tensors = _plain_names(_read_tensors(folder / WEIGHTS_FILE), form, unwrapped(model))
    method, options = _method(form, fields, tensors, unwrapped(model), folder)
    wrappers = inject.build(model, method, name, **options)
    parameters = file_names(form, wrappers)
    _check_fit(parameters, tensors, unwrapped(model), folder)
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(tensors[key])
    return put_in(model, wrappers, trainable)


def _read_fields(file: Path) -> Fields:
    """What ``adapter_config.json`` says."""
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(fields.get("peft_type"), str):
            raise ValueError("it does not name a peft_type")
    except FileNotFoundError:
        # PEFT puts every adapter but "default" into a folder of its own name.
        inner = sorted(found.parent.name for found in file.parent.glob(f"*/{file.name}"))
        hint = f" (its folders {', '.join(inner)} do)" if inner else ""
        raise PeftlabError(
            f"{file.parent} is not an adapter: it has no {file.name}{hint}; give the folder that "
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
        if file.with_suffix(".bin").exists():
            raise PeftlabError(
                f"{file.parent} holds {file.stem}.bin, a format that runs code when it is read; "
                "convert it with Hugging Face PEFT, if you trust it: "
                "PeftModel.from_pretrained(model, folder).save_pretrained(new_folder)."
            ) from None
        raise PeftlabError(f"{file} is missing; save the adapter again.") from None
    except (OSError, SafetensorError) as error:
        raise PeftlabError(f"{file} is damaged ({error}); save the adapter again.") from None
    if not tensors:
        raise PeftlabError(f"{file} holds no tensors; save the adapter again.")
    if empty := [key for key, tensor in tensors.items() if tensor.shape == (0,)]:
        raise PeftlabError(
            f"{file} is empty: {len(empty)} of its {len(tensors)} tensors hold nothing, as where "
            "sharded parameters (DeepSpeed ZeRO-3, FSDP) are saved and not gathered before; gather "
            "them in the training run and save again."
        )
    return tensors


def _plain_names(tensors: dict[str, Tensor], form: Format, model: nn.Module) -> dict[str, Tensor]:
    """The tensors, each by the name that it would have if this model had been saved today.

    A name that means nothing in this model may come from one that was compiled or parallel, or
    from before transformers renamed its modules.
    """
    known = {path for path, _ in named_layers(model)}
    rename = renamer(model)
    found = {}
    for key, tensor in tensors.items():
        path, parameter = _parted(key.removeprefix(form.prefix), form)
        parts = (part for part in path.split(".") if part not in ("_orig_mod", "module"))
        plain = ".".join(parts)
        new = next((name for name in (path, plain, rename(plain)) if name in known), None)
        found[f"{form.prefix}{new}.{parameter}" if path and new is not None else key] = tensor
    return found


def _parted(name: str, form: Format) -> tuple[str, str]:
    """(module, what the file calls its parameter); no module before what belongs to the model."""
    if form.whole_model and name in form.names.values():
        return "", name
    ends = (*form.names.values(), "base_layer.weight", "base_layer.bias")
    end = next((end for end in ends if name.endswith("." + end)), name.rpartition(".")[2])
    return name.removesuffix(end).removesuffix("."), end


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
        path, name = _parted(key.removeprefix(form.prefix), form)
        if name not in form.names.values() or within(path, fields.get("modules_to_save") or ()):
            others.append(key)
            continue
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
        "also_train": [exactly(module) for module in sorted(modules)],
        "bias": copies.OUR_BIAS.get(fields.get("bias") or "none", "none"),
        "tie": bool(fields.get("ensure_weight_tying")),
    }
    try:
        return form.read(fields, model, paths), options
    except (AttributeError, KeyError, TypeError) as error:
        raise PeftlabError(
            f"{folder / CONFIG_FILE} lacks a usable value ({error}); save it again."
        ) from None


def _check_fit(
    parameters: dict[str, Tensor], tensors: dict[str, Tensor], model: nn.Module, folder: Path
) -> None:
    """The file holds a tensor for every parameter, with its shape, and no other."""
    for key in parameters.keys() ^ tensors.keys():
        where = "the file lacks" if key in parameters else "the adapter does not have"
        raise PeftlabError(f"{folder}: {where} {key!r}; save the adapter again.")
    config = getattr(model, "config", None)
    vocabulary = getattr(config and config.get_text_config(), "vocab_size", None)
    for key, parameter in parameters.items():
        found, wanted = tensors[key].shape, parameter.shape
        if found != wanted and found[1:] == wanted[1:] and wanted[0] == vocabulary:
            raise PeftlabError(
                f"{folder} is for a model of {found[0]} tokens, and this one has {wanted[0]}; call "
                f"model.resize_token_embeddings({found[0]}), then load it."
            )
        if found != wanted:
            raise PeftlabError(
                f"{folder}: {key!r} has shape {tuple(found)}, the model needs {tuple(wanted)}; "
                "load it into the base model it was trained on."
            )
