"""Figures say what they show, take the page's colours and are the same for the same data."""

import re
from pathlib import Path

import pytest
import torch

from peftcourse import figures
from peftcourse.experiments import results
from peftcourse.experiments.train import History
from peftcourse.figures import style
from peftlab import PeftlabError

ROOT = Path(__file__).resolve().parents[3]


def history():
    return History(
        steps=[1, 2, 3],
        losses=[5.0, 3.0, 2.0],
        learning_rates=[1.0] * 3,
        validation=[(0, 5.25), (3, 1.75)],
        seconds=1.0,
    )


def weights():
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(3, 30, generator=generator)
    B = 0.1 * torch.randn(20, 3, generator=generator)
    W = torch.randn(20, 30, generator=generator)
    return {"W": W, "A": A, "B": B, "BA": B @ A, "W + BA": W + B @ A}


LOSSES = {
    "pirate logs": {"no adapter": 5.0, "the pirate": 1.25, "the robot": 4.5},
    "plain stories": {"no adapter": 1.75, "the pirate": 3.0, "the robot": 2.5},
}

DRAWN = {
    "equation": lambda: figures.lora.equation(200, 256, rank=8),
    "voices": lambda: figures.lora.voices(LOSSES),
    "loss_curves": lambda: figures.lora.loss_curves({"a run": history()}),
    "matrices": lambda: figures.lora.matrices(weights()),
    "entry_distributions": lambda: figures.lora.entry_distributions(
        weights()["W"], weights()["BA"]
    ),
    "update_norms": lambda: figures.lora.update_norms(
        [1, 2], {"layers.0.q_proj": [0.0, 1.5], "layers.0.up_proj": [0.0, 0.5]}
    ),
    "pretraining": lambda: figures.start.pretraining(
        results.read(ROOT / "results" / "pretrain.json")
    ),
    "lora_separation": lambda: figures.start.lora_separation(
        results.read(ROOT / "results" / "lora_separation.json")
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_has_words_with_a_number_and_no_background(name):
    figure = DRAWN[name]()
    for words in (figure.alt, figure.caption):
        assert len(words) > 40
        assert re.search(r"\d", words)
    assert "currentColor" in figure.svg
    assert style.INK not in figure.svg
    assert "#ffffff" not in figure.svg
    assert figure.svg.count("<svg") == 1
    assert "<style" not in figure.svg
    assert f'aria-label="{figure.alt[:20]}' in figure._repr_html_()


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_data_gives_the_same_bytes(name):
    assert DRAWN[name]() == DRAWN[name]()


def test_every_figure_function_is_drawn_here():
    public = {
        name
        for module in (figures.lora, figures.start)
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    }
    assert public == set(DRAWN)


def test_ids_of_two_figures_on_one_page_do_not_meet():
    ids = [set(re.findall(r'\bid="([^"]+)"', DRAWN[name]().svg)) for name in DRAWN]
    assert all(ids)
    assert len(set.union(*ids)) == sum(map(len, ids))
    for name, own in zip(DRAWN, ids, strict=True):
        used = set(re.findall(r'(?:href="|url\()#([^")]+)', DRAWN[name]().svg))
        assert used <= own


def test_findings_are_computed():
    assert "validation loss from 5.25 to 1.75 in 3 steps" in DRAWN["loss_curves"]().caption
    assert "rank 3 instead of 20" in DRAWN["matrices"]().caption
    equation = DRAWN["equation"]()
    assert "3,648 numbers train, 7.1 % of the 51,200 of W" in equation.caption
    assert "Lowest loss on pirate logs: the pirate (1.25); on plain stories: no adapter (1.75)" in (
        DRAWN["voices"]().caption
    )
    norms = DRAWN["update_norms"]().caption
    assert "q_proj has changed most (1.50" in norms
    assert "up_proj least (0.50" in norms
    spread = weights()["W"].std() / weights()["BA"].std()
    assert f"{spread:.1f} times" in DRAWN["entry_distributions"]().caption


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"svg": "<p>"}, "has no drawing"),
        ({"alt": " "}, "has no alt; say what it shows"),
        ({"caption": ""}, "has no caption"),
    ],
)
def test_a_figure_without_words_is_refused(fields, message):
    with pytest.raises(PeftlabError, match=message):
        figures.Figure(**{"svg": "<svg></svg>", "alt": "a", "caption": "c", **fields})


def test_a_strip_too_thin_to_see_is_refused():
    with pytest.raises(PeftlabError, match="rank 8 of a 4096 × 4096 matrix cannot be drawn"):
        figures.lora.equation(4096, 4096, rank=8)


def test_nothing_to_draw_is_named():
    with pytest.raises(PeftlabError, match="no run to draw"):
        figures.lora.loss_curves({})


def test_the_palette_can_be_told_apart_on_both_themes():
    def contrast(a, b):
        brighter, darker = sorted((luminance(a), luminance(b)), reverse=True)
        return (brighter + 0.05) / (darker + 0.05)

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for colour in style.PALETTE:
        assert contrast(colour, "#ffffff") > 2, colour
        assert contrast(colour, "#12161b") > 3, colour
