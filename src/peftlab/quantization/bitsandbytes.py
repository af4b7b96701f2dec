"""Exchange 4-bit weights with bitsandbytes: its parameters in memory, its entries in files.

bitsandbytes is imported only by the functions that hand over its own objects; its files are
read and written without it.

A serialized 4-bit model holds, beside ``weight`` (the codes, shape (bytes, 1)):

- ``weight.absmax``: the scales, float32, or their 8-bit codes;
- ``weight.quant_map``: the 16 levels;
- ``weight.nested_absmax``, ``weight.nested_quant_map``: scales of the scales, the 256 levels;
- ``weight.quant_state.bitsandbytes__nf4``: the rest as JSON, in a uint8 tensor.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from peftlab.errors import PeftlabError
from peftlab.quantization.formats import FORMATS, dynamic_map
from peftlab.quantization.nf4 import NESTED_BLOCK_SIZE, Nested, QuantState, dequantize

FORMAT_NAMES = ("nf4", "fp4")  # the 4-bit formats that bitsandbytes has
STATE_KEY = "quant_state.bitsandbytes__"


# --- entries of a state dict ---------------------------------------------------------------------


def to_entries(packed: Tensor, state: QuantState, name: str = "weight") -> dict[str, Tensor]:
    """A quantized weight as the entries that bitsandbytes puts into a state dict.

    Args:
        packed: the codes.
        state: their state.
        name: name of the weight; it begins the name of every entry.

    Raises:
        PeftlabError: bitsandbytes does not know the format.
    """
    _check_format(state)
    entries = {"absmax": state.absmax, "quant_map": state.format.levels(packed.device).clone()}
    # The order of these keys is that of bitsandbytes, so that the JSON has the same bytes.
    rest: dict[str, Any] = {
        "quant_type": state.format.name,
        "blocksize": state.block_size,
        "dtype": _dtype_name(state.dtype),
        "shape": tuple(state.shape),
    }
    if state.nested is not None:
        entries["nested_absmax"] = state.nested.absmax
        entries["nested_quant_map"] = dynamic_map(packed.device).clone()
        rest |= {
            "nested_blocksize": NESTED_BLOCK_SIZE,
            "nested_dtype": "float32",
            "nested_offset": state.nested.offset.item(),
        }
    entries[STATE_KEY + state.format.name] = torch.tensor(
        list(json.dumps(rest).encode()), dtype=torch.uint8
    )
    return {name: packed.view(-1, 1)} | {f"{name}.{key}": e for key, e in entries.items()}


def is_entry(key: str) -> bool:
    """Whether a key of a state dict is part of a quantized weight, beside its codes."""
    parts = ("absmax", "quant_map", "nested_absmax", "nested_quant_map")
    return key.rpartition(".")[2] in parts or STATE_KEY in key


def entry_names(keys: Mapping[str, Any], name: str) -> list[str]:
    """Names of the entries that describe the quantized weight ``name``; none if it is not one."""
    if not any(f"{name}.{STATE_KEY}{fmt}" in keys for fmt in FORMAT_NAMES):
        return []
    return [key for key in keys if key.startswith(name + ".") and is_entry(key)]


def from_entries(entries: Mapping[str, Tensor], name: str = "weight") -> tuple[Tensor, QuantState]:
    """The quantized weight in a state dict: codes and state; the opposite of ``to_entries``.

    Raises:
        PeftlabError: entries are missing, or describe something else than peftlab's NF4 or fp4.
    """
    try:
        fmt = next(FORMATS[n] for n in FORMAT_NAMES if f"{name}.{STATE_KEY}{n}" in entries)
        packed = entries[name]
        blob = entries[f"{name}.{STATE_KEY}{fmt.name}"]
        rest = json.loads(bytes(blob.tolist()))
        nested = None
        if f"{name}.nested_absmax" in entries:
            _check_levels(entries[f"{name}.nested_quant_map"], dynamic_map(), name)
            if rest["nested_blocksize"] != NESTED_BLOCK_SIZE:
                raise PeftlabError(
                    f"the scales of {name!r} are in blocks of {rest['nested_blocksize']}; peftlab "
                    f"reads blocks of {NESTED_BLOCK_SIZE}."
                )
            nested = Nested(
                entries[f"{name}.nested_absmax"].to(packed.device),
                torch.tensor(rest["nested_offset"], device=packed.device),
            )
        _check_levels(entries[f"{name}.quant_map"], fmt.levels(), name)
        return _bytes(packed), QuantState(
            format=fmt,
            shape=torch.Size(rest["shape"]),
            dtype=getattr(torch, rest["dtype"]),
            block_size=rest["blocksize"],
            absmax=entries[f"{name}.absmax"].to(packed.device),
            nested=nested,
        )
    except (StopIteration, KeyError) as error:
        missing = error.args[0] if error.args else f"{name}.{STATE_KEY}nf4"
        raise PeftlabError(
            f"the quantized weight {name!r} has no {missing!r}; save the model again with "
            "bitsandbytes or peftlab."
        ) from None


# --- bitsandbytes' own objects -------------------------------------------------------------------


def to_bitsandbytes(packed: Tensor, state: QuantState) -> Any:
    """The weight as a ``bitsandbytes.nn.Params4bit``, which its ``Linear4bit`` computes with.

    Raises:
        PeftlabError: bitsandbytes is not installed, or does not know the format.
    """
    _check_format(state)
    try:
        import bitsandbytes
        from bitsandbytes.functional import QuantState as TheirState
    except ImportError:
        raise PeftlabError(
            'bitsandbytes is not installed; install it with: pip install "peftlab[labs]".'
        ) from None
    inner = None
    if state.nested is not None:
        inner = TheirState(
            absmax=state.nested.absmax,
            blocksize=NESTED_BLOCK_SIZE,
            code=dynamic_map(packed.device).clone(),
            dtype=torch.float32,
        )
    theirs = TheirState(
        absmax=state.absmax,
        shape=state.shape,
        code=state.format.levels(packed.device).clone(),
        blocksize=state.block_size,
        quant_type=state.format.name,
        dtype=state.dtype,
        offset=None if state.nested is None else state.nested.offset,
        state2=inner,
    )
    return bitsandbytes.nn.Params4bit(
        packed.view(-1, 1),
        quant_state=theirs,
        blocksize=state.block_size,
        compress_statistics=state.nested is not None,
        quant_type=state.format.name,
        bnb_quantized=True,
    )


def from_bitsandbytes(parameter: Any) -> tuple[Tensor, QuantState]:
    """Codes and state of a ``Params4bit``; the tensors are shared, not copied.

    Raises:
        PeftlabError: the parameter is not quantized yet, or bitsandbytes has rearranged it for
            inference on this CPU, which rounds the scales to bfloat16 for good.
    """
    theirs = getattr(parameter, "quant_state", None)
    if theirs is None:
        raise PeftlabError(
            "the bitsandbytes layer is not quantized yet; move it to a device with .to(device)."
        )
    if getattr(theirs, "packing_format_for_cpu", False):
        raise PeftlabError(
            "bitsandbytes has rearranged this weight, and rounded its scales, for inference on "
            "this CPU; load the model again, and merge or convert it before its first forward "
            "pass in eval mode."
        )
    return from_quant_state(parameter.data, theirs)


def from_quant_state(packed: Tensor, theirs: Any) -> tuple[Tensor, QuantState]:
    """Codes and state from bitsandbytes' codes and ``bitsandbytes.functional.QuantState``."""
    nested = Nested(theirs.state2.absmax, theirs.offset) if theirs.nested else None
    return _bytes(packed), QuantState(
        format=FORMATS[theirs.quant_type],
        shape=theirs.shape,
        dtype=theirs.dtype,
        block_size=theirs.blocksize,
        absmax=theirs.absmax,
        nested=nested,
    )


def dequantized(packed: Tensor, theirs: Any) -> Tensor:
    """The values of a weight from bitsandbytes' codes and state, also where it rearranged them.

    The scales of a rearranged weight are rounded to bfloat16, and so is what comes back.
    """
    if getattr(theirs, "packing_format_for_cpu", False):
        from bitsandbytes import functional

        # On CPUs with AVX512-BF16 the first evaluation repacks the bytes. The inverse writes into
        # the state it is given: hand it a copy.
        inverse = functional._convert_weight_packed_for_cpu_inverse
        packed, theirs = inverse(packed, copy.copy(theirs))
    # Not bitsandbytes' own function, which on CPUs with AVX512 takes the wrong scales when a row
    # is not a whole number of blocks.
    return dequantize(*from_quant_state(packed, theirs))


def _bytes(packed: Tensor) -> Tensor:
    """The codes as a row of bytes; bitsandbytes may store them in a tensor of another dtype."""
    return packed.contiguous().view(torch.uint8).flatten()


def _check_format(state: QuantState) -> None:
    if state.format.name not in FORMAT_NAMES:
        raise PeftlabError(
            f"bitsandbytes has no format {state.format.name!r}; quantize to nf4 or fp4 for it."
        )


def _check_levels(found: Tensor, expected: Tensor, name: str) -> None:
    if not torch.equal(found.cpu(), expected):
        raise PeftlabError(
            f"{name!r} was quantized with other levels than peftlab's; load it with bitsandbytes."
        )


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
