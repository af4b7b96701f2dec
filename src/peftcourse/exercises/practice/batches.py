"""Lesson 04, batches: accumulated gradients and packed texts, rightly and wrongly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip

# --- practice.accumulate --------------------------------------------------------------------------


def accumulate(model: nn.Module, parts: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    targets = sum(int((labels != -100).sum()) for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        logits = model(x)
        loss = F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += loss.item()
    return total


COUNTED = "sum(int((labels != -100).sum()) for _, labels in parts)"
LOSS = 'F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum") / targets'
SUMMED = ', reduction="sum") / targets'
BACK = "        loss.backward()\n"
ADDED = "total += loss.item()"
RETURNED = "return total"
ALL_TARGETS = "Divide the sum of each part by the number of targets in all parts, counted first"
SAME_NUMBERS = "Add up the very numbers that you called backward() on"
NO_ZERO = "Do not zero gradients between the parts or after them; backward() adds to what is there"


ACCUMULATE: tuple[Mutant, ...] = (
    slip(
        accumulate,
        "mean-of-means",
        SUMMED,
        ") / len(parts)",
        "a mean of each part's mean: targets in parts with few of them count more",
        "Sum the losses of a part and divide by the number of targets in all parts",
    ),
    slip(
        accumulate,
        "sum-of-means",
        SUMMED,
        ")",
        "the parts' means are added up and never divided: more parts, longer steps",
        "Divide by the number of targets in all parts",
    ),
    slip(
        accumulate,
        "masked-positions",
        "int((labels != -100).sum())",
        "len(labels)",
        "the sum is divided by all positions (rows), the masked ones included: labels of -100 are "
        "no targets",
        "Count the labels that are not -100",
    ),
    slip(
        accumulate,
        "last-part-only",
        BACK,
        "        model.zero_grad()\n" + BACK,
        "the gradient is that of the last part: those of the earlier parts are cleared "
        "(zero_grad), or backward() is behind the loop",
        NO_ZERO,
    ),
    slip(
        accumulate,
        "loss-as-mean-of-means",
        ADDED,
        "total += F.cross_entropy(logits, labels, ignore_index=-100).item() / len(parts)",
        "the gradient is right, but the loss is a mean of the parts' means",
        SAME_NUMBERS,
    ),
    slip(
        accumulate,
        "one-large-batch",
        "    for x, labels in parts:",
        "    parts = [[torch.cat(column) for column in zip(*parts, strict=True)]]\n"
        "    for x, labels in parts:",
        "the numbers are right, but all parts went through the model at once: no memory is saved",
        "Call the model and backward() once for each part",
    ),
    slip(
        accumulate,
        "rows-of-the-part",
        SUMMED,
        ") * len(labels) / sum(len(labels) for _, labels in parts)",
        "each part's mean is weighed by its rows, -100 included: its number of targets is the "
        "weight",
        ALL_TARGETS,
    ),
    slip(
        accumulate,
        "targets-so-far",
        "targets = " + COUNTED,
        "targets = 0",
        "each part is divided by the targets so far: all targets have to be counted before the "
        "first backward()",
        ALL_TARGETS,
        ("logits = model(x)", "targets += int((labels != -100).sum())\n        logits = model(x)"),
    ),
    slip(
        accumulate,
        "gradient-by-targets-so-far",
        "targets = " + COUNTED,
        "targets = 0",
        "the loss is right, but the gradient is divided by the targets so far: all targets have to "
        "be counted before the first backward()",
        ALL_TARGETS,
        (
            "logits = model(x)",
            "targets += int((labels != -100).sum())\n        logits = model(x)",
        ),
        (" / targets", " / max(1, targets)"),
        (ADDED, "total += loss.item() * targets"),
        (RETURNED, "return total / targets"),
    ),
    slip(
        accumulate,
        "no-division",
        " / targets",
        "",
        "the sum over all targets, not their mean: the division by the number of targets is "
        "missing",
        ALL_TARGETS,
    ),
    slip(
        accumulate,
        "gradient-of-the-sum",
        " / targets",
        "",
        "the loss is right, but the gradient is that of the sum: divide before backward()",
        "Divide each part's sum by the targets before you call backward() on it",
        (RETURNED, "return total / targets"),
    ),
    slip(
        accumulate,
        "cleared-at-the-end",
        RETURNED,
        "model.zero_grad()\n    return total",
        "no gradient is left in .grad: zero_grad() clears it at the end, or backward() was never "
        "called",
        NO_ZERO,
    ),
    slip(
        accumulate,
        "last-loss",
        ADDED,
        "total = loss.item()",
        "the gradient is right, but only the last part's loss is returned: add up those of all "
        "parts",
        SAME_NUMBERS,
    ),
    slip(
        accumulate,
        "loss-not-divided",
        ADDED,
        "total += loss.item() * targets",
        "the gradient is right, but the loss is a sum over the targets: the mean is asked for, "
        "divided by their number",
        SAME_NUMBERS,
    ),
    slip(
        accumulate,
        "loss-divided-again",
        RETURNED,
        "return total / len(parts)",
        "the gradient is right, but the loss is divided by the number of parts once more",
        SAME_NUMBERS,
    ),
    slip(
        accumulate,
        "divided-again",
        " / targets",
        " / targets / len(parts)",
        "the number of parts divides once more: each part's sum is divided by all targets already",
        ALL_TARGETS,
    ),
    slip(
        accumulate,
        "class-zero-left-out",
        "labels != -100",
        "labels > 0",
        "class 0 is not counted as a target (labels > 0): only −100 is none",
        "Count with labels != -100",
    ),
    slip(
        accumulate,
        "softmax-first",
        "logits = model(x)",
        "logits = model(x).softmax(dim=-1)",
        "a softmax is taken before cross_entropy, which takes logits, not probabilities",
        "Give model(x) to cross_entropy as it is",
    ),
    slip(
        accumulate,
        "running-sum",
        "loss.backward()",
        "running = loss if total == 0.0 else running + loss\n"
        "        running.backward(retain_graph=True)",
        "backward() is called on the running sum, so the earlier parts are counted again each time",
        "Call backward() on the loss of each part, once",
    ),
    slip(
        accumulate,
        "labels-shifted",
        "F.cross_entropy(logits, labels,",
        "F.cross_entropy(logits[:-1], labels[1:],",
        "the labels are shifted by one row: each row of logits belongs to the label beside it",
        "Leave logits and labels as they are",
    ),
    slip(
        accumulate,
        "labels-shifted-and-counted",
        "F.cross_entropy(logits, labels,",
        "F.cross_entropy(logits[:-1], labels[1:],",
        "the labels are shifted by one row: each row of logits belongs to the label beside it",
        "Leave logits and labels as they are",
        ("(labels != -100)", "(labels[1:] != -100)"),
    ),
    slip(
        accumulate,
        "masked-rows-as-class-zero",
        "logits, labels, ignore_index=-100",
        "logits, labels.clamp(min=0)",
        "rows labelled -100 are counted as targets of class 0: they are none",
        "Leave labels of -100 out of the sum: ignore_index=-100",
    ),
    slip(
        accumulate,
        "first-part-only",
        "in parts:",
        "in parts[:1]:",
        "only the first part is used",
        "Go through all parts",
    ),
    slip(
        accumulate,
        "without-the-last-part",
        "in parts:",
        "in parts[:-1]:",
        "the last part is left out",
        "Go through all parts",
    ),
    slip(
        accumulate,
        "backward-twice",
        "loss.backward()",
        "loss.backward(retain_graph=True)\n        loss.backward()",
        "the gradient is twice too large: backward() is called two times on each part",
        "Call backward() on the loss of each part, once",
    ),
    slip(
        accumulate,
        "negated",
        "loss.backward()",
        "(-loss).backward()",
        "the gradient has the wrong sign: it is that of minus the loss",
        "Call backward() on the loss itself",
    ),
    slip(
        accumulate,
        "own-targets",
        " / targets",
        " / max(1, int((labels != -100).sum()))",
        "each part is divided by its own targets, and these means are added up: a target in a part "
        "with few of them counts more",
        ALL_TARGETS,
    ),
    slip(
        accumulate,
        "own-targets-and-mean",
        " / targets",
        " / max(1, int((labels != -100).sum())) / len(parts)",
        "each part is divided by its own targets, and their mean is taken: a mean of means, in "
        "which a target in a part with few of them counts more",
        ALL_TARGETS,
    ),
    slip(
        accumulate,
        "targets-of-the-last-part",
        COUNTED,
        "int((parts[-1][1] != -100).sum())",
        "everything is divided by the targets of one part, the last: count those of all parts",
        ALL_TARGETS,
    ),
    slip(
        accumulate,
        "number-of-parts",
        " / targets",
        " / len(parts)",
        "the sums are divided by the number of parts, not by the number of targets",
        ALL_TARGETS,
    ),
)


def _grad_is_zero(case, expected, observed) -> bool:
    return not observed["the gradient"].any()


def _loss_right(case, expected, observed) -> bool:
    return agree(expected["loss"], observed["loss"])


def _gradient_right(case, expected, observed) -> bool:
    return agree(expected["the gradient"], observed["the gradient"])


def _not_finite(case, expected, observed) -> bool:
    loss = observed["loss"]
    return isinstance(loss, float) and loss != loss


ACCUMULATE_SYMPTOMS = (
    Symptom(
        "weight afterwards",
        "the parameters have changed: only their gradients are asked for, and no step of an "
        "optimizer",
        "Leave step() to the training loop: backward() and nothing after it",
        decides=True,
    ),
    Symptom(
        "largest batch",
        "the model was not given one part at a time: more rows went through it at once, or none",
        "Call the model and backward() once for each part",
        decides=True,
    ),
    Symptom(
        "loss",
        "the loss is NaN: the mean over a part without targets (all -100) is 0/0",
        "Use reduction='sum', which is 0 there, and divide by the targets of all parts",
        _not_finite,
    ),
    Symptom(
        "the gradient",
        "no gradient is left in .grad: backward() is missing, it is cleared (zero_grad) "
        "afterwards, or the model ran under no_grad",
        NO_ZERO,
        _grad_is_zero,
    ),
    Symptom(
        "the gradient",
        "the loss is right and the gradient is not: backward() is called on something else than "
        "what is returned, divided by another number, or gradients are cleared between the parts",
        SAME_NUMBERS,
        _loss_right,
    ),
    Symptom(
        "loss",
        "the gradient is right and the loss is not: it is no mean over the targets of all parts",
        SAME_NUMBERS,
        _gradient_right,
    ),
)
