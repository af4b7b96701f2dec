"""How good a list of levels is for normal numbers in blocks: from their distribution, no samples.

A block is divided by its absmax before it meets the levels, and what comes out is not normal: it
ends at ±1, and how wide it is depends on the size of the block (Yoshida 2023, arXiv 2306.06965).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from peftlab.errors import PeftlabError


@dataclass(frozen=True)
class ScaledNormal:
    """A normal number after division by the absmax M of its block, on a grid of places.

    Attributes:
        x: the places, from -1 to 1, ascending, float64, (places,).
        mass: the probability of each place; they sum to 1.
        energy: the same with every number weighted by M², over all of it: an error of e in x is
            an error of M·e in the weight, and blocks with a large absmax count more.
    """

    x: Tensor
    mass: Tensor
    energy: Tensor

    @classmethod
    def of_blocks(cls, size: int, places: int = 20_000, steps: int = 200) -> ScaledNormal:
        """The distribution in blocks of ``size`` numbers.

        One number of each block is the absmax itself, at -1 or 1. The others are normal numbers
        that are known to be smaller, so each has the density m φ(m x) / (2 Φ(m) - 1) if the absmax
        is m; and P(M < m) = (2 Φ(m) - 1)^size.

        Args:
            size: numbers in a block, at least 2.
            places: grid of x without its ends.
            steps: grid of the absmax.

        Raises:
            PeftlabError: the block is too small.
        """
        if size < 2:
            raise PeftlabError(f"a block of {size} is nothing but its absmax; give at least 2.")
        edge = torch.linspace(0, 9, steps + 1, dtype=torch.float64)
        absmax = (edge[1:] + edge[:-1]) / 2
        of_absmax = _within(edge).pow(size).diff()  # P(M in each step), (steps,)
        cell = torch.linspace(-1, 1, places + 1, dtype=torch.float64)
        below = torch.special.ndtr(cell[:, None] * absmax)  # (places + 1, steps)
        inside = (size - 1) / size * below.diff(dim=0) / _within(absmax) * of_absmax

        end = torch.tensor([-1.0, 1.0], dtype=torch.float64)
        x = torch.cat([end[:1], (cell[1:] + cell[:-1]) / 2, end[1:]])

        def with_ends(weight: Tensor) -> Tensor:
            at_an_end = (of_absmax @ weight).view(1) / (2 * size)
            return torch.cat([at_an_end, inside @ weight, at_an_end])

        energy = with_ends(absmax.square())
        return cls(x, with_ends(torch.ones_like(absmax)), energy / energy.sum())

    def used(self, levels: Tensor, bounds: Tensor | None = None) -> Tensor:
        """How often each of the ascending levels is taken: shares that sum to 1, (levels,).

        Args:
            levels: (levels,).
            bounds: where one code ends and the next begins, (levels - 1,); the midpoints, if None.
        """
        return self._sum(self.mass, self._codes(levels, bounds), len(levels))

    def error(self, levels: Tensor, bounds: Tensor | None = None) -> float:
        """‖Ŵ - W‖ / ‖W‖ of very many normal weights in such blocks."""
        missed = self.x - levels[self._codes(levels, bounds)]
        lost = (self.energy * missed.square()).sum() / (self.energy * self.x.square()).sum()
        return lost.sqrt().item()

    def equal_bins(self, count: int) -> tuple[Tensor, Tensor]:
        """The code whose bins all hold as many numbers: levels, (count,), and bounds, (count - 1,).

        Each level is where the squared error of its bin is smallest.
        """
        shares = torch.arange(1, count, dtype=torch.float64) / count
        bounds = self.x[torch.searchsorted(self.mass.cumsum(0), shares)]
        return self._centres(torch.bucketize(self.x, bounds), count), bounds

    def least_squares(self, levels: Tensor, kept: Tensor) -> Tensor:
        """Move levels to where the squared error is smallest; those in ``kept`` stay.

        Lloyd's algorithm: a bound belongs half-way between two levels, a level at the centre of its
        bin; each is set to where the other wants it, until no number changes its code (Lloyd 1982,
        Max 1960). The error falls with every round, so the rounds end.
        """
        start = levels = levels.double()
        codes, before = self._codes(levels, None), None
        while before is None or not torch.equal(codes, before):
            levels = torch.where(kept, start, self._centres(codes, len(levels)))
            codes, before = self._codes(levels, None), codes
        return levels

    def _codes(self, levels: Tensor, bounds: Tensor | None) -> Tensor:
        if bounds is None:
            bounds = (levels[:-1] + levels[1:]) / 2
        return torch.bucketize(self.x, bounds.double())

    def _centres(self, codes: Tensor, count: int) -> Tensor:
        return self._sum(self.energy * self.x, codes, count) / self._sum(self.energy, codes, count)

    @staticmethod
    def _sum(values: Tensor, codes: Tensor, count: int) -> Tensor:
        return torch.zeros(count, dtype=torch.float64).index_add_(0, codes, values)


def _within(m: Tensor) -> Tensor:
    """The probability that a normal number is between -m and m."""
    return 2 * torch.special.ndtr(m) - 1
