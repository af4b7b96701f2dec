"""Temperature scaling: one number that mends the confidence of a model (Guo et al. 2017, §4.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from peftlab.errors import PeftlabError

LOWEST, HIGHEST = 0.02, 50.0


def fit(logits: Tensor, labels: Tensor) -> float:
    """The temperature T with the lowest cross-entropy of softmax(logits / T).

    The cross-entropy is convex in 1 / T, and its slope there is the mean of
    Σ p(class) · logit(class) - logit(label); halving an interval finds where that is zero.

    Args:
        logits: (N, classes), of held-out examples; logarithms of probabilities do as well, since
            softmax ignores what all classes have in common.
        labels: (N,), the right classes.

    Returns:
        T, from 0.02 to 50; an end if the lowest is beyond it, as where every answer is right.

    Raises:
        PeftlabError: there are no examples.
    """
    if not len(logits):
        raise PeftlabError("a temperature needs held-out predictions; give at least one.")
    logits = logits.double()
    of_label = logits.gather(1, labels[:, None]).mean()
    low, high = 1 / HIGHEST, 1 / LOWEST  # of 1 / T
    for _ in range(60):
        middle = (low * high) ** 0.5
        slope = ((middle * logits).softmax(dim=1) * logits).sum(dim=1).mean() - of_label
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 1 / (low * high) ** 0.5


def scaled(logits: Tensor, temperature: float) -> Tensor:
    """softmax(logits / T): (N, classes), each row with the sum 1. No answer changes."""
    return torch.softmax(logits / temperature, dim=-1)
