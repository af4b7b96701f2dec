"""Lesson 08: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. Whether a value is
right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Case = dict[str, Any]
Outcome = dict[str, Any]


def count(answer: Any, case: Case) -> Outcome:
    prompt, prefix = answer(
        case["tokens"],
        case["layers"],
        case["hidden_size"],
        case["heads"],
        case["kv_heads"],
        case["head_size"],
    )
    return {"prompt tuning": prompt, "prefix tuning": prefix}


def shapes(answer: Any, case: Case) -> Outcome:
    keys, values = answer(case["prefix"], case["layers"], case["heads"], case["batch"])
    return {"keys": keys, "values": values}


def attend(answer: Any, case: Case) -> Outcome:
    """The output, and the gradient of the prefix that a training step would use."""
    inputs = [case[name].clone() for name in ("q", "k", "v", "prefix_k", "prefix_v")]
    prefix = [tensor.requires_grad_() for tensor in inputs[3:]]
    output = answer(*inputs)
    keys, values = _gradients(output, prefix)
    return {
        "output": output,
        "gradient of the prefix's keys": keys,
        "gradient of its values": values,
    }


def _gradients(output: Any, inputs: list[Tensor]) -> list[Tensor]:
    """Of the sum of squares of an output; zero where it does not depend on an input."""
    if isinstance(output, Tensor) and output.requires_grad:
        found = torch.autograd.grad(output.square().sum(), inputs, allow_unused=True)
    else:
        found = [None] * len(inputs)
    return [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(inputs, found, strict=True)
    ]


def mask(answer: Any, case: Case) -> Outcome:
    widened, positions = answer(case["mask"], case["tokens"])
    return {"mask": widened, "positions": positions}


def concat(answer: Any, case: Case) -> Outcome:
    prompt = case["prompt"].clone().requires_grad_()
    embeddings, labels = answer(prompt, case["embeddings"], case["labels"])
    (gradient,) = _gradients(embeddings, [prompt])
    return {"embeddings": embeddings, "labels": labels, "gradient of the prompt": gradient}


def init(answer: Any, case: Case) -> Outcome:
    """From a table that trains, as in a model that is not frozen yet."""
    table = case["table"].clone().requires_grad_()
    prompt = answer(table, list(case["ids"]), case["tokens"])
    return {
        "prompt": prompt,
        "prompts that are an nn.Parameter": int(isinstance(prompt, torch.nn.Parameter)),
        "prompts that train on their own": int(
            isinstance(prompt, Tensor) and prompt.is_leaf and prompt.requires_grad
        ),
    }


def mass(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["weights"], case["mask"], case["tokens"])}
