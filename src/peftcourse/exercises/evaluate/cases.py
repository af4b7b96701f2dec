"""Lesson 11: random inputs for each exercise; all sizes of a case differ."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from peftcourse.exercises.draw import integer, normal, uniform
from peftcourse.exercises.observe import Case


def tokens(rng: Generator) -> list[Case]:
    """Texts with a prompt in front and padding behind, both of a different length in each."""
    cases = []
    for dtype in (torch.float64, torch.float32, torch.float64):
        batch, length, vocabulary = integer(rng, 3, 4), integer(rng, 11, 14), integer(rng, 15, 19)
        labels = torch.randint(1, vocabulary, (batch, length), generator=rng)
        for row in range(batch):
            labels[row, : row + integer(rng, 1, 2)] = -100
            labels[row, length - row - integer(rng, 0, 1) :] = -100
        logits = 2 * normal(rng, batch, length, vocabulary, dtype=dtype)
        cases.append({"logits": logits, "labels": labels})
    return cases


def stop(rng: Generator) -> list[Case]:
    """Sixteen validation curves that fall, then rise, with noise, for each patience."""
    cases = []
    for patience in (2, 3, 4):
        series = []
        for _ in range(16):
            length, half = integer(rng, 12, 20), uniform(rng, 1.5, 4.0)
            rise = uniform(rng, 0.0, 0.06)
            noise = 0.15 * torch.randn(length, generator=rng, dtype=torch.float64)
            steps = torch.arange(length, dtype=torch.float64)
            series.append((0.5 + 2 * 2 ** (-steps / half) + rise * steps + noise).tolist())
        min_delta = uniform(rng, 0.04, 0.08)
        cases.append({"series": series, "patience": patience, "min_delta": min_delta})
    return cases


def bins(rng: Generator) -> list[Case]:
    """Some confidences lie on an edge, some are exactly 1; one bin at least is empty."""
    cases = []
    for count, predictions in ((8, 37), (16, 60), (4, 26)):
        low = 1.3 / count
        random = low + (1 - low) * torch.rand(predictions, generator=rng, dtype=torch.float64)
        edges = torch.randperm(count - 2, generator=rng)[:3].double() + 2
        ones = torch.ones(integer(rng, 2, 4), dtype=torch.float64)
        confidence = torch.cat([random, edges / count, ones])
        confidence = confidence[torch.randperm(len(confidence), generator=rng)]
        correct = torch.rand(len(confidence), generator=rng, dtype=torch.float64) < confidence**2
        cases.append({"confidence": confidence, "correct": correct, "bins": count})
    return cases


def probabilities(rng: Generator, examples: int, classes: int) -> tuple[Tensor, Tensor]:
    """Predictions and labels; half of them are too sure of themselves, half not sure enough."""
    logits = normal(rng, examples, classes)
    labels = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    scale = torch.where(torch.arange(examples) % 2 == 0, 3.0, 0.5).double()
    return (scale[:, None] * logits).softmax(1), labels


def ece(rng: Generator) -> list[Case]:
    cases = []
    for count in (10, 7, 12):
        given, labels = probabilities(rng, integer(rng, 50, 80), integer(rng, 3, 6))
        cases.append({"probabilities": given, "labels": labels, "bins": count})
    return cases


def brier(rng: Generator) -> list[Case]:
    cases = []
    for classes in (3, 4, 6):
        given, labels = probabilities(rng, integer(rng, 20, 30), classes)
        cases.append({"probabilities": given, "labels": labels})
    return cases


def temperature(rng: Generator) -> list[Case]:
    """Logits about two to four times too large; the candidates come in no order."""
    cases = []
    for classes in (4, 5, 7):
        scale = uniform(rng, 2.0, 4.0)
        size = integer(rng, 60, 80) + 20 * integer(rng, 1, 3)
        logits = normal(rng, size, classes)
        labels = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
        held_out = size - integer(rng, 15, 19)
        candidates = [0.5, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6]
        order = torch.randperm(len(candidates), generator=rng).tolist()
        # The first is neither the best nor the smallest, which would look like a choice.
        first, *others = [(0.7, 8.0, 11.0)[i] for i in torch.randperm(3, generator=rng).tolist()]
        cases.append(
            {
                "validation_logits": scale * logits[:held_out],
                "validation_labels": labels[:held_out],
                "test_logits": scale * logits[held_out:],
                "candidates": [first, *(candidates[place] for place in order), *others],
            }
        )
    return cases


def error(rng: Generator) -> list[Case]:
    """Scores (seeds, examples): some examples are harder, some seeds luckier."""
    cases = []
    for seeds in (3, 5, 6):
        examples = integer(rng, 20, 40)
        scores = normal(rng, 1, examples) + 0.2 * normal(rng, seeds, 1)
        cases.append({"scores": 0.5 * scores + 0.3 * normal(rng, seeds, examples)})
    return cases


def tradeoff(rng: Generator) -> list[Case]:
    """Curves (seeds, evaluations): the target loss falls and rises again, the other one rises."""
    cases = []
    for seeds in (3, 4, 5):
        steps = torch.arange(integer(rng, 9, 12), dtype=torch.float64)
        turn = torch.tensor([[float(integer(rng, 3, 6))] for _ in range(seeds)])
        target = 1 + (steps - turn).abs() * 0.3 + 0.05 * normal(rng, seeds, len(steps))
        story = 1.7 + 0.2 * steps + 0.05 * normal(rng, seeds, len(steps))
        story[:, 1] -= uniform(rng, 0.4, 0.6)  # better than the base for a moment
        cases.append({"target": target, "story": story})
    return cases
