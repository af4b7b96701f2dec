"""Lesson 01, what autograd keeps, rightly and wrongly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


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


def _saved_and_result(forward, parameters):
    results = []

    def keep() -> Tensor:
        results.append(forward())
        return results[0]

    return saved(keep, parameters) + results[0].untyped_storage().nbytes()


_IN = "if storage.data_ptr() not in known:"
_KEY = "kept[storage.data_ptr()]"
_SIZE = "storage.nbytes()"
_ASK = "Ask the storage for its bytes: tensor.untyped_storage().nbytes()"
_BY_ADDRESS = "Note each storage once, by its data_ptr()"
_VIEW = (
    "a view is counted by its own size: it keeps the whole storage behind it alive",
    "Ask the storage for its size: tensor.untyped_storage().nbytes()",
)
_TWICE = "one storage is counted several times: "

SAVED = (
    slip(
        saved,
        "every-time",
        _KEY,
        "kept[len(kept)]",
        "a tensor that two operations keep is counted twice; it is in memory once",
        _BY_ADDRESS,
    ),
    slip(
        saved,
        "parameters-counted",
        _IN,
        "if True:",
        "parameters are counted too: autograd keeps references to them, and they are there anyway",
        "Leave out the storages of the parameters",
    ),
    slip(
        saved,
        "parameters-by-identity",
        _IN,
        "if not any(tensor is parameter for parameter in parameters):",
        "transposed parameters are counted: W.T is another tensor and the same storage",
        "Compare storages, by data_ptr(), and not tensors",
    ),
    slip(saved, "views-too-small", _SIZE, "tensor.numel() * tensor.element_size()", *_VIEW),
    slip(
        saved,
        "numbers-not-bytes",
        _SIZE,
        "storage.nbytes() // tensor.element_size()",
        "these are numbers, not bytes: 2, 4 or 8 bytes each, and 1 for a boolean",
        _ASK,
    ),
    slip(
        saved,
        "four-bytes-each",
        _SIZE,
        "4 * storage.nbytes() // tensor.element_size()",
        "four bytes for each number, whatever its dtype",
        _ASK,
    ),
    slip(
        saved,
        "bytes-of-bytes",
        _SIZE,
        "storage.nbytes() * tensor.element_size()",
        "nbytes() is in bytes already, and is multiplied by element_size() once more",
        _ASK,
    ),
    slip(
        saved,
        "floats-only",
        _IN,
        "if tensor.is_floating_point() and storage.data_ptr() not in known:",
        "token ids and masks are left out: autograd keeps them as well",
        "Count tensors of every dtype",
    ),
    slip(
        saved,
        "only-with-a-gradient",
        _IN,
        "if tensor.requires_grad and storage.data_ptr() not in known:",
        "what needs no gradient is left out (requires_grad, is_leaf): inputs such as token ids and "
        "masks are such leaves, and autograd keeps them as well",
        "Count every storage that is no parameter's",
    ),
    slip(
        saved,
        "address-of-the-view",
        _KEY,
        "kept[tensor.data_ptr()]",
        _TWICE + "tensor.data_ptr() is where a view begins, not where its storage does",
        "Use tensor.untyped_storage().data_ptr()",
    ),
    slip(
        saved,
        "address-of-the-parameter",
        "parameter.untyped_storage().data_ptr()",
        "parameter.data_ptr()",
        "a parameter that is a view is counted: its data_ptr() is where the view begins, and not "
        "where its storage does",
        "Use parameter.untyped_storage().data_ptr()",
    ),
    slip(
        saved,
        "parameters-by-shape",
        _IN,
        "if tensor.shape not in {parameter.shape for parameter in parameters}:",
        "parameters are told by their shape: activations of that shape are left out, and "
        "transposed parameters are counted",
        "Compare storages, by data_ptr()",
    ),
    slip(
        saved,
        "parameters-off-at-the-end",
        _IN,
        "if True:",
        "the bytes of all parameters are taken off at the end: not every parameter is among what "
        "is kept",
        "Leave out those storages that are a parameter's",
        (
            "return sum(kept.values())",
            "return sum(kept.values()) - sum(parameter.nbytes for parameter in parameters)",
        ),
    ),
    slip(
        saved,
        "each-object",
        _KEY,
        "kept[id(tensor)]",
        _TWICE + "id() tells tensors apart, and two of them may be views of the same memory",
        _BY_ADDRESS,
    ),
    slip(
        saved,
        "each-shape",
        _KEY,
        "kept[storage.data_ptr(), tensor.shape]",
        _TWICE + "once for each shape of a view of it",
        _BY_ADDRESS,
    ),
    slip(
        saved,
        "set-of-sizes",
        _KEY,
        "kept[storage.nbytes()]",
        "two storages of the same size count as one, as in a set of sizes",
        _BY_ADDRESS,
    ),
    slip(
        saved,
        "own-bytes-of-everything",
        _IN,
        "if True:",
        "each view is counted by its own bytes, not by those of the storage behind it, and "
        "parameters are counted, too",
        "Note storages by address, and leave out those of the parameters",
        (_KEY, "kept[tensor.data_ptr()]"),
        (_SIZE, "tensor.numel() * tensor.element_size()"),
    ),
    Mutant(
        "result-added",
        _saved_and_result,
        "the result is counted too: it is there, but autograd does not keep it",
        "Count what goes through the hook, and nothing else",
    ),
    Mutant(
        "result-alone",
        lambda forward, parameters: forward().untyped_storage().nbytes(),
        "the size of the result: what forward returns is not what autograd keeps",
        "Count what goes through torch.autograd.graph.saved_tensors_hooks",
    ),
)


def _nothing(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return observed.get("everything trains") == 0


SYMPTOMS = (
    Symptom(
        "everything trains",
        "0 bytes, so nothing was noted in `pack` while autograd kept tensors: forward() ran "
        "outside the `with` block or under `no_grad`, or it is `unpack` that counts, which the "
        "backward pass calls",
        "Call forward() within the `with` block, once, and note sizes in pack",
        when=_nothing,
        decides=True,
    ),
    Symptom(
        "everything trains: kept tensors that are gone",
        "what `pack` returns is kept in place of the tensor, and it was not the tensor: the memory "
        "is freed and used again, so that other storages get its address, and the backward pass "
        "finds nothing",
        "Return the tensor from pack, and from unpack",
        decides=True,
    ),
)
