"""One run: train one method once and measure the result."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import peftlab
from peftcourse.compare.methods import prepare
from peftcourse.compare.plan import Pair, Run
from peftcourse.compare.search import SEARCH
from peftcourse.compare.tables import BASE
from peftcourse.experiments import evaluate, models, own_data, tasks, train
from peftcourse.experiments.calibration import (
    Outcomes,
    calibration,
    label_probabilities,
    over_tokens,
)

STORY_TOKENS = 128
CURVE_POINTS = 50  # of a recorded loss curve
CURVE_EXAMPLES = 64  # of the validation split, for the curve of validation losses
EVALUATION_BATCH = 64
GENERATION_BATCH = 256


@dataclass(frozen=True)
class Data:
    """A task in text and in tokens."""

    task: tasks.Task
    train: list[tasks.Encoded]
    validation: list[tasks.Encoded]
    test: list[tasks.Encoded]


@cache
def base_model(name: str, device: str) -> models.Loaded:
    """One copy of a base model for each process; runs work on copies of it."""
    return models.load(name, device=device, dtype=torch.float32)


@cache
def data(pair: Pair, seed: int, device: str) -> Data:
    """The examples of one seed, encoded; they are the same for all methods.

    Own data are the same for all seeds too: what one seed tests on, no other may train on.
    """
    tokenizer = base_model(pair.model, device).tokenizer
    if pair.files:
        own = pair.files.read()
        tokens = own_data.encode(own, tokenizer, max_length=pair.max_length)
        return Data(own.task, tokens.train, tokens.validation, tokens.test)
    task = tasks.load(pair.task, seed=seed, sizes=pair.examples)
    splits = (tasks.encode(s, tokenizer, pair.max_length) for s in _splits(task))
    return Data(task, *splits)


@cache
def stories(pair: Pair, device: str) -> tuple[list[tasks.Encoded], float]:
    """Held-out stories and the base model's loss on them, in nats per token."""
    model, tokenizer = base_model(pair.model, device)
    encoded = tasks.encode(tasks.stories("test")[: pair.stories], tokenizer, STORY_TOKENS)
    return encoded, evaluate.loss(model, encoded, EVALUATION_BATCH)


def measure(run: Run, pair: Pair, device: str) -> dict[str, Any]:
    """Carry out a run that searches or reports.

    Args:
        run: what to do.
        pair: the settings of its model and task.
        device: a torch device.

    Returns:
        What was measured, without the run's own fields.

    Raises:
        PeftlabError: the training diverged, or the method does not fit the model.
    """
    model = copy.deepcopy(base_model(pair.model, device).model)
    known = data(pair, run.seed, device)
    row: dict[str, Any] = {"trainable": 0}
    if run.method != BASE:
        row = _train(run, pair, model, known)
    if run.purpose == SEARCH:
        loss = evaluate.loss(model, known.validation, EVALUATION_BATCH)
        return row | {"split": "validation", "loss": rounded(loss)}
    return row | {"split": "test"} | _quality(run, pair, model, known, device)


def _train(run: Run, pair: Pair, model: nn.Module, known: Data) -> dict[str, Any]:
    torch.manual_seed(run.seed)
    prepared = prepare(model, run.method, run.learning_rate, pair.steps)
    config = train.TrainConfig(
        steps=pair.steps,
        batch_size=pair.batch_size,
        learning_rate=run.learning_rate,
        evaluate_every=max(1, pair.steps // pair.points),
        patience=pair.patience,
        seed=run.seed,
    )
    # A curve needs few examples; what stops the training should see all of them.
    watched = known.validation[: None if pair.patience else CURVE_EXAMPLES]
    history = train.train(
        model,
        known.train,
        config,
        validation=() if run.purpose == SEARCH and not pair.patience else watched,
        groups=prepared.groups,
        on_step=prepared.on_step,
        penalty=prepared.penalty,
        progress=False,
    )
    row: dict[str, Any] = {
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "losses": thinned(history.losses),
        "seconds": rounded(history.seconds),
    }
    if run.purpose != SEARCH:
        row["validation"] = [[step, rounded(loss)] for step, loss in history.validation]
        row["file_bytes"] = file_bytes(model)
    if pair.patience:
        row["kept"] = history.kept
    return row


def _quality(run: Run, pair: Pair, model: nn.Module, known: Data, device: str) -> dict[str, Any]:
    """Loss, calibration, score and forgetting of a trained model, on the test split."""
    tokenizer = base_model(pair.model, device).tokenizer
    task = known.task
    loss, outcomes = over_tokens(model, known.test, EVALUATION_BATCH)
    row: dict[str, Any] = {"loss": rounded(loss)}
    if task.labels:
        probabilities = label_probabilities(
            model, tokenizer, task.labels, task.test, EVALUATION_BATCH
        )
        right = torch.tensor([task.labels.index(example.target) for example in task.test])
        outcomes = Outcomes.of(probabilities, right)
        row |= _accuracies(probabilities.argmax(dim=-1), right)
    elif task.score is None:
        row["score"] = rounded(outcomes.correct.mean().item())
    else:
        row |= _generated(run, pair, model, known, device)
    over = "label words" if task.labels else "target tokens"
    row["calibration"] = {"over": over} | rounded(calibration(outcomes).as_json())
    encoded, before = stories(pair, device)
    after = evaluate.loss(model, encoded, EVALUATION_BATCH)
    return row | {
        "story_loss_before": rounded(before),
        "story_loss": rounded(after),
        "forgetting": rounded(after - before),
    }


def _generated(run: Run, pair: Pair, model: nn.Module, known: Data, device: str) -> dict[str, Any]:
    """The task's score of generated outputs, and two of the outputs to look at."""
    asked = known.task.test[: pair.scored]
    outputs = evaluate.generate(
        model,
        base_model(pair.model, device).tokenizer,
        [example.prompt for example in asked],
        max_new_tokens=pair.new_tokens,
        temperature=pair.temperature,
        seed=run.seed,
        batch_size=GENERATION_BATCH,
    )
    scores = [known.task.score(e, text) for e, text in zip(asked, outputs, strict=True)]
    row: dict[str, Any] = {"score": rounded(sum(scores) / len(scores)), "outputs": outputs[:2]}
    if pair.task == "slots":
        row["valid"] = rounded(sum(map(tasks.valid_json, outputs)) / len(outputs))
    return row


def _accuracies(predicted: Tensor, right: Tensor) -> dict[str, float]:
    """Accuracy, and the mean of the classes' accuracies, which a majority vote cannot raise."""
    hits = (predicted == right).double()
    by_class = torch.stack([hits[right == label].mean() for label in right.unique()])
    return {
        "score": rounded(hits.mean().item()),
        "balanced_accuracy": rounded(by_class.mean().item()),
    }


def file_bytes(model: nn.Module) -> int:
    """Size of the file in which what was trained is kept: an adapter, or the whole model."""
    with tempfile.TemporaryDirectory() as folder:
        if peftlab.adapters(model):
            file = peftlab.save(model, folder) / "adapter_model.safetensors"
        else:
            file = Path(folder) / "model.safetensors"
            save_file({name: p.detach() for name, p in model.named_parameters()}, file)
        return file.stat().st_size


def thinned(losses: list[float]) -> list[list[float]]:
    """A loss curve of at most ``CURVE_POINTS`` points: [step, mean since the point before]."""
    width = -(-len(losses) // CURVE_POINTS)
    parts = [losses[start : start + width] for start in range(0, len(losses), width)]
    ends = [min((i + 1) * width, len(losses)) for i in range(len(parts))]
    return [[end, rounded(sum(p) / len(p))] for end, p in zip(ends, parts, strict=True)]


def rounded(value: Any) -> Any:
    """Numbers to five digits, also inside lists and dictionaries: enough, and a smaller file."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _splits(task: tasks.Task) -> tuple[list[tasks.Example], ...]:
    return task.train, task.validation, task.test
