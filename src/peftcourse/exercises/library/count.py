"""Lesson 09, what trains: the reference solution and typical wrong answers."""

from __future__ import annotations

import torch
from torch import nn

from peftcourse.exercises.core import Mutant, slip


def count(model: nn.Module) -> tuple[int, int]:
    trainable = total = 0
    for parameter in model.parameters():
        packed = parameter.dtype == torch.uint8
        numbers = parameter.numel() * (2 if packed else 1)
        total += numbers
        if parameter.requires_grad:
            trainable += numbers
    return trainable, total


def _size(tensor):
    return tensor.numel() * (2 if tensor.dtype == torch.uint8 else 1)


def _count_state_dict(model):
    return count(model)[0], sum(map(_size, model.state_dict().values()))


def _count_by_shape(model):
    seen, trainable, total = set(), 0, 0
    for parameter in model.parameters():
        if parameter.shape not in seen or parameter.dim() != 2:
            seen.add(parameter.shape)
            total += _size(parameter)
            trainable += _size(parameter) if parameter.requires_grad else 0
    return trainable, total


_WALK = "for parameter in model.parameters():"
_PACKED = "parameter.dtype == torch.uint8"
_IF_TRAINS = "if parameter.requires_grad:"
_ONCE = "Use model.parameters(), which gives a shared parameter once"
_UINT8 = "Count twice the elements of a parameter of dtype torch.uint8, and of no other"
_BY_FLAG = "Count a parameter as trainable if its requires_grad is set"

COUNT = (
    slip(
        count,
        "shared-counted-twice",
        _WALK,
        "for _, parameter in model.named_parameters(remove_duplicate=False):",
        "the weight that embedding and head share is counted twice, once for each of the two",
        _ONCE,
    ),
    slip(
        count,
        "packed-counted-once",
        "2 if packed",
        "1 if packed",
        "a byte of packed codes is counted as one parameter; it holds two",
        _UINT8,
    ),
    slip(
        count,
        "everything-trains",
        _IF_TRAINS,
        "if True:",
        "frozen parameters are counted as trainable",
        _BY_FLAG,
    ),
    slip(
        count,
        "buffers-counted",
        _WALK,
        "for parameter in [*model.parameters(), *model.buffers()]:",
        "buffers are counted too; nobody trains a table of positions",
        "Count model.parameters() and leave model.buffers() out",
    ),
    slip(
        count,
        "all-is-frozen-only",
        "total += numbers",
        "total += 0 if parameter.requires_grad else numbers",
        "the second number leaves out what trains: the percentage would be of the base alone",
        "Count every parameter, those that train too",
    ),
    slip(
        count,
        "by-name",
        _IF_TRAINS,
        "if any(p is parameter and 'lora_' in n for n, p in model.named_parameters()):",
        "what trains is told by its name, lora_, and not by requires_grad",
        _BY_FLAG,
    ),
    slip(
        count,
        "packed-halved",
        "parameter.numel() * (2 if packed else 1)",
        "parameter.numel() // (2 if packed else 1)",
        "a byte of packed codes is counted as half a parameter; it holds two",
        _UINT8,
    ),
    slip(
        count,
        "every-byte-packed",
        _PACKED,
        "parameter.element_size() == 1",
        "every dtype of one byte is taken for packed; an int8 weight is one number in a byte",
        _UINT8,
    ),
    slip(
        count,
        "every-integer-packed",
        _PACKED,
        "not parameter.is_floating_point()",
        "every dtype of integers is taken for packed; only torch.uint8 is",
        _UINT8,
    ),
    slip(
        count,
        "once-per-ancestor",
        _WALK,
        "for parameter in (p for module in model.modules() for p in module.parameters()):",
        "a parameter is counted once for each module that holds it, directly or further down: "
        "several times",
        _ONCE,
    ),
    slip(
        count,
        "tensors-counted",
        "parameter.numel()",
        "1",
        "the number of tensors is counted, not of their elements",
        "Add parameter.numel() for each",
    ),
    slip(
        count,
        "rows-counted",
        "parameter.numel()",
        "len(parameter)",
        "the rows of each parameter are counted, not its elements",
        "Add parameter.numel() for each",
    ),
    slip(
        count,
        "bytes-counted",
        "parameter.numel() * (2 if packed else 1)",
        "parameter.numel() * parameter.element_size()",
        "bytes are counted, not parameters",
        "Add parameter.numel() for each, twice for packed codes",
    ),
    slip(
        count,
        "floats-only",
        _WALK,
        "for parameter in filter(torch.is_floating_point, model.parameters()):",
        "only floating-point parameters are counted; packed ones and integers are parameters too",
        "Count every parameter, whatever its dtype is",
    ),
    slip(
        count,
        "all-is-trainable",
        "total += numbers\n        if parameter.requires_grad:\n            trainable += numbers",
        "if parameter.requires_grad:\n            trainable += numbers; total += numbers",
        "the second number counts what trains only, like the first",
        "Count every parameter, those that are frozen too",
    ),
    slip(
        count,
        "swapped",
        "return trainable, total",
        "return total, trainable",
        "the two numbers are swapped: what trains comes first",
        "Return (trainable, all)",
    ),
    slip(
        count,
        "frozen-first",
        "if parameter.requires_grad:",
        "if not parameter.requires_grad:",
        "the first number counts what is frozen, not what trains",
        _BY_FLAG,
    ),
    Mutant(
        "state-dict",
        _count_state_dict,
        "state_dict holds buffers too, and a shared weight twice, under both of its names",
        _ONCE,
    ),
    Mutant(
        "equal-shapes-once",
        _count_by_shape,
        "two weights of the same shape are taken for one; shared means the same tensor",
        _ONCE,
    ),
)
