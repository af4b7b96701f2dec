"""Figures of lesson 04 say what they show, and what they say is computed."""

import math

import pytest
from figure_contract import has_words_and_takes_the_page_colour, public_functions

from peftcourse.figures import practice
from peftlab import PeftlabError

HELPERS = {"where", "summary", "points", "best_rates", "mean_ranks"}


def run(rank=1, rate=0.1, loss=1.0, **values):
    return {"rank": rank, "rate": rate, "loss": loss, **values}


GRID = [
    run(rank, rate, loss + seed)
    for rank, rate, loss in ((1, 0.1, 2.0), (1, 0.2, 1.0), (8, 0.1, 0.5), (8, 0.2, 3.0))
    for seed in (0, 0.25)
]
RANKS = [
    {f"model.layers.{layer}.x.{name}_proj": layer + index for index, name in enumerate("qkvo")}
    | {f"model.layers.{layer}.x.{name}_proj": seed for name in ("gate", "up", "down")}
    for seed in (6, 8)
    for layer in (0,)
]

FIGURES = {
    "lines": lambda: practice.lines(
        {"voice": {"LoRA": [(1, 2.0, 0.1), (8, 1.0, 0.1), (64, math.inf, math.nan)]}},
        x="rank",
        y="loss",
        levels={"voice": ("full fine-tuning", 0.75)},
    ),
    "heat_map": lambda: practice.heat_map([*GRID, run(8, 0.4, None), run(8, 0.4)][:8], "slots"),
    "choices": lambda: practice.choices({"voice": {"q": (2.0, 0.1), "MLP": (1.5, 0.2)}}, "loss"),
    "final_ranks": lambda: practice.final_ranks({"voice": RANKS}),
    "by_level": lambda: practice.by_level(
        {"all": [1.0, 2.0, 4.0, 4.0], "careful": [1.0, 2.0, 0.5, 0.25]},
        ["norm", "block 1", "block 0", "embedding"],
        {"all": (4,), "careful": (2, 4)},
    ),
    "trade": lambda: practice.trade(
        {"voice": {"a": ((1.0, 0.1), (0.5, 0.25)), "b": ((0.25, 0.1), (2.0, 0.1))}},
        "forgetting (nats)",
        "loss (nats)",
    ),
    "drift": lambda: practice.drift({"train()": [0.0, 1.5], "eval()": [0.0, 0.0]}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_words_with_numbers_and_takes_the_colour_of_the_page(name):
    has_words_and_takes_the_page_colour(FIGURES[name]())


def test_every_figure_is_tested():
    assert public_functions(practice) - HELPERS == set(FIGURES)


def test_a_summary_is_a_mean_and_its_standard_error():
    mean, error = practice.summary([run(loss=1.0), run(loss=2.0)])
    assert mean == 1.5 and error == pytest.approx(0.5)
    with pytest.raises(PeftlabError, match="two runs"):
        practice.summary([run()])


def test_a_diverged_run_counts():
    assert practice.summary([run(loss=1.0), run(loss=None)])[0] == math.inf
    assert "a run diverged at 64" in FIGURES["lines"]().caption
    grid = [*GRID, run(8, 0.4, None), run(8, 0.4, 0.1)]
    assert practice.best_rates(grid) == {1: (0.2, 1.125), 8: (0.1, 0.625)}


def test_lines_name_the_lowest_and_the_level():
    caption = FIGURES["lines"]().caption
    assert "voice, rank 1 to 64: LoRA 2.00 → 1.00" in caption and "full fine-tuning 0.75" in caption
    valley = {"voice": {"LoRA": [(1, 2.0, 0.1), (8, 1.0, 0.1), (64, 1.5, 0.1)]}}
    assert "2.00 → 1.50, lowest 1.00 at 8" in practice.lines(valley, x="rank", y="loss").caption


def test_the_heat_map_names_the_best_rate_of_each_rank():
    assert "r = 1: 0.2, r = 8: 0.1" in FIGURES["heat_map"]().caption


def test_levels_name_the_highest_and_the_lowest_block():
    assert "all 2 and 4; careful 2 and 0.5" in FIGURES["by_level"]().caption


def test_a_trade_names_what_is_lowest_in_each():
    caption = FIGURES["trade"]().caption
    assert "voice: a has the lowest loss (0.500), b the least forgetting (0.25)" in caption


def test_final_ranks_are_means_over_the_seeds():
    assert practice.mean_ranks(RANKS) == [[0, 1, 2, 3, 7, 7, 7]]
    assert "most rank goes to gate (7.0 on average), least to q (0.0)" in (
        FIGURES["final_ranks"]().caption
    )


def test_nothing_to_draw_is_refused():
    for draw in (
        lambda: practice.lines({}, x="rank", y="loss"),
        lambda: practice.choices({}, "loss"),
        lambda: practice.final_ranks({}),
        lambda: practice.trade({}, "forgetting", "loss"),
        lambda: practice.by_level({"all": [1.0]}, ["norm", "block 0"], {"all": (2,)}),
    ):
        with pytest.raises(PeftlabError):
            draw()
