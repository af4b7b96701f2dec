"""Lesson 04, a budget of ranks: reference solution and typical wrong answers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, slip


def allocate(
    importance: Tensor, step: int, total: int, warmup: int, final: int, goal: int
) -> tuple[int, Tensor]:
    start, last = importance.numel(), total - final
    left = 1 - (step - warmup) / (last - warmup)
    budget = math.floor(goal + (start - goal) * left**3)
    kept = importance.flatten().topk(budget).indices // importance.shape[1]
    return budget, torch.bincount(kept, minlength=len(importance))


WAY = "1 - (step - warmup) / (last - warmup)"
BUDGET = "math.floor(goal + (start - goal) * left**3)"
RANKS = "torch.bincount(kept, minlength=len(importance))"
AS_MANY = "topk(min(budget, importance.numel()))"
CUBE = "Raise what is left of the way, (1 − progress), to the third power"
FORMULA = "left = 1 - (step - warmup) / (total - final - warmup)"
DOWN = "Round down: int(...) or math.floor(...)"
TOGETHER = "Rank the directions of all layers together: importance.flatten().topk(budget)"
LAYER = "index // importance.shape[1] is the layer of a direction"


ALLOCATE: tuple[Mutant, ...] = (
    slip(
        allocate,
        "linear",
        "left**3",
        "left",
        "the budget falls along a straight line; AdaLoRA's falls fast first and slowly later, with "
        "the cube of what is left (** 3)",
        CUBE,
    ),
    slip(
        allocate,
        "squared",
        "left**3",
        "left**2",
        "the budget falls with the square of what is left of the way, not with its cube (** 3)",
        CUBE,
    ),
    slip(
        allocate,
        "no-final-phase",
        "total - final",
        "total",
        "the budget falls until the last step; the final phase with fixed ranks is missing",
        "The way down ends at total - final",
    ),
    slip(
        allocate,
        "one-minus-the-cube",
        "left**3",
        "(1 - (1 - left) ** 3)",
        "1 − progress³ is taken, where what is left of the way is cubed: (1 − progress)³",
        CUBE,
    ),
    slip(
        allocate,
        "progress-cubed",
        "left**3",
        "(1 - left) ** 3",
        "the cube of the progress is taken, so the budget rises: what is left, 1 − progress, is "
        "cubed",
        CUBE,
    ),
    slip(
        allocate,
        "from-the-first-step",
        "(step - warmup)",
        "step",
        "the way starts at step 0: the warm-up is not subtracted from the step",
        FORMULA,
    ),
    slip(
        allocate,
        "as-long-as-the-warmup-too",
        "(last - warmup)",
        "last",
        "the way is too long: the warm-up is missing in the denominator, total − final − warmup",
        FORMULA,
    ),
    slip(
        allocate,
        "no-warmup",
        WAY,
        "1 - step / last",
        "the warm-up is ignored: the way starts at its end and is total − final − warmup long",
        FORMULA,
    ),
    slip(
        allocate,
        "of-all-steps",
        WAY,
        "1 - step / total",
        "the way goes over all steps: warm-up and final phase are ignored",
        FORMULA,
    ),
    slip(
        allocate,
        "denominator-of-all-steps",
        "(last - warmup)",
        "total",
        "the way is taken to be all steps long: its length is total − final − warmup, the "
        "denominator",
        FORMULA,
    ),
    slip(
        allocate,
        "warmup-added",
        "(last - warmup)",
        "(last + warmup)",
        "the warm-up is added in the denominator: the way is total − final − warmup long",
        FORMULA,
    ),
    slip(
        allocate,
        "rounded",
        "math.floor(goal + (start - goal) * left**3)",
        "round(goal + (start - goal) * left**3)",
        "the budget is rounded to the nearest whole number; it is to be rounded down",
        DOWN,
    ),
    slip(
        allocate,
        "rounded-up",
        "math.floor(goal + (start - goal) * left**3)",
        "math.ceil(goal + (start - goal) * left**3)",
        "the budget is rounded up (ceil); it is to be rounded down",
        DOWN,
    ),
    slip(
        allocate,
        "whole-way",
        WAY,
        "1 - (step - warmup) // (last - warmup)",
        "// is an integer division: the progress is cut off to 0 until the end of the way",
        "Divide with /",
    ),
    slip(
        allocate,
        "start-of-one-layer",
        "importance.numel()",
        "importance.shape[1]",
        "the start is one layer's directions: at the start the directions of all layers are in "
        "the budget, numel",
        "start = importance.numel()",
        ("topk(budget)", AS_MANY),
    ),
    slip(
        allocate,
        "start-of-layers",
        "importance.numel()",
        "len(importance)",
        "the start is the number of layers: at the start all directions of all layers are in the "
        "budget, numel",
        "start = importance.numel()",
        ("topk(budget)", AS_MANY),
    ),
    slip(
        allocate,
        "goal-of-each-layer",
        BUDGET,
        "math.floor(goal * len(importance) + (start - goal * len(importance)) * left**3)",
        "goal is taken for each layer: it is the budget of all layers together",
        "Leave goal as it is",
        ("topk(budget)", AS_MANY),
    ),
    slip(
        allocate,
        "goal-left-out",
        "math.floor(goal + ",
        "math.floor(",
        "the goal is not added: the budget falls to 0 and not to goal",
        "Add goal: goal + (start − goal) · left³",
    ),
    slip(
        allocate,
        "goal-not-subtracted",
        "(start - goal)",
        "start",
        "the goal is not subtracted from the start: the budget starts above all directions there "
        "are",
        "goal + (start − goal) · left³",
        ("topk(budget)", AS_MANY),
    ),
    slip(
        allocate,
        "from-zero-to-goal",
        BUDGET,
        "math.floor(start * left**3)",
        "the budget falls from the start to 0: the goal is ignored",
        "goal + (start − goal) · left³",
    ),
    slip(
        allocate,
        "least-important",
        "topk(budget)",
        "topk(budget, largest=False)",
        "the least important directions are kept",
        "Keep those with the largest importance: topk",
    ),
    slip(
        allocate,
        "same-for-all",
        RANKS,
        "torch.tensor([(budget + i) // len(importance) for i in range(len(importance))])",
        "every layer gets the same share of the budget, whatever its directions are worth: all "
        "layers compete",
        TOGETHER,
    ),
    slip(
        allocate,
        "same-for-all-rounded-down",
        RANKS,
        "torch.full((len(importance),), budget // len(importance))",
        "every layer gets the same rank, budget // layers, whatever its directions are worth: all "
        "layers compete for one budget",
        TOGETHER,
    ),
    slip(
        allocate,
        "rest-to-the-first",
        RANKS,
        "torch.tensor([(budget + len(importance) - 1 - i) // len(importance) "
        "for i in range(len(importance))])",
        "every layer gets the same share of the budget, and the first ones the rest: all layers "
        "compete",
        TOGETHER,
    ),
    slip(
        allocate,
        "removed",
        RANKS,
        "importance.shape[1] - " + RANKS,
        "these are the directions that each layer loses, not those it keeps",
        "Count the kept ones: torch.bincount of their layers",
    ),
    slip(
        allocate,
        "one-less",
        RANKS,
        "(importance > importance.flatten().topk(budget).values[-1]).sum(dim=1)",
        "the last direction in the budget is dropped: > the threshold is strict, off by one; ≥ "
        "keeps it",
        "Count with >=, or take the indices of topk",
    ),
    slip(
        allocate,
        "one-more",
        "topk(budget)",
        "topk(min(budget + 1, importance.numel()))",
        "one direction more than the budget is kept (off by one)",
        TOGETHER,
    ),
    slip(
        allocate,
        "by-directions",
        "// importance.shape[1]",
        "% importance.shape[1]",
        "directions are counted, not layers: the wrong axis (dim=0), or the remainder % where the "
        "quotient // is the layer",
        LAYER,
        (RANKS, "torch.bincount(kept, minlength=importance.shape[1])"),
    ),
    slip(
        allocate,
        "by-number-of-layers",
        "// importance.shape[1]",
        "// len(importance)",
        "the index is divided by the number of layers, not by the directions of a layer",
        LAYER,
    ),
    slip(
        allocate,
        "by-number-of-layers-as-long",
        "// importance.shape[1]",
        "// len(importance)",
        "the index is divided by the number of layers, not by the directions of a layer",
        LAYER,
        (RANKS, RANKS + "[: len(importance)]"),
    ),
    slip(
        allocate,
        "no-minlength",
        "kept, minlength=len(importance)",
        "kept",
        "layers at the end that keep nothing are missing: bincount without minlength is too short",
        "torch.bincount(kept, minlength=number of layers)",
    ),
    slip(
        allocate,
        "empty-layers-missing",
        RANKS,
        "torch.unique(kept, return_counts=True)[1]",
        "layers that keep nothing are missing: they have rank 0",
        "torch.bincount(kept, minlength=number of layers) counts them, too",
    ),
    slip(
        allocate,
        "mask",
        RANKS,
        "importance >= importance.flatten().topk(budget).values[-1]",
        "the mask of the kept directions is returned, (layers, directions): the rank of each layer "
        "is the sum of its row",
        "Count along the directions: sum(dim=1)",
    ),
    slip(
        allocate,
        "in-proportion",
        RANKS,
        "(importance.sum(dim=1) / importance.sum() * budget).long()",
        "ranks are in proportion to the importance of whole layers (rounded down): single "
        "directions compete, and the most important ones are kept",
        TOGETHER,
    ),
    slip(
        allocate,
        "in-proportion-rounded",
        RANKS,
        "(importance.sum(dim=1) / importance.sum() * budget).round().long()",
        "ranks are in proportion to the importance of whole layers (rounded): single directions "
        "compete, and the most important ones are kept",
        TOGETHER,
    ),
    slip(
        allocate,
        "above-the-mean",
        RANKS,
        "(importance > importance.mean()).sum(dim=1)",
        "all directions above the mean importance are kept, whatever the budget is",
        TOGETHER,
    ),
    slip(
        allocate,
        "whole-layers",
        RANKS,
        "torch.zeros(len(importance), dtype=torch.long).scatter_(0, importance.sum(dim=1)"
        ".topk(budget // importance.shape[1]).indices, importance.shape[1])",
        "whole layers are kept, the most important first: single directions compete",
        TOGETHER,
    ),
)
