"""The levels of the quantization formats, against bitsandbytes and against their definitions."""

import math

import bitsandbytes.functional
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peftlab import PeftlabError
from peftlab.quantization import formats
from peftlab.quantization.formats import E2M1, FORMATS, FP4, INT4, INT8, NF4

finite = st.floats(-1, 1, width=32)


def test_nf4_is_derived_stored_and_the_same_in_bitsandbytes_bit_for_bit():
    theirs = bitsandbytes.functional.get_4bit_type("nf4", device="cpu")
    assert torch.equal(formats.derive_nf4(), torch.tensor(formats.NF4_LEVELS))
    assert torch.equal(NF4.levels(), theirs)
    assert [*NF4.values] == NF4.levels().tolist()  # no digit of the constants is lost in float32


def test_the_nf4_levels_are_those_of_a_normal_distribution():
    half = (1 - 1 / 32 + 1 - 1 / 30) / 2
    assert pytest.approx(half, abs=1e-7) == formats.NF4_OFFSET
    quantile = math.sqrt(2) * torch.erfinv(torch.tensor(2 * half - 1, dtype=torch.float64))
    positive = NF4.levels()[8:].double() * quantile
    probability = torch.special.ndtr(positive)
    steps = probability.diff()
    torch.testing.assert_close(steps, steps.mean().expand(7), rtol=1e-5, atol=0)


def test_four_decimals_are_not_enough():
    rounded = torch.tensor([round(level, 4) for level in NF4.values])
    x = torch.linspace(-1, 1, 100_001)
    midpoints = (rounded[:-1] + rounded[1:]) / 2
    assert (torch.bucketize(x, midpoints) != NF4.nearest(x)).any()


def test_fp4_is_that_of_bitsandbytes():
    assert torch.equal(FP4.levels(), bitsandbytes.functional.get_4bit_type("fp4", device="cpu"))


def test_e2m1_is_a_sign_two_bits_of_exponent_and_one_of_mantissa():
    def value(code):  # IEEE 754's rules with a bias of 1, and without infinity
        sign, exponent, mantissa = code >> 3, (code >> 1) & 3, code & 1
        magnitude = 2.0 ** (exponent - 1) * (1 + mantissa / 2) if exponent else mantissa / 2
        return (-1) ** sign * magnitude

    expected = torch.tensor([value(code) for code in range(16)])
    torch.testing.assert_close(E2M1.levels(), expected / 6, rtol=1e-7, atol=0)


def test_fp4_is_e2m1_but_for_the_smallest_magnitude():
    ours, theirs = (fmt.levels().abs().unique() for fmt in (E2M1, FP4))
    differing = (ours != theirs).nonzero().flatten().tolist()
    assert differing == [1]
    assert ours[1].item() == pytest.approx(1 / 12) and theirs[1].item() == pytest.approx(1 / 192)


@pytest.mark.parametrize(("fmt", "steps"), [(INT4, 7), (INT8, 127)])
def test_integers_are_equally_spaced_and_symmetric(fmt, steps):
    levels = fmt.levels()
    assert len(levels) == 2 * steps + 1
    torch.testing.assert_close(levels, torch.arange(-steps, steps + 1) / steps)
    assert torch.equal(levels, -levels.flip(0))


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
@given(x=st.lists(finite, min_size=1, max_size=20))
def test_nearest_is_the_nearest_level(fmt, x):
    x = torch.tensor(x)
    distance = (x.unsqueeze(1) - fmt.levels()).abs()
    chosen = distance.gather(1, fmt.nearest(x).long().unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(chosen, distance.amin(1), rtol=1e-6, atol=1e-7)
    assert fmt.nearest(x).dtype == torch.int32


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_a_tie_goes_to_the_lower_level_and_a_level_to_itself(fmt):
    levels = fmt.levels().unique()
    middle = (levels[:-1] + levels[1:]) / 2
    assert torch.equal(fmt.levels()[fmt.nearest(middle)], levels[:-1])
    assert torch.equal(fmt.levels()[fmt.nearest(levels)], levels)


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_codes_fit_into_their_bits(fmt):
    assert 2 ** (fmt.bits - 1) < len(fmt.values) <= 2**fmt.bits
    assert max(fmt.values) == -min(fmt.values) == 1


def test_an_unknown_format_is_named():
    with pytest.raises(
        PeftlabError, match="no format 'nf5'; choose from nf4, fp4, e2m1, int4, int8"
    ):
        formats.get_format("nf5")


def test_the_dynamic_map_is_that_of_bitsandbytes():
    ours = formats.dynamic_map()
    assert torch.equal(ours, bitsandbytes.functional.create_dynamic_map())
    assert len(ours.unique()) == 256


def test_dynamic_codes_are_at_most_a_grid_point_away_from_the_nearest_level():
    x = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    levels = formats.dynamic_map()
    distance = (x - levels[formats.dynamic_codes(x).int()]).abs()
    nearest = torch.bucketize(x, (levels[:-1] + levels[1:]) / 2)
    best = (x - levels[nearest]).abs()
    assert ((distance - best) <= 2.0 / formats.GRID).all()
    assert (distance > best).float().mean() < 0.003
