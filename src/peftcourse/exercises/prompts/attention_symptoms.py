"""Lesson 08, attention with a prefix: what wrong parts of an outcome show."""

from __future__ import annotations

from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom
from peftcourse.exercises.prompts.attention import OWN_PAST, TRAINS


def _another_order(case, expected, observed) -> bool:
    return not agree(observed["output"], observed["output, virtual tokens reversed"])


def _looks_ahead(case, expected, observed) -> bool:
    one, other = observed["output"], observed["output, last token changed"]
    return _shaped(case, expected, observed) and not agree(one[:, :, :-1], other[:, :, :-1])


def _shaped(case, expected, observed) -> bool:
    shape = expected["output"].shape
    outputs = [value for name, value in observed.items() if name.startswith("output")]
    return all(isinstance(value, Tensor) and value.shape == shape for value in outputs)


def _weights_returned(case, expected, observed) -> bool:
    keys = case["k"].shape[2] + case["prefix_k"].shape[1]
    output = observed["output"]
    return isinstance(output, Tensor) and output.shape == (*case["q"].shape[:-1], keys)


def _another_shape(case, expected, observed) -> bool:
    output = observed["output"]
    return isinstance(output, Tensor) and output.shape != case["q"].shape


def _no_gradient(name: str):
    def when(case, expected, observed) -> bool:
        return agree(expected["output"], observed["output"]) and not observed[name].any()

    return when


ATTEND_SYMPTOMS = (
    Symptom(
        "output",
        "these are the weights (or the scores), (B, heads, n, T + n), and not the output: the "
        "product with the values is missing",
        "Return weights @ values",
        _weights_returned,
        decides=True,
    ),
    Symptom(
        "output",
        "the output does not have the shape of q, (B, heads, n, D): axes are exchanged, or heads, "
        "tokens or the batch are lost",
        "Print the shapes of scores and values, and keep the axes of q in their order",
        _another_shape,
        decides=True,
    ),
    Symptom(
        "output, every value 1",
        "the weights of a query do not add up to 1: no softmax over all of its keys together, or "
        "something is changed after it (mask, scale)",
        "Mask with -inf first, then one softmax over the last axis, and nothing after it",
        _shaped,
    ),
    Symptom(
        "output, last token changed",
        "a token sees what comes after it: the last token changes the outputs before it, so the "
        "causal mask lets the future through",
        OWN_PAST,
        _looks_ahead,
    ),
    Symptom(
        "output, virtual tokens reversed",
        "the order of the virtual tokens changes the output: not every query sees the whole "
        "prefix, or keys and values are not in the same order",
        "Let every query see all T virtual tokens, in front for keys and values alike",
        _another_order,
    ),
    Symptom(
        "gradient of prefix_k",
        "no gradient reaches the keys of the prefix: they, or the weights, are detached",
        TRAINS,
        _no_gradient("gradient of prefix_k"),
    ),
    Symptom(
        "gradient of prefix_v",
        "no gradient reaches the values of the prefix: they are detached",
        TRAINS,
        _no_gradient("gradient of prefix_v"),
    ),
    Symptom(
        "gradient of q",
        "the output is right, but no gradient reaches the queries: something is detached on the "
        "way, so no layer below learns from this one",
        TRAINS,
        _no_gradient("gradient of q"),
    ),
    Symptom(
        "gradient of k",
        "the output is right, but no gradient reaches the keys of the text: something is detached",
        TRAINS,
        _no_gradient("gradient of k"),
    ),
    Symptom(
        "gradient of v",
        "the output is right, but no gradient reaches the values of the text: they are detached",
        TRAINS,
        _no_gradient("gradient of v"),
    ),
)
