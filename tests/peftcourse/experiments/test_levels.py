"""Levels for normal numbers in blocks: the distribution against samples, the codes against both."""

import pytest
import torch

from peftcourse.experiments.levels import ScaledNormal
from peftlab import PeftlabError
from peftlab.quantization import nf4
from peftlab.quantization.formats import FORMATS, NF4_LEVELS

NF4 = torch.tensor(NF4_LEVELS)
FOUR_BITS = [name for name, fmt in FORMATS.items() if fmt.bits == 4]


@pytest.fixture(scope="module")
def normal():
    return ScaledNormal.of_blocks(64)


@pytest.fixture(scope="module")
def sample():
    return torch.randn(2**14, 64, generator=torch.Generator().manual_seed(0))


def test_it_is_a_distribution_with_the_absmax_at_its_ends(normal):
    assert normal.mass.sum().item() == pytest.approx(1, abs=1e-9)
    assert normal.energy.sum().item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(normal.x, -normal.x.flip(0), rtol=0, atol=1e-12)
    assert normal.x[-1] == 1
    assert normal.mass[0].item() == pytest.approx(1 / 128, rel=1e-6)


@pytest.mark.parametrize("name", FOUR_BITS)
def test_errors_are_those_of_samples(normal, sample, name):
    levels = torch.tensor(sorted(set(FORMATS[name].values)))
    sampled = nf4.quantization_error(sample, format=name, double=False)
    assert normal.error(levels) == pytest.approx(sampled, rel=3e-3)


def test_codes_are_used_as_often_as_in_samples(normal, sample):
    scaled = sample / sample.abs().amax(dim=1, keepdim=True)
    counted = FORMATS["nf4"].nearest(scaled).flatten().bincount() / sample.numel()
    torch.testing.assert_close(normal.used(NF4), counted.double(), rtol=0, atol=1e-3)


def test_equal_bins_are_equal_and_have_their_centres(normal):
    levels, bounds = normal.equal_bins(16)
    torch.testing.assert_close(
        normal.used(levels, bounds), torch.full((16,), 1 / 16).double(), rtol=0, atol=1e-3
    )
    best = normal.error(levels, bounds)
    for code in range(16):
        for step in (-0.01, 0.01):
            moved = levels.clone()
            moved[code] += step
            assert normal.error(moved, bounds) > best


def test_no_level_that_may_move_gets_better_by_moving(normal):
    kept = torch.zeros(16, dtype=torch.bool)
    kept[[0, 7, 15]] = True
    levels = normal.least_squares(NF4, kept)
    assert torch.equal(levels[kept], NF4[kept].double())
    best = normal.error(levels)
    assert best < normal.error(NF4)
    for code in (~kept).nonzero().flatten().tolist():
        for step in (-0.005, 0.005):
            moved = levels.clone()
            moved[code] += step
            assert normal.error(moved) > best


def test_of_two_levels_the_best_are_those_of_a_normal_number_in_large_blocks():
    """One bit for a normal number: ±√(2/π) standard deviations (Max 1960, table I)."""
    huge = ScaledNormal.of_blocks(2**20)
    levels = huge.least_squares(torch.tensor([-0.5, 0.5]), torch.zeros(2, dtype=torch.bool))
    assert huge.error(levels) ** 2 == pytest.approx(1 - 2 / torch.pi, rel=5e-3)


def test_a_block_of_one_is_refused():
    with pytest.raises(PeftlabError, match="block of 1"):
        ScaledNormal.of_blocks(1)
