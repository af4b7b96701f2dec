"""Figures of lesson 06 say what they show, and what they say is computed."""

import pytest
import torch
from figure_contract import FigureContract

from peftcourse.figures import quantization
from peftlab import PeftlabError
from peftlab.quantization.formats import INT4, NF4

ROWS = [
    {
        "kind": kind,
        "block": block,
        "bits": bits,
        "error": error * (block or 4096) / 64,
        "loss_increase": 0.01 * error * (block or 4096),
        "standard_error": 0.002,
    }
    for kind, error in (("int4", 0.11), ("nf4", 0.09))
    for block, bits in ((64, 4.5), (256, 4.125), (0, 4.0))
]
CASES = [
    {
        "shape": shape,
        "setting": setting,
        "size": [4, length],
        "seconds": [length / 1000 * factor, 9.0, 0.0],
        "peak_bytes": length * factor * 2**20,
    }
    for shape in ("a model", "another")
    for setting, factor in (("alone", 2), ("autocast", 1))
    for length in (1024, 4096)
]
DRAWN = {
    "levels": lambda: quantization.levels(
        torch.randn(64, 64, generator=torch.Generator().manual_seed(0)),
        {"int4": INT4.values, "NF4": NF4.values},
    ),
    "bases": lambda: quantization.bases(
        {"16 bit": [1.0, 1.5], "8 bit": [1.25, 1.5]},
        {"16 bit": {"plain": 4.0 * 2**30}, "8 bit": {"plain": 2.5 * 2**30}},
        "a shape",
    ),
    "code_use": lambda: quantization.code_use(
        {
            "NF4": ([-1.0, 0.0, 1.0], [0.1, 0.6, 0.3], 0.09),
            "used equally": ([-0.7, 0.0, 0.7], [0.3, 0.4, 0.3], 0.2),
        },
        {"a model": [0.1, 0.5, 0.4]},
    ),
    "outlier": lambda: quantization.outlier([4, 100], {64: [0.09, 0.1], 4096: [0.12, 0.9]}),
    "block_errors": lambda: quantization.block_errors({"a model": ROWS, "another": ROWS}),
    "loss_increase": lambda: quantization.loss_increase(ROWS, "a model"),
    "preparation": lambda: quantization.preparation(CASES, "a GPU"),
    "seeds": lambda: quantization.seeds(
        {"one": [1.0, 1.2], "two": [2.0, 2.0]}, "loss (nats per token)"
    ),
}


class TestEveryFigure(FigureContract):
    module, drawn = quantization, DRAWN


def test_findings_are_computed():
    assert "so do the levels of NF4" in DRAWN["levels"]().caption
    assert (
        "NF4's codes are taken by 10.0 to 60.0 % of the numbers, and its weights are off by 9.0 %; "
        "used equally, by 20.0 %."
    ) in DRAWN["code_use"]().caption
    assert "from 12.0 % to 90.0 % in blocks of 4,096" in DRAWN["outlier"]().caption
    assert "a model: int4 11.0 %, nf4 9.0 %" in DRAWN["block_errors"]().caption
    assert "nf4 +0.0576 ± 0.0020 in blocks of 64" in DRAWN["loss_increase"]().caption
    assert DRAWN["preparation"]().caption == (
        "a model on one a GPU, a step of 4 × 4,096 tokens. "
        "alone: 8.0 GiB and 8.2 s; autocast: 4.0 GiB and 4.1 s."
    )
    assert "one 1.100 ± 0.100; two 2.000 ± 0.000" in DRAWN["seeds"]().caption


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: quantization.levels(torch.ones(64), {}), "no format to draw"),
        (lambda: quantization.block_errors({}), "no model to draw"),
        (lambda: quantization.seeds({"one": [1.0]}, "loss"), "at least two seeds"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(PeftlabError, match=message):
        draw()


def test_bases_are_compared_by_their_means_and_their_seeds():
    caption = DRAWN["bases"]().caption
    assert "within 0.125 nats, the seeds of one base up to 0.500 apart" in caption
    assert "16 bit: plain 4.0 GiB; 8 bit: plain 2.5 GiB" in caption
    with pytest.raises(PeftlabError):
        quantization.bases({}, {}, "a shape")
