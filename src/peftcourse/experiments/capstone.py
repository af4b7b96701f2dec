"""The last steps with a trained adapter: measure it as somebody who has to rely on it, and ship it.

`ship` measures once on the test examples, saves the adapter, and checks that merging changes
nothing. What it returns writes itself as a short report in Markdown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import peftlab
from peftcourse.experiments import calibration, evaluate, tasks
from peftcourse.experiments.calibration import Calibration
from peftcourse.experiments.own_data import OwnData
from peftcourse.experiments.statistics import Interval, t_interval
from peftcourse.experiments.tasks import Encoded, Example
from peftlab.errors import PeftlabError
from peftlab.inject import disabled

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

# Merging rounds once in the precision of the base; this is far more than that does in 16 bit.
MERGED_TOLERANCE = 0.02
Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class Measured:
    """One model on the test examples.

    Attributes:
        loss: nats per target token, mean over examples with its interval.
        exact: share of examples answered exactly, with its interval.
        calibration: over the target tokens.
    """

    loss: Interval
    exact: Interval
    calibration: Calibration


@dataclass(frozen=True)
class Shipped:
    """What is known of an adapter on the day that it is handed over.

    Attributes:
        data: what it was trained for.
        base, adapted: the model without and with it, on the same test examples.
        majority: share of test examples right if the commonest training answer is always given.
        forgetting: loss on plain stories without and with it.
        trainable: its parameters.
        folder: where it was saved.
        file_bytes: size of that folder's files.
        merged_loss: test loss once it is merged into the weights.
    """

    data: OwnData
    base: Measured
    adapted: Measured
    majority: float
    forgetting: evaluate.Forgetting
    trainable: int
    folder: Path
    file_bytes: int
    merged_loss: float

    @property
    def merges(self) -> bool:
        """Whether the merged model has the loss of the adapted one."""
        return abs(self.merged_loss - self.adapted.loss.mean) <= MERGED_TOLERANCE

    def as_markdown(self) -> str:
        """The report: a table and what to know beside it."""
        base, adapted, task = self.base, self.adapted, self.data.task
        rows = [
            ("loss, nats per token", _shown(base.loss), _shown(adapted.loss)),
            ("exact match", _percent(base.exact), _percent(adapted.exact)),
            ("ECE of the tokens", f"{base.calibration.ece:.2f}", f"{adapted.calibration.ece:.2f}"),
            ("Brier score", f"{base.calibration.brier:.2f}", f"{adapted.calibration.brier:.2f}"),
        ]
        merged = "unchanged" if self.merges else f"CHANGED to {self.merged_loss:.2f}"
        return "\n".join(
            [
                f"# {task.name}",
                "",
                f"{len(task.train)} training, {len(task.validation)} validation and "
                f"{len(task.test)} test examples; {self.data.duplicates} duplicates left out, "
                f"{len(self.data.near_duplicates)} held-out examples nearly in the training data.",
                "",
                "| on the test examples | base model | with the adapter |",
                "|---|---|---|",
                *(f"| {name} | {before} | {after} |" for name, before, after in rows),
                "",
                "Brackets: 95 % intervals over the test examples, for this one training run.",
                "",
                f"- Always the commonest training answer: {self.majority:.0%} exact.",
                f"- Loss on plain stories: {self.forgetting.before:.2f} before, "
                f"{self.forgetting.after:.2f} after.",
                f"- {self.trainable:,} parameters, {self.file_bytes / 1e6:.2f} MB on disk.",
                f"- Test loss after merging: {merged}.",
                "",
            ]
        )


def ship(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    data: OwnData,
    folder: str | Path,
    *,
    max_length: int = 128,
) -> Shipped:
    """Measure a model with one trained adapter, save the adapter, and write ``report.md`` to it.

    Args:
        model: the model with the adapter switched on and not merged; it leaves as it came.
        tokenizer: its tokenizer.
        data: the adapter's task; its test examples are used here, and should not have been before.
        folder: where the adapter and the report go.
        max_length: longer examples lose their end in the losses.

    Raises:
        PeftlabError: the model has no adapter or several, or it cannot be merged.
    """
    names = peftlab.adapters(model)
    if len(names) != 1:
        raise PeftlabError(f"ship one adapter at a time; the model has {len(names)}. Remove some.")
    test = tasks.encode(data.task.test, tokenizer, max_length)
    stories = tasks.encode(tasks.stories("test")[:32], tokenizer, 64)
    with disabled(model):
        base = measure(model, tokenizer, data.task.test, test)
    adapted = measure(model, tokenizer, data.task.test, test)
    forgetting = evaluate.forgetting(model, stories)
    trainable = sum(
        parameter.numel()
        for _, layer in peftlab.adapter_layers(model)
        for parameter in layer.adapter_parameters().values()
    )
    folder = peftlab.save(model, folder)
    file_bytes = sum(file.stat().st_size for file in folder.iterdir() if file.name != "report.md")
    peftlab.merge(model)
    merged_loss = t_interval(_losses(model, test)).mean
    peftlab.unmerge(model)
    shipped = Shipped(
        data, base, adapted, _majority(data), forgetting, trainable, folder, file_bytes, merged_loss
    )
    (folder / "report.md").write_text(shipped.as_markdown(), encoding="utf-8")
    return shipped


def measure(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    encoded: Sequence[Encoded],
) -> Measured:
    """Loss, exact match and calibration of the model as it is."""
    longest = max(sum(label != tasks.IGNORE for label in example["labels"]) for example in encoded)
    prompts = [example.prompt for example in examples]
    outputs = evaluate.generate(model, tokenizer, prompts, max_new_tokens=longest)
    exact = evaluate.exact_match(outputs, examples)
    _, outcomes = calibration.over_tokens(model, encoded)
    return Measured(
        t_interval(_losses(model, encoded)),
        wilson(exact, len(examples)),
        calibration.calibration(outcomes),
    )


def wilson(share: float, count: int) -> Interval:
    """95 % interval of a share of ``count`` yes-or-no answers (Wilson 1927).

    Unlike share ± 1.96 √(share (1 - share) / count) it has a width at 0 and 1, and stays between.
    """
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    spread = share * (1 - share) / count + Z**2 / (4 * count**2)
    half = Z * math.sqrt(spread) / (1 + Z**2 / count)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), count)


def _losses(model: nn.Module, encoded: Sequence[Encoded]) -> list[float]:
    return [evaluate.loss(model, [example]) for example in encoded]


def _majority(data: OwnData) -> float:
    answers = Counter(example.target.strip() for example in data.task.train)
    common = answers.most_common(1)[0][0]
    return sum(e.target.strip() == common for e in data.task.test) / len(data.task.test)


def _shown(value: Interval) -> str:
    """A loss, whose symmetric interval can reach below zero where no loss is."""
    return f"{value.mean:.2f} [{max(0.0, value.low):.2f}, {value.high:.2f}]"


def _percent(value: Interval) -> str:
    return f"{value.mean:.0%} [{value.low:.0%}, {value.high:.0%}]"
