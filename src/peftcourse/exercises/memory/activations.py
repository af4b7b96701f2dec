"""Lesson 01, activations: what autograd keeps, and how to keep less, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- memory.saved ---------------------------------------------------------------------------------


def saved(forward: Callable[[], Tensor], parameters: Sequence[Tensor]) -> int:
    known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    kept = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())


def _saved_tensors(forward: Callable[[], Tensor]) -> list[Tensor]:
    """Everything that autograd keeps, in order, all of it alive."""
    found = []

    def pack(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return found


def _count(size: Callable[[Tensor], int], counts: Callable[[Tensor], bool] = lambda _: True):
    """An answer that adds up ``size(tensor)`` over the storages of the tensors that ``counts``."""

    def answer(forward, parameters):
        known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
        sizes = {}
        for tensor in _saved_tensors(forward):
            pointer = tensor.untyped_storage().data_ptr()
            if pointer not in known and counts(tensor):
                sizes.setdefault(pointer, size(tensor))
        return sum(sizes.values())

    return answer


def _storage_bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def _saved_every_time(forward, parameters):
    known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    return sum(
        _storage_bytes(tensor)
        for tensor in _saved_tensors(forward)
        if tensor.untyped_storage().data_ptr() not in known
    )


def _saved_by_identity(forward, parameters):
    found = _saved_tensors(forward)
    own = [tensor for tensor in found if not any(tensor is p for p in parameters)]
    return sum({t.untyped_storage().data_ptr(): _storage_bytes(t) for t in own}.values())


def _saved_and_result(forward, parameters):
    results = []

    def keep() -> Tensor:
        results.append(forward())
        return results[0]

    kept = saved(keep, parameters)
    return kept + _storage_bytes(results[0])


SAVED = (
    Mutant(
        "every-time",
        _saved_every_time,
        "a tensor that two operations keep is counted twice; it is in memory once",
        "Note each storage once, by its data_ptr()",
    ),
    Mutant(
        "parameters-counted",
        lambda forward, parameters: saved(forward, []),
        "parameters are counted too: autograd keeps references to them, and they are there anyway",
        "Leave out the storages of the parameters",
    ),
    Mutant(
        "parameters-by-identity",
        _saved_by_identity,
        "transposed parameters are counted: W.T is another tensor and the same storage",
        "Compare storages, by data_ptr(), and not tensors",
    ),
    Mutant(
        "views-too-small",
        _count(lambda tensor: tensor.numel() * tensor.element_size()),
        "a view is counted by its own size: it keeps the whole storage behind it alive",
        "Ask the storage for its size: tensor.untyped_storage().nbytes()",
    ),
    Mutant(
        "numbers-not-bytes",
        _count(lambda tensor: _storage_bytes(tensor) // tensor.element_size()),
        "these are numbers, not bytes: 2, 4 or 8 bytes each, and 1 for a boolean",
        "Ask the storage for its bytes: tensor.untyped_storage().nbytes()",
    ),
    Mutant(
        "four-bytes-each",
        _count(lambda tensor: 4 * _storage_bytes(tensor) // tensor.element_size()),
        "four bytes for each number, whatever its dtype",
        "Ask the storage for its bytes: tensor.untyped_storage().nbytes()",
    ),
    Mutant(
        "floats-only",
        _count(_storage_bytes, lambda tensor: tensor.is_floating_point()),
        "token ids and masks are left out: autograd keeps them as well",
        "Count tensors of every dtype",
    ),
    Mutant(
        "result-added",
        _saved_and_result,
        "the result is counted too: it is there, but autograd does not keep it",
        "Count what goes through the hook, and nothing else",
    ),
)

# --- memory.checkpoint ----------------------------------------------------------------------------


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


class _OutputKept(Checkpoint):
    @staticmethod
    def forward(ctx, block, x):
        ctx.block = block
        ctx.generator = torch.get_rng_state()
        y = block(x)
        ctx.save_for_backward(x, y)
        return y


class _OtherDropout(Checkpoint):
    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            y = ctx.block(x)
        y.backward(gradient)
        return None, x.grad


class _GeneratorLeftBehind(Checkpoint):
    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        torch.set_rng_state(ctx.generator)
        with torch.enable_grad():
            y = ctx.block(x)
        y.backward(gradient)
        return None, x.grad


class _InputOnly(Checkpoint):
    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_rng_state(ctx.generator)
            y = ctx.block(x)
        return None, torch.autograd.grad(y, x, gradient)[0]


class _GradientIgnored(Checkpoint):
    @staticmethod
    def backward(ctx, gradient):
        return Checkpoint.backward(ctx, torch.ones_like(gradient))


class _ParametersOnly(Checkpoint):
    @staticmethod
    def backward(ctx, gradient):
        _, x_gradient = Checkpoint.backward(ctx, gradient)
        return None, torch.zeros_like(x_gradient)


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


CHECKPOINT = (
    Mutant(
        "graph-kept",
        _NothingSaved,
        "the right gradients and nothing saved: the block ran once, and its graph was kept",
        "Run the block without a graph in forward, and again, with one, in backward",
    ),
    Mutant(
        "output-kept",
        _OutputKept,
        "the block's output is kept beside its input; running it again makes the output",
        "Save x alone",
    ),
    Mutant(
        "other-dropout",
        _OtherDropout,
        "the second run drops other numbers than the first: gradients of another function",
        "Keep torch.get_rng_state() in forward and set it again before the second run",
    ),
    Mutant(
        "generator-left-behind",
        _GeneratorLeftBehind,
        "after the backward pass the generator is back where it was before: what is drawn next "
        "repeats earlier numbers",
        "Put the second run into `with torch.random.fork_rng(devices=[])`",
    ),
    Mutant(
        "parameters-forgotten",
        _InputOnly,
        "the block's parameters get no gradient: torch.autograd.grad(y, x) goes to x alone",
        "Call y.backward(gradient), which fills .grad of x and of the parameters",
    ),
    Mutant(
        "gradient-ignored",
        _GradientIgnored,
        "the gradient that comes from above is not used: this is the backward pass of a sum",
        "Start from it: y.backward(gradient)",
    ),
    Mutant(
        "input-forgotten",
        _ParametersOnly,
        "the input's gradient is zero: nothing below this block would ever learn",
        "Return x.grad of the detached x that the second run used",
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
