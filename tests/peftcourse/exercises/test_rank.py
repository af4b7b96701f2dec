"""The reference solutions of lesson 02 agree with the library."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.exercises import find
from peftcourse.exercises.feedback import assess
from peftlab import LoRAConfig, lowrank
from peftlab.methods.lora import LoRALinear
from peftlab.methods.subspace import SubspaceConfig

outer, numerical, savings, truncate, energy, factors, similarity, project = (
    find(f"rank.{name}").solution
    for name in (
        "outer", "numerical", "savings", "truncate", "energy", "factors", "similarity", "project"
    )
)  # fmt: skip


@pytest.fixture
def matrix():
    return torch.randn(9, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_terms_of_the_decomposition_add_up(matrix):
    U, S, Vh = lowrank.svd(matrix)
    assert torch.allclose(outer(S[:4], U[:, :4], Vh[:4].T), lowrank.truncate(matrix, 4))
    assert torch.allclose(truncate(matrix, 4), lowrank.truncate(matrix, 4))


def test_ranks_are_those_of_the_library(matrix):
    assert numerical(lowrank.truncate(matrix, 3), 1e-9) == 3 == lowrank.rank(truncate(matrix, 3))
    for share in (0.1, 0.5, 0.9, 0.999):
        assert energy(lowrank.singular_values(matrix), share) == lowrank.energy_rank(matrix, share)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_savings_are_those_of_the_library(rows, columns, rank):
    share, break_even = savings(rows, columns, rank)
    assert share == pytest.approx(lowrank.savings(rows, columns, rank))
    assert break_even == lowrank.break_even_rank(rows, columns)


def test_factors_make_an_adapter_of_an_update(matrix):
    layer = LoRALinear(torch.nn.Linear(13, 9), LoRAConfig(rank=4, alpha=12))
    B, A = factors(matrix.float(), 4, 12)
    layer.B.data.copy_(B)
    layer.A.data.copy_(A)
    expected = lowrank.truncate(matrix.float(), 4)
    assert torch.allclose(layer.delta_weight(), expected, atol=1e-5)
    assert torch.allclose(B.norm(dim=0), A.norm(dim=1))


def test_similarity_is_that_of_the_library(matrix):
    other = torch.roll(matrix, 2, dims=1)[:7]
    for i, j in ((1, 1), (2, 5), (6, 3)):
        ours = similarity(matrix, other, i, j)
        assert ours == pytest.approx(lowrank.subspace_similarity(matrix, other, i, j))


def test_the_projection_is_that_of_the_method():
    model = torch.nn.Sequential(torch.nn.Linear(6, 9))
    [layer] = SubspaceConfig(dimension=5, targets=("0",)).wrappers(model, "a").values()
    layer.z.data.copy_(torch.arange(1.0, 6.0))
    coordinate, sign = layer.projection()
    found = project(layer.z.data, coordinate, sign).view(9, 6)
    assert torch.allclose(found, layer.delta_weight().detach())


@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [
        (
            "numerical",
            lambda m, t: int((torch.linalg.svdvals(m) >= t * torch.linalg.svdvals(m)[0]).sum()),
            "exactly at the bound",
        ),
        ("numerical", lambda m, t: min(m.shape), "always full rank"),
        ("outer", lambda w, c, r: (c * w.abs()) @ r.T, "sign of the weights is lost"),
        ("outer", lambda w, c, r: outer(w, c, r) + 1, "every value is 1 too large"),
        ("savings", lambda m, n, r: (savings(m, n, r)[0], round(m * n / (m + n))), "nearest"),
        ("truncate", lambda m, r: truncate(m, 2), "`rank` is ignored"),
        ("truncate", lambda m, r: truncate(m + 0.5, r), "right rank, but not the best"),
        ("energy", lambda sigma, share: 0.9, "a share is returned"),
        ("factors", lambda *args: factors(*args)[::-1], "swapped"),
        ("similarity", lambda a, b, i, j: 2 * similarity(a, b, i, j), "exactly the factor 2"),
        ("project", lambda z, c, s: project(z, c, s).detach(), "no gradient ever reaches z"),
    ],
)
def test_wrong_answers_are_seen_and_named(exercise, answer, words):
    report = assess(find(f"rank.{exercise}"), answer, 0)
    assert not report.correct and words in report.cause


def test_an_idle_coordinate_is_named_where_it_breaks_an_answer():
    def answer(z, coordinate, sign):
        return (z / torch.bincount(coordinate).sqrt())[coordinate] * sign

    report = assess(find("rank.project"), answer, 0)
    assert "only where the last coordinate drives no weight" in report.cause


@pytest.mark.parametrize("turn", [lambda B, A: (B.flip(1), A.flip(0)), lambda B, A: (-B, -A)])
def test_factors_are_not_unique(turn):
    assert assess(find("rank.factors"), lambda *args: turn(*factors(*args)), 0).correct


def test_rotated_factors_are_right():
    """Row i of QᵀA is as long as column i of BQ where B's columns stand at right angles."""

    def answer(delta, rank, alpha):
        B, A = factors(delta, rank, alpha)
        Q = torch.linalg.qr(torch.randn(rank, rank, dtype=delta.dtype)).Q
        return B @ Q, Q.T @ A

    assert assess(find("rank.factors"), answer, 0).correct


def test_single_precision_is_right_where_no_dtype_is_asked_for():
    single = assess(find("rank.truncate"), lambda m, r: truncate(m.float(), r), 0)
    assert single.correct
