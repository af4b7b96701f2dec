"""Lesson 06, levels: those of NF4 and of its kind, rightly and wrongly."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.quantization import seen


def codebook(bits: int, offset: float) -> Tensor:
    half = 2 ** (bits - 1)
    above = torch.linspace(offset, 0.5, half + 1)[:-1]
    below = torch.linspace(offset, 0.5, half)[:-1]
    positive, negative = torch.special.ndtri(above), -torch.special.ndtri(below)
    levels = torch.cat([negative, torch.zeros(1), positive]).sort().values
    return levels / levels.max()


_codebook = partial(slip, codebook)
_ABOVE, _BELOW = "0.5, half + 1)[:-1]", "0.5, half)[:-1]"
_QUANTILES = "torch.special.ndtri(above), -torch.special.ndtri(below)"
_NEGATIVE_SIDE = "-torch.special.ndtri(below)"


def _other_quantiles(id: str, function: str, diagnosis: str) -> Mutant:
    return _codebook(
        id,
        _QUANTILES,
        f"{function.format('above')}, -{function.format('below')}",
        diagnosis,
        "Turn probabilities into quantiles by torch.special.ndtri",
    )


def _in_one_row(probabilities: Tensor) -> Tensor:
    levels = torch.special.ndtri(probabilities)
    return levels / levels.max()


CODEBOOK = (
    _codebook(
        "sides-swapped",
        _ABOVE,
        "0.5, half)[:-1]",
        "the sides are swapped: the negative one has the extra level",
        "Half of the codes are positive levels; one fewer are negative, and one is zero",
        (f"below = torch.linspace(offset, {_BELOW}", f"below = torch.linspace(offset, {_ABOVE}"),
    ),
    Mutant(
        "without-zero",
        lambda bits, offset: _in_one_row(torch.linspace(1 - offset, offset, 2**bits)),
        "no level is exactly 0: a weight of zero, as in padding, would not stay zero",
        "Make the two sides apart, and put 0 between them",
    ),
    _codebook(
        "not-scaled",
        "levels / levels.max()",
        "levels",
        "not divided by the largest: the outermost levels are not ±1, and blocks are divided by "
        "their absmax, so that they must be",
        "Divide by the largest level",
    ),
    _codebook(
        "zero-twice",
        _ABOVE,
        "0.5, half)",
        "0 is there twice: the quantile of 1/2 is 0 itself, and one of the codes is lost; ½ is "
        "exclusive",
        "Take one point more than you need, and drop the last one, 1/2",
    ),
    _other_quantiles(
        "evenly-spaced",
        "({} - 0.5)",
        "the levels are evenly spaced, as in int4; the probabilities should be, not the levels, "
        "which are their quantiles",
    ),
    _codebook(
        "not-sorted",
        "torch.cat([negative, torch.zeros(1), positive]).sort().values",
        "torch.cat([positive, torch.zeros(1), negative])",
        "the right levels in another order, not ascending: the code of a level is its place among "
        "them",
        "Sort the levels, the smallest first",
    ),
    _codebook(
        "half-included",
        _ABOVE,
        "0.5, half)",
        "½ is included on both sides: its quantile is 0, so that zero is there three times",
        "½ is exclusive: take one point more than you need, and drop the last one",
        (
            f"below = torch.linspace(offset, {_BELOW}",
            "below = torch.linspace(offset, 0.5, half - 1)",
        ),
    ),
    _codebook(
        "sides-mirrored",
        _NEGATIVE_SIDE,
        "-torch.special.ndtri(above[:-1])",
        "the negative side mirrors the positive one, without its smallest level; it has evenly "
        "spaced probabilities of its own, in wider steps",
        "Make the negative side from its own linspace, with one point fewer",
    ),
    _codebook(
        "sides-mirrored-without-the-end",
        _NEGATIVE_SIDE,
        "-torch.special.ndtri(above[1:])",
        "the negative side mirrors the positive one, without its outermost level, -1; it has "
        "probabilities of its own, from offset on",
        "Make the negative side from its own linspace, with one point fewer",
    ),
    _codebook(
        "no-zero",
        _NEGATIVE_SIDE,
        "-torch.special.ndtri(above)",
        "both sides have 2^(bits-1) levels, and zero is not among them: it must be stored exactly",
        "One negative level fewer, and 0 between the sides",
        ("torch.zeros(1), ", ""),
    ),
    _codebook(
        "sides-alike",
        _NEGATIVE_SIDE,
        "-torch.special.ndtri(above)",
        "one level too many: the negative side has as many as the positive one, and zero comes in "
        "addition",
        "The negative side has 2 ** (bits - 1) - 1 levels",
    ),
    _codebook(
        "offset-of-nf4",
        "above = torch.linspace(offset",
        "above = torch.linspace(0.9677083",
        "`offset` is not used: 0.9677083 is fixed in the code",
        "Start from the offset that is given",
        ("below = torch.linspace(offset", "below = torch.linspace(0.9677083"),
    ),
    _codebook(
        "always-4-bits",
        "half = 2 ** (bits - 1)",
        "half = 8",
        "`bits` is not used: the number of levels is fixed at sixteen",
        "Make 2 ** bits levels",
    ),
    _codebook(
        "table",
        "half = 2 ** (bits - 1)",
        "half, offset = 8, 0.9677083",
        "the table of NF4 whatever is asked for: `bits` and `offset` are not used, both are fixed",
        "Compute the levels from bits and offset",
    ),
    _codebook(
        "offset-dropped",
        _ABOVE,
        "0.5, half + 1)[1:]",
        "the wrong end is dropped: ½ is kept, which gives zero, and the offset, the outermost "
        "probability, is left out",
        "Drop the last point, 1/2: [:-1]",
        (
            f"below = torch.linspace(offset, {_BELOW}",
            "below = torch.linspace(offset, 0.5, half)[1:]",
        ),
    ),
    _codebook(
        "twice-as-many",
        "half = 2 ** (bits - 1)",
        "half = 2**bits",
        "twice as many levels as asked for, 2^(bits+1): half of 2^bits are on either side",
        "half = 2 ** (bits - 1)",
    ),
    _other_quantiles(
        "distribution",
        "torch.special.ndtr({})",
        "the distribution function (ndtr) instead of its inverse, the quantile function ndtri",
    ),
    _other_quantiles(
        "probabilities",
        "{}",
        "the probabilities themselves are taken as levels; their quantiles should be",
    ),
    _other_quantiles(
        "erfinv-of-p",
        "torch.erfinv({})",
        "erfinv of p is not the normal quantile, which is erfinv of 2p - 1",
    ),
    _other_quantiles(
        "logistic",
        "torch.logit({})",
        "quantiles of the logistic distribution (logit), not of the normal one",
    ),
    _other_quantiles("erf", "torch.erf({})", "erf is no quantile function of the normal one"),
    _other_quantiles(
        "laplace",
        "-torch.log(2 - 2 * {})",
        "quantiles of the Laplace distribution (a logarithm), not of the normal one",
    ),
    _other_quantiles(
        "density",
        "torch.exp(-({} ** 2) / 2)",
        "the density of the normal distribution, not its quantile function ndtri",
    ),
)


def _result(test) -> seen.Condition:
    return seen.values("result", test)


CODEBOOK_SYMPTOMS = (
    Symptom(
        "result",
        "the number of levels is not 2^bits",
        "2 ** (bits - 1) positive ones, one fewer negative ones, and zero",
        seen.other_shape("result"),
    ),
    Symptom(
        "result",
        "zero is not among the levels: no one is exactly 0",
        "Put 0 between the two sides",
        _result(lambda right, seen: not (seen == 0).any()),
    ),
    Symptom(
        "result",
        "zero is there more than once: the quantile of ½ is 0, and ½ is exclusive",
        "Drop the last point of each linspace, 1/2",
        _result(lambda right, seen: (seen == 0).sum() > 1),
    ),
    Symptom(
        "result",
        "the levels do not ascend: sort them, the smallest first",
        "Sort the levels",
        _result(lambda right, seen: (seen.diff() < 0).any()),
    ),
    Symptom(
        "result",
        "the largest level is not 1: they should end at -1 and 1, divided by the largest",
        "Divide by the largest level",
        _result(lambda right, seen: (seen.max() - 1).abs() > 1e-4),
    ),
    Symptom(
        "result",
        "the smallest level is not -1: the outermost negative one is missing, or not at the offset",
        "The negative side starts at the offset, too",
        _result(lambda right, seen: (seen.min() + 1).abs() > 1e-4),
    ),
    Symptom(
        "result",
        "there are not 2^(bits-1) positive levels and one fewer negative ones",
        "Make the sides apart, from a linspace each",
        _result(lambda right, seen: (seen > 0).sum() != (right > 0).sum()),
    ),
    Symptom(
        "result",
        "the positive side is right, and the negative one is not: it has probabilities of its own, "
        "in wider steps, from offset on",
        "Make the negative side from its own linspace, with one point fewer",
        _result(lambda right, seen: torch.allclose(right.relu(), seen.relu(), atol=1e-5)),
    ),
    Symptom(
        "result",
        "the negative side is right, and the positive one is not: it has one level more, in "
        "smaller steps",
        "Make the positive side from its own linspace, with 2 ** (bits - 1) points",
        _result(lambda right, seen: torch.allclose((-right).relu(), (-seen).relu(), atol=1e-5)),
    ),
    Symptom(
        "result",
        "ends, zero and order are right, the levels between are not: other quantiles than those "
        "of the normal distribution (ndtri), or probabilities not evenly spaced from offset to ½",
        "torch.linspace gives the probabilities, torch.special.ndtri their quantiles",
        _result(
            lambda right, seen: (
                (seen.diff() > 0).all()
                and (seen == 0).sum() == 1
                and (seen > 0).sum() == (right > 0).sum()
                and (seen[[0, -1]].abs() - 1).abs().max() < 1e-4
            )
        ),
    ),
)
