"""Lesson 04, the recipe: schedule, accumulation, LoRA+ and packing, rightly and wrongly."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant

# --- practice.schedule ----------------------------------------------------------------------------


def schedule(step: int, steps: int, peak: float, warmup: float) -> float:
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def _after(step, steps, peak, warmup, fall):
    """The right warm-up, and another way down."""
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return schedule(step, steps, peak, warmup)
    return peak * fall((step - 1 - rising) / (steps - rising))


def _starts_at_zero(step, steps, peak, warmup):
    rising = math.ceil(warmup * steps)
    return peak * (step - 1) / rising if step <= rising else schedule(step, steps, peak, warmup)


def _ends_at_zero(step, steps, peak, warmup):
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return schedule(step, steps, peak, warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


def _cosine_of_all_steps(step, steps, peak, warmup):
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return schedule(step, steps, peak, warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))


SCHEDULE = (
    Mutant(
        "no-warm-up",
        lambda step, steps, peak, warmup: peak * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps)),
        "the rate starts at its peak: there is no warm-up",
        "Let the rate rise linearly over the first ⌈warmup · steps⌉ steps",
    ),
    Mutant(
        "first-step-wasted",
        _starts_at_zero,
        "the first step has a rate of zero and changes nothing",
        "In the warm-up use step / rising: 1 / rising in the first step",
    ),
    Mutant(
        "last-step-wasted",
        _ends_at_zero,
        "the cosine is one step ahead: the last step has a rate of zero",
        "Progress is (step - 1 - rising) / (steps - rising): 0 in the first step after the warm-up",
    ),
    Mutant(
        "linear-decay",
        lambda *options: _after(*options, lambda progress: 1 - progress),
        "the rate falls along a straight line, not along a cosine",
        "Use ½ (1 + cos(π · progress))",
    ),
    Mutant(
        "cosine-over-all-steps",
        _cosine_of_all_steps,
        "the cosine counts from the first step, so the rate jumps down where the warm-up ends",
        "Count progress from the end of the warm-up",
    ),
    Mutant(
        "comes-back-up",
        lambda *options: _after(
            *options, lambda progress: 0.5 * (1 + math.cos(2 * math.pi * progress))
        ),
        "a whole period of the cosine: the rate is back at its peak at the end",
        "Half a period: cos(π · progress)",
    ),
)

# --- practice.accumulate --------------------------------------------------------------------------


def accumulate(model: nn.Module, parts: list[tuple[Tensor, Tensor]]) -> float:
    targets = sum(int((labels != -100).sum()) for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += loss.item()
    return total


def _means(model, parts, divide):
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100) / divide
        loss.backward()
        total += loss.item()
    return total


def _all_positions(model, parts):
    positions = sum(len(labels) for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / positions
        loss.backward()
        total += loss.item()
    return total


def _last_part(model, parts):
    targets = sum(int((labels != -100).sum()) for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        model.zero_grad()
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += loss.item()
    return total


def _shown_as_mean_of_means(model, parts):
    accumulate(model, parts)
    with torch.no_grad():
        losses = [F.cross_entropy(model(x), labels, ignore_index=-100) for x, labels in parts]
    return torch.stack(losses).mean().item()


def _one_batch(model, parts):
    x, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    loss = F.cross_entropy(model(x), labels, ignore_index=-100)
    loss.backward()
    return loss.item()


ACCUMULATE = (
    Mutant(
        "mean-of-means",
        lambda model, parts: _means(model, parts, len(parts)),
        "a mean of each part's mean: targets in parts with few of them count more",
        "Sum the losses of a part and divide by the number of targets in all parts",
    ),
    Mutant(
        "sum-of-means",
        lambda model, parts: _means(model, parts, 1),
        "the parts' means are added up and never divided: more parts, longer steps",
        "Divide by the number of targets in all parts",
    ),
    Mutant(
        "masked-positions",
        _all_positions,
        "the sum is divided by all positions, the masked ones included",
        "Count the labels that are not -100",
    ),
    Mutant(
        "last-part-only",
        _last_part,
        "the gradient is that of the last part: the others are wiped before it",
        "Do not zero gradients between the parts; backward() adds to what is there",
    ),
    Mutant(
        "loss-as-mean-of-means",
        _shown_as_mean_of_means,
        "the gradient is right, but the loss is a mean of the parts' means",
        "Add up the very numbers that you called backward() on",
    ),
    Mutant(
        "one-large-batch",
        _one_batch,
        "the numbers are right, but all parts went through the model at once: no memory is saved",
        "Call the model and backward() once for each part",
    ),
)

# --- practice.ratio -------------------------------------------------------------------------------


def ratio(model: nn.Module, rate: float, ratio: float) -> list[dict[str, Any]]:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    fast = [p for name, p in named if name.split(".")[-1] == "B"]
    slow = [p for name, p in named if name.split(".")[-1] != "B"]
    return [{"params": slow, "lr": rate}, {"params": fast, "lr": ratio * rate}]


def _by_name(model, rate, ratio, is_fast, is_slow, frozen=False):
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad or frozen]
    return [
        {"params": [p for name, p in named if is_slow(name)], "lr": rate},
        {"params": [p for name, p in named if is_fast(name)], "lr": ratio * rate},
    ]


def _last(name: str) -> str:
    return name.split(".")[-1]


RATIO = (
    Mutant(
        "fast-a",
        lambda model, rate, ratio: _by_name(
            model, rate, ratio, lambda n: _last(n) == "A", lambda n: _last(n) != "A"
        ),
        "A has the high rate and B the low one",
        "B starts at zero and gets ratio · rate",
    ),
    Mutant(
        "b-anywhere",
        lambda model, rate, ratio: _by_name(
            model, rate, ratio, lambda n: "B" in n, lambda n: "B" not in n
        ),
        "whatever has a B anywhere in its name is fast, also A in a module called Blocks",
        "Look at the last part of the name: name.split('.')[-1]",
    ),
    Mutant(
        "the-rest-is-missing",
        lambda model, rate, ratio: _by_name(
            model, rate, ratio, lambda n: _last(n) == "B", lambda n: _last(n) == "A"
        ),
        "what trains besides A and B is in no group, so it never moves",
        "Everything that requires a gradient and is not a B belongs to the slow group",
    ),
    Mutant(
        "frozen-too",
        lambda model, rate, ratio: _by_name(
            model, rate, ratio, lambda n: _last(n) == "B", lambda n: _last(n) != "B", frozen=True
        ),
        "the frozen weights are in a group: with weight decay and a gradient they would move",
        "Keep only parameters with requires_grad",
    ),
    Mutant(
        "slower-b",
        lambda model, rate, factor: ratio(model, rate, 1 / factor),
        "B's rate is divided by the ratio; it learns more slowly than A",
        "Multiply: ratio · rate",
    ),
)

# --- practice.pack --------------------------------------------------------------------------------


def pack(sequences: list[list[int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    ids = torch.tensor([token for sequence in sequences for token in sequence])
    owner = torch.tensor([i for i, sequence in enumerate(sequences) for _ in sequence])
    positions = torch.tensor([at for sequence in sequences for at in range(len(sequence))])
    labels = ids.masked_fill(positions == 0, -100)
    mask = (owner[:, None] == owner).tril()
    return ids, labels, positions, mask


def _packed(change):
    def answer(sequences):
        ids, labels, positions, mask = pack(sequences)
        return change(ids, labels, positions, mask)

    return answer


def _ends(positions: Tensor) -> Tensor:
    """Where each sequence has its last token."""
    return torch.cat([positions[1:], positions.new_zeros(1)]) == 0


PACK = (
    Mutant(
        "labels-across-borders",
        _packed(lambda ids, labels, positions, mask: (ids, ids.clone(), positions, mask)),
        "the first token of a sequence has a label, so the one before it has to be predicted "
        "from another text",
        "Label the first token of every sequence -100",
    ),
    Mutant(
        "last-token-masked",
        _packed(
            lambda ids, labels, positions, mask: (
                ids,
                ids.masked_fill(_ends(positions), -100),
                positions,
                mask,
            )
        ),
        "the last token of each sequence is masked; labels are not shifted here, so it is the "
        "first one that nothing may predict",
        "Label the first token of every sequence -100",
    ),
    Mutant(
        "positions-go-on",
        _packed(lambda ids, labels, positions, mask: (ids, labels, torch.arange(len(ids)), mask)),
        "positions run through: the second text starts where the first one ends",
        "Count positions from 0 in each sequence",
    ),
    Mutant(
        "causal-only",
        _packed(
            lambda ids, labels, positions, mask: (
                ids,
                labels,
                positions,
                torch.ones_like(mask).tril(),
            )
        ),
        "the mask is causal and has no borders: each text attends to those packed before it",
        "Two positions see each other only if they belong to the same sequence",
    ),
    Mutant(
        "not-causal",
        _packed(lambda ids, labels, positions, mask: (ids, labels, positions, mask | mask.T)),
        "a position sees later tokens of its own sequence, also the one it has to predict",
        "Keep the lower triangle of the mask: tril()",
    ),
)
