"""Number formats for quantized weights: which values 4 or 8 bits can stand for.

A format is a list of levels in [-1, 1]. A block of weights is divided by its largest magnitude,
its *absmax*, and each weight is stored as the code of the nearest level: its place in the list.

=====  ====  ==============================================================================
name   bits  levels
=====  ====  ==============================================================================
nf4    4     quantiles of a normal distribution: dense where weights are (QLoRA §3)
fp4    4     bitsandbytes' table: E2M1, but for a smallest magnitude of 0.0052, not 0.083
e2m1   4     a sign, two bits of exponent, one of mantissa: OCP MX's 4-bit float
int4   4     -7/7, -6/7, …, 7/7: equally spaced, symmetric around zero
int8   8     -127/127, …, 127/127
=====  ====  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import torch
from torch import Tensor

from peftlab.errors import PeftlabError

# The NF4 levels in full float32. `derive_nf4` computes the same bits; they are written out because
# they are part of a file format, which must not depend on anybody's inverse normal distribution.
# Provenance: QLoRA (arXiv 2305.14314) appendix E, to the precision of bitsandbytes' table.
# Rounded to the four decimals that are often quoted, they would send some weights elsewhere.
NF4_LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip

# The outermost quantile: halfway between 1 - 1/32 and 1 - 1/30, the centres of the last of 16 and
# of 15 equally likely bins. QLoRA's equation 4 as printed starts at quantile 0, which is -infinity.
NF4_OFFSET = 0.9677083

# E2M1's eight magnitudes in the order of their codes 0b000 to 0b111. 0.5 is the one subnormal
# number. (OCP Microscaling Formats 1.0, §5.3.3; QLoRA's "Float4 (E2M1)".)
E2M1_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)

# bitsandbytes' "fp4": twice E2M1's magnitudes but for the subnormal number, 0.0625 instead of 1.
# The order is that of its bit patterns, in which a larger code need not be a larger value.
FP4_MAGNITUDES = (0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0)


def derive_nf4() -> Tensor:
    """The NF4 levels from the normal distribution: float32, ascending, bit for bit ``NF4_LEVELS``.

    Eight equally spaced quantiles give the positive levels and seven the negative ones; zero is
    added, so that a weight of 0 is stored exactly (QLoRA §3, "4-bit NormalFloat Quantization").
    Dividing by the largest stretches the levels over [-1, 1].
    """
    quantile = NormalDist().inv_cdf
    # The probabilities are spaced in float32, as in the code that first printed the table.
    positive = torch.linspace(NF4_OFFSET, 0.5, 9)[:-1].tolist()
    negative = torch.linspace(NF4_OFFSET, 0.5, 8)[:-1].tolist()
    levels = [quantile(p) for p in positive] + [0.0] + [-quantile(p) for p in negative]
    levels = torch.tensor(sorted(levels))
    return levels / levels.max()


@dataclass(frozen=True)
class Format:
    """A number format.

    Attributes:
        name: what to call it.
        bits: bits per code, 4 or 8.
        values: the level of each code, in the order of the codes.
    """

    name: str
    bits: int
    values: tuple[float, ...]

    def levels(self, device: torch.device | str = "cpu") -> Tensor:
        """The level of each code: float32, shape (number of levels,)."""
        return _levels(self, torch.device(device))

    def nearest(self, x: Tensor) -> Tensor:
        """The code of the level nearest to each element of x: int32, same shape.

        The nearest level is found by comparing with the midpoints between neighbouring levels. A
        value exactly on a midpoint goes to the lower level; so does bitsandbytes.

        Args:
            x: float32 values, meant to lie in [-1, 1]; beyond, the last level is the nearest.
        """
        order, midpoints = _order(self, x.device)
        rank = torch.bucketize(x, midpoints, out_int32=True)
        return rank if order is None else order[rank]


# Codes and midpoints are looked up for every layer of every forward pass, so they are made once.


@cache
def _levels(fmt: Format, device: torch.device) -> Tensor:
    return torch.tensor(fmt.values, dtype=torch.float32, device=device)


@cache
def _order(fmt: Format, device: torch.device) -> tuple[Tensor | None, Tensor]:
    """The codes in the order of their levels (None if that is 0, 1, 2, …), and the midpoints."""
    levels, order = _levels(fmt, device).sort(stable=True)
    midpoints = (levels[:-1] + levels[1:]) / 2
    in_order = bool((order.diff() == 1).all())
    return (None if in_order else order.int()), midpoints


def _signed(magnitudes: tuple[float, ...]) -> tuple[float, ...]:
    """Levels of a float format: the magnitudes over the largest, then the same with a sign."""
    scaled = (torch.tensor(magnitudes) / max(magnitudes)).tolist()
    # The sign is the first bit. -0.0 would be a second zero; bitsandbytes has +0.0 twice, too.
    return tuple(scaled + [-m if m else 0.0 for m in scaled])


NF4 = Format("nf4", 4, NF4_LEVELS)
FP4 = Format("fp4", 4, _signed(FP4_MAGNITUDES))
E2M1 = Format("e2m1", 4, _signed(E2M1_MAGNITUDES))
INT4 = Format("int4", 4, tuple(k / 7 for k in range(-7, 8)))
INT8 = Format("int8", 8, tuple(k / 127 for k in range(-127, 128)))
FORMATS: dict[str, Format] = {fmt.name: fmt for fmt in (NF4, FP4, E2M1, INT4, INT8)}


def get_format(name: str) -> Format:
    """The format of that name.

    Raises:
        PeftlabError: there is none.
    """
    if name not in FORMATS:
        raise PeftlabError(f"there is no format {name!r}; choose from {', '.join(FORMATS)}.")
    return FORMATS[name]


# --- the 8-bit map of double quantization --------------------------------------------------------

# How finely bitsandbytes' CPU code resolves [-1, 1] when it looks an 8-bit code up.
GRID = 65_535


@cache
def dynamic_map(device: torch.device | str = "cpu") -> Tensor:
    """The 256 levels of the 8-bit dynamic map: float32, ascending, from -0.993 to 1.

    "8-bit Optimizers" (Dettmers et al. 2022, arXiv 2110.02861) §2: seven decades, each with twice
    as many levels as the decade below. So small values keep a small relative error, and large
    ones get most of the codes. Decade e covers [10^(e-7), 10^(e-6)]; its levels are the centres
    of equal bins. Zero and one are added.
    """
    positive: list[float] = []
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2**decade + 1, dtype=torch.float32)
        centres = (edges[:-1] + edges[1:]) / 2
        positive += (10.0 ** (decade - 6) * centres).tolist()
    levels = [-level for level in positive] + [0.0, *positive, 1.0]
    return torch.tensor(sorted(levels), dtype=torch.float32, device=device)


@cache
def _dynamic_codes(device: torch.device) -> Tensor:
    """The code of the nearest level for each point of the grid -1 + 2 i / 65,535: uint8."""
    levels = dynamic_map(device)
    grid = torch.linspace(-1, 1, GRID + 1, device=device)
    return torch.bucketize(grid, (levels[:-1] + levels[1:]) / 2).to(torch.uint8)


def dynamic_codes(x: Tensor) -> Tensor:
    """The 8-bit code of each element of x: uint8, same shape.

    x is rounded to a grid of 65,536 points first, and the code is looked up in a table. That is
    what bitsandbytes does on a CPU, and it is fast; in about one case in 700 it gives the level
    beside the nearest one, which is then almost as near. bitsandbytes on a GPU compares with the
    exact midpoints instead.

    Args:
        x: float32 values in [-1, 1].
    """
    # The order of these operations decides in which direction ties round: keep it.
    point = ((x + 1) * 0.5 * GRID + 0.5).long()
    return _dynamic_codes(x.device)[point]
