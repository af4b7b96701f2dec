"""Lesson 05, the norm without the matrix: reference solution and typical wrong answers."""

from __future__ import annotations

import torch  # noqa: F401  (some slips need it)
from torch import Tensor

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def cheap_norm(W: Tensor, A: Tensor, B: Tensor, scaling: float) -> Tensor:
    own = W.norm(dim=1).square()
    cross = ((W @ A.T) * B).sum(dim=1)
    square = ((B @ (A @ A.T)) * B).sum(dim=1)
    return (own + 2 * scaling * cross + scaling**2 * square).sqrt()


_OWN, _CROSS, _SQUARE = (
    "W.norm(dim=1).square()",
    "((W @ A.T) * B).sum(dim=1)",
    "((B @ (A @ A.T)) * B).sum(dim=1)",
)
_TWO, _LAST = "2 * scaling * cross", "scaling**2 * square"
_SUM = "(own + 2 * scaling * cross + scaling**2 * square).sqrt()"
_EXPAND = "Expand the square: no product needs more than r columns"
_CROSS_TERM = "The cross term is + 2 · scaling · ⟨W Aᵀ, B⟩, of either sign"


def _norm(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(cheap_norm, id, old, new, diagnosis, action, *more)


# Those that are often made together come first: pairs are tried in this order.
CHEAP_NORM = (
    _norm(
        "factor-two-missing",
        _TWO,
        "scaling * cross",
        "the cross term counts once; (a + b)² has 2ab",
        "Multiply ⟨W Aᵀ, B⟩ by 2 · scaling",
    ),
    _norm(
        "scale-not-squared",
        _LAST,
        "scaling * square",
        "the last term has the scale once; the square of s·B·A has it twice",
        "Multiply ⟨B (A Aᵀ), B⟩ by scaling²",
    ),
    _norm(
        "root-missing",
        _SUM,
        "own + 2 * scaling * cross + scaling**2 * square",
        "the squared norm: the root is missing",
        "Take the square root of the sum",
    ),
    _norm(
        "means",
        _OWN,
        "W.square().mean(dim=1)",
        "means are taken where a norm has sums",
        "Use .sum(dim=1) in all three terms",
        (_CROSS, "((W @ A.T) * B).mean(dim=1)"),
        (_SQUARE, "((B @ (A @ A.T)) * B).mean(dim=1)"),
    ),
    _norm(
        "no-cross-term",
        _TWO,
        "0 * cross",
        "the cross term is missing: the squares of W and of the update alone, as if they were at "
        "right angles",
        "Add the cross term 2 · scaling · ⟨W Aᵀ, B⟩",
    ),
    _norm(
        "cross-subtracted",
        "+ 2 * scaling * cross",
        "- 2 * scaling * cross",
        "the sign of the cross term is wrong: it is subtracted",
        _CROSS_TERM,
    ),
    _norm(
        "cross-unscaled",
        _TWO,
        "2 * cross",
        "the cross term lacks the scale",
        _CROSS_TERM,
    ),
    _norm(
        "cross-scale-squared",
        _TWO,
        "2 * scaling**2 * cross",
        "the cross term has the scale squared; it has it once",
        _CROSS_TERM,
    ),
    _norm(
        "cross-positive",
        _CROSS,
        "((W @ A.T) * B).sum(dim=1).abs()",
        "the cross term is made positive by abs, and it may be negative",
        _CROSS_TERM,
    ),
    _norm(
        "square-unscaled",
        _LAST,
        "square",
        "the last term lacks the scale; the square of s·B·A has it twice",
        "Multiply ⟨B (A Aᵀ), B⟩ by scaling²",
    ),
    _norm(
        "no-square",
        _LAST,
        "0 * square",
        "the last term, the square of the update, is missing",
        "Add scaling² · ⟨B (A Aᵀ), B⟩",
    ),
    _norm(
        "own-not-squared",
        _OWN,
        "W.norm(dim=1)",
        "the first term is the norm of W, ‖w‖, where its square is asked for",
        "Add ‖w‖², as in (a + b)² = a² + 2ab + b²",
    ),
    _norm(
        "no-own",
        _OWN,
        "0",
        "the first term, ‖w‖², is missing",
        "Add ‖w‖², as in (a + b)² = a² + 2ab + b²",
    ),
    _norm(
        "no-scaling",
        _TWO,
        "2 * cross",
        "the norm of W + B·A: the scale is missing",
        "The cross term has scaling, the last one its square",
        (_LAST, "square"),
    ),
    _norm(
        "scaled-over-rank",
        _TWO,
        "2 * (scaling / len(A)) * cross",
        "the scale is divided by the rank r once more; it is α/r already",
        "Use scaling as it is",
        (_LAST, "(scaling / len(A)) ** 2 * square"),
    ),
    _norm(
        "gram-diagonal",
        _SQUARE,
        "((B @ torch.diag((A * A).sum(dim=1))) * B).sum(dim=1)",
        "products of different rows of A are missing: A·Aᵀ is not diagonal",
        "Use the whole matrix A @ A.T, (r, r)",
    ),
    _norm(
        "product-of-norms",
        _SQUARE,
        "B.square().sum(dim=1) * A.square().sum()",
        "‖b‖² times ‖A‖² stands for ‖bA‖²: the norm of a product is not the product of the norms",
        "⟨b (A Aᵀ), b⟩ is ‖bA‖²",
    ),
    _norm(
        "gram-missing",
        _SQUARE,
        "(B * B).sum(dim=1)",
        "‖b‖² stands for ‖bA‖²: A Aᵀ is missing from the last term",
        "⟨b (A Aᵀ), b⟩ is ‖bA‖²",
    ),
    _norm(
        "triangle",
        _SUM,
        "own.sqrt() + scaling * square.sqrt()",
        "the two norms are added: the norm of a sum is not the sum of the norms",
        "Expand the square, with its cross term, and take the root of the whole sum",
    ),
    _norm(
        "at-least-one",
        _SUM,
        "(own + 2 * scaling * cross + scaling**2 * square).clamp(min=1).sqrt()",
        "a clamp lifts every norm below 1 to 1",
        "Clamp at zero, if at all",
    ),
    _norm(
        "dense",
        _SUM,
        "(W + scaling * (B @ A)).norm(dim=1)",
        "the values are right, but BA was built, in full or row by row: it has d_in columns, and "
        "nothing here needs more than r columns",
        _EXPAND,
    ),
    _norm(
        "diagonal",
        _CROSS,
        "(W @ A.T @ B.T).diagonal()",
        "the values are right, but the full product W Aᵀ Bᵀ, (d_out, d_out), was built for its "
        "diagonal: it has more than r columns",
        "((W @ A.T) * B).sum(dim=1) is that diagonal",
    ),
    _norm(
        "gram-of-the-other-side",
        _SQUARE,
        "((B @ A) @ (A.T @ A) * (B @ A)).sum(dim=1)",
        "Aᵀ A, (d_in, d_in), stands where A Aᵀ, (r, r), belongs",
        "A @ A.T is (r, r)",
    ),
)


def _columns(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return case["W"].shape[1] in observed["result"].shape


_MADE = "whether BA was made, or rows of it"

CHEAP_NORM_SYMPTOMS = (
    Symptom(
        "result",
        "there is one norm for each column, an input feature, where each row has one",
        "Sum over dim=1",
        _columns,
    ),
    Symptom(
        _MADE,
        "BA was built, in full or row by row: something made of A and B has d_in columns, where r "
        "are enough",
        _EXPAND,
        decides=True,
    ),
    Symptom(
        "whether anything else of A and B is wide",
        "something made of A and B has more than r columns: a full product was built",
        _EXPAND,
        decides=True,
    ),
    Symptom(
        "arrays of NumPy",
        "A was handed to NumPy, where the check cannot count: that BA was not built there is not "
        "to be seen",
        "Stay with tensors of torch",
        decides=True,
    ),
)
