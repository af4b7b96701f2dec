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
    """Keys and values, and the gradient that each of them sends to the prefix."""
    prefix = case["prefix"].clone().requires_grad_()
    keys, values = answer(prefix, case["layers"], case["heads"], case["batch"])
    return {
        "keys": keys,
        "values": values,
        "gradient through the keys": _gradients(keys, [prefix])[0],
        "gradient through the values": _gradients(values, [prefix])[0],
    }


def attend(answer: Any, case: Case) -> Outcome:
    """The output and its gradients, and the output on three changes of the inputs."""
    names = ("q", "k", "v", "prefix_k", "prefix_v")
    given = [case[name] for name in names]
    inputs = [tensor.clone().requires_grad_() for tensor in given]
    output = answer(*inputs)
    gradients = _gradients(output, inputs)
    q, k, v, prefix_k, prefix_v = (tensor.clone() for tensor in given)
    later = torch.zeros_like(k)
    later[:, :, -1] = 1  # only the last token of the text
    return {
        "output": output,
        "output, every value 1": answer(
            q, k, torch.ones_like(v), prefix_k, torch.ones_like(prefix_v)
        ),
        "output, last token changed": answer(q, k + later, v + later, prefix_k, prefix_v),
        "output, virtual tokens reversed": answer(q, k, v, prefix_k.flip(1), prefix_v.flip(1)),
        **{f"gradient of {name}": one for name, one in zip(names, gradients, strict=True)},
    }


def _gradients(output: Any, inputs: list[Tensor]) -> list[Tensor]:
    """Of the sum of squares of an output; zero where it does not depend on an input."""
    if isinstance(output, Tensor) and output.requires_grad:
        found = torch.autograd.grad(
            output.square().sum(), inputs, allow_unused=True, retain_graph=True
        )
    else:
        found = [None] * len(inputs)
    return [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(inputs, found, strict=True)
    ]


def mask(answer: Any, case: Case) -> Outcome:
    """The positions as int64 if they are whole numbers of any size: the text asks for no other."""
    widened, positions = answer(case["mask"], case["tokens"])
    whole = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    if isinstance(positions, Tensor) and positions.dtype in whole:
        positions = positions.long()
    return {"mask": widened, "positions": positions}


def concat(answer: Any, case: Case) -> Outcome:
    prompt = case["prompt"].clone().requires_grad_()
    embeddings, labels = answer(prompt, case["embeddings"], case["labels"])
    (gradient,) = _gradients(embeddings, [prompt])
    return {"embeddings": embeddings, "labels": labels, "gradient of the prompt": gradient}


def init(answer: Any, case: Case) -> Outcome:
    """From a table that trains, as in a model that is not frozen yet; then the prompt is moved."""
    table = case["table"].clone().requires_grad_()
    prompt = answer(table, case["ids"], case["tokens"])
    outcome = {
        "prompt": prompt.detach().clone() if isinstance(prompt, Tensor) else prompt,
        "prompts that are an nn.Parameter": int(isinstance(prompt, torch.nn.Parameter)),
        "prompts that train on their own": int(
            isinstance(prompt, Tensor) and prompt.is_leaf and prompt.requires_grad
        ),
    }
    if isinstance(prompt, Tensor):
        prompt.data.add_(1)
    return {**outcome, "table after a step of the prompt": table}


def mass(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["weights"], case["mask"], case["tokens"])}
