"""Low-rank tools against their definitions and known matrices."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftlab import PeftlabError, lowrank

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


def matrix(m, n, seed=0, dtype=torch.float64):
    return torch.randn(m, n, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def product(m, n, r, seed=0):
    return matrix(m, r, seed) @ matrix(r, n, seed + 1)


def error(value, reference):
    return torch.linalg.matrix_norm(value - reference).item()


# --- rank ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(shape=shapes, r=st.integers(1, 9), seed=st.integers(0, 50))
def test_a_product_of_r_columns_has_rank_r(shape, r, seed):
    m, n = shape
    assert lowrank.rank(product(m, n, r, seed)) == min(m, n, r)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], 2),  # often claimed to be 3
        ([[1, 0], [0, 0]], 1),
        ([[0, 0, 0]], 0),
        ([[5]], 1),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_ranks_of_known_matrices(rows, expected, dtype):
    assert lowrank.rank(torch.tensor(rows, dtype=dtype)) == expected


def test_the_tolerance_is_relative():
    sigma = torch.diag(torch.tensor([1e-3, 1e-5, 1e-9]))
    assert [lowrank.rank(sigma, t) for t in (0.5, 1e-3, 1e-7)] == [1, 2, 3]


def test_known_singular_values():
    sigma = lowrank.singular_values(torch.arange(1.0, 10).view(3, 3))
    assert sigma[:2].tolist() == pytest.approx([16.848, 1.0684], rel=1e-4)
    assert sigma[2] < 1e-5


# --- energy and effective rank -------------------------------------------------------------------


def test_energy_of_known_singular_values():
    W = torch.diag(torch.tensor([4.0, 2.0, 1.0, 2.0]))  # squares 16, 4, 4, 1
    assert lowrank.energy(W).tolist() == pytest.approx([16 / 25, 20 / 25, 24 / 25, 1])
    ranks = [lowrank.energy_rank(W, share) for share in (0.5, 0.64, 0.7, 0.9, 0.97, 1.0)]
    assert ranks == [1, 1, 2, 3, 4, 4]
    assert lowrank.energy(torch.zeros(2, 3)).tolist() == [1, 1]
    assert lowrank.energy_rank(torch.zeros(2, 3)) == 1


@settings(deadline=None)
@given(shape=shapes, share=st.floats(0.01, 1), seed=st.integers(0, 50))
def test_the_energy_rank_is_the_smallest_that_keeps_the_share(shape, share, seed):
    W = matrix(*shape, seed)
    r = lowrank.energy_rank(W, share)
    kept = [
        1 - lowrank.truncation_error(W, k)[0] ** 2 / W.square().sum().item()
        for k in range(1, min(shape) + 1)
    ]
    assert kept[r - 1] >= share - 1e-9
    assert all(energy < share + 1e-9 for energy in kept[: r - 1])


@given(k=st.integers(1, 12), scale=st.floats(1e-3, 1e3))
def test_equal_singular_values_all_count(k, scale):
    W = scale * torch.eye(k, dtype=torch.float64)
    assert lowrank.effective_rank(W) == pytest.approx(k)
    assert lowrank.stable_rank(W) == pytest.approx(k)


@settings(deadline=None)
@given(shape=shapes, r=st.integers(1, 9), seed=st.integers(0, 50))
def test_smooth_ranks_lie_between_one_and_the_rank(shape, r, seed):
    W = product(*shape, r, seed)
    exact = lowrank.rank(W)
    for smooth in (lowrank.effective_rank(W), lowrank.stable_rank(W)):
        assert 1 - 1e-9 <= smooth <= exact + 1e-9
        assert lowrank.stable_rank(3 * W.T) == pytest.approx(lowrank.stable_rank(W))


def test_the_effective_rank_of_a_known_matrix():
    # p = 3/4, 1/4: exp of their entropy.
    W = torch.diag(torch.tensor([3.0, 1.0]))
    assert lowrank.effective_rank(W) == pytest.approx(4 / 3**0.75)


# --- truncation ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(shape=shapes, seed=st.integers(0, 50), data=st.data())
def test_no_matrix_of_rank_r_is_nearer(shape, seed, data):
    W = matrix(*shape, seed)
    r = data.draw(st.integers(1, min(shape)))
    best = lowrank.truncate(W, r)
    frobenius, spectral = lowrank.truncation_error(W, r)
    assert lowrank.rank(best, 1e-9) == r
    assert error(best, W) == pytest.approx(frobenius, abs=1e-9)
    assert torch.linalg.matrix_norm(best - W, 2).item() == pytest.approx(spectral, abs=1e-9)
    for other in (
        best + 0.1 * product(*shape, 1, seed + 7),  # of rank r + 1 even
        product(*shape, r, seed + 3),
    ):
        rival = lowrank.truncate(other, r)
        assert error(rival, W) >= frobenius - 1e-9


@settings(deadline=None)
@given(shape=shapes, seed=st.integers(0, 50), data=st.data())
def test_factors_multiply_to_the_truncation_and_are_balanced(shape, seed, data):
    W = matrix(*shape, seed)
    r = data.draw(st.integers(1, min(shape)))
    B, A = lowrank.factors(W, r)
    assert (B.shape, A.shape) == ((shape[0], r), (r, shape[1]))
    torch.testing.assert_close(B @ A, lowrank.truncate(W, r))
    torch.testing.assert_close(B.T @ B, A @ A.T, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(shape=shapes, seed=st.integers(0, 50), data=st.data())
def test_outer_products_have_rank_one_and_are_orthogonal(shape, seed, data):
    W = matrix(*shape, seed)
    r = data.draw(st.integers(1, min(shape)))
    terms = lowrank.outer_products(W, r)
    assert terms.shape == (r, *shape)
    assert all(lowrank.rank(term, 1e-9) == 1 for term in terms)
    torch.testing.assert_close(terms.sum(0), lowrank.truncate(W, r))
    gram = torch.einsum("imn,jmn->ij", terms, terms)
    expected = torch.diag(lowrank.singular_values(W)[:r].square())
    torch.testing.assert_close(gram, expected, rtol=1e-9, atol=1e-9)


def test_full_rank_changes_nothing():
    W = matrix(4, 6)
    torch.testing.assert_close(lowrank.truncate(W, 4), W)
    assert lowrank.truncation_error(W, 4) == (0, 0)


def test_16_bit_matrices_are_decomposed_in_float32():
    W = matrix(5, 7).bfloat16()
    assert lowrank.svd(W).S.dtype == torch.float32
    assert lowrank.truncate(W, 3).dtype == torch.bfloat16


# --- savings -------------------------------------------------------------------------------------


@given(m=st.integers(1, 200), n=st.integers(1, 200))
def test_below_the_break_even_rank_factors_are_smaller(m, n):
    r = lowrank.break_even_rank(m, n)
    assert 1 <= r <= min(m, n)
    assert lowrank.savings(m, n, r) <= 0
    assert r == 1 or lowrank.savings(m, n, r - 1) > 0


def test_savings_of_a_llama_projection():
    assert lowrank.factor_parameters(4096, 4096, 8) == 65_536
    assert lowrank.savings(4096, 4096, 8) == pytest.approx(0.99609375)
    assert lowrank.break_even_rank(4096, 4096) == 2048
    assert lowrank.savings(4096, 4096, 2048) == 0


# --- subspaces -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    shapes=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 8)),
    seed=st.integers(0, 50),
)
def test_similarity_is_the_definition(shapes, seed):
    a, b, n = shapes
    first, second = matrix(a, n, seed), matrix(b, n, seed + 1)
    grid = lowrank.subspace_similarities(first, second)
    assert grid.shape == (min(a, n), min(b, n))
    assert ((grid > -1e-12) & (grid < 1 + 1e-12)).all()
    V1, V2 = lowrank.svd(first).Vh, lowrank.svd(second).Vh
    for i in range(1, grid.shape[0] + 1):
        for j in range(1, grid.shape[1] + 1):
            expected = (V1[:i] @ V2[:j].T).square().sum() / min(i, j)
            assert lowrank.subspace_similarity(first, second, i, j) == pytest.approx(
                expected.item(), abs=1e-9
            )
    torch.testing.assert_close(grid, lowrank.subspace_similarities(second, first).T)


@settings(deadline=None)
@given(r=st.integers(1, 4), seed=st.integers(0, 50))
def test_the_same_span_has_similarity_one_whatever_its_basis(r, seed):
    W = matrix(r, 7, seed)
    mixed = matrix(r, r, seed + 1) @ W
    assert lowrank.subspace_similarity(W, mixed, r, r) == pytest.approx(1)
    larger = torch.cat([W, 0.1 * matrix(2, 7, seed + 2)])
    assert lowrank.subspace_similarity(W, larger, r, r + 2) == pytest.approx(1)


def test_orthogonal_spans_have_similarity_zero():
    eye = torch.eye(6)
    assert lowrank.subspace_similarity(eye[:2], eye[3:], 2, 3) == 0


def test_random_subspaces_overlap_by_their_dimension():
    # E φ = max(i, j) / n for independent random subspaces.
    values = [
        lowrank.subspace_similarity(matrix(8, 64, s), matrix(16, 64, s + 1000), 8, 16)
        for s in range(40)
    ]
    assert math.fsum(values) / 40 == pytest.approx(16 / 64, rel=0.05)


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lowrank.rank(torch.ones(3)), r"shape \(3,\) .* has no singular values"),
        (lambda: lowrank.rank(torch.ones(0, 3)), "not empty"),
        (lambda: lowrank.rank(torch.ones(2, 2, dtype=torch.int64)), "dtype torch.int64"),
        (lambda: lowrank.rank(torch.full((2, 2), math.nan)), "NaN or infinity"),
        (lambda: lowrank.truncate(torch.ones(2, 3), 0), "from 1 to 2, not 0"),
        (lambda: lowrank.truncate(torch.ones(2, 3), 3), "from 1 to 2, not 3"),
        (lambda: lowrank.truncation_error(torch.ones(2, 3), 1.5), "not 1.5"),
        (lambda: lowrank.outer_products(torch.ones(2, 3), 3), "not 3"),
        (lambda: lowrank.energy_rank(torch.ones(2, 3), 0), "share must be above 0 .* not 0"),
        (lambda: lowrank.energy_rank(torch.ones(2, 3), 1.1), "not 1.1"),
        (lambda: lowrank.effective_rank(torch.zeros(2, 3)), "no effective rank"),
        (lambda: lowrank.stable_rank(torch.zeros(2, 3)), "no stable rank"),
        (
            lambda: lowrank.subspace_similarity(torch.ones(2, 3), torch.ones(2, 4), 1, 1),
            "3 and 4 columns",
        ),
        (lambda: lowrank.subspace_similarity(torch.ones(2, 3), torch.ones(2, 3), 3, 1), "not 3"),
        (lambda: lowrank.subspace_similarity(torch.ones(2, 3), torch.ones(2, 3), 1, 3), "not 3"),
    ],
)
def test_unusable_input_is_named(call, message):
    with pytest.raises(PeftlabError, match=message):
        call()
