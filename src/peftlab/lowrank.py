r"""Low-rank matrices: rank, truncation, energy, effective rank, and how subspaces compare.

Every function takes a matrix of shape (m, n) and uses its singular value decomposition

.. math::
    W = U \, \mathrm{diag}(\sigma) \, V^T = \sum_i \sigma_i \, u_i v_i^T, \qquad
    \sigma_1 \ge \sigma_2 \ge \dots \ge 0,

with k = min(m, n) terms. 16-bit matrices are decomposed in float32, which torch needs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from peftlab.errors import PeftlabError


class SVD(NamedTuple):
    """A singular value decomposition: W = U @ diag(S) @ Vh.

    Attributes:
        U: left singular vectors as columns, shape (m, k).
        S: singular values, largest first, shape (k,).
        Vh: right singular vectors as rows, shape (k, n).
    """

    U: Tensor
    S: Tensor
    Vh: Tensor


def svd(matrix: Tensor) -> SVD:
    """The thin singular value decomposition.

    Raises:
        PeftlabError: this is not a matrix, it is empty, or it holds NaN or infinity.
    """
    return SVD(*torch.linalg.svd(_checked(matrix), full_matrices=False))


def singular_values(matrix: Tensor) -> Tensor:
    """σ, largest first, shape (min(m, n),)."""
    return torch.linalg.svdvals(_checked(matrix))


# --- how much rank a matrix has ------------------------------------------------------------------


def rank(matrix: Tensor, tolerance: float | None = None) -> int:
    """The number of singular values above the rounding error.

    Args:
        matrix: shape (m, n).
        tolerance: relative to the largest singular value; max(m, n) · ε of the dtype if left out,
            the bound of what rounding can do (NumPy's and MATLAB's choice).
    """
    sigma = singular_values(matrix)
    if tolerance is None:
        tolerance = max(matrix.shape) * torch.finfo(matrix.dtype).eps
    return int((sigma > tolerance * sigma[0]).sum())


def energy(matrix: Tensor) -> Tensor:
    """The share of ‖W‖² that the best approximation of each rank keeps: shape (k,), up to 1.

    Element r - 1 is (σ₁² + … + σ_r²) / (σ₁² + … + σ_k²). A matrix of zeros has all of it at once.
    """
    squares = singular_values(matrix).double().square()
    total = squares.sum()
    return squares.cumsum(0) / total if total > 0 else torch.ones_like(squares)


def energy_rank(matrix: Tensor, share: float = 0.9) -> int:
    """The smallest rank whose best approximation keeps this share of ‖W‖².

    Raises:
        PeftlabError: the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise PeftlabError(f"share must be above 0 and at most 1, not {share!r}.")
    kept = energy(matrix)
    # Rounding may leave the last element at 1 - 1e-16.
    return int((kept < min(share, kept[-1].item())).sum()) + 1


def effective_rank(matrix: Tensor) -> float:
    r"""How many singular values matter, as a number between 1 and k.

    .. math::
        \mathrm{erank}(W) = \exp\Big(-\sum_i p_i \ln p_i\Big), \qquad
        p_i = \sigma_i / \textstyle\sum_j \sigma_j

    The exponential of the entropy of the singular values, after O. Roy and M. Vetterli, "The
    effective rank: a measure of effective dimensionality", EUSIPCO 2007. k equal singular values
    give k, a single one gives 1; unlike ``rank`` it changes smoothly. Other definitions exist
    (such as ‖W‖²_F / σ₁², the stable rank), so name the one you use.

    Raises:
        PeftlabError: the matrix is zero, for which it is not defined.
    """
    sigma = singular_values(matrix).double()
    if sigma[0] == 0:
        raise PeftlabError("a matrix of zeros has no effective rank; give one that is not zero.")
    p = sigma / sigma.sum()
    return torch.special.entr(p).sum().exp().item()


def stable_rank(matrix: Tensor) -> float:
    """‖W‖²_F / σ₁²: another smooth stand-in for the rank, at most ``rank``.

    Raises:
        PeftlabError: the matrix is zero.
    """
    squares = singular_values(matrix).double().square()
    if squares[0] == 0:
        raise PeftlabError("a matrix of zeros has no stable rank; give one that is not zero.")
    return (squares.sum() / squares[0]).item()


# --- approximation -------------------------------------------------------------------------------


def truncate(matrix: Tensor, rank: int) -> Tensor:
    """The best approximation of rank r: the first r terms of the sum, shape (m, n).

    No matrix of rank r is nearer to W, neither in the Frobenius nor in the spectral norm (Eckart
    and Young 1936, Mirsky 1960). See ``truncation_error`` for the distance.
    """
    B, A = factors(matrix, rank)
    return (B @ A).to(matrix.dtype)


def factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(B, A) with B @ A = ``truncate(matrix, rank)``, shapes (m, r) and (r, n), as LoRA has them.

    Each takes √σ of every term, which makes them equally large.

    Raises:
        PeftlabError: the rank is not between 1 and min(m, n).
    """
    U, S, Vh = svd(matrix)
    _check_rank(rank, len(S))
    root = S[:rank].sqrt()
    return U[:, :rank] * root, root.unsqueeze(1) * Vh[:rank]


def truncation_error(matrix: Tensor, rank: int) -> tuple[float, float]:
    """Distance from W to its best approximation of rank r: (Frobenius, spectral).

    By Eckart and Young they are √(σ²_{r+1} + … + σ²_k) and σ_{r+1}.
    """
    sigma = singular_values(matrix).double()
    _check_rank(rank, len(sigma))
    rest = sigma[rank:]
    return rest.square().sum().sqrt().item(), rest[0].item() if len(rest) else 0.0


def outer_products(matrix: Tensor, rank: int) -> Tensor:
    """The first r terms σᵢ uᵢ vᵢᵀ, each a matrix of rank 1: shape (r, m, n).

    Summed they are ``truncate(matrix, rank)``; their inner products with each other are 0.
    """
    U, S, Vh = svd(matrix)
    _check_rank(rank, len(S))
    return torch.einsum("mr,r,rn->rmn", U[:, :rank], S[:rank], Vh[:rank])


# --- what it saves -------------------------------------------------------------------------------


def factor_parameters(rows: int, columns: int, rank: int) -> int:
    """r (m + n): the numbers in B and A."""
    return rank * (rows + columns)


def savings(rows: int, columns: int, rank: int) -> float:
    """The share of the m · n numbers of a matrix that storing B and A instead saves.

    Below zero when the factors are the larger of the two.
    """
    return 1 - factor_parameters(rows, columns, rank) / (rows * columns)


def break_even_rank(rows: int, columns: int) -> int:
    """The smallest rank at which B and A save nothing: they hold as many numbers as the matrix.

    r (m + n) ≥ m n. For a square matrix that is half its side, rounded up.
    """
    return -(-rows * columns // (rows + columns))


# --- comparing subspaces -------------------------------------------------------------------------


def subspace_similarity(first: Tensor, second: Tensor, i: int, j: int) -> float:
    r"""How much of the span of one matrix's top directions lies in that of another's.

    .. math::
        \phi(W_1, W_2, i, j) = \frac{\| V_{1,i}^T V_{2,j} \|_F^2}{\min(i, j)} \in [0, 1]

    V_{1,i} holds the first i right singular vectors of W₁. 1 means that the smaller subspace lies
    in the larger, 0 that they are orthogonal (LoRA §7.2, equation 4, and appendix G). Given LoRA's
    A matrices of two runs, these are directions in the layer's input; transpose both matrices to
    compare left singular vectors.

    Args:
        first, second: matrices with the same number of columns.
        i, j: how many directions of each.
    """
    grid = subspace_similarities(first, second)
    _check_rank(i, grid.shape[0])
    _check_rank(j, grid.shape[1])
    return grid[i - 1, j - 1].item()


def subspace_similarities(first: Tensor, second: Tensor) -> Tensor:
    """φ for all i and j: float64, shape (k₁, k₂); element (i - 1, j - 1) is φ(i, j).

    This is what LoRA's figure 3 shows.

    Raises:
        PeftlabError: the matrices do not have the same number of columns.
    """
    if first.shape[-1] != second.shape[-1]:
        raise PeftlabError(
            f"the matrices have {first.shape[-1]} and {second.shape[-1]} columns; only subspaces "
            "of the same space can be compared."
        )
    products = svd(first.double()).Vh @ svd(second.double()).Vh.T  # (k₁, k₂)
    # ‖V₁ᵢᵀ V₂ⱼ‖² sums the squares of the first i rows and j columns.
    overlap = products.square().cumsum(0).cumsum(1)
    i = torch.arange(1, overlap.shape[0] + 1, device=overlap.device).unsqueeze(1)
    j = torch.arange(1, overlap.shape[1] + 1, device=overlap.device)
    return overlap / torch.minimum(i, j)


# --- checks --------------------------------------------------------------------------------------


def _checked(matrix: Tensor) -> Tensor:
    """The matrix in a precision that can be decomposed."""
    if matrix.ndim != 2 or matrix.numel() == 0 or not matrix.is_floating_point():
        raise PeftlabError(
            f"a tensor of shape {tuple(matrix.shape)} and dtype {matrix.dtype} has no singular "
            "values; give a matrix of floating point that is not empty."
        )
    if not matrix.isfinite().all():
        raise PeftlabError("the matrix holds NaN or infinity; mend it first.")
    return matrix.detach().to(torch.promote_types(matrix.dtype, torch.float32))


def _check_rank(rank: int, largest: int) -> None:
    if not isinstance(rank, int) or not 1 <= rank <= largest:
        raise PeftlabError(f"rank must be a whole number from 1 to {largest}, not {rank!r}.")
