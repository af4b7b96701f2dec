"""Figures of lesson 02 say what they show, and what they say is computed."""

import re
from pathlib import Path

import pytest
import torch

from peftcourse.experiments import results
from peftcourse.figures import rank, style
from peftlab import PeftlabError

ROOT = Path(__file__).resolve().parents[3]
HARDWARE = "a CPU"


def recorded(name):
    return results.read(ROOT / "results" / f"rank_{name}.json")["numbers"]


DRAWN = {
    "spectra": lambda: rank.spectra(recorded("updates"), HARDWARE),
    "cut_losses": lambda: rank.cut_losses(recorded("updates"), HARDWARE),
    "intrinsic_dimension": lambda: rank.intrinsic_dimension(
        recorded("dimension"), HARDWARE, {300: 0.4}
    ),
    "intruders": lambda: rank.intruders(recorded("intruders"), HARDWARE),
    "similarities": lambda: rank.similarities(
        {"two seeds": {1: 0.75, 4: 0.5}, "by chance": {1: 0.01, 4: 0.02}}
    ),
}


def slider():
    return rank.compression({"a picture": rank.landscape(24)}, ranks=(1, 4))


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_has_words_with_a_number_and_takes_the_colour_of_the_page(name):
    figure = DRAWN[name]()
    for words in (figure.alt, figure.caption):
        assert len(words) > 40
        assert re.search(r"\d", words)
    assert "currentColor" in figure.svg and style.INK not in figure.svg
    assert figure == DRAWN[name]()


def test_a_slider_shows_one_of_its_frames_and_names_all():
    shown = slider()._repr_html_()
    assert list(slider().frames) == ["1", "4", "full"]
    assert shown.count('role="img"') == 3 and shown.count("<span hidden>") == 2
    assert len(re.findall(r'role="img" aria-label="[^"]*"(?! hidden)>', shown)) == 1
    assert 'type="range" min="0" max="2" value="1"' in shown
    assert "numbers" in shown and repr(slider()).startswith("Slider over the rank")


def test_a_slider_needs_something_to_show():
    with pytest.raises(PeftlabError, match="nothing to draw"):
        rank.compression({}, ranks=(1,))
    with pytest.raises(PeftlabError, match="no frame '9'"):
        rank.Slider(slider().frames, "rank", "9", "A caption.")


def test_the_landscape_is_the_same_each_time_and_has_shades():
    assert torch.equal(rank.landscape(), rank.landscape())
    assert rank.landscape().min() >= 0 and rank.landscape().max() == 1
