"""Load a transformers model in 4 bits without ever holding it in 16 bit.

The model is built without memory for its parameters. Then its weights are read from the safetensors
files one by one; each is quantized as it comes, and its original forgotten. What is held at any
time is the part that is quantized already, and one weight in full.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import is_conv1d, linear_features
from peftlab.quantization import bitsandbytes
from peftlab.quantization.formats import get_format
from peftlab.quantization.linear import NF4Linear, replace, to_quantize
from peftlab.quantization.nf4 import BLOCK_SIZE
from peftlab.targets import ALL_LINEAR

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def load_nf4(
    path: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    targets: str | Sequence[str] = ALL_LINEAR,
    format: str = "nf4",
    block_size: int = BLOCK_SIZE,
    double: bool = True,
) -> PreTrainedModel:
    """Load a transformers model with its linear layers in 4 bits.

    Embeddings, norms, biases and the output head are not quantized. A model that bitsandbytes or
    peftlab saved in 4 bits is read as it is; nothing is quantized twice.

    Args:
        path: a folder with ``config.json`` and safetensors files, or a model's id on the hub.
        device: where to put the model, and to quantize each weight; the GPU if there is one, else
            the CPU.
        dtype: dtype of what is not quantized, and that weights are rounded to before they are
            quantized (transformers does so, too); that of the files if left out.
        targets: which linear layers; see ``targets.match_targets``.
        format, block_size, double: see ``nf4.quantize``.

    Returns:
        The model in evaluation mode, as ``from_pretrained`` returns it.

    Raises:
        PeftlabError: the model is not there, has no safetensors files, or they do not fit it.
    """
    get_format(format)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    options = {"format": format, "block_size": block_size, "double": double}
    model = _skeleton(path)
    targeted = set(to_quantize(model, targets))  # names: the layers themselves must not be kept
    with contextlib.ExitStack() as stack:
        files = _Files(path, getattr(model, "base_model_prefix", ""), stack)
        for names in _parameter_names(model):
            stored = files.find(names)
            place, _, key = names[0].rpartition(".")
            layer = model.get_submodule(place)
            if entries := files.quantized(stored):
                entries = {name: tensor.to(device, copy=True) for name, tensor in entries.items()}
                packed, state = bitsandbytes.from_entries(entries, stored)
                _check_shape(path, stored, state.shape, _linear_shape(layer))
                conv1d = is_conv1d(layer)
                new = NF4Linear(packed, state, layer.bias, conv1d=conv1d)
                replace(model, layer, new)
                continue
            tensor = files.read(stored)
            _check_shape(path, stored, tensor.shape, getattr(layer, key).shape)
            # A copy, because what was read is the file itself, mapped into memory.
            parameter = nn.Parameter(tensor.to(device, dtype, copy=True))
            for name in names:
                _set(model, name, parameter)
            if place in targeted and key == "weight":
                replace(model, layer, NF4Linear.from_linear(layer, **options))
        for name, buffer in model.named_buffers():
            if name in files:
                buffer.copy_(files.read(name))
    if dtype is not None:
        model.config.dtype = dtype
    return model.to(device).eval()


# --- the model without its weights ---------------------------------------------------------------


def _skeleton(path: str | Path) -> PreTrainedModel:
    """The model with parameters that have a shape and take no memory; its buffers are real."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise PeftlabError(f"{path} is not a transformers model: {reason}") from None
    name = (config.architectures or ["none"])[0]
    model_class = getattr(transformers, name, None)
    if model_class is None:
        raise PeftlabError(
            f"{path} is for the architecture {name!r}, which transformers "
            f"{transformers.__version__} does not have; update transformers."
        )
    with _parameters_on_meta():
        model = model_class(config)
    if model.can_generate():
        # Left out if there is no such file: the model has made one from its configuration.
        with contextlib.suppress(OSError):
            model.generation_config = transformers.GenerationConfig.from_pretrained(path)
    return model


@contextlib.contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Within the ``with`` block, parameters of new modules are created on the meta device.

    ``torch.device("meta")`` would put buffers there as well, and with them what no file holds, such
    as the frequencies of rotary embeddings.
    """
    register = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        # One that is there already is shared with another module: it must stay the same object.
        if parameter is not None and not parameter.is_meta:
            parameter = nn.Parameter(parameter.to("meta"), parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = on_meta
    try:
        yield
    finally:
        nn.Module.register_parameter = register


def _parameter_names(model: nn.Module) -> list[list[str]]:
    """All the names of each parameter: tied weights have several."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return list(names.values())


def _set(model: nn.Module, name: str, parameter: nn.Parameter) -> None:
    place, _, key = name.rpartition(".")
    setattr(model.get_submodule(place), key, parameter)


def _linear_shape(layer: nn.Module) -> tuple[int, int]:
    d_in, d_out = linear_features(layer)
    return d_out, d_in


# --- the files -----------------------------------------------------------------------------------


class _Files:
    """The tensors in a model's safetensors files, read one at a time.

    The files are mapped into memory, not read: a tensor's bytes are fetched when it is used.

    Args:
        path: folder or hub id.
        prefix: what the names of a model with a head have in front of those of the model without;
            files of either are accepted for the other, as in transformers.
        stack: closes the files.
    """

    def __init__(self, path: str | Path, prefix: str, stack: contextlib.ExitStack) -> None:
        self.path = path
        self.prefix = f"{prefix}."
        self.files: dict[str, Any] = {}
        for file in _weight_files(path):
            try:
                opened = stack.enter_context(safe_open(file, framework="pt"))
            except (OSError, SafetensorError) as error:
                raise PeftlabError(f"{file} is damaged ({error}); fetch it again.") from None
            self.files.update(dict.fromkeys(opened.keys(), opened))

    def __contains__(self, key: str) -> bool:
        return key in self.files

    def read(self, key: str) -> Tensor:
        """One tensor, on the CPU."""
        return self.files[key].get_tensor(key)

    def find(self, names: Sequence[str]) -> str:
        """What the files call the parameter of these names."""
        for name in names:
            for key in (name, self.prefix + name, name.removeprefix(self.prefix)):
                if key in self.files:
                    return key
        raise PeftlabError(
            f"the files of {self.path} do not hold {names[0]!r}; they are incomplete, or laid out "
            "in a way that only transformers knows: load them with its from_pretrained, then call "
            "peftlab.quantize_model."
        )

    def quantized(self, key: str) -> dict[str, Tensor]:
        """All entries of a weight that is stored in 4 bits; empty if it is not."""
        names = bitsandbytes.entry_names(self.files, key)
        return {name: self.read(name) for name in [key, *names]} if names else {}


def _weight_files(path: str | Path) -> list[str]:
    index = _fetch(path, INDEX)
    if index is not None:
        shards = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()
        files = {shard: _fetch(path, shard) for shard in sorted(set(shards))}
    else:
        files = {WEIGHTS: _fetch(path, WEIGHTS)}
    missing = [name for name, file in files.items() if file is None]
    if missing:
        raise PeftlabError(
            f"{path} has no {missing[0]}; peftlab reads safetensors files only: convert it "
            "with transformers: from_pretrained(path).save_pretrained(new_folder)."
        )
    return list(files.values())


def _fetch(path: str | Path, name: str) -> str | None:
    """Where a file of the model is, downloaded if need be; None if the model does not have it."""
    from transformers.utils import cached_file

    try:
        return cached_file(path, name)
    except OSError:
        return None


def _check_shape(path: str | Path, key: str, found: Sequence[int], wanted: Sequence[int]) -> None:
    if tuple(found) != tuple(wanted):
        raise PeftlabError(
            f"{key!r} has shape {tuple(found)} in the files of {path}, and {tuple(wanted)} by its "
            "config.json; they do not belong together."
        )
