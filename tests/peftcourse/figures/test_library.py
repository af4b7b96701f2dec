"""Figures of lesson 09 say what they show, and what they say is computed."""

import pytest
from figure_contract import FigureContract

from peftcourse.figures import library
from peftlab import PeftlabError

TASK = {
    "LoRA": {"peftlab": [1.0, 1.2], "peft": [1.1, 1.2]},
    "prefix": {"peftlab": [2.0, 2.2], "peft": [3.0, 3.2]},
}
ROWS = {
    "LoRA": {"gap": 0.0, "gap_64_bit": 0.0, "rounding": 3e-5},
    "DoRA": {"gap": 6e-6, "gap_64_bit": 2e-7, "rounding": 4e-5},
}
LOG = [
    {"step": step, "learning_rate": rate, "loss": loss}
    for step, rate, loss in ((1, 0.0, 4.0), (2, 0.5, 3.0), (3, 0.25, 2.5))
]
DRAWN = {
    "trainings": lambda: library.trainings({"prompt": LOG, "prefix": LOG[::-1]}),
    "side_by_side": lambda: library.side_by_side([5.0, 2.0], [5.0, 2.00001], "LoRA"),
    "gaps": lambda: library.gaps({"a CPU": ROWS, "a GPU": ROWS}),
    "quality": lambda: library.quality({"voice": TASK, "slots": TASK}, ["prefix"]),
    "merging": lambda: library.merging({"float32": 2e-7, "bfloat16": 4e-3}),
}


class TestEveryFigure(FigureContract):
    module, drawn = library, DRAWN


def test_findings_are_computed():
    curves = DRAWN["side_by_side"]().caption
    assert "fall from 5.00 to 2.00 nats" in curves and "by more than 1e-05" in curves
    gaps = DRAWN["gaps"]()
    assert "at most 6e-06 nats (DoRA) in 32 bit and 2e-07 nats (DoRA) in 64 bit" in gaps.caption
    assert "a GPU" in gaps.caption and "up to 4e-05 nats (DoRA)" in gaps.caption
    assert "a CPU: LoRA 0, 3e-05, 0; DoRA 6e-06, 4e-05, 2e-07" in gaps.alt
    quality = DRAWN["quality"]()
    assert "at most 0.050 nats apart (LoRA on " in quality.caption
    assert "prefix: the two start differently, and PEFT's mean is 1.000 higher" in quality.caption
    assert "voice, prefix: peftlab 2.100, peft 3.100" in quality.alt
    trainings = DRAWN["trainings"]().caption
    assert "last of 3: prompt 4.00 → 2.50; prefix 2.50 → 4.00." in trainings
    assert "0 % of the highest rate, which is reached at step 2" in trainings
    assert "2e-07 (float32) to 4e-03 (bfloat16)" in DRAWN["merging"]().caption


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: library.side_by_side([1.0], [1.0, 2.0], "LoRA"), "1 and 2 losses"),
        (lambda: library.gaps({}), "no differences to draw"),
        (lambda: library.gaps({"a CPU": {}}), "no differences to draw"),
        (lambda: library.trainings({}), "no training to draw"),
        (lambda: library.quality({}), "no losses to draw"),
        (lambda: library.merging({"float64": 0.0}), "whose logits differ"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(PeftlabError, match=message):
        draw()
