"""The reference solutions of lesson 06 agree with the library, bitsandbytes and the paper."""

import bitsandbytes
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.exercises.quantization import (
    blocks,
    cost,
    layer,
    levels,
    numbers,
    packing,
    scales,
    unpacking,
)
from peftlab.quantization import nf4
from peftlab.quantization.formats import INT8, NF4_LEVELS, NF4_OFFSET
from peftlab.quantization.linear import NF4Linear

LEVELS = torch.tensor(NF4_LEVELS)


def test_the_codebook_is_that_of_nf4():
    assert torch.allclose(levels.codebook(4, NF4_OFFSET), LEVELS, atol=1e-6)


def test_absmax_codes_are_those_of_int8():
    blocks = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    codes, absmax = numbers.absmax(blocks, 8)
    ours, state = nf4.quantize(blocks, format="int8", double=False)
    assert torch.equal(codes.flatten().int() + 127, ours.int())
    assert len(INT8.values) == 255 and torch.equal(absmax, state.absmax)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([64, 128]), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_weight_goes_to_bytes_and_back_as_in_the_library(rows, columns, block_size, seed):
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    packed, state = nf4.quantize(weight, block_size=block_size, double=False)
    codes, absmax = blocks.quantize(weight, LEVELS, block_size)
    assert torch.equal(packing.pack(codes, 7), packed)
    assert torch.equal(absmax, state.absmax)
    restored = unpacking.dequantize(
        packed, LEVELS, absmax, block_size, (rows, columns), torch.bfloat16
    )
    assert torch.equal(restored, nf4.dequantize(packed, state, torch.bfloat16))


def test_the_bytes_are_those_of_bitsandbytes():
    weight = torch.randn(96, 64, generator=torch.Generator().manual_seed(1))
    theirs, _ = bitsandbytes.functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    codes, _ = blocks.quantize(weight, LEVELS, 64)
    assert torch.equal(packing.pack(codes, 7), theirs.flatten())


def test_bits_are_those_of_the_paper():
    assert cost.bits(4, 64, 32, None) == 4.5
    assert cost.bits(4, 64, 8, 256) == pytest.approx(4.127, abs=5e-4)
    assert cost.bits(4, 64, 8, 256) == nf4.bits_per_parameter()


def test_double_quantization_is_off_by_half_a_code_at_most():
    absmax = 0.5 + torch.rand(512, generator=torch.Generator().manual_seed(2)).double()
    codes, outer, offset = scales.double(absmax, 256)
    restored = codes.view(-1, 256) * outer.unsqueeze(1) / 127 + offset
    assert ((restored.flatten() - absmax).abs() <= 0.5001 * outer.max() / 127).all()


def test_the_product_is_that_of_the_library():
    reference = NF4Linear.from_linear(torch.nn.Linear(6, 10, bias=False))
    results = []
    for run in (
        reference,
        lambda x: layer.QuantizedProduct.apply(
            x, reference.weight, lambda packed, dtype: reference.dequantize(dtype)
        ),
    ):
        x = torch.linspace(-1, 1, 18).view(3, 6).requires_grad_()
        y = run(x)
        y.square().sum().backward()
        results.append((y, x.grad))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
