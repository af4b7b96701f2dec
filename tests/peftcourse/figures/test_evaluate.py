"""Figures of lesson 11 say what they show, and what they say is computed."""

import pytest
import torch
from figure_contract import FigureContract

from peftcourse.experiments.calibration import Outcomes, calibration
from peftcourse.figures import evaluate
from peftlab import PeftlabError


def curve(target, story):
    return [{"target": t, "story": s, "train": t / 2} for t, s in zip(target, story, strict=True)]


def runs(method, *targets, story=(1.0, 2.0, 3.0), size=800):
    return [{"method": method, "size": size, "curve": curve(t, story)} for t in targets]


FORGETTING = [
    *runs("full", (5.0, 2.0, 2.5), (5.0, 1.0, 1.5), story=(1.0, 2.5, 3.0)),
    *runs("lora-8", (5.0, 3.0, 2.0), story=(1.0, 1.25, 1.5)),
]
SIZES = [
    *runs("lora-8", (5.0, 4.0), story=(1, 1), size=25),
    *runs("lora-8", (5.0, 1.0), story=(1, 1)),
]
SURE = calibration(
    Outcomes.of(torch.tensor([[0.875, 0.125], [0.75, 0.25]]), torch.tensor([0, 1])), bins=4
)
CHARTS = [
    {"cause": "healthy", "logged": [6.0, 1.0], "validation": [(0, 6.25), (2, 1.25)]},
    {"cause": "wrong dtype", "logged": [6.0, None], "validation": [(0, 6.25), (1, None)]},
]
DRAWN = {
    "by_examples": lambda: evaluate.by_examples(SIZES),
    "forgetting": lambda: evaluate.forgetting(FORGETTING),
    "reliability": lambda: evaluate.reliability({"before": SURE, "after": SURE}),
    "charts": lambda: evaluate.charts(CHARTS, named=True),
    "intervals": lambda: evaluate.intervals({"LoRA": (0.75, 0.05, 0.1)}),
}


class TestEveryFigure(FigureContract):
    module, drawn = evaluate, DRAWN


def test_findings_are_computed():
    assert "2.00 nats with 25 texts and 0.50 with 800" in DRAWN["by_examples"]().caption
    caption = DRAWN["forgetting"]().caption
    assert "full fine-tuning: 1.50; LoRA, r = 8: 0.50" in caption
    assert "whose loss on the task, 5.00, is left" in caption
    alt = DRAWN["forgetting"]().alt
    assert "full fine-tuning: 1.50 and 2.50; LoRA, r = 8: 2.00 and 1.50" in alt
    sure = DRAWN["reliability"]().caption
    assert "confidence 81%, accuracy 50%, surer than right, ECE 0.44" in sure
    charts = DRAWN["charts"]()
    assert "ends at 1.25" in charts.caption
    assert "wrong dtype: training 6.00 to 6.00, then not finite" in charts.alt
    assert "A: training" in evaluate.charts(CHARTS, named=False).alt
    assert "± 10% over test examples, ± 20% over seeds" in DRAWN["intervals"]().caption


def test_each_seed_is_read_at_its_own_best_step():
    found = evaluate.forgetting(
        runs("full", (5.0, 2.0, 3.0), (5.0, 4.0, 1.0), story=(1.0, 2.0, 4.0))
    )
    assert "full fine-tuning: 1.50 and 3.00" in found.alt
    assert "full fine-tuning: 2.00." in found.caption


def test_methods_come_in_the_order_of_what_they_may_change():
    names = ("head", "lora-1", "lora-64", "other", "lora-8", "full")
    every = [run for name in names for run in runs(name, (5.0, 3.0, 2.0))]
    alt = evaluate.forgetting(every).alt
    said = ("full fine-tuning", "r = 64", "r = 8", "r = 1:", "output head alone", "other:")
    places = [alt.index(name) for name in said]
    assert places == sorted(places)


def test_nothing_to_draw_is_refused():
    for draw in (
        lambda: evaluate.by_examples([]),
        lambda: evaluate.forgetting([]),
        lambda: evaluate.reliability({}),
        lambda: evaluate.charts([], named=True),
        lambda: evaluate.intervals({}),
    ):
        with pytest.raises(PeftlabError):
            draw()
