"""Lesson 11: random inputs for each exercise; all sizes of a case differ."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from peftcourse.exercises.draw import integer, normal, uniform
from peftcourse.exercises.evaluate import scaling
from peftcourse.exercises.observe import Case


def tokens(rng: Generator) -> list[Case]:
    """Texts with a prompt in front and padding behind, both of a different length in each.

    In every case one text counts from its first label to its last, one has a gap, and token 0 is
    a target.
    """
    cases = []
    for batch, dtype in ((3, torch.float64), (5, torch.float32), (4, torch.float64)):
        length, vocabulary = integer(rng, 11, 14), integer(rng, 15, 19)
        labels = torch.randint(0, vocabulary, (batch, length), generator=rng)
        for row in range(1, batch):
            labels[row, : row + integer(rng, 1, 2)] = -100
            labels[row, length - row - integer(rng, 0, 1) :] = -100
        labels[0, 5] = labels[1, 4] = 0
        labels[2, 5] = -100
        # What counts from its first label on follows another text, so that crossing over shows.
        order = torch.randperm(batch, generator=rng)
        labels = labels[order.roll(1) if order[0] == 0 else order]
        logits = 2 * normal(rng, batch, length, vocabulary, dtype=dtype)
        cases.append({"logits": logits, "labels": labels})
    cases.append(
        {
            "logits": normal(rng, 1, 8, 13),
            "labels": torch.randint(0, 13, (1, 8), generator=rng),
            "about": "there is one text alone, without a prompt or padding",
        }
    )
    return cases


def stop(rng: Generator) -> list[Case]:
    """Validation curves that fall, then rise, with noise; and short series, each for one border."""
    return [{"series": _series(rng, patience)} for patience in (2, 3, 4)]


Arguments = tuple[list[float], int, float]  # losses, patience, min_delta


def _series(rng: Generator, patience: int) -> dict[str, list[Arguments]]:
    """By what is special about them. Numbers that meet a border exactly are multiples of 1/64."""
    delta = integer(rng, 2, 4) / 64
    top = integer(rng, 130, 190) / 64
    higher = [top + integer(rng, 1, 9) / 64 for _ in range(patience)]
    lower = top - integer(rng, 40, 60) / 64
    small = uniform(rng, 0.05, 0.1)
    slow = [top - 0.6 * delta * k for k in range(patience + 4)]
    return {
        "curves": [_curve(rng, patience) for _ in range(4)],
        "one loss alone": [([top], patience, delta)],
        "falls by exactly min_delta": [
            ([top, top - delta, *higher, *higher], patience, delta),
            ([top, lower, lower, *higher, *higher], patience, 0.0),
        ],
        "small falls that add up": [([*slow, *higher, *higher], patience, delta)],
        "small falls only": [
            (
                [top, *(top - 0.9 * delta * k / patience for k in range(1, patience + 1)), lower],
                patience,
                delta,
            ),
        ],
        "losses that end early": [
            ([top, lower, *higher[1:]], patience, delta),
            ([top, *higher[1:]], patience, delta),
        ],
        "patience that ends with the losses": [
            ([top, *higher], patience, delta),
            ([top, lower, *higher], patience, delta),
        ],
        "a lower loss after the stop": [
            ([top, *higher, lower], patience, delta),
            ([top, *higher, *higher, lower, top], patience, delta),
        ],
        "large and small losses": [
            ([40 * top, 40 * top - 2 * delta, *(40 * t for t in higher)], patience, delta),
            ([small, 0.5 * small, *(small + t for t in higher)], patience, 0.7 * small),
        ],
        "improvements between waits": [
            ([top, *higher[1:], lower, *higher[1:], lower - 1, *higher, lower - 2], patience, delta)
        ],
        "a patience of 1": [
            ([top, lower, lower - 1, *higher, lower - 2], 1, delta),
            ([top, *higher], 1, delta),
        ],
    }


def _curve(rng: Generator, patience: int) -> Arguments:
    length, half = integer(rng, 12, 20), uniform(rng, 1.5, 4.0)
    noise = 0.15 * torch.randn(length, generator=rng, dtype=torch.float64)
    steps = torch.arange(length, dtype=torch.float64)
    losses = 0.5 + 2 * 2 ** (-steps / half) + uniform(rng, 0.0, 0.06) * steps + noise
    return losses.tolist(), patience, uniform(rng, 0.04, 0.08)


def bins(rng: Generator) -> list[Case]:
    """Some confidences lie on an edge, some are exactly 1; some bins are empty.

    Where edges are met exactly, they are multiples of 1/16, which have no rounding error.
    """
    cases = [
        _binned(rng, 8, 37, torch.float64),
        _binned(rng, 16, 60, torch.float32),
        _binned(rng, 4, 26, torch.float64),
    ]
    # The same predictions in another number of bins, where their edges are no special places.
    cases.append(cases[0] | {"bins": 16})
    unsure = _binned(rng, 8, 31, torch.float64)
    unsure["confidence"] = unsure["confidence"] * 0.5
    return [*cases, unsure | {"about": "the upper half of the bins is empty"}]


def _binned(rng: Generator, count: int, predictions: int, dtype: torch.dtype) -> Case:
    """Predictions of which none is in the lowest bin, and none in another one in the middle."""
    low = 1.3 / count
    random = low + (1 - low) * torch.rand(predictions, generator=rng, dtype=torch.float64)
    edges = torch.randperm(count - 2, generator=rng)[:3].double() + 2
    ones = torch.ones(integer(rng, 2, 4), dtype=torch.float64)
    confidence = torch.cat([random, edges / count, ones])
    confidence = confidence[(confidence * count).ceil() != integer(rng, 3, count - 1)]
    confidence = confidence[torch.randperm(len(confidence), generator=rng)]
    correct = torch.rand(len(confidence), generator=rng, dtype=torch.float64) < confidence**2
    return {"confidence": confidence.to(dtype), "correct": correct, "bins": count}


def probabilities(rng: Generator, examples: int, classes: int) -> tuple[Tensor, Tensor]:
    """Predictions and labels; half of them are too sure of themselves, half not sure enough."""
    logits = normal(rng, examples, classes)
    labels = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    scale = torch.where(torch.arange(examples) % 2 == 0, 3.0, 0.5).double()
    return (scale[:, None] * logits).softmax(1), labels


def ece(rng: Generator) -> list[Case]:
    """Random predictions, and some that lie on the edges of four bins."""
    given, labels = _predictions(rng)
    cases = [{"probabilities": given, "labels": labels, "bins": count} for count in (10, 7)]
    given, labels = _predictions(rng)
    cases.append({"probabilities": given.float(), "labels": labels, "bins": 12})
    return [
        *cases,
        _on_edges(rng, (), sure=False)
        | {"about": "predictions are in the lowest and in the highest bin"},
        _on_edges(rng, (0.25, 0.5, 0.75), sure=True)
        | {"about": "confidences lie on the edge of two bins"},
        _on_edges(rng, (1.0, 1.0), sure=True) | {"about": "confidences are exactly 1"},
    ]


def _predictions(rng: Generator) -> tuple[Tensor, Tensor]:
    """On the whole too sure or not sure enough: a gap of nearly zero would be all rounding."""
    while True:
        given, labels = probabilities(rng, integer(rng, 50, 80), integer(rng, 3, 6))
        confidence, predicted = given.max(dim=1)
        if abs(confidence.mean() - (predicted == labels).double().mean()) > 0.03:
            return given, labels


def _on_edges(rng: Generator, edges: tuple[float, ...], *, sure: bool) -> Case:
    """Four bins, too sure and not sure enough in turn; what is on an edge is wrong.

    So the gaps of the two bins have different signs, and it matters to which one an edge belongs.
    On the whole the model is too sure, or not sure enough.
    """
    rows = []
    for low, right in ((0.2, True), (0.3, False), (0.55, True), (0.8, False)):
        for _ in range(integer(rng, 2, 3) + 2 * (right != sure)):
            rows.append(_prediction(rng, low + uniform(rng, 0.0, 0.04), right))
    rows += [_prediction(rng, edge, right=False) for edge in edges]
    rows = [rows[place] for place in torch.randperm(len(rows), generator=rng).tolist()]
    return {
        "probabilities": torch.stack([row for row, _ in rows]),
        "labels": torch.tensor([label for _, label in rows]),
        "bins": 4,
    }


def _prediction(rng: Generator, confidence: float, right: bool) -> tuple[Tensor, int]:
    """Probabilities of seven classes, the largest exactly this, and a label."""
    rest = 1 + 0.2 * torch.rand(7, generator=rng, dtype=torch.float64)
    top, other = torch.randperm(7, generator=rng)[:2].tolist()
    rest[top] = 0
    row = rest * (max(1 - confidence, 1e-9) / rest.sum())
    row[top] = confidence
    return row, top if right else other


def brier(rng: Generator) -> list[Case]:
    cases = []
    for classes in (3, 4, 6):
        given, labels = probabilities(rng, integer(rng, 20, 30), classes)
        cases.append({"probabilities": given, "labels": labels})
    given, labels = probabilities(rng, 17, 5)
    labels = labels.clamp(max=3)
    return [
        *cases,
        {"probabilities": given, "labels": labels, "about": "no example has the last class"},
    ]


def temperature(rng: Generator) -> list[Case]:
    """Logits too large by two to four or too small; the candidates come in no order."""
    grid = [0.5, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6]
    far = [0.15, 7.0, 11.0]
    cases = [_scaled(rng, classes, uniform(rng, 2.0, 4.0), grid, far) for classes in (4, 5, 7)]
    for case, first in ((cases[1], True), (cases[2], False)):
        _move_best(case, first)
    unsure = _scaled(rng, 3, 0.3, [0.3, 0.4, 1.0, 2.0], far[1:])
    between = _scaled(rng, 6, 1.0, [0.2, 5.0, 3.5], far[1:])
    return [
        *cases,
        _measures_differ(rng),
        unsure | {"about": "the model is not sure enough, and needs a temperature below 1"},
        between | {"about": "no temperature is better than T = 1, which is no candidate"},
    ]


def _scaled(
    rng: Generator, classes: int, scale: float, candidates: list[float], far: list[float]
) -> Case:
    """The first candidate is far off, so that no answer is right by not choosing."""
    size, test = integer(rng, 80, 130), integer(rng, 15, 19)
    logits = normal(rng, size + test, classes)
    labels = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    order = torch.randperm(len(candidates), generator=rng).tolist()
    first, *others = [far[i] for i in torch.randperm(len(far), generator=rng).tolist()]
    return {
        "validation_logits": scale * logits[:size],
        "validation_labels": labels[:size],
        "test_logits": scale * logits[size:],
        "candidates": [first, *(candidates[place] for place in order), *others],
    }


def _chosen(case: Case, measure: Callable[[Tensor, Tensor], Tensor]) -> float:
    logits, labels = case["validation_logits"], case["validation_labels"]
    return min(case["candidates"], key=lambda T: float(measure(logits / T, labels)))


def _move_best(case: Case, first: bool) -> None:
    """The best candidate comes first or last."""
    best = _chosen(case, F.cross_entropy)
    others = [T for T in case["candidates"] if best != T]
    case["candidates"] = [best, *others] if first else [*others, best]


def _measures_differ(rng: Generator) -> Case:
    """So few examples, and so many candidates, that each measure chooses another one."""
    grid = [0.8 * 1.15**k for k in range(14)]
    while True:
        case = _scaled(rng, 5, 2.5, grid, [0.2, 9.0])
        case["validation_logits"] = case["validation_logits"][:30]
        case["validation_labels"] = case["validation_labels"][:30]
        measures = (F.cross_entropy, scaling.squared_error, scaling.confidence_gap)
        if len({_chosen(case, measure) for measure in measures}) == len(measures):
            return case


def error(rng: Generator) -> list[Case]:
    """Scores (seeds, examples) about 0.6: some examples are harder, some seeds luckier."""
    cases = []
    for seeds, examples, dtype in (
        (3, integer(rng, 20, 24), torch.float64),
        (5, integer(rng, 30, 35), torch.float32),
        (6, integer(rng, 26, 29), torch.float64),
        (8, 5, torch.float64),
    ):
        scores = normal(rng, 1, examples) + 0.3 * normal(rng, seeds, 1)
        scores = 0.6 + 0.12 * scores + 0.08 * normal(rng, seeds, examples)
        cases.append({"scores": scores.to(dtype)})
    cases[-1]["about"] = "there are more seeds than examples"
    return cases


def tradeoff(rng: Generator) -> list[Case]:
    """Curves (seeds, evaluations): the target loss falls and rises again, the other one rises."""
    cases = []
    for seeds in (3, 4, 6):
        case = _curves(rng, seeds)
        case["story"][:, 1] -= uniform(rng, 0.6, 0.8)  # better than the base for a moment
        cases.append(case)
    hurt, better = _curves(rng, 5), _curves(rng, 2)
    hurt["target"][1] += 3
    hurt["target"][1, 0] -= 3.5
    better["story"] = better["story"].flip(1)
    return [
        *cases,
        hurt | {"about": "a seed has its lowest target loss before training"},
        better | {"about": "the story loss falls"},
    ]


def _curves(rng: Generator, seeds: int) -> Case:
    steps = torch.arange(integer(rng, 9, 12), dtype=torch.float64)
    turn = 2 + torch.arange(seeds) % 5 + torch.randint(0, 2, (seeds,), generator=rng)
    target = 1 + (steps - turn[:, None]).abs() * 0.3 + 0.05 * normal(rng, seeds, len(steps))
    story = 1.7 + 0.2 * steps + 0.05 * normal(rng, seeds, len(steps))
    return {"target": target, "story": story}
