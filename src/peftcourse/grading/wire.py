"""Plain data as bytes, for the one pipe between the grader and the code that it runs.

Only None, booleans, numbers, strings, lists, tuples, dictionaries with string keys, and dense CPU
tensors can cross. Nothing that is decoded can run code or make the reader allocate more than it
was sent: sizes are checked against the bytes that are there. Imports the standard library and torch
only, because it is used on both sides of the sandbox's wall.

A message is the length of a JSON text (4 bytes, big-endian), the text, and the bytes of all tensors
in the order in which the text mentions them.
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.complex64,
        torch.complex128,
    )
}
MARK = b"\xf5peftlab"  # before each frame of a stream; no UTF-8 text begins so
MAX_HEADER = 8 << 20  # bytes of JSON
MAX_DEPTH = 16  # of nested containers
MAX_DIMENSIONS = 16
INT64 = range(-(1 << 63), 1 << 63)


class WireError(ValueError):
    """The bytes are not a message, or the value cannot be sent."""


def encode(value: Any) -> bytes:
    """A value as one message.

    Raises:
        WireError: a part of it is of another kind than the module allows.
    """
    blobs: list[bytes] = []
    header = json.dumps(_pack(value, blobs)).encode()
    return b"".join((len(header).to_bytes(4, "big"), header, *blobs))


def decode(message: bytes | memoryview) -> Any:
    """The value of a message that may come from anybody.

    Raises:
        WireError: it is damaged, too deep or of the wrong size.
    """
    view = memoryview(message)
    length = int.from_bytes(view[:4], "big")
    if len(view) < 4 + length or length > MAX_HEADER:
        raise WireError("the message is cut off, or its header is too long")
    try:
        header = json.loads(bytes(view[4 : 4 + length]), parse_int=_int)
    except (ValueError, RecursionError) as problem:
        raise WireError(f"the header is not JSON: {type(problem).__name__}") from None
    rest = _Bytes(view[4 + length :])
    value = _unpack(header, rest, 0)
    if rest.view:
        raise WireError("the message goes on after its end")
    return value


def _pack(value: Any, blobs: list[bytes]) -> Any:
    # Exact types: a subclass could answer to these names and be anything.
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        if value not in INT64:
            raise WireError("a whole number needs more than 64 bits")
        return value
    if kind is float:
        return value  # json writes NaN and infinities by these names, and reads them back
    if kind in (list, tuple):
        return {kind.__name__: [_pack(item, blobs) for item in value]}
    if kind is dict:
        if not all(type(key) is str for key in value):
            raise WireError("a dictionary has a key that is not a string")
        return {"dict": [[key, _pack(item, blobs)] for key, item in value.items()]}
    if kind is torch.Tensor:
        name = str(value.dtype).removeprefix("torch.")
        if name not in DTYPES:
            raise WireError(f"a tensor has the dtype {name}")
        data = value.detach().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
        blobs.append(data)
        return {"tensor": [name, list(value.shape)]}
    raise WireError(f"{kind.__name__} cannot be sent")


def _int(digits: str) -> int:
    if len(digits) > 20 or int(digits) not in INT64:
        raise ValueError("a whole number needs more than 64 bits")
    return int(digits)


class _Bytes:
    """What is left of the tensors' bytes."""

    def __init__(self, view: memoryview) -> None:
        self.view = view

    def take(self, count: int) -> bytearray:
        if count > len(self.view):
            raise WireError("a tensor is larger than its bytes")
        taken, self.view = bytearray(self.view[:count]), self.view[count:]
        return taken


def _unpack(value: Any, rest: _Bytes, depth: int) -> Any:
    if not isinstance(value, (dict, list)):
        return value
    if depth > MAX_DEPTH:
        raise WireError("containers are nested too deeply")
    if not isinstance(value, dict) or len(value) != 1:
        raise WireError("a container has no name")
    [(kind, items)] = value.items()
    if not isinstance(items, list):
        raise WireError(f"{kind} has no items")
    if kind in ("list", "tuple"):
        unpacked = [_unpack(item, rest, depth + 1) for item in items]
        return tuple(unpacked) if kind == "tuple" else unpacked
    if kind == "dict":
        if not all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in items
        ):
            raise WireError("a dictionary is not made of pairs")
        return {key: _unpack(item, rest, depth + 1) for key, item in items}
    if kind == "tensor":
        return _tensor(items, rest)
    raise WireError("a container of an unknown kind")


def _tensor(items: list[Any], rest: _Bytes) -> torch.Tensor:
    dtype = DTYPES.get(items[0]) if len(items) == 2 and isinstance(items[0], str) else None
    shape = items[1] if dtype else None
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_DIMENSIONS
        or not all(type(size) is int and 0 <= size < 1 << 31 for size in shape)
    ):
        raise WireError("a tensor has an unknown dtype or no possible shape")
    data = rest.take(math.prod(shape) * dtype.itemsize)
    if not data:
        try:
            return torch.empty(shape, dtype=dtype)
        except RuntimeError:  # a size of zero beside others whose product overflows
            raise WireError("a tensor has no possible shape") from None
    if dtype == torch.bool:  # any other byte than 0 and 1 would be undefined behaviour
        return torch.frombuffer(data, dtype=torch.uint8).ne(0).reshape(shape)
    return torch.frombuffer(data, dtype=dtype).reshape(shape)
