"""Lesson 01, gradient checkpointing, rightly and wrongly."""

from __future__ import annotations

import torch

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


class Checkpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, block, x):
        ctx.block = block
        ctx.generator = torch.get_rng_state()
        ctx.save_for_backward(x)
        return block(x)

    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_rng_state(ctx.generator)
            y = ctx.block(x)
        y.backward(gradient)
        return None, x.grad


class _NothingSaved(torch.autograd.Function):
    """An ordinary forward pass: its graph is kept until the backward pass."""

    @staticmethod
    def forward(ctx, block, x):
        ctx.x = x.detach().requires_grad_()
        with torch.enable_grad():
            ctx.y = block(ctx.x)
        return ctx.y.detach()

    @staticmethod
    def backward(ctx, gradient):
        ctx.y.backward(gradient)
        return None, ctx.x.grad


class _BackwardTwice(Checkpoint):
    @staticmethod
    def backward(ctx, gradient):
        _, first = Checkpoint.backward(ctx, gradient)
        _, second = Checkpoint.backward(ctx, gradient)
        return None, first + second


class _StraightThrough(Checkpoint):
    @staticmethod
    def backward(ctx, gradient):
        return None, gradient


_FORK = "torch.random.fork_rng(devices=[]), "
_STATE = "torch.set_rng_state(ctx.generator)"
_AGAIN = "Keep torch.get_rng_state() in forward and set it again before the second run"
_OTHER_DROPOUT = (
    "the second run draws other random numbers than the first, so that its dropout drops others: "
    "gradients of another function",
    _AGAIN,
)
_LEFT_BEHIND = "Put the second run into `with torch.random.fork_rng(devices=[])`"
_IN_FORWARD = "Run block(x) in forward as it is, without a seed or a fork"

CHECKPOINT = (
    slip(
        Checkpoint,
        "other-dropout",
        _FORK,
        "",
        *_OTHER_DROPOUT,
        (_STATE, "pass"),
    ),
    slip(Checkpoint, "state-not-set", _STATE, "pass", *_OTHER_DROPOUT),
    slip(
        Checkpoint,
        "gradient-ignored",
        "y.backward(gradient)",
        "y.backward(torch.ones_like(gradient))",
        "the gradient that comes from above is not used: this is the backward pass of a sum",
        "Start from it: y.backward(gradient)",
    ),
    slip(
        Checkpoint,
        "parameters-forgotten",
        "y.backward(gradient)",
        "x.grad = torch.autograd.grad(y, x, gradient)[0]",
        "the block's parameters get no gradient: torch.autograd.grad(y, x) goes to x alone",
        "Call y.backward(gradient), which fills .grad of x and of the parameters",
    ),
    slip(
        Checkpoint,
        "input-forgotten",
        "return None, x.grad",
        "return None, torch.zeros_like(gradient)",
        "no gradient of x is returned, or one that is zero: nothing below this block would ever "
        "learn",
        "Call requires_grad_() on the detached x of the second run, and return its x.grad",
    ),
    slip(
        Checkpoint,
        "output-kept",
        "ctx.save_for_backward(x)\n        return block(x)",
        "y = block(x)\n        ctx.save_for_backward(x, y)\n        return y",
        "the block's output is kept beside its input; running it again makes the output",
        "Save x alone",
    ),
    slip(
        Checkpoint,
        "generator-left-behind",
        _FORK,
        "",
        "after the backward pass the generator is back where it was before: what is drawn next "
        "repeats earlier numbers",
        _LEFT_BEHIND,
    ),
    slip(
        Checkpoint,
        "state-after-the-run",
        "ctx.generator = torch.get_rng_state()\n        ctx.save_for_backward(x)\n"
        "        return block(x)",
        "y = block(x)\n        ctx.generator = torch.get_rng_state()\n"
        "        ctx.save_for_backward(x)\n        return y",
        "the state of the generator is taken after the first run: the second one draws the random "
        "numbers that follow, and drops others",
        "Call torch.get_rng_state() before block(x)",
    ),
    slip(
        Checkpoint,
        "seed-for-the-state",
        "torch.get_rng_state()",
        "torch.initial_seed()",
        "the seed stands for the generator's state: it brings back its beginning, and not where it "
        "was before the block",
        _AGAIN,
        (_STATE, "torch.manual_seed(ctx.generator)"),
    ),
    slip(
        Checkpoint,
        "fork-in-forward",
        "return block(x)",
        "with torch.random.fork_rng(devices=[]):\n            return block(x)",
        "the first run does not move the generator on, so that the next block's dropout drops the "
        "same: a fork in forward",
        _IN_FORWARD,
    ),
    slip(
        Checkpoint,
        "second-run-evaluates",
        _STATE,
        "ctx.block.eval()",
        "the second run drops nothing: the block is in evaluation mode, and its dropout is off",
        _AGAIN,
    ),
    slip(
        Checkpoint,
        "zeroed",
        "y.backward(gradient)",
        "ctx.block.zero_grad(); y.backward(gradient)",
        "what the parameters had in .grad before is lost: gradients add up until they are zeroed, "
        "as from two backward passes",
        "Let y.backward(gradient) add to .grad, and do not set or zero it",
    ),
    slip(
        Checkpoint,
        "gradient-applied-twice",
        "return None, x.grad",
        "return None, x.grad * gradient",
        "x.grad is multiplied by the gradient from above, which is in it already: it counts twice",
        "Return x.grad as it is",
    ),
    slip(
        Checkpoint,
        "gradient-handed-through",
        "return None, x.grad",
        "return None, gradient",
        "the gradient of the output is returned for that of x: handed through, as if the block "
        "were not there",
        "Return x.grad of the detached x that the second run used",
    ),
    slip(
        Checkpoint,
        "x-as-an-attribute",
        "ctx.save_for_backward(x)",
        "ctx.x = x",
        "x is kept as an attribute of ctx, where autograd does not see it: tensors go through "
        "ctx.save_for_backward",
        "Call ctx.save_for_backward(x), and read ctx.saved_tensors",
        ("ctx.saved_tensors[0]", "ctx.x"),
    ),
    Mutant(
        "graph-kept",
        _NothingSaved,
        "the right gradients and nothing saved: the block ran once, and its graph was kept",
        "Run the block without a graph in forward, and again, with one, in backward",
    ),
    Mutant(
        "twice",
        _BackwardTwice,
        "gradients twice as large: the block was run, and differentiated, once too often",
        "Run the block once in backward",
    ),
    Mutant(
        "straight-through",
        _StraightThrough,
        "the gradient passes by the block as if it were not there",
        "Run the block again on a detached x, and go back through it",
    ),
)

DRAWN = "random numbers drawn before and after the backward pass"


PARAMETERS = "gradients of the parameters"
RUNS = "times that the blocks ran"


def _forward_draws_otherwise(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return not agree(expected[DRAWN][:3], observed[DRAWN][:3])


def _backward_moves_it(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return not _forward_draws_otherwise(case, expected, observed)


def _nothing_kept(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return observed["bytes kept for the backward pass"] == 0


def _zero(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return not observed[PARAMETERS].any()


def _too_seldom(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return observed[RUNS] < expected[RUNS]


SYMPTOMS = (
    Symptom(
        DRAWN,
        "after the forward pass the generator is not where block(x) alone would leave it: forward "
        "seeds it, forks it, or draws random numbers of its own",
        _IN_FORWARD,
        when=_forward_draws_otherwise,
        decides=True,
    ),
    Symptom(
        DRAWN,
        "random numbers that are drawn after the backward pass are not those that would be drawn "
        "without it: the generator is not put back",
        _LEFT_BEHIND,
        when=_backward_moves_it,
    ),
    Symptom(
        RUNS,
        "each block that was handed over runs once, and not twice: nothing runs again, or a copy "
        "of it does, whose parameters are others",
        "Run the very block again in backward",
        when=_too_seldom,
        decides=True,
    ),
    Symptom(
        "bytes kept for the backward pass",
        "nothing goes through ctx.save_for_backward, not even x",
        "Call ctx.save_for_backward(x), and read ctx.saved_tensors",
        when=_nothing_kept,
        decides=True,
    ),
    Symptom(
        PARAMETERS,
        "the block's parameters get no gradient in .grad",
        "Call y.backward(gradient), which fills .grad of x and of the parameters",
        when=_zero,
    ),
)
