"""Lesson 07, what fits into the weights, and what it costs: solutions and typical wrong answers."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant

# --- adapters.ia_merge ----------------------------------------------------------------------------


def ia3(W: Tensor, bias: Tensor, scale: Tensor, where: str) -> tuple[Tensor, Tensor]:
    if where == "output":
        return scale[:, None] * W, scale * bias
    return W * scale, bias


def _ia3_swapped(W, bias, scale, where):
    weight = ia3(W, bias, scale, "input" if where == "output" else "output")[0]
    return weight, ia3(W, bias, scale, where)[1]


IA3 = (
    Mutant(
        "axes-swapped",
        _ia3_swapped,
        "rows and columns are swapped; a square weight does not complain",
        "W is (d_out, d_in): outputs are its rows, scale[:, None] * W; inputs its columns",
    ),
    Mutant(
        "always-rows",
        lambda W, bias, scale, where: (scale[:, None] * W, ia3(W, bias, scale, where)[1]),
        "right for outputs; a scale of the input belongs to the columns",
        "For the input, multiply each column: W * scale",
    ),
    Mutant(
        "always-columns",
        lambda W, bias, scale, where: (W * scale, ia3(W, bias, scale, where)[1]),
        "right for inputs; a scale of the output belongs to the rows",
        "For the output, multiply each row: scale[:, None] * W",
    ),
    Mutant(
        "bias-forgotten",
        lambda W, bias, scale, where: (ia3(W, bias, scale, where)[0], bias),
        "the weights are right; a scale of the output scales the bias too",
        "l ⊙ (W x + b) = (l ⊙ W) x + l ⊙ b",
    ),
    Mutant(
        "bias-always-scaled",
        lambda W, bias, scale, where: (ia3(W, bias, scale, where)[0], scale * bias),
        "the weights are right; a scale of the input never meets the bias",
        "W (l ⊙ x) + b: leave b as it is",
    ),
    Mutant(
        "one-plus",
        lambda W, bias, scale, where: ia3(W, bias, 1 + scale, where),
        "the scale is used as 1 + l: the adapter that does nothing has l = 1, not 0",
        "Multiply by l itself",
    ),
)

# --- adapters.biases ------------------------------------------------------------------------------


def biases(model: nn.Module) -> int:
    return _train(model, lambda name, parameter: name.rsplit(".", 1)[-1] == "bias")


def _train(model: nn.Module, chosen: Callable[[str, nn.Parameter], bool]) -> int:
    """Let exactly the chosen parameters train; the mutants choose otherwise."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(chosen(name, parameter))
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _biases_anywhere(model):
    return _train(model, lambda name, parameter: "bias" in name)


def _biases_ending(model):
    return _train(model, lambda name, parameter: name.endswith("bias"))


def _biases_vectors(model):
    return _train(model, lambda name, parameter: parameter.dim() == 1)


def _biases_and_norms(model):
    return _train(model, lambda name, parameter: "norm" in name or name.endswith(".bias"))


def _biases_without_norms(model):
    return _train(model, lambda name, parameter: "norm" not in name and name.endswith(".bias"))


def _biases_not_frozen(model):
    count = biases(model)
    model.requires_grad_(True)
    return count


def _biases_tensors(model):
    biases(model)
    return sum(p.requires_grad for p in model.parameters())


BIASES = (
    Mutant(
        "bias-anywhere",
        _biases_anywhere,
        "a table of relative positions trains too: its name has “bias” in it, but it is a matrix",
        "Compare the last part of the name: name.rsplit('.', 1)[-1] == 'bias'",
    ),
    Mutant(
        "ends-in-bias",
        _biases_ending,
        "the matrix position_bias trains too: its name ends in “bias”, but its last part is more",
        "Compare the last part of the name: name.rsplit('.', 1)[-1] == 'bias'",
    ),
    Mutant(
        "all-vectors",
        _biases_vectors,
        "all vectors train, gains of norms and scales too: they are no biases",
        "Go by the name, not by the number of dimensions",
    ),
    Mutant(
        "norms-too",
        _biases_and_norms,
        "the whole norms train; of a norm only the bias should, not its weight",
        "Take the bias of a norm, and leave its weight frozen",
    ),
    Mutant(
        "no-norms",
        _biases_without_norms,
        "the biases of the norms stay frozen; BitFit trains every bias",
        "Do not leave out the norms",
    ),
    Mutant(
        "rest-not-frozen",
        _biases_not_frozen,
        "the count is right, but everything trains",
        "Set requires_grad of each parameter, to False too: parameter.requires_grad_(...)",
    ),
    Mutant(
        "tensors-counted",
        _biases_tensors,
        "the right parameters train; what is counted is tensors, not the numbers in them",
        "Add up parameter.numel()",
    ),
)

# --- adapters.affine ------------------------------------------------------------------------------


def affine(u: Tensor, added: Tensor) -> tuple[Tensor, Tensor, float]:
    M, c = _fit(u, added)
    return M, c, _relative(added - (u @ M.T + c), added)


def _fit(u: Tensor, added: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares with an intercept: M (d_out, d_in) and c (d_out,)."""
    design = torch.cat([u, u.new_ones(len(u), 1)], dim=1)
    solution = torch.linalg.lstsq(design, added).solution
    return solution[:-1].T, solution[-1]


def _relative(left: Tensor, added: Tensor) -> float:
    return (left.norm() / added.norm()).item()


def _affine_no_intercept(u, added):
    M = torch.linalg.lstsq(u, added).solution.T
    return M, added.new_zeros(added.shape[1]), _relative(added - u @ M.T, added)


def _affine_mean_as_intercept(u, added):
    M, c = _fit(u, added)[0], added.mean(0)
    return M, c, _relative(added - (u @ M.T + c), added)


def _affine_squared(u, added):
    M, c, residual = affine(u, added)
    return M, c, residual**2


def _affine_absolute(u, added):
    M, c = _fit(u, added)
    return M, c, (added - (u @ M.T + c)).norm().item()


def _affine_centred(u, added):
    M, c = _fit(u, added)
    return M, c, _relative(added - (u @ M.T + c), added - added.mean(0))


def _affine_by_token(u, added):
    M, c = _fit(u, added)
    left = (added - (u @ M.T + c)).norm(dim=1)
    return M, c, (left / added.norm(dim=1)).mean().item()


def _affine_on_half(u, added):
    M, c = _fit(u[::2], added[::2])
    return M, c, _relative(added - (u @ M.T + c), added)


AFFINE = (
    Mutant(
        "no-intercept",
        _affine_no_intercept,
        "c is zero: the best linear map was fitted, and a merge may use a bias too",
        "Give u a column of ones, and take its coefficients as c",
    ),
    Mutant(
        "mean-as-intercept",
        _affine_mean_as_intercept,
        "M is right; c is the mean of what is added, as if the inputs were centred",
        "c = mean(added) - M mean(u), or fit it with a column of ones",
    ),
    Mutant(
        "squared",
        _affine_squared,
        "the map is right; the residual is the ratio of squares",
        "Divide norms, not their squares",
    ),
    Mutant(
        "not-relative",
        _affine_absolute,
        "the map is right; the residual is not relative to what the adapter adds",
        "Divide by the norm of added",
    ),
    Mutant(
        "relative-to-spread",
        _affine_centred,
        "the map is right; the residual is relative to the spread of what is added, not to all of "
        "it",
        "Divide by the norm of added, without taking away its mean",
    ),
    Mutant(
        "mean-of-tokens",
        _affine_by_token,
        "the map is right; a mean of each token's ratio counts tokens that get little like others",
        "Take one norm over all tokens, above and below",
    ),
    Mutant(
        "half-the-tokens",
        _affine_on_half,
        "the fit uses every second input only",
        "Fit all rows of u and added",
    ),
)

# --- adapters.overhead ----------------------------------------------------------------------------


def overhead(
    run_base: Callable[[], float], run_adapted: Callable[[], float], rounds: int, warmup: int
) -> float:
    ratios = _ratios(run_base, run_adapted, rounds, warmup)
    return statistics.median(ratios) - 1


def _ratios(run_base, run_adapted, rounds, warmup):
    """Adapted over base, one number for each round."""
    for _ in range(warmup):
        run_base()
        run_adapted()
    found = []
    for _ in range(rounds):
        base = run_base()
        found.append(run_adapted() / base)
    return found


def _overhead_in_blocks(run_base, run_adapted, rounds, warmup):
    base = [run_base() for _ in range(warmup + rounds)][warmup:]
    adapted = [run_adapted() for _ in range(warmup + rounds)][warmup:]
    return statistics.median(a / b for a, b in zip(adapted, base, strict=True)) - 1


def _overhead_mean(run_base, run_adapted, rounds, warmup):
    return statistics.mean(_ratios(run_base, run_adapted, rounds, warmup)) - 1


def _overhead_totals(run_base, run_adapted, rounds, warmup):
    for _ in range(warmup):
        run_base()
        run_adapted()
    pairs = [(run_base(), run_adapted()) for _ in range(rounds)]
    return sum(adapted for _, adapted in pairs) / sum(base for base, _ in pairs) - 1


def _overhead_cold(run_base, run_adapted, rounds, warmup):
    return statistics.median(_ratios(run_base, run_adapted, rounds + warmup, 0)) - 1


def _overhead_best(run_base, run_adapted, rounds, warmup):
    return min(_ratios(run_base, run_adapted, rounds, warmup)) - 1


def _overhead_inverted(run_base, run_adapted, rounds, warmup):
    return 1 - statistics.median(1 / r for r in _ratios(run_base, run_adapted, rounds, warmup))


def _overhead_ratio(run_base, run_adapted, rounds, warmup):
    return statistics.median(_ratios(run_base, run_adapted, rounds, warmup))


OVERHEAD = (
    Mutant(
        "one-after-the-other",
        _overhead_in_blocks,
        "all runs of the base, then all of the adapted model: the machine changed in between",
        "Take turns: in each round one run of either, and their ratio",
    ),
    Mutant(
        "mean",
        _overhead_mean,
        "the mean of the ratios: one interrupted run decides it",
        "Take the median over the rounds",
    ),
    Mutant(
        "ratio-of-totals",
        _overhead_totals,
        "all times are added up before they are divided: one interrupted run decides it",
        "Divide within each round, then take the median",
    ),
    Mutant(
        "warm-up-counted",
        _overhead_cold,
        "the warm-up rounds are among those that count",
        "Run warmup rounds first and throw their times away",
    ),
    Mutant(
        "smallest",
        _overhead_best,
        "the smallest ratio: that is the round in which the base was interrupted",
        "Take the median over the rounds",
    ),
    Mutant(
        "relative-to-adapted",
        _overhead_inverted,
        "relative to the adapted model's time; overhead is relative to the base",
        "Divide the adapted model's time by the base's, then subtract 1",
    ),
    Mutant(
        "ratio-itself",
        _overhead_ratio,
        "this is the ratio; the overhead is what it exceeds 1 by",
        "Subtract 1",
    ),
)
