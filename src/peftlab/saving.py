"""Save adapters.

The files are those of Hugging Face PEFT: a folder with ``adapter_config.json`` and
``adapter_model.safetensors``. An adapter trained here loads there and the other way round, with
the same logits. Only the adapter is in the file, a few hundred kilobytes; the base model is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from peftlab import inject
from peftlab.copies import ParameterCopy, trains_beside
from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, innermost, unwrapped
from peftlab.peft_format import copies
from peftlab.peft_format.format import Format, task_type
from peftlab.peft_format.registry import format_of
from peftlab.targets import language_head, named_layers, task_heads, within

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def save(model: nn.Module, folder: str | Path, name: str | None = None) -> Path:
    """Write one adapter as a Hugging Face PEFT folder.

    A classifier's head goes with it, whether it was trained or not, and so do embeddings that were
    resized: the base model's files hold neither. A model that is compiled, or in ``DataParallel``
    or ``DistributedDataParallel``, is saved under its plain names.

    Args:
        model: the model that holds it.
        folder: where to write; created if need be.
        name: which adapter; may be left out if the model has just one.

    Returns:
        The folder.

    Raises:
        PeftlabError: the adapter is not there, there are several and no name is given, its
            method has no format, or its parameters are sharded and not gathered.
    """
    model = unwrapped(model)
    if name is None and len(inject.adapters(model)) > 1:
        raise PeftlabError(f"say which adapter to save: {', '.join(inject.adapters(model))}.")
    layers = inject.select(model, name)
    adapting = {path: layer for path, layer in layers if not trains_beside(layer)}
    method = next(iter(adapting.values())).method
    form = format_of(method)
    # PEFT puts a copy in place of a classifier's head, which it then cannot adapt.
    adapted = [path for path, layer in adapting.items() if not isinstance(layer, ParameterCopy)]
    heads = [head for head in task_heads(model) if not any(within(p, [head]) for p in adapted)]
    fields = {
        "peft_type": form.peft_type,
        "task_type": task_type(model) if heads == task_heads(model) else None,
        "base_model_name_or_path": getattr(model, "name_or_path", "") or None,
        "inference_mode": True,
        **form.write(method, model, adapting),
        **copies.write(layers),
    }
    beside = _parameters(model, [*heads, *_resized_embeddings(model)], form.prefix)
    tensors = beside | file_names(form, layers)
    if empty := [key for key, value in tensors.items() if value.shape == (0,)]:
        raise PeftlabError(
            f"{empty[0]!r} is empty: its parameter is sharded (DeepSpeed ZeRO-3, FSDP); gather the "
            "parameters, then save."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write(tensors, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    return folder


def write(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write a safetensors file."""
    # `clone`, because a file cannot hold two names for one piece of memory, as tied copies are.
    copied = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    save_file(copied, file, metadata={"format": "pt"})


def file_names(form: Format, layers: Sequence[tuple[str, AdapterLayer]]) -> dict[str, Tensor]:
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


def _parameters(model: nn.Module, modules: Sequence[str], prefix: str) -> dict[str, Tensor]:
    """What some of the model's own modules hold, by the names in a file."""
    return {
        f"{prefix}{path}.{key}": parameter
        for path, module in named_layers(model)
        if within(path, modules)
        for key, parameter in innermost(module)._parameters.items()
        if parameter is not None
    }


def _resized_embeddings(model: nn.Module) -> list[str]:
    """Names of the embedding and the head that turns back, if tokens were added to the model."""
    origin, config = getattr(model, "name_or_path", ""), getattr(model, "config", None)
    if not origin or config is None:
        return []
    from transformers import AutoConfig

    try:
        # From the disk alone: saving should not wait for a network.
        before = AutoConfig.from_pretrained(origin, local_files_only=True)
        if before.get_text_config().vocab_size == config.get_text_config().vocab_size:
            return []
    except (OSError, ValueError, AttributeError):
        return []
    embeddings = (innermost(model.get_input_embeddings()), language_head(model))
    return [path for path, module in named_layers(model) if innermost(module) in embeddings]
