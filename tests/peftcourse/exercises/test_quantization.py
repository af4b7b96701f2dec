"""The reference solutions of lesson 06 agree with the library, bitsandbytes and the paper."""

import bitsandbytes
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.exercises import EXERCISES
from peftcourse.exercises.feedback import assess
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


# --- the checks -----------------------------------------------------------------------------------


def report(name, answer, seed=0):
    return assess(EXERCISES[f"quantization.{name}"], answer, seed)


def blockwise(weight, levels, block_size, *, least=0.0, dtype=torch.float64):
    codes, scales = [], []
    for block in weight.to(dtype).flatten().split(block_size):
        absmax = block.abs().max()
        scaled = block / absmax.clamp(min=least) if absmax > 0 else block
        codes.append((scaled[:, None] - levels.to(dtype)).abs().argmin(dim=1))
        scales.append(absmax)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)


@pytest.mark.parametrize(("least", "right"), [(1e-12, True), (1e-6, True), (1e-3, False)])
def test_an_epsilon_counts_where_it_is_large_beside_the_weights(least, right):
    told = report("quantize", lambda *inputs: blockwise(*inputs, least=least))
    assert told.correct == right
    assert right or ("small weights" in told.cause and "tiny weights" in told.observed)


def test_single_precision_is_right_though_the_inputs_are_double():
    assert report("quantize", lambda *inputs: blockwise(*inputs, dtype=torch.float32)).correct
    assert report(
        "merge",
        lambda base, A, B, scaling, dtype: torch.addmm(
            base.dequantize().float(), B.float(), A.float(), alpha=scaling
        ).to(dtype),
    ).correct


def test_two_codes_of_a_byte_can_be_in_different_blocks():
    def a_scale_for_each_byte(packed, levels, absmax, block_size, shape, dtype):
        codes = torch.stack([packed >> 4, packed & 15], dim=1).long()
        block = torch.arange(len(packed)) // (block_size // 2)
        scales = absmax[block.clamp(max=len(absmax) - 1)]
        weight = (levels[codes] * scales[:, None]).flatten()[: shape[0] * shape[1]]
        return weight.view(shape).to(dtype)

    told = report("dequantize", a_scale_for_each_byte)
    assert not told.correct and "scale for each byte" in told.cause


def test_the_last_code_stands_in_the_high_half_whatever_it_is():
    def pad_in_the_high_half(codes, pad):
        if len(codes) % 2:
            codes = torch.cat([codes[:-1], codes.new_tensor([pad]), codes[-1:]])
        return (codes[::2] << 4) | codes[1::2]

    for seed in range(20):
        told = report("pack", pad_in_the_high_half, seed)
        assert not told.correct and "pad and the last code are swapped" in told.cause


class _Product(torch.autograd.Function):
    """Right; others change one thing."""

    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return torch.einsum("...i,oi->...o", x, dequantize(packed, x.dtype))

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return torch.einsum("...o,oi->...i", grad, ctx.dequantize(packed, grad.dtype)), None, None


class _ZerosForPacked(_Product):
    @staticmethod
    def backward(ctx, grad):
        return _Product.backward(ctx, grad)[0], torch.zeros(1), None


class _ComputesInSingle(_Product):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        _Product.forward(ctx, x, packed, dequantize)
        weight = dequantize(packed, x.dtype)
        return (x.float() @ weight.float().T).to(x.dtype)


class _HidesInAList(_Product):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.things = [packed, {"weight": dequantize(packed, x.dtype)}]
        return _Product.forward(ctx, x, packed, dequantize)


class _KeepsLongCodes(_Product):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        y = _Product.forward(ctx, x, packed, dequantize)
        ctx.save_for_backward(packed.long())
        return y


class _HidesInAClosure(_Product):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        weight = dequantize(packed, x.dtype)
        ctx.save_for_backward(packed)
        ctx.dequantize = lambda packed, dtype: weight
        return x @ weight.T


class _NoGradient(_Product):
    @staticmethod
    def backward(ctx, grad):
        return None, None, None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_ZerosForPacked, "None"),
        (_ComputesInSingle, "another dtype"),
        (_HidesInAList, "kept on ctx"),
        (_KeepsLongCodes, "larger than packed"),
        (_HidesInAClosure, "not dequantized again"),
        (_NoGradient, "gradient of x is None"),
    ],
)
def test_the_product_is_watched_beside_its_values(answer, words):
    assert report("linear", _Product).correct
    told = report("linear", answer)
    assert not told.correct and words in told.cause


def test_every_dtype_of_a_weight_is_told_from_the_others():
    right = EXERCISES["quantization.merge"].solution
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        told = report("merge", lambda base, A, B, s, _, dtype=dtype: right(base, A, B, s, dtype))
        assert not told.correct and "dtype" in told.cause


def test_what_an_unknown_mistake_shows_is_told():
    def one_scale_too_large(weight, levels, block_size):
        codes, scales = blockwise(weight, levels, block_size)
        return codes, scales + 0.01

    assert "an epsilon is added" in report("quantize", one_scale_too_large).cause
    told = report("merge", lambda base, A, B, s, dtype: (base.dequantize() + 3.7 * B @ A).to(dtype))
    assert "the base is right" in told.cause
