"""The last steps with a trained adapter: measure it as somebody who has to rely on it, and ship it.

`ship` measures once on the test examples, saves the adapter, and checks that what was saved is what
was measured: loaded again here, loaded with Hugging Face PEFT, and merged into the weights, each as
far as the method allows. What it returns writes itself as a short report in Markdown.
"""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import peftlab
from peftcourse.experiments import calibration, evaluate, tasks
from peftcourse.experiments.calibration import Calibration
from peftcourse.experiments.evaluate import evaluating
from peftcourse.experiments.own_data import OwnData
from peftcourse.experiments.statistics import Interval, t_interval
from peftcourse.experiments.tasks import Encoded
from peftlab.errors import PeftlabError
from peftlab.saving import CONFIG_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

# Merging rounds once in the precision of the base; this is far more than that does in 16 bit.
MERGED_TOLERANCE = 0.02
# How far the logits of a file may be from those that were measured, as a share of the largest.
FILE_TOLERANCE = {
    torch.float64: 1e-6,
    torch.float32: 1e-4,
    torch.bfloat16: 0.03,
    torch.float16: 0.005,
}
REPORT = "report.md"
CHECKED = 8  # test examples whose logits are compared
Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class Measured:
    """One model on the test examples.

    Attributes:
        loss: nats per target token, mean over examples with its interval.
        exact: share of examples answered exactly, with its interval; None where no single answer
            is right.
        calibration: over the target tokens.
    """

    loss: Interval
    exact: Interval | None
    calibration: Calibration


@dataclass(frozen=True)
class Check:
    """Whether the adapter is the same in another place.

    Attributes:
        what: where.
        ok: whether it is the same there; None if that could not be tried.
        told: what was found, or why it could not be tried.
    """

    what: str
    ok: bool | None
    told: str


@dataclass(frozen=True)
class Shipped:
    """What is known of an adapter on the day that it is handed over.

    Attributes:
        data: what it was trained for.
        base, adapted: the model without and with it, on the same test examples.
        majority: share of test examples right if the commonest training answer is always given;
            None where no single answer is right.
        forgetting: loss on plain stories without and with it.
        trainable: its parameters.
        folder: where it was saved.
        file_bytes: size of its two files there.
        merged_loss: test loss once it is merged into the weights; None if it cannot be.
        checks: the file loaded again, loaded with PEFT, and merged.
    """

    data: OwnData
    base: Measured
    adapted: Measured
    majority: float | None
    forgetting: evaluate.Forgetting
    trainable: int
    folder: Path
    file_bytes: int
    merged_loss: float | None
    checks: tuple[Check, ...]

    @property
    def merges(self) -> bool:
        """Whether the merged model has the loss of the adapted one."""
        return self.merged_loss is not None and _merges(self.merged_loss, self.adapted)

    @property
    def ok(self) -> bool:
        """Whether no check found a difference."""
        return all(check.ok is not False for check in self.checks)

    def as_markdown(self) -> str:
        """The report: a table and what to know beside it."""
        base, adapted, task = self.base, self.adapted, self.data.task
        before, after = base.calibration, adapted.calibration
        rows = [("loss, nats per token", _shown(base.loss), _shown(adapted.loss))]
        if base.exact is not None:
            rows.append(("exact match", _percent(base.exact), _percent(adapted.exact)))
        else:
            rows.append(("tokens right", f"{before.accuracy:.0%}", f"{after.accuracy:.0%}"))
        rows += [
            ("ECE of the tokens", f"{before.ece:.2f}", f"{after.ece:.2f}"),
            ("Brier score", f"{before.brier:.2f}", f"{after.brier:.2f}"),
        ]
        known = [] if self.majority is None else [f"{self.majority:.0%} exact"]
        return "\n".join(
            [
                f"# {task.name}",
                "",
                f"{len(task.train)} training, {len(task.validation)} validation and "
                f"{len(task.test)} test examples; {self.data.duplicates} duplicates left out, "
                f"{len(self.data.near_duplicates)} held-out examples nearly in the training data, "
                f"{len(self.data.conflicts)} questions with different answers.",
                "",
                "| on the test examples | base model | with the adapter |",
                "|---|---|---|",
                *(f"| {name} | {before} | {after} |" for name, before, after in rows),
                "",
                "Brackets: 95 % intervals over the test examples, for this one training run.",
                "",
                *(f"- Always the commonest training answer: {share}." for share in known),
                f"- Loss on plain stories: {self.forgetting.before:.2f} before, "
                f"{self.forgetting.after:.2f} after.",
                f"- {self.trainable:,} parameters, {self.file_bytes / 1e6:.2f} MB on disk.",
                *(f"- {check.what}: {check.told}." for check in self.checks),
                "",
            ]
        )


def ship(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    data: OwnData,
    folder: str | Path,
    *,
    name: str | None = None,
    max_length: int | None = 128,
) -> Shipped:
    """Measure a model with a trained adapter, save it, check the file, and write ``report.md``.

    Args:
        model: the model with the adapter switched on and not merged; it leaves as it came.
        tokenizer: its tokenizer.
        data: the adapter's task; its test examples are used here, and should not have been before.
        folder: where the adapter and the report go.
        name: which adapter, if the model has several, as a fusion and what it fuses are.
        max_length: longer examples lose their end in the losses.

    Raises:
        PeftlabError: the model has no adapter, or several and no name was given.
    """
    names = peftlab.adapters(model)
    if name is None and len(names) != 1:
        raise PeftlabError(f"ship one adapter at a time; the model has {len(names)}. Remove some.")
    name = name or names[0]
    return inspect(
        model, tokenizer, data, peftlab.save(model, folder, name), name=name, max_length=max_length
    )


def inspect(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    data: OwnData,
    folder: str | Path,
    *,
    name: str = "default",
    max_length: int | None = 128,
) -> Shipped:
    """What `ship` does with an adapter that is in its folder already, where it stays as it is."""
    folder = Path(folder)
    test = tasks.encode(data.task.test, tokenizer, max_length or 10**9)
    stories = tasks.encode(tasks.stories("test")[:32], tokenizer, 64)
    with peftlab.disabled(model):
        base = measure(model, tokenizer, data, test)
    adapted = measure(model, tokenizer, data, test)
    forgetting = evaluate.forgetting(model, stories)
    trainable = sum(
        parameter.numel()
        for _, layer in peftlab.adapter_layers(model, name)
        for parameter in layer.adapter_parameters().values()
    )
    merged_loss, checks = _checks(model, name, folder, test, adapted)
    shipped = Shipped(
        data,
        base,
        adapted,
        None if base.exact is None else _majority(data),
        forgetting,
        trainable,
        folder,
        sum((folder / file).stat().st_size for file in (CONFIG_FILE, WEIGHTS_FILE)),
        merged_loss,
        checks,
    )
    (folder / REPORT).write_text(shipped.as_markdown(), encoding="utf-8")
    return shipped


# --- checks ---------------------------------------------------------------------------------------


def _checks(
    model: nn.Module, name: str, folder: Path, test: Sequence[Encoded], adapted: Measured
) -> tuple[float | None, tuple[Check, ...]]:
    """The loss after merging, and what became of the file in a copy of the base."""
    examples = test[:CHECKED]
    wanted = _logits(model, examples)
    fresh = copy.deepcopy(model)
    peftlab.remove(fresh, name)
    peftlab.load(fresh, folder, name)
    again = _compared("Loaded again", wanted, _logits(fresh, examples), model)
    loss, merged = _check_merged(fresh, name, test, adapted)
    peftlab.remove(fresh, name)
    return loss, (again, _check_peft(fresh, folder, examples, wanted), merged)


def _check_merged(
    model: nn.Module, name: str, test: Sequence[Encoded], adapted: Measured
) -> tuple[float | None, Check]:
    what = "Test loss after merging"
    try:
        peftlab.merge(model, name)
    except PeftlabError as error:
        # The reason of the method, or of this model: a tied or an 8-bit weight.
        return None, Check(what, None, f"none, {str(error).rstrip('.')}")
    loss = t_interval(_losses(model, test)).mean
    peftlab.unmerge(model, name)
    same = _merges(loss, adapted)
    return loss, Check(what, same, "unchanged" if same else f"CHANGED to {loss:.2f}")


def _merges(loss: float, adapted: Measured) -> bool:
    return abs(loss - adapted.loss.mean) <= MERGED_TOLERANCE


def _check_peft(
    base: nn.Module, folder: Path, examples: Sequence[Encoded], wanted: list[Tensor]
) -> Check:
    what = "Loaded with Hugging Face PEFT"
    try:
        import peft
    except ModuleNotFoundError:
        return Check(what, None, "not tried, the package peft is not installed")
    kind = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))["peft_type"]
    if kind not in peft.PeftType.__members__:
        return Check(what, None, f"not tried, PEFT does not have the method {kind}")
    if peftlab.adapters(base):
        return Check(what, None, "not tried, the model has other adapters too")
    with warnings.catch_warnings():
        # peft asks transformers by a name that newer versions call old.
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        loaded = peft.PeftModel.from_pretrained(base, folder)
    return _compared(what, wanted, _logits(loaded, examples), base)


def _compared(
    what: str, wanted: Sequence[Tensor], found: Sequence[Tensor], model: nn.Module
) -> Check:
    largest = max(logits.abs().max().item() for logits in wanted)
    pairs = zip(wanted, found, strict=True)
    # PEFT puts soft tokens before the input and leaves their logits in the output.
    apart = max((a - b[-len(a) :]).abs().max().item() for a, b in pairs) / largest
    same = apart <= FILE_TOLERANCE[next(model.parameters()).dtype]
    if apart == 0:
        return Check(what, True, "the same logits, bit for bit")
    told = "the same logits" if same else "OTHER logits"
    return Check(what, same, f"{told}, up to {apart:.0e} of the largest")


def _logits(model: Any, examples: Sequence[Encoded]) -> list[Tensor]:
    """The logits of each example, (length, vocabulary)."""
    with evaluating(model) as device:
        rows = (torch.tensor([example["input_ids"]], device=device) for example in examples)
        return [model(input_ids=row).logits[0].float().cpu() for row in rows]


# --- measurements ---------------------------------------------------------------------------------


def measure(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    data: OwnData,
    encoded: Sequence[Encoded],
) -> Measured:
    """Loss, exact match and calibration of the model as it is, on the test examples."""
    exact, examples = None, data.task.test
    if data.task.score is not None:
        longest = max(map(tasks.targets, encoded))
        prompts = [example.prompt for example in examples]
        outputs = evaluate.generate(model, tokenizer, prompts, max_new_tokens=longest)
        exact = wilson(evaluate.exact_match(outputs, examples), len(examples))
    _, outcomes = calibration.over_tokens(model, encoded)
    return Measured(t_interval(_losses(model, encoded)), exact, calibration.calibration(outcomes))


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
