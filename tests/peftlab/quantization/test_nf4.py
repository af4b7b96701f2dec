"""Blockwise quantization against bitsandbytes, byte for byte, and against its own definition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.parity import twins_quantization as twins
from peftcourse.parity.twins_quantization import BLOCK_SIZES, DTYPES
from peftlab import PeftlabError
from peftlab.quantization import nf4
from peftlab.quantization.formats import FORMATS

BITSANDBYTES_FORMATS = ("nf4", "fp4")


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


# --- parity with bitsandbytes --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
@pytest.mark.parametrize("format", BITSANDBYTES_FORMATS)
def test_bytes_scales_and_values_are_those_of_bitsandbytes(format, block_size, dtype):
    for name, weight in twins.samples(dtype, block_size):
        for function in (
            twins.codes,
            twins.scales,
            twins.values,
        ):
            ours, theirs = function(weight, format, block_size)
            assert torch.equal(ours, theirs), (name, function.__name__)
            assert len(ours) or weight.numel() < block_size


@settings(deadline=None)
@given(
    size=st.integers(1, 3000),
    block_size=st.sampled_from(BLOCK_SIZES),
    dtype=st.sampled_from(DTYPES),
    scale=st.floats(1e-6, 1e3),
    seed=st.integers(0, 99),
)
def test_any_size_and_scale_gives_the_bytes_of_bitsandbytes(size, block_size, dtype, scale, seed):
    weight = (normal(size, seed=seed) * scale).to(dtype)
    if not weight.isfinite().all():
        return
    assert torch.equal(*twins.codes(weight, "nf4", block_size))
    assert torch.equal(*twins.scales(weight, "nf4", block_size))


def test_exact_ties_go_where_bitsandbytes_sends_them():
    levels = FORMATS["nf4"].levels()
    middle = (levels[:-1] + levels[1:]) / 2
    weight = torch.cat([middle, torch.nextafter(middle, torch.tensor(2.0)), torch.ones(34)])
    assert weight.numel() == 64
    assert torch.equal(*twins.codes(weight, "nf4", 64))


# --- what quantizing means -----------------------------------------------------------------------


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)
@pytest.mark.parametrize("format", FORMATS)
def test_shape_and_dtype_come_back(format, dtype, double):
    weight = normal(7, 3, 5, dtype=dtype)
    packed, state = nf4.quantize(weight, format=format, double=double)
    restored = nf4.dequantize(packed, state)
    assert (restored.shape, restored.dtype) == (weight.shape, dtype)
    assert packed.dtype == torch.uint8
    assert len(packed) == (53 if FORMATS[format].bits == 4 else 105)
    assert nf4.dequantize(packed, state, torch.float64).dtype == torch.float64
    assert nf4.relative_error(restored, weight) < 0.2


@settings(deadline=None)
@given(
    size=st.integers(1, 400),
    block_size=st.integers(1, 100),
    format=st.sampled_from(list(FORMATS)),
    seed=st.integers(0, 99),
)
def test_every_weight_becomes_the_nearest_level_of_its_block(size, block_size, format, seed):
    weight = normal(size, seed=seed)
    packed, state = nf4.quantize(weight, format=format, block_size=block_size, double=False)
    restored = nf4.dequantize(packed, state)
    levels = FORMATS[format].levels().double()
    for block, values in zip(
        weight.double().split(block_size), restored.double().split(block_size), strict=True
    ):
        grid = levels * block.abs().max()
        best = (block.unsqueeze(1) - grid).abs().amin(1)
        torch.testing.assert_close((values - block).abs(), best, rtol=1e-4, atol=1e-6)


def test_quantizing_again_changes_nothing():
    weight = normal(1000)
    once = nf4.dequantize(*nf4.quantize(weight, double=False))
    twice = nf4.dequantize(*nf4.quantize(once, double=False))
    assert torch.equal(once, twice)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [64, 65, 1, 13])
def test_zeros_stay_zeros(format, size):
    packed, state = nf4.quantize(torch.zeros(size), format=format)
    assert torch.equal(nf4.dequantize(packed, state), torch.zeros(size))


def test_an_all_zero_block_of_nf4_packs_to_0x77():
    assert nf4.quantize(torch.zeros(128))[0].unique().tolist() == [0x77]


@pytest.mark.parametrize("value", [0.5, -3.0])
@pytest.mark.parametrize("format", FORMATS)
def test_constant_blocks_are_exact(format, value):
    weight = torch.full((192,), value)
    packed, state = nf4.quantize(weight, format=format, double=False)
    assert torch.equal(nf4.dequantize(packed, state), weight)


def test_the_weight_is_not_changed_and_need_not_be_contiguous():
    weight = normal(6, 10)
    before = weight.clone()
    transposed, _ = nf4.quantize(weight.T)
    assert torch.equal(weight, before)
    assert torch.equal(transposed, nf4.quantize(weight.T.contiguous())[0])


def test_errors_of_the_formats_on_normal_weights():
    weight = 0.02 * normal(2**20)
    error = {f: nf4.quantization_error(weight, format=f, double=False) for f in FORMATS}
    assert error["nf4"] == pytest.approx(0.0920, abs=2e-4)
    assert error["e2m1"] == pytest.approx(0.1057, abs=2e-4)
    assert error["int4"] == pytest.approx(0.1076, abs=2e-4)
    assert error["fp4"] == pytest.approx(0.1219, abs=2e-4)
    assert error["int8"] < 0.007
    # Double quantization costs next to nothing.
    assert nf4.quantization_error(weight) == pytest.approx(error["nf4"], rel=1e-3)


# --- bytes ---------------------------------------------------------------------------------------


@given(codes=st.lists(st.integers(0, 15), max_size=33))
def test_unpacking_undoes_packing(codes):
    codes = torch.tensor(codes, dtype=torch.uint8)
    packed = nf4.pack(codes, pad=9)
    assert len(packed) == math.ceil(len(codes) / 2)
    padded = [9] * (len(codes) % 2)
    assert nf4.unpack(packed).tolist() == codes.tolist() + padded


def test_the_first_code_is_in_the_high_half():
    assert nf4.pack(torch.tensor([0xA, 0xB], dtype=torch.uint8)).tolist() == [0xAB]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"double": False}, 4.5),
        ({}, 4.126953125),
        ({"block_size": 128, "double": False}, 4.25),
        ({"bits": 8, "double": False}, 8.5),
    ],
)
def test_bits_per_parameter_are_those_stored(options, expected):
    assert nf4.bits_per_parameter(**options) == expected
    weight = normal(2**20)
    format = "int8" if options.pop("bits", 4) == 8 else "nf4"
    packed, state = nf4.quantize(weight, format=format, **options)
    stored = 8 * nf4.stored_bytes(packed, state) / weight.numel()
    assert stored == pytest.approx(expected, abs=1e-4)


# --- double quantization -------------------------------------------------------------------------


def test_scales_come_back_within_the_error_of_8_bits():
    absmax = normal(1000).abs() + 1
    codes, nested = nf4.quantize_absmax(absmax)
    restored = nf4.dequantize_absmax(codes, nested)
    assert codes.dtype == torch.uint8
    assert nested.absmax.shape == (4,)
    assert nf4.relative_error(restored, absmax) < 0.005


def test_equal_scales_are_exact():
    codes, nested = nf4.quantize_absmax(torch.full((300,), 0.25))
    assert torch.equal(nf4.dequantize_absmax(codes, nested), torch.full((300,), 0.25))


def test_the_state_moves_as_a_whole():
    for double in (False, True):
        _, state = nf4.quantize(normal(640), double=double)
        moved = state.to("meta")
        assert moved.absmax.is_meta
        assert (moved.nested is not None) == double
        if double:
            assert moved.nested.absmax.is_meta
            assert moved.nested.offset.is_meta


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "options", "message"),
    [
        (torch.ones(4), {"block_size": 0}, "block_size must be a whole number .* not 0"),
        (torch.ones(4), {"block_size": 6.4}, "not 6.4"),
        (torch.ones(4), {"format": "int3"}, "no format 'int3'"),
        (torch.ones(4, dtype=torch.int64), {}, "dtype torch.int64 .* cannot be quantized"),
        (torch.ones(0, 4), {}, r"shape \(0, 4\) cannot be quantized"),
        (torch.tensor([1.0, math.nan]), {}, "NaN or infinity"),
        (torch.tensor([1.0, -math.inf]), {}, "NaN or infinity"),
    ],
)
def test_unusable_input_is_named(weight, options, message):
    with pytest.raises(PeftlabError, match=message):
        nf4.quantize(weight, **options)


def test_relative_error_of_zero():
    zero = torch.zeros(3)
    assert nf4.relative_error(zero, zero) == 0
    assert nf4.relative_error(torch.ones(3), zero) == math.inf
    assert nf4.relative_error(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 4.0])) == 0.75
