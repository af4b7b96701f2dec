"""Before the first run: everything that would fail in each of them, said in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

import peftlab
from peftcourse.compare.methods import METHODS
from peftcourse.compare.plan import Pair, Plan, in_suite
from peftcourse.experiments import models, own_data, tasks
from peftcourse.experiments.tasks import Example
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LONGEST_ANSWER = 256  # tokens of an answer that is generated and compared
ROUND_TO = 16


def checked(plan: Plan, say: Callable[[str], None] = print) -> Plan:
    """A plan with all lengths set, whose models load, whose methods fit them and whose data fit.

    Args:
        plan: see ``plan.plan``.
        say: is told what was decided.

    Raises:
        PeftlabError: something would fail in every run of a model, a task or a method.
    """
    if models.four_bit_wanted():
        raise PeftlabError(
            "PEFTLAB_4BIT asks for a base in 4 bits, on which full fine-tuning cannot train; unset "
            "it: a comparison has qlora-8 for that."
        )
    pairs: dict[tuple[str, str], Pair] = {}
    for name in plan.models:
        # Fetched here, and not by all workers at once.
        model, tokenizer = models.load(name, device="cpu", dtype=torch.float32)
        _check_methods(name, model, plan.methods)
        whole = context = models.context(model)
        if whole is not None:
            context = whole - max(map(_virtual_tokens, plan.methods))
            if plan.max_length is not None and plan.max_length > context:
                raise PeftlabError(
                    f"--max-length {plan.max_length} is more than {name} takes: {context} of its "
                    f"{whole} tokens, the others being those that methods add; lower it."
                )
        for pair in plan.pairs:
            if pair.model == name:
                fit = _own if pair.files else _task
                pairs[name, pair.task] = fit(pair, plan, tokenizer, context, say)
    return replace(plan, pairs=tuple(pairs[pair.model, pair.task] for pair in plan.pairs))


def _check_methods(name: str, model: nn.Module, methods: Sequence[str]) -> None:
    """Put each method on a copy of the model that has shapes and no weights."""
    reasons = {}
    for method in methods:
        with torch.device("meta"):
            skeleton = type(model)(model.config)
        config = METHODS[method].config
        try:
            if config is not None:
                peftlab.apply(skeleton, config(100), name=method)
        except PeftlabError as error:
            reasons[method] = str(error)
    if reasons:
        method, reason = next(iter(reasons.items()))
        fitting = [method for method in methods if method not in reasons]
        others = f" (and {', '.join([*reasons][1:])})" if len(reasons) > 1 else ""
        remedy = f"take --methods {','.join(fitting)}" if fitting else "take another model"
        raise PeftlabError(f"{method}{others} does not fit {name}: {reason.rstrip('.')}; {remedy}.")


def _virtual_tokens(method: str) -> int:
    config = METHODS[method].config
    return getattr(config(100), "tokens", 0) if config else 0


def _own(
    pair: Pair,
    plan: Plan,
    tokenizer: PreTrainedTokenizerBase,
    context: int | None,
    say: Callable[[str], None],
) -> Pair:
    """Lengths for the user's own data: nothing is cut off unless the user wants it."""
    data = pair.files.read()
    tokens = own_data.encode(data, tokenizer, context, pair.max_length)
    say(own_data.lengths(tokens, pair.max_length))
    answers = [
        len(tokenizer(example.target, add_special_tokens=False)["input_ids"]) + 1
        for example in data.task.test
        if isinstance(example, Example)
    ]
    return replace(
        pair,
        max_length=pair.max_length or tokens.longest,
        new_tokens=min(LONGEST_ANSWER, max(answers, default=1)),
    )


def _task(
    pair: Pair,
    plan: Plan,
    tokenizer: PreTrainedTokenizerBase,
    context: int | None,
    say: Callable[[str], None],
) -> Pair:
    """A length at which each example keeps its target, with this model's tokenizer."""
    if in_suite(plan.suite, pair):
        return pair
    needed = 0
    for seed in plan.all_seeds:
        task = tasks.load(pair.task, seed=seed, sizes=pair.examples)
        if task.labels:
            _check_labels(pair, task.labels, tokenizer)
        for example in (*task.train, *task.validation, *task.test):
            if example.prompt:
                [whole] = tasks.whole_sequences(example, tokenizer)
                needed = max(needed, len(whole["input_ids"]))
    place = f"{pair.task} with the tokens of {pair.model}"
    if context is not None and needed > context:
        raise PeftlabError(
            f"{place} needs sequences of {needed}, and the model takes {context}; choose another "
            "task or model."
        )
    if plan.max_length is not None:
        if needed > plan.max_length:
            raise PeftlabError(
                f"{place} needs sequences of {needed}; --max-length {plan.max_length} would cut "
                f"answers off: make it {needed}, or leave it out."
            )
        return pair
    length = max(pair.max_length, -(-needed // ROUND_TO) * ROUND_TO)
    length = length if context is None else min(length, context)
    if length != pair.max_length:
        say(f"{place}: sequences of {length} in place of {pair.max_length} are used.")
    return replace(pair, max_length=length)


def _check_labels(pair: Pair, labels: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> None:
    first = {tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in labels}
    if len(first) < len(labels):
        raise PeftlabError(
            f"two of the labels {', '.join(map(repr, labels))} of {pair.task} begin with the same "
            f"token in {pair.model}, so it cannot be asked to choose; take another task or model."
        )
