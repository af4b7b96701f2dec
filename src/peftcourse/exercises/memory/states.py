"""Lesson 01, bytes: weights, gradients and optimizer states, rightly and wrongly."""

from __future__ import annotations

from peftcourse.exercises.core import slip


def states(
    frozen: int,
    trained: int,
    frozen_bits: float,
    trained_bytes: int,
    moment_bytes: int,
    master: bool,
) -> tuple[float, float, float]:
    moments = 2 * moment_bytes
    copy = 4 if master else 0
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = trained * moments + trained * copy
    return weights, gradients, optimizer


_GRADIENTS = "gradients = trained * trained_bytes"
_COPY = "4 if master else 0"
_OWN_DTYPE = "a gradient has the dtype of its parameter"
_USE_ITS_BYTES = "Use trained_bytes for the gradients"
_NO_GRADIENT = "Count gradients for the trained parameters alone"
_FOUR_BYTES = "Add 4 bytes per trained parameter if master is true"

STATES = (
    slip(
        states,
        "bits-as-bytes",
        "frozen_bits / 8",
        "frozen_bits",
        "the frozen weights take eight times too much: their size is given in bits",
        "Divide frozen_bits by 8",
    ),
    slip(
        states,
        "one-moment",
        "2 * moment_bytes",
        "moment_bytes",
        "one state per parameter: AdamW keeps two, the mean of the gradient and of its square",
        "Count 2 · moment_bytes per trained parameter",
    ),
    slip(
        states,
        "frozen-moments",
        "trained * moments",
        "(frozen + trained) * moments",
        "the optimizer is given the frozen parameters too: it keeps moments of what trains only",
        "Count the moments for the trained parameters alone",
    ),
    slip(
        states,
        "frozen-gradients",
        _GRADIENTS,
        "gradients = weights",
        "as many bytes of gradients as of weights: frozen parameters have no gradient",
        _NO_GRADIENT,
    ),
    slip(
        states,
        "gradients-of-all",
        _GRADIENTS,
        "gradients = (frozen + trained) * trained_bytes",
        "frozen parameters are given gradients, too: only those that train have any",
        _NO_GRADIENT,
    ),
    slip(
        states,
        "master-forgotten",
        _COPY,
        "0",
        "the 32-bit copy of the trained parameters is missing where there is one",
        _FOUR_BYTES,
    ),
    slip(
        states,
        "moments-like-weights",
        "2 * moment_bytes",
        "2 * trained_bytes",
        "the moments are given the dtype of the weights; they have their own",
        "Use moment_bytes for the two moments",
    ),
    slip(
        states,
        "gradients-in-32-bit",
        _GRADIENTS,
        "gradients = 4 * trained",
        f"gradients of 4 bytes whatever trains: {_OWN_DTYPE}",
        _USE_ITS_BYTES,
    ),
    slip(
        states,
        "gradients-beside-a-copy",
        _GRADIENTS,
        "gradients = trained * (4 if master else trained_bytes)",
        f"gradients of 4 bytes where there is a master copy: {_OWN_DTYPE}, copy or not",
        _USE_ITS_BYTES,
    ),
    slip(
        states,
        "gradients-like-moments",
        _GRADIENTS,
        "gradients = trained * moment_bytes",
        f"gradients as wide as a moment: {_OWN_DTYPE}, trained_bytes",
        _USE_ITS_BYTES,
    ),
    slip(
        states,
        "whole-bytes",
        "frozen_bits / 8",
        "(frozen_bits // 8)",
        "// rounds the bytes of a frozen weight down: 4 bits become 0 bytes",
        "Divide with /",
    ),
    slip(
        states,
        "whole-bits",
        "frozen_bits / 8",
        "int(frozen_bits) / 8",
        "the fraction of frozen_bits is cut off by int: an average may be 4.127 bits",
        "Use frozen_bits as it is",
    ),
    slip(
        states,
        "frozen-weights-forgotten",
        "frozen * frozen_bits / 8 + ",
        "",
        "the frozen weights are missing: they are in memory, too",
        "Add frozen · frozen_bits / 8",
    ),
    slip(
        states,
        "trained-weights-forgotten",
        " + trained * trained_bytes",
        "",
        "the weights of what trains are missing: a trained parameter has a weight, too",
        "Add trained · trained_bytes",
    ),
    slip(
        states,
        "frozen-like-trained",
        "frozen * frozen_bits / 8",
        "frozen * trained_bytes",
        "frozen weights are given the bytes of trained ones: they have frozen_bits bits each",
        "Use frozen_bits / 8",
    ),
    slip(
        states,
        "copy-of-everything",
        "trained * copy",
        "(frozen + trained) * copy",
        "the master copy is counted for frozen parameters, too: only what trains has one",
        _FOUR_BYTES,
    ),
    slip(
        states,
        "copy-like-a-moment",
        _COPY,
        "moment_bytes if master else 0",
        "the master copy is given the bytes of a moment: it has 32 bits, 4 bytes",
        _FOUR_BYTES,
    ),
    slip(
        states,
        "copy-like-a-weight",
        _COPY,
        "trained_bytes if master else 0",
        "the master copy is given the bytes of the weight: it has 32 bits, 4 bytes",
        _FOUR_BYTES,
    ),
    slip(
        states,
        "copy-always",
        _COPY,
        "4",
        "a master copy is counted where there is none",
        _FOUR_BYTES,
    ),
    slip(
        states,
        "copy-the-wrong-way",
        _COPY,
        "0 if master else 4",
        "the master copy is counted where there is none, and not where there is one",
        _FOUR_BYTES,
    ),
    slip(
        states,
        "copy-among-the-weights",
        " + trained * trained_bytes",
        " + trained * (trained_bytes + copy)",
        "the master copy is counted among the weights: here it is one of the optimizer's states",
        "Add it to the third number, not to the first",
        (" + trained * copy", ""),
    ),
    slip(
        states,
        "exchanged",
        _GRADIENTS,
        "gradients = frozen * trained_bytes",
        "gradients and states are those of the frozen parameters: they belong to what trains",
        "Use trained in place of frozen",
        ("trained * moments", "frozen * moments"),
        ("trained * copy", "frozen * copy"),
    ),
)
