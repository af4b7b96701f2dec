"""Figures of lesson 01 say what they show, and what they say is computed."""

import dataclasses

import pytest
from figure_contract import FigureContract

from peftcourse.experiments.activations import Saved
from peftcourse.figures import memory
from peftlab import PeftlabError

GIB = 2**30
HARDWARE = "a GPU of 141 GiB"


def record(base, peak):
    """A case of the benchmark: two steps between which ``base`` GiB are held."""
    moments = [{"moment": "set up", "allocated": base * GIB, "peak": base * GIB}]
    for step in range(2):
        for part, height in (("forward", 0.5), ("backward", 1), ("step", 0.75)):
            moments.append(
                {
                    "moment": f"{part} {step}",
                    "allocated": base * GIB,
                    "peak": int(height * peak * GIB),
                }
            )
    return {"moments": moments}


PAIRS = [
    memory.Pair("small", "full", int(1.01 * GIB), GIB, False),
    memory.Pair("medium", "lora", int(3.92 * GIB), 4 * GIB, True),
    memory.Pair("large", "dora", int(33.6 * GIB), 32 * GIB, True),
]
BARS = {
    "full": {"weights": 4e6, "gradients": 4e6, "optimizer states": 8e6, "activations": 24e6},
    "LoRA": {"weights": 4e6, "gradients": 1e5, "optimizer states": 2e5, "activations": 15.7e6},
}
DRAWN = {
    "components": lambda: memory.components(BARS, "MB", {"a card": 30_000_000}),
    "saved_curves": lambda: memory.saved_curves(
        {
            "all": Saved((0, 2_000_000, 8_000_000, 2_000_000, 0), turn=3),
            "again": Saved((0, 1_000_000, 2_000_000, 1_000_000, 0), turn=2),
        }
    ),
    "activation_growth": lambda: memory.activation_growth(
        [64, 128], {"plain": [640_000, 2_560_000], "fused": [640_000, 1_280_000]}
    ),
    "estimates": lambda: memory.estimates(PAIRS, HARDWARE),
    "timeline": lambda: memory.timeline({"full": record(10, 20), "LoRA": record(5, 6)}, HARDWARE),
    "family_tree": lambda: memory.family_tree({"LoRA": 0.04, "IA³": 0.001}, "a model"),
}


class TestEveryFigure(FigureContract):
    module, drawn = memory, DRAWN


def test_findings_are_computed():
    assert (
        "Full takes 40.0 MB, 2.0 times as much as LoRA (20.0 MB)" in DRAWN["components"]().caption
    )
    assert "part of both is activations (60 % and 78 %)." in DRAWN["components"]().caption
    other = {"long": {"weights": 6e6, "gradients": 2e6}, "short": {"activations": 3e6}}
    assert memory.components(other, "MB").caption.endswith(
        "The largest part is weights of the one (75 %), activations of the other (100 %)."
    )
    curves = DRAWN["saved_curves"]().caption
    assert "The peak of all is 8.0 MB, 4.0 times that of again (2.0 MB)" in curves
    growth = DRAWN["activation_growth"]().caption
    assert "Plain: 10.0 kB per token at 64 tokens and 20.0 kB at 128" in growth
    assert "fused: 10.0 kB per token at 64 tokens and 10.0 kB at 128" in growth
    assert "median error 2 %, largest 5 % (large)" in DRAWN["estimates"]().caption
    assert "2 were measured after the formulas were done: median error 3.5 %" in (
        DRAWN["estimates"]().caption
    )
    assert HARDWARE in DRAWN["estimates"]().caption
    assert "formulas" not in memory.estimates(PAIRS[:1], HARDWARE).caption
    timeline = DRAWN["timeline"]().caption
    assert "Full: 10.0 GiB before training" in timeline
    assert "peak 20.0 GiB in the backward part of step 1" in timeline
    tree = DRAWN["family_tree"]()
    assert "from 0.1 % (IA³) to 4 % (LoRA)" in tree.caption
    assert all(method in tree.alt for family in memory.FAMILIES for method, _ in family.members)


def test_one_step_is_not_compared_with_itself():
    caption = memory.saved_curves({"all": Saved((0, 3_000_000, 0), turn=2)}).caption
    assert "The peak of all is 3.0 MB." in caption and "times" not in caption


def test_an_error_has_its_sign():
    assert PAIRS[0].error == pytest.approx(0.01)
    assert dataclasses.replace(PAIRS[0], estimated=GIB // 2).error == -0.5


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: memory.components({}, "MB"), "nothing to stack"),
        (lambda: memory.components({"a": {"dust": 1}}, "MB"), "no colour for dust; components are"),
        (lambda: memory.saved_curves({}), "no step to draw"),
        (lambda: memory.estimates([], HARDWARE), "no measurements to compare with"),
        (lambda: memory.timeline({}, HARDWARE), "no case to draw"),
        (
            lambda: memory.family_tree({"Magic": 0.1}, "a model"),
            "no method Magic in the tree; methods are",
        ),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(PeftlabError, match=message):
        draw()
