"""The exercises of lesson 02, rank."""

from __future__ import annotations

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.rank import (
    adapter,
    approximate,
    cases,
    compare,
    probes,
    projection,
    saving,
    terms,
)
from peftcourse.exercises.rank.verdict import VERDICT

TITLE = "02 Rank"

PARTS = (
    Exercise(
        id="rank.outer",
        title="a matrix from outer products",
        objective="build a matrix as a weighted sum of terms of rank 1.",
        points=2,
        difficulty=1,
        minutes=5,
        section="Outer products",
        hints=(
            "The outer product of a column of length m and one of length n is m × n. Which vectors "
            "belong to term i?",
            "Term i is weights[i] · columns[:, i] · rows[:, i]ᵀ. A sum of outer products is a "
            "matrix product.",
            "It fits in one line: (columns * weights) @ rows.T.",
        ),
        meaning="a sum of r outer products has rank r at most: LoRA's B·A is such a sum.",
        cases=cases.outer,
        probe=probes.outer,
        solution=terms.outer,
        mutants=terms.OUTER,
        keeps_dtype=False,
    ),
    Exercise(
        id="rank.numerical",
        title="rank in floating point",
        objective="say what rank a matrix has when rounding has touched it.",
        points=2,
        difficulty=2,
        minutes=5,
        section="Independent columns",
        hints=(
            "torch.linalg.svdvals gives the singular values, largest first. Rounding leaves tiny "
            "ones where exact arithmetic has zeros.",
            "What counts as tiny depends on the matrix: compare with tolerance times the largest.",
            "int((sigma > tolerance * sigma[0]).sum()).",
        ),
        meaning="in floating point a rank is a count above a tolerance, so name the tolerance.",
        cases=cases.numerical,
        probe=probes.numerical,
        solution=terms.numerical,
        mutants=terms.NUMERICAL,
    ),
    Exercise(
        id="rank.savings",
        title="what a low rank saves",
        objective="say from which rank on two factors are no smaller than the matrix.",
        points=2,
        difficulty=2,
        minutes=8,
        section="What a low rank saves",
        hints=(
            "How many numbers has the matrix, how many has each factor at rank r?",
            "The factors hold r · (rows + columns). The break-even rank is the smallest whole r at "
            "which that is rows · columns or more: round up.",
            "share = 1 - rank * (rows + columns) / (rows * columns); "
            "break_even = -(-rows * columns // (rows + columns)), or math.ceil of the quotient.",
        ),
        meaning="at rank r = d/2 two factors of a square matrix are as large as the matrix.",
        cases=cases.savings,
        probe=probes.savings,
        solution=saving.savings,
        mutants=saving.SAVINGS,
    ),
    Exercise(
        id="rank.truncate",
        title="the best approximation of a rank",
        objective="cut a matrix to a rank with the least possible error.",
        points=3,
        difficulty=2,
        minutes=8,
        section="The best approximation",
        hints=(
            "The singular value decomposition is a sum of outer products, sorted by weight. Which "
            "of its terms stay?",
            "torch.linalg.svd(matrix, full_matrices=False) gives U, S, Vh; keep the first rank "
            "columns of U, values of S and rows of Vh.",
            "(U[:, :rank] * S[:rank]) @ Vh[:rank].",
        ),
        meaning="no matrix of this rank is nearer: that is the theorem of Eckart and Young.",
        cases=cases.truncate,
        probe=probes.truncate,
        solution=approximate.truncate,
        mutants=approximate.TRUNCATE,
        symptoms=(approximate.NOT_BEST,),
        symbols={"rank": "r"},
        keeps_dtype=False,
    ),
    Exercise(
        id="rank.energy",
        title="the rank of a share",
        objective="turn a spectrum into a rank, and say what it keeps.",
        points=3,
        difficulty=3,
        minutes=10,
        section="How low is low?",
        hints=(
            "Energy is the squared norm, the sum of σ². What is the share that the first r keep?",
            "sigma.square().cumsum(0) has the kept energy at each rank; compare it with share "
            "times its last entry.",
            "int((kept < share * kept[-1]).sum()) + 1.",
        ),
        meaning="90 % of the energy is a statement about norms; what a model does is another one.",
        cases=cases.energy,
        probe=probes.energy,
        solution=approximate.energy,
        mutants=approximate.ENERGY,
        symptoms=(approximate.NO_RANK,),
    ),
    Exercise(
        id="rank.factors",
        title="an update as an adapter",
        objective="turn a full update of a weight into LoRA's two factors.",
        points=4,
        difficulty=4,
        minutes=15,
        section="The best approximation",
        hints=(
            "(α/r)·B·A shall be the best approximation of ΔW. What must B·A be then?",
            "Take the first r terms, divide σ by α/r, and give each factor the root of that.",
            "root = (S[:rank] * rank / alpha).sqrt(); B = U[:, :rank] * root; "
            "A = root.unsqueeze(1) * Vh[:rank].",
        ),
        meaning="any full fine-tuning can become an adapter afterwards, at a rank and at a loss.",
        cases=cases.factors,
        probe=probes.factors,
        solution=adapter.factors,
        mutants=adapter.FACTORS,
        symptoms=adapter.SYMPTOMS,
        symbols={"alpha": "α", "rank": "r"},
        keeps_dtype=False,
    ),
    VERDICT,
    Exercise(
        id="rank.similarity",
        title="do two subspaces agree?",
        objective="compare the directions that two updates use.",
        points=3,
        difficulty=3,
        minutes=12,
        section="Do two runs find the same directions?",
        hints=(
            "The rows of Vh are directions of length 1. How much of one lies in a span of others?",
            "Take the first i and the first j rows of the two Vh; square all their inner products "
            "and add them up.",
            "(V1[:i] @ V2[:j].T).square().sum().item() / min(i, j).",
        ),
        meaning="φ is 1 if the smaller subspace lies in the larger, and about i/n by chance.",
        cases=cases.similarity,
        probe=probes.similarity,
        solution=compare.similarity,
        mutants=compare.SIMILARITY,
        symptoms=(compare.ABOVE_ONE,),
    ),
    Exercise(
        id="rank.project",
        title="all weights from a few numbers",
        objective="let d numbers drive D weights through a random projection.",
        points=3,
        difficulty=3,
        minutes=12,
        section="How many dimensions a task needs",
        hints=(
            "z[coordinate] picks the number that drives each weight. What is still missing?",
            "The sign, and a factor: torch.bincount(coordinate, minlength=len(z)) says how many "
            "weights each number drives; divide by the root of that.",
            "sign * (z / counts.to(z.dtype).sqrt())[coordinate].",
        ),
        meaning="PᵀP = I, so a step in z is a step of the same length in the weights.",
        cases=cases.project,
        probe=probes.project,
        solution=projection.project,
        mutants=projection.PROJECT,
        symptoms=(projection.NO_GRADIENT,),
        symbols={"z.shape[0]": "d", "coordinate.shape[0]": "D"},
        keeps_dtype=False,
    ),
)
