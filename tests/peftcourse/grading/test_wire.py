"""What crosses the sandbox's wall: every plain value whole, and nothing else at all."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from peftcourse.grading import wire

sizes = st.lists(st.integers(0, 3), max_size=3)


@st.composite
def tensors(draw):
    dtype = wire.DTYPES[draw(st.sampled_from(sorted(wire.DTYPES)))]
    shape = draw(sizes)
    values = torch.randint(0, 100, shape, generator=torch.Generator().manual_seed(0))
    return values.to(dtype)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats()
    | st.text()
    | tensors(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=10,
)


def same(one, other):
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)  # NaN, and -0.0 is not 0.0


@given(plain)
def test_a_plain_value_arrives_as_it_was(value):
    arrived = wire.decode(wire.encode(value))
    assert type(arrived) is type(value) and same(value, arrived)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(data):
    try:
        value = wire.decode(data)
    except wire.WireError:
        return
    assert same(value, wire.decode(wire.encode(value)))


@given(plain, st.data())
def test_a_damaged_message_is_a_value_or_an_error(value, data):
    message = bytearray(wire.encode(value))
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] ^= data.draw(st.integers(1, 255))
    try:
        arrived = wire.decode(bytes(message))
    except wire.WireError:
        return
    assert same(arrived, arrived)


class Text(str):
    pass


class Evil(torch.Tensor):
    pass


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Text("a subclass"),
        {1: "a key that is no string"},
        1 << 63,
        torch.zeros(2).as_subclass(Evil),
        torch.zeros(2, dtype=torch.float8_e4m3fn),
        {"deep": [lambda: None]},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_is_not_sent(value):
    with pytest.raises(wire.WireError):
        wire.encode(value)


def message(header, rest=b""):
    text = json.dumps(header).encode()
    return len(text).to_bytes(4, "big") + text + rest


@pytest.mark.parametrize(
    ("header", "rest"),
    [
        ({"tensor": ["float32", [2]]}, bytes(7)),
        ({"tensor": ["float32", [2]]}, bytes(9)),
        ({"tensor": ["float32", [1 << 40]]}, bytes(8)),
        ({"tensor": ["float32", [-1]]}, bytes(4)),
        ({"tensor": ["float32", [True]]}, bytes(4)),
        ({"tensor": ["object", [1]]}, bytes(8)),
        ({"tensor": ["float32", 1]}, bytes(4)),
        ({"tensor": ["float32", [1] * 20]}, bytes(4)),
        ({"pickle": []}, b""),
        ({"list": [], "dict": []}, b""),
        ({"dict": [["a"]]}, b""),
        ({"dict": [[1, 2]]}, b""),
        ([1], b""),
        (1 << 70, b""),
    ],
    ids=str,
)
def test_a_forged_message_is_refused(header, rest):
    with pytest.raises(wire.WireError):
        wire.decode(message(header, rest))


def test_no_message_is_deeper_than_allowed():
    deep = 1
    for _ in range(wire.MAX_DEPTH + 2):
        deep = {"list": [deep]}
    with pytest.raises(wire.WireError, match="deeply"):
        wire.decode(message(deep))
    with pytest.raises(wire.WireError):
        wire.decode((100_000).to_bytes(4, "big") + b"[" * 100_000)


def test_a_truth_value_that_is_neither_becomes_true():
    sent = message({"tensor": ["bool", [3]]}, bytes([0, 1, 7]))
    assert wire.decode(sent).tolist() == [False, True, True]
