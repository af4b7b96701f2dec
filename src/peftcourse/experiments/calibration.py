"""Does a model know how sure it may be? Confidence against accuracy.

A model is calibrated if of all predictions made with confidence p a share p is right. Two numbers
say how far it is from that: the expected calibration error (Guo et al. 2017, "On calibration of
modern neural networks", arXiv 1706.04599, equation 5) and the Brier score (Brier 1950,
"Verification of forecasts expressed in terms of probability", equation 2). The bins of the first
make the reliability diagram.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from peftcourse.experiments.evaluate import evaluating
from peftcourse.experiments.tasks import IGNORE, Encoded, Example, collate, prompt_ids
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Outcomes:
    """What became of N predictions; three tensors of shape (N,), float32.

    Attributes:
        confidence: the probability of the likeliest class.
        correct: 1 where that class was the right one, else 0.
        squared_error: Σ over the classes of (probability - [class is right])², from 0 to 2.
    """

    confidence: Tensor
    correct: Tensor
    squared_error: Tensor

    @classmethod
    def of(cls, probabilities: Tensor, labels: Tensor) -> Outcomes:
        """Judge predictions.

        Args:
            probabilities: (N, classes), each row with the sum 1.
            labels: (N,), the right classes.
        """
        probabilities = probabilities.float()
        confidence, predicted = probabilities.max(dim=-1)
        right = probabilities.gather(-1, labels[:, None])[:, 0]
        # Σ (p - y)² = Σ p² - 2 p_right + 1, without the one-hot y: a vocabulary is large.
        squared = probabilities.square().sum(dim=-1) - 2 * right + 1
        return cls(confidence, (predicted == labels).float(), squared)

    @classmethod
    def join(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Several sets of predictions as one."""
        names = ("confidence", "correct", "squared_error")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Bins:
    """A reliability diagram: predictions grouped by confidence, in bins of equal width.

    Attributes:
        low, high: ends of each bin; a confidence on a border belongs to the lower bin.
        count: predictions in it.
        confidence: their mean confidence, None in an empty bin.
        accuracy: the share of them that was right, None in an empty bin.
    """

    low: list[float]
    high: list[float]
    count: list[int]
    confidence: list[float | None]
    accuracy: list[float | None]


@dataclass(frozen=True)
class Calibration:
    """How well confidence and accuracy agree.

    Attributes:
        count: number of predictions.
        accuracy: share of right predictions.
        confidence: mean confidence; above the accuracy in an overconfident model.
        ece: expected calibration error, from 0 to 1: the mean over the predictions of
            the distance of accuracy and confidence in their bin.
        brier: Brier score, from 0 to 2: mean squared error of the probabilities.
        bins: the reliability diagram.
    """

    count: int
    accuracy: float
    confidence: float
    ece: float
    brier: float
    bins: Bins

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def calibration(outcomes: Outcomes, bins: int = 10) -> Calibration:
    """Summarise predictions.

    Args:
        outcomes: what became of them.
        bins: how many bins of equal width between 0 and 1; the ECE depends on it (Guo et al. use
            15), so compare only what has the same number.

    Raises:
        PeftlabError: there are no predictions, or no bins.
    """
    count = len(outcomes.confidence)
    if not count or bins < 1:
        raise PeftlabError(f"{count} predictions in {bins} bins have no calibration.")
    confidence, correct = outcomes.confidence.double().cpu(), outcomes.correct.double().cpu()
    borders = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    place = torch.bucketize(confidence, borders[1:-1])  # low < confidence <= high
    inside = torch.bincount(place, minlength=bins)
    sums = {
        "confidence": torch.bincount(place, weights=confidence, minlength=bins),
        "accuracy": torch.bincount(place, weights=correct, minlength=bins),
    }
    means = {
        name: [s / n if n else None for s, n in zip(total.tolist(), inside.tolist(), strict=True)]
        for name, total in sums.items()
    }
    gaps = (sums["accuracy"] - sums["confidence"]).abs()  # n_b |acc_b - conf_b|
    return Calibration(
        count=count,
        accuracy=correct.mean().item(),
        confidence=confidence.mean().item(),
        ece=gaps.sum().item() / count,
        brier=outcomes.squared_error.double().mean().item(),
        bins=Bins(borders[:-1].tolist(), borders[1:].tolist(), inside.tolist(), **means),
    )


def over_tokens(
    model: nn.Module, examples: Sequence[Encoded], batch_size: int = 32
) -> tuple[float, Outcomes]:
    """Predict every target token of encoded examples from those before it.

    Returns:
        The mean loss in nats per target token, as ``evaluate.loss`` computes it, and the outcomes
        over the whole vocabulary.

    Raises:
        PeftlabError: the examples hold no target token.
    """
    pad_id = getattr(model.config, "pad_token_id", None) or 0
    total, parts = 0.0, []
    with evaluating(model) as device:
        for start in range(0, len(examples), batch_size):
            batch = collate(examples[start : start + batch_size], pad_id)
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            labels = batch["labels"][:, 1:]
            counted = labels != IGNORE  # (B, L - 1)
            log_p = logits[:, :-1][counted].float().log_softmax(dim=-1)  # (targets, V)
            total -= log_p.gather(-1, labels[counted][:, None]).sum().item()
            parts.append(Outcomes.of(log_p.exp(), labels[counted]))
    outcomes = Outcomes.join(parts) if parts else None
    if outcomes is None or not len(outcomes.confidence):
        raise PeftlabError("the examples hold no target token; give at least one non-empty target.")
    return total / len(outcomes.confidence), outcomes


def label_probabilities(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    examples: Sequence[Example],
    batch_size: int = 32,
) -> Tensor:
    """Probabilities of a few label words after each prompt, scaled to the sum 1.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        labels: the words, such as ``(" positive", " negative")``; each must begin with another
            token, and the probability of that token stands for the word.
        examples: what to classify; only the prompts are used.
        batch_size: prompts at once.

    Returns:
        (examples, labels), float32, on the CPU.

    Raises:
        PeftlabError: two labels begin with the same token, or there are no examples.
    """
    first = [tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in labels]
    if len(set(first)) < len(labels):
        raise PeftlabError(
            f"two of the labels {', '.join(map(repr, labels))} begin with the same token; choose "
            "words that the tokenizer tells apart at once."
        )
    if not examples:
        raise PeftlabError("there are no examples to classify; give at least one.")
    prompts = [prompt_ids(example.prompt, tokenizer) for example in examples]
    pad_id = getattr(model.config, "pad_token_id", None) or 0
    found = []
    with evaluating(model) as device:
        for place in range(0, len(prompts), batch_size):
            rows = prompts[place : place + batch_size]
            batch = collate([{"input_ids": row, "labels": row} for row in rows], pad_id)
            ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
            logits = model(ids, attention_mask=mask).logits
            last = mask.sum(dim=1) - 1
            chosen = logits[torch.arange(len(rows), device=device), last][:, first]
            found.append(chosen.float().softmax(dim=-1).cpu())
    return torch.cat(found)
