"""Measure a model: loss, perplexity, generated text, task score, forgetting."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftcourse.experiments.chat import Message
from peftcourse.experiments.tasks import Encoded, Example, Task, collate, prompt_ids
from peftlab.errors import PeftlabError
from peftlab.inject import disabled

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def next_token_loss(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy of predicting each token from those before it, in nats.

    The logits at position t predict token t + 1, so logits lose their last position and labels
    their first. Positions labelled -100 (prompt, padding) do not count.

    Args:
        logits: (batch, length, vocabulary).
        labels: (batch, length) token ids or -100.
        reduction: "mean" over the counted tokens, or "sum".

    Returns:
        A scalar, computed in float32 or better.
    """
    logits = logits[:, :-1]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return F.cross_entropy(
        logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction=reduction
    )


def count_targets(batch: dict[str, Tensor]) -> int:
    """Number of tokens that ``next_token_loss`` counts in a batch."""
    return int((batch["labels"][:, 1:] != -100).sum())


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode and no gradients; yields the model's device and restores the mode after."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield next(model.parameters()).device
    finally:
        model.train(was_training)


def loss(model: nn.Module, examples: Sequence[Encoded], batch_size: int = 32) -> float:
    """Mean loss in nats per target token, every token of the data set weighing the same.

    Raises:
        PeftlabError: the examples hold no target token.
    """
    pad_id = getattr(model.config, "pad_token_id", None) or 0
    total, targets = 0.0, 0
    with evaluating(model) as device:
        for start in range(0, len(examples), batch_size):
            batch = collate(examples[start : start + batch_size], pad_id)
            targets += count_targets(batch)
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            total += next_token_loss(logits, batch["labels"], reduction="sum").item()
    if targets == 0:
        raise PeftlabError("the examples hold no target token; give at least one non-empty target.")
    return total / targets


def perplexity(model: nn.Module, examples: Sequence[Encoded], batch_size: int = 32) -> float:
    """exp(loss): how many equally likely tokens the model hesitates between, on average."""
    return math.exp(loss(model, examples, batch_size))


def generate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str | Sequence[Message]],
    *,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    top_k: int = 50,
    seed: int = 0,
    batch_size: int = 32,
) -> list[str]:
    """Continue each prompt.

    Args:
        model: a transformers causal language model.
        tokenizer: its tokenizer.
        prompts: texts to continue, "" starts from nothing; or messages to reply to.
        max_new_tokens: at most this many tokens are added to each.
        temperature: 0 takes the likeliest token each time; above 0 samples.
        top_k: sampling chooses among this many likeliest tokens.
        seed: of the sampling; the same seed gives the same texts on the same machine.
        batch_size: prompts continued at once.

    Returns:
        The continuations alone, without prompts and special tokens.
    """
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_k": top_k}
        if temperature > 0
        else {"do_sample": False}
    )
    pad_token = tokenizer.pad_token or tokenizer.eos_token
    # What ``tasks.encode`` ends a target with. A model's own settings may name another token, or
    # none, and then no output would ever end; or the token that ends a turn in its template.
    ends = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    texts: list[str] = []
    with evaluating(model) as device:
        cuda_devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda_devices):
            torch.manual_seed(seed)
            for start in range(0, len(prompts), batch_size):
                batch = [
                    prompt_ids(text, tokenizer) for text in prompts[start : start + batch_size]
                ]
                width = max(map(len, batch))
                pad_id = tokenizer.convert_tokens_to_ids(pad_token)
                # Padding goes on the left, so that every continuation starts at the same column.
                ids = torch.tensor([[pad_id] * (width - len(row)) + row for row in batch])
                mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch])
                output = model.generate(
                    ids.to(device),
                    attention_mask=mask.to(device),
                    max_new_tokens=max_new_tokens,
                    pad_token_id=pad_id,
                    eos_token_id=sorted(ends) or None,
                    **sampling,
                )
                texts += tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
    return texts


def exact_match(outputs: Sequence[str], examples: Sequence[Example]) -> float:
    """Share of outputs that equal their target, surrounding white space aside.

    Raises:
        PeftlabError: there are no examples, or not one output for each.
    """
    if not examples or len(outputs) != len(examples):
        raise PeftlabError(
            f"exact match compares one output per example, not {len(outputs)} with {len(examples)}."
        )
    hits = [
        output.strip() == example.target.strip()
        for output, example in zip(outputs, examples, strict=True)
    ]
    return sum(hits) / len(hits)


def task_score(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    examples: Sequence[Example],
    **options: int | float,
) -> float:
    """Mean of the task's own score, in [0, 1], over outputs generated from the examples' prompts.

    ``options`` go to ``generate``.
    """
    if not examples:
        raise PeftlabError("there are no examples to score; give at least one.")
    if task.score is None:
        raise PeftlabError(f"outputs for {task.name} have no score; compare losses instead.")
    outputs = generate(model, tokenizer, [example.prompt for example in examples], **options)
    scores = [task.score(example, text) for example, text in zip(examples, outputs, strict=True)]
    return sum(scores) / len(scores)


@dataclass(frozen=True)
class Forgetting:
    """Loss on other text than the task's, without and with the adapters, in nats per token."""

    before: float
    after: float

    @property
    def increase(self) -> float:
        """How much worse the adapted model is at what the base model could do."""
        return self.after - self.before


def forgetting(model: nn.Module, examples: Sequence[Encoded], batch_size: int = 32) -> Forgetting:
    """Measure what the adapters cost on text that the base model could predict before.

    Args:
        model: a model with adapters; "before" is measured with them switched off.
        examples: that text, encoded; see ``tasks.stories``, the bundled model's own domain.
        batch_size: examples at once.
    """
    with disabled(model):
        before = loss(model, examples, batch_size)
    return Forgetting(before, loss(model, examples, batch_size))
