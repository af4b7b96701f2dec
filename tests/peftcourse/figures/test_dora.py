"""Figures of lesson 05 say what they show, and what they say is computed."""

import re

import pytest
import torch
from figure_contract import FigureContract

from peftcourse.experiments.decomposition import Change
from peftcourse.figures import dora
from peftlab import PeftlabError


def line(slope: float) -> list[Change]:
    """Two layers at three steps, about a line."""
    places = [(layer, step) for step in (1, 2, 3) for layer in (0, 1)]
    return [
        Change(
            layer, step, 1 + slope * (step + layer) / 9 + layer * step / 99, step / 50 + layer / 99
        )
        for layer, step in places
    ]


SEEDS = {"full fine-tuning": [-0.5, -0.7], "LoRA": [0.8, 0.9], "DoRA": [0.1, -0.3]}
DRAWN = {
    "row": lambda: dora.row(torch.tensor([2.0, 0.0]), torch.tensor([2.0, 2.0]), 3.0),
    "updates": lambda: dora.updates({"LoRA": line(1), "DoRA": line(-1)}, "query matrix"),
    "correlations": lambda: dora.correlations({"query": SEEDS, "value": SEEDS}, {"LoRA": 0.83}),
    "step_cost": lambda: dora.step_cost({"ours": [1.1, 1.3, 1.2]}, 12.3, "a CPU"),
}


class TestEveryFigure(FigureContract):
    module, drawn = dora, DRAWN


def test_findings_are_computed():
    row = DRAWN["row"]().caption
    assert "turns this row by 45.0°" in row and "from 2.000 to 2.828" in row
    assert "sets the length to 3.000, 50.0 % more than before" in row
    updates = DRAWN["updates"]().caption
    assert re.search(r"LoRA r = \+0\.\d\d .*; DoRA r = -0\.\d\d ", updates)
    assert "mean ΔD of the last step 0.065" in updates
    seeds = DRAWN["correlations"]()
    assert "Query: full fine-tuning -0.60 (-0.70 to -0.50)" in seeds.caption
    assert "The paper reports LoRA +0.83" in seeds.caption and "value: " in seeds.alt
    assert "medians: ours 1.20" in DRAWN["step_cost"]().caption


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: dora.updates({}, "query"), "nothing to draw"),
        (
            lambda: dora.updates({"LoRA": [Change(0, s, s, s) for s in range(5)]}, "query"),
            "5 steps, but only 4 markers",
        ),
        (lambda: dora.correlations({}, {}), "not none"),
        (lambda: dora.correlations({"query": {"Magic": [1.0]}}, {}), "methods are .*Magic"),
        (lambda: dora.step_cost({}, 1.0, "a CPU"), "no ratios to draw"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(PeftlabError, match=message):
        draw()
