"""Eight ways to break a fine-tuning run, made on purpose, and the numbers that tell them apart.

Every run trains LoRA on the ``slots`` task with the same recipe. A broken one differs from the
healthy one in a single thing, at the place where people get it wrong. `examine` makes the run and
writes down what anybody could have measured in it; `diagnose` goes from these numbers to a cause.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

import peftlab
from peftcourse.experiments import evaluate, models, tasks, train
from peftcourse.experiments.tasks import IGNORE, Encoded
from peftlab.errors import PeftlabError

HEALTHY = "healthy"
TOO_SLOW = "too slow"  # no bug: the rate is too low, or the steps are too few
# Cause → what was done.
BUGS = {
    "rate too high": "a learning rate of 0.2 in place of 0.003",
    "wrong targets": "a pattern that matches the queries and keys of one block of eight",
    "frozen by mistake": "every B frozen by a pattern, with A still training",
    "labels shifted": "labels moved by one place before a loss that moves them itself",
    "padding in the loss": "padding labelled with its own id in place of -100",
    "overfitting": "four training examples",
    "wrong dtype": "adapter parameters in float16, with AdamW working on them",
    "merged twice": "the adapter loaded again onto a model that it is merged into",
}
CAUSES = (HEALTHY, *BUGS)

RATE, HIGH_RATE, BATCH, MAX_LENGTH = 3e-3, 0.2, 4, 112
FEW = 4  # examples of the run that overfits
HELD_OUT = 16  # validation examples
ONE_BLOCK = r"model\.layers\.0\.self_attn\.[qk]_proj"

# What counts as a difference. Losses in nats per token.
SAME_START = 0.02  # share of the base model's loss by which the first logged loss may differ
RISE = 0.1  # of the validation loss above its best, or of the shipped model's loss
JUMP = 0.5  # of the training loss above its first
LEARNED = 0.1  # share of the base model's loss by which a loss must fall to count as learning


@dataclass
class Chart:
    """What was measured in one run; losses in nats per target token, None where not finite.

    Attributes:
        cause: what was done to it, one of `CAUSES`.
        start: the base model's loss on the texts of the first step, by ``evaluate.loss``.
        logged: the training loss of each step as the run itself computed it.
        validation: (step, loss on held-out examples), by ``evaluate.loss``.
        counted: tokens that the run's loss counts in all training examples.
        targets: tokens that it should count.
        adapted: layers with an adapter.
        wanted: linear layers of the model's blocks.
        update: Frobenius norm of all that training added to the weights.
        shipped: loss on the held-out examples of the merged model that is handed over.
    """

    cause: str
    start: float
    logged: list[float | None] = field(default_factory=list)
    validation: list[tuple[int, float | None]] = field(default_factory=list)
    counted: int = 0
    targets: int = 0
    adapted: int = 0
    wanted: int = 0
    update: float | None = 0.0
    shipped: float | None = None

    def measurements(self) -> dict[str, float]:
        """The numbers that `diagnose` needs, by name; NaN where there is no finite one."""
        held_out = [math.nan if loss is None else loss for _, loss in self.validation]
        logged = [math.nan if loss is None else loss for loss in self.logged]
        return {
            "start": self.start,
            "first": logged[0],
            "last": logged[-1],
            "highest": max(filter(math.isfinite, logged), default=math.nan),
            "best_validation": min(filter(math.isfinite, held_out), default=math.nan),
            "last_validation": held_out[-1],
            "counted": self.counted,
            "targets": self.targets,
            "adapted": self.adapted,
            "wanted": self.wanted,
            "update": math.nan if self.update is None else self.update,
            "shipped": math.nan if self.shipped is None else self.shipped,
        }


def diagnose(run: dict[str, float]) -> str:
    """The likely cause, from `Chart.measurements`; the questions are asked in a fixed order.

    A number that is not finite says nothing about what comes after it, and a run that starts in
    the wrong place, or in which nothing moves, cannot tell how well it learns. So the questions
    that decide whether others make sense come first, and whether anything was learned comes last:
    a run in which all else is in order can still be `TOO_SLOW`.
    """
    if not all(math.isfinite(run[loss]) for loss in ("last", "last_validation", "update")):
        return "wrong dtype"
    if run["counted"] != run["targets"]:
        return "padding in the loss"
    if abs(run["first"] - run["start"]) > SAME_START * run["start"]:
        return "labels shifted"
    if run["update"] == 0:
        return "frozen by mistake"
    if run["adapted"] < run["wanted"]:
        return "wrong targets"
    if not run["shipped"] <= run["last_validation"] + RISE:  # NaN is no better than a rise
        return "merged twice"
    if run["highest"] > run["first"] + JUMP:
        return "rate too high"
    if run["last_validation"] > run["best_validation"] + RISE:
        return "overfitting"
    if run["best_validation"] > (1 - LEARNED) * run["start"]:
        # Held-out examples gained nothing. If those that were trained on did, they were memorized.
        return TOO_SLOW if run["last"] > (1 - LEARNED) * run["first"] else "overfitting"
    return HEALTHY


def examine(cause: str, *, steps: int = 60, every: int = 10, seed: int = 0) -> Chart:
    """Train the bundled model, or the one that ``PEFTLAB_MODEL`` names, with one thing wrong.

    Args:
        cause: one of `CAUSES`.
        steps: optimizer steps.
        every: steps between two validation losses.
        seed: of the adapter's start and of the order of the examples.

    Raises:
        PeftlabError: there is no such cause.
    """
    if cause not in CAUSES:
        raise PeftlabError(f"no run is called {cause!r}; choose one of {', '.join(CAUSES)}.")
    model, tokenizer = models.load()
    task = tasks.load("slots")
    right = tasks.encode(task.train, tokenizer, MAX_LENGTH)
    held_out = tasks.encode(task.validation[:HELD_OUT], tokenizer, MAX_LENGTH)
    if cause == "overfitting":
        right = right[:FEW]
    given = _prepared(cause, right, tokenizer.pad_token_id)

    torch.manual_seed(seed)
    wanted = peftlab.match_targets(model, "all-linear")
    targets = ONE_BLOCK if cause == "wrong targets" else "all-linear"
    peftlab.apply(model, peftlab.LoRAConfig(rank=8, alpha=16, targets=targets), name="patient")
    for name, parameter in model.named_parameters():
        if cause == "frozen by mistake" and name.endswith(".B"):
            parameter.requires_grad_(False)
        if cause == "wrong dtype" and parameter.requires_grad:
            parameter.data = parameter.data.half()

    first = [right[i] for i in train.batch_indices(1, len(right), BATCH, seed)]
    chart = Chart(
        cause,
        evaluate.loss(model, first),
        validation=[(0, evaluate.loss(model, held_out))],
        counted=_counted(given),
        targets=_counted(right),
        adapted=len(peftlab.adapter_layers(model)),
        wanted=len(wanted),
    )

    def measure(step: int, model: nn.Module) -> None:
        if step % every == 0:
            chart.validation.append((step, _finite(evaluate.loss(model, held_out))))

    rate = HIGH_RATE if cause == "rate too high" else RATE
    recipe = train.TrainConfig(steps, BATCH, rate, seed=seed)
    try:
        history = train.train(model, given, recipe, on_step=measure, progress=False)
        chart.logged = history.losses
    except PeftlabError:  # the loss was not finite, right after the first step
        chart.logged = [chart.start, None]
        chart.validation.append((1, _finite(evaluate.loss(model, held_out))))
    with torch.no_grad():
        squares = [layer.delta_weight().float().square().sum() for layer in _layers(model)]
    chart.update = _finite(math.sqrt(float(torch.stack(squares).sum())))
    chart.shipped = _finite(evaluate.loss(_merged(model, twice=cause == "merged twice"), held_out))
    return chart


def _prepared(cause: str, right: Sequence[Encoded], pad_id: int) -> list[Encoded]:
    """The training examples as the run gets them: padded or shifted by mistake."""
    if cause == "labels shifted":
        return [{**e, "labels": [*e["labels"][1:], IGNORE]} for e in right]
    if cause == "padding in the loss":
        return [
            {name: row + [pad_id] * (MAX_LENGTH - len(row)) for name, row in e.items()}
            for e in right
        ]
    return list(right)


def _counted(examples: Sequence[Encoded]) -> int:
    """Tokens that the loss counts: labels behind the first position that are not -100."""
    return sum(label != IGNORE for example in examples for label in example["labels"][1:])


def _layers(model: nn.Module) -> list[Any]:
    return [layer for _, layer in peftlab.adapter_layers(model)]


def _merged(model: nn.Module, *, twice: bool) -> nn.Module:
    """The model to hand over; ``twice`` loads the adapter's file onto it and merges once more."""
    with tempfile.TemporaryDirectory() as folder:
        peftlab.save(model, folder)
        peftlab.merge(model, keep_base=False)
        if twice:
            peftlab.load(model, folder)
            peftlab.merge(model, keep_base=False)
    return model


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
