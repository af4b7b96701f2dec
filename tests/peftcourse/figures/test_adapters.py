"""Figures of lesson 07 say what they show, and what they say is computed."""

import pytest
from figure_contract import has_words_and_takes_the_page_colour, public_functions

from peftcourse.figures import adapters
from peftlab import PeftlabError

RUNS = [
    {"method": method, "size": size, "trainable": count, "loss": loss + change}
    for method, size, count, loss in (
        ("pfeiffer", 1, 6152, 1.5),
        ("pfeiffer", 64, 264704, 1.125),
        ("lora-all", 1, 37376, 1.25),
        ("lora-all", 8, 299008, 1.0),
        ("ia3", 0, 7680, 1.75),
    )
    for change in (-0.125, 0.125)
]
RESIDUALS = {
    "ReLU": [[0.25, 0.5], [0.25, 0.5]],
    "LoRA": [[1e-7, 3e-7], [1e-7, 3e-7]],
}
LOADS = {
    load: {
        "base, again": {"median": 1.0, "low": 0.99, "high": 1.01},
        "LoRA": {"median": slow, "low": 1.2, "high": 1.9},
    }
    for load, slow in (("batch 1", 1.75), ("batch 64", 1.25))
}
KEPT = [
    [
        {"kept": 0.0, "loss": 5.0 + change},
        {"kept": 0.01, "loss": 2.0 + change},
        {"kept": 0.5, "loss": 1.0 + change},
    ]
    for change in (0.0, 0.5)
]
DRAWN = {
    "sizes": lambda: adapters.sizes(RUNS),
    "left_over": lambda: adapters.left_over(RESIDUALS),
    "scales": lambda: adapters.scales({"ReLU": {0.1: 0.125, 1.0: 0.375}}),
    "stand_ins": lambda: adapters.stand_ins({"adapter": [1.0, 1.5], "affine map": [2.0, 2.0]}),
    "overhead": lambda: adapters.overhead(LOADS),
    "kept": lambda: adapters.kept(KEPT),
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_has_words_and_takes_the_page_colour(name):
    has_words_and_takes_the_page_colour(DRAWN[name]())


def test_every_figure_is_tested():
    assert public_functions(adapters) - {"summarise"} == set(DRAWN)


def test_sizes_gives_the_ends_of_lines_and_single_points():
    figure = DRAWN["sizes"]()
    assert "Pfeiffer goes from 1.50 at size 1 to 1.12 at 64" in figure.caption
    assert "IA³ reaches 1.75" in figure.caption
    assert "at most 0.18" in figure.caption
    assert "1.25 (size 1, 37,376)" in figure.alt


def test_the_distance_from_a_matrix_is_averaged_over_layers_and_seeds():
    figure = DRAWN["left_over"]()
    assert "ReLU: 0.38" in figure.caption and "LoRA: 2e-07" in figure.caption
    assert "12 % at 0.1" in DRAWN["scales"]().caption
    assert "adapter 1.25; affine map 2.00" in DRAWN["stand_ins"]().caption


def test_overhead_names_the_slowest_for_each_load():
    figure = DRAWN["overhead"]()
    assert "Batch 1: LoRA takes longest, 1.75 times" in figure.caption
    assert "batch 64: LoRA takes longest, 1.25 times" in figure.caption
    assert "base, again 1.00" in figure.alt


def test_kept_gives_the_ends_and_nothing():
    assert "largest 1 % of the entries give a loss of 2.25" in DRAWN["kept"]().caption
    assert "50 % give 1.25, none 5.25" in DRAWN["kept"]().caption


def test_nothing_to_draw_is_refused():
    for draw in (
        lambda: adapters.summarise([]),
        lambda: adapters.sizes([]),
        lambda: adapters.left_over({}),
        lambda: adapters.scales({}),
        lambda: adapters.stand_ins({}),
        lambda: adapters.overhead({}),
        lambda: adapters.kept([]),
    ):
        with pytest.raises(PeftlabError):
            draw()
