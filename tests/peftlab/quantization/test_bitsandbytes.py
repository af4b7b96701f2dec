"""Quantized weights exchanged with bitsandbytes, in memory and in files."""

import sys

import bitsandbytes
import bitsandbytes.functional as functional
import pytest
import torch

from peftlab import PeftlabError
from peftlab.quantization import bitsandbytes as bnb_format
from peftlab.quantization import nf4

CASES = [
    (fmt, dtype, double)
    for fmt in ("nf4", "fp4")
    for dtype in (torch.float32, torch.bfloat16, torch.float16)
    for double in (False, True)
]


def weight(dtype=torch.float32, shape=(96, 128)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def parameter(tensor, fmt="nf4", double=True, **options):
    made = bitsandbytes.nn.Params4bit(
        tensor, quant_type=fmt, compress_statistics=double, requires_grad=False, **options
    )
    return made.to("cpu")


def same(first, second):
    assert torch.equal(first[0], second[0])
    a, b = first[1], second[1]
    assert (a.format, a.shape, a.dtype, a.block_size) == (b.format, b.shape, b.dtype, b.block_size)
    assert torch.equal(a.absmax, b.absmax)
    assert (a.nested is None) == (b.nested is None)
    if a.nested is not None:
        assert torch.equal(a.nested.absmax, b.nested.absmax)
        assert torch.equal(a.nested.offset, b.nested.offset)


@pytest.mark.parametrize(("fmt", "dtype", "double"), CASES)
def test_their_parameter_is_what_we_compute(fmt, dtype, double):
    ours = nf4.quantize(weight(dtype), format=fmt, double=double)
    theirs = bnb_format.from_bitsandbytes(parameter(weight(dtype), fmt, double))
    same(ours, theirs)


@pytest.mark.parametrize(("fmt", "dtype", "double"), CASES)
def test_our_weight_works_as_their_parameter(fmt, dtype, double):
    packed, state = nf4.quantize(weight(dtype), format=fmt, double=double)
    theirs = bnb_format.to_bitsandbytes(packed, state)
    values = functional.dequantize_4bit(theirs.data, theirs.quant_state)
    assert torch.equal(values, nf4.dequantize(packed, state))
    assert theirs.quant_state == parameter(weight(dtype), fmt, double).quant_state
    same((packed, state), bnb_format.from_bitsandbytes(theirs))

    layer = bitsandbytes.nn.Linear4bit(128, 96, bias=False, compute_dtype=dtype).train()
    layer.weight = theirs
    x = weight(dtype, (3, 128)).requires_grad_()
    torch.testing.assert_close(layer(x), x @ values.T)


@pytest.mark.parametrize(("fmt", "dtype", "double"), CASES)
def test_entries_are_those_of_bitsandbytes_byte_for_byte(fmt, dtype, double):
    theirs = parameter(weight(dtype), fmt, double)
    expected = {
        "weight": theirs.data,
        **{f"weight.{k}": v for k, v in theirs.quant_state.as_dict(packed=True).items()},
    }
    ours = bnb_format.to_entries(*nf4.quantize(weight(dtype), format=fmt, double=double))
    assert ours.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(ours[key], value), key
    same(nf4.quantize(weight(dtype), format=fmt, double=double), bnb_format.from_entries(expected))


def test_a_linear4bit_loads_our_entries():
    entries = bnb_format.to_entries(*nf4.quantize(weight()))
    state = {key: value for key, value in entries.items() if key != "weight"}
    theirs = bitsandbytes.nn.Params4bit.from_prequantized(entries["weight"], state, device="cpu")
    same(nf4.quantize(weight()), bnb_format.from_bitsandbytes(theirs))


def test_names_of_entries():
    entries = bnb_format.to_entries(*nf4.quantize(weight()), name="a.weight")
    entries |= {"a.bias": torch.zeros(1), "ab.weight": torch.zeros(1)}
    assert set(bnb_format.entry_names(entries, "a.weight")) == entries.keys() - {
        "a.weight",
        "a.bias",
        "ab.weight",
    }
    assert bnb_format.entry_names(entries, "ab.weight") == []


def test_codes_in_another_dtype_are_read():
    stored = parameter(weight(torch.bfloat16), quant_storage=torch.bfloat16)
    assert stored.dtype == torch.bfloat16
    same(nf4.quantize(weight(torch.bfloat16)), bnb_format.from_bitsandbytes(stored))


def test_a_rearranged_weight_is_refused():
    theirs = parameter(weight())
    theirs.quant_state.packing_format_for_cpu = True
    with pytest.raises(PeftlabError, match="has rearranged this weight"):
        bnb_format.from_bitsandbytes(theirs)


def test_an_unquantized_parameter_is_refused():
    with pytest.raises(PeftlabError, match="not quantized yet"):
        bnb_format.from_bitsandbytes(bitsandbytes.nn.Params4bit(weight(), requires_grad=False))


def test_bitsandbytes_has_no_integers():
    packed, state = nf4.quantize(weight(), format="int4")
    for export in (bnb_format.to_entries, bnb_format.to_bitsandbytes):
        with pytest.raises(PeftlabError, match="no format 'int4'"):
            export(packed, state)


def test_without_bitsandbytes_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(PeftlabError, match="bitsandbytes is not installed"):
        bnb_format.to_bitsandbytes(*nf4.quantize(weight()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.pop("w.absmax"), "has no 'w.absmax'"),
        (lambda e: e.pop("w"), "has no 'w'"),
        (lambda e: e.pop("w.quant_state.bitsandbytes__nf4"), "has no .*bitsandbytes__nf4"),
        (lambda e: e["w.quant_map"].mul_(0.5), "other levels"),
        (lambda e: e["w.nested_quant_map"].mul_(0.5), "other levels"),
    ],
)
def test_damaged_entries_are_named(change, message):
    entries = bnb_format.to_entries(*nf4.quantize(weight()), name="w")
    change(entries)
    with pytest.raises(PeftlabError, match=message):
        bnb_format.from_entries(entries, "w")


def test_another_nested_block_size_is_refused():
    entries = bnb_format.to_entries(*nf4.quantize(weight()))
    key = "weight.quant_state.bitsandbytes__nf4"
    blob = bytes(entries[key].tolist()).replace(
        b'"nested_blocksize": 256', b'"nested_blocksize": 128'
    )
    entries[key] = torch.tensor(list(blob), dtype=torch.uint8)
    with pytest.raises(PeftlabError, match="in blocks of 128"):
        bnb_format.from_entries(entries)
