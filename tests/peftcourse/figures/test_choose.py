"""Figures of lesson 10 say what they show, and what they say is computed."""

import pytest
from figure_contract import has_words_and_takes_the_page_colour, public_functions

from peftcourse.experiments.statistics import Interval
from peftcourse.figures import choose
from peftlab import PeftlabError


def around(mean, half):
    return Interval(mean, mean - half, mean + half, 5)


PANELS = {
    "one": {"a": around(0.5, 0.1), "b": around(0.65, 0.1), "c": around(0.9, 0.05)},
    "two": {"a": around(0.25, 0.05), "b": around(0.5, 0.05), "c": around(0.75, 0.05)},
}
POINTS = {"trainable parameters": {"small": (10.0, 0.5), "large": (1e6, 0.75), "bad": (1e6, 0.25)}}
CURVES = {
    "tiny": {
        "a": [(-0.5, 0.25), (0.0, 0.0), (0.5, 1.0)],
        "b": [(-0.5, 0.5), (0.0, 0.0), (0.5, 2.0)],
        "c": [(-1.0, 3.0), (-0.5, 0.75), (0.0, 0.0)],
    }
}
SIZES = {"b": 2.0, "a": 1.0, "c": 50.0}
DRAWN = {
    "intervals": lambda: choose.intervals(PANELS, "loss (nats)"),
    "pareto": lambda: choose.pareto(POINTS, "score"),
    "ladder": lambda: choose.ladder(
        {"parameters": {"tiny": SIZES, "large": SIZES}, "GiB": {"tiny": SIZES, "large": SIZES}},
        {"tiny · one": {"a": 10.0, "b": 5.0, "c": 100.0}, "large · two": SIZES},
        "gain (%)",
    ),
    "ranks": lambda: choose.ranks({"a": 1.5, "b": 2.0, "c": 5.5}, 1.0, 4.5, 3),
    "rates": lambda: choose.rates(CURVES, {"tiny": 0.125}),
    "overheads": lambda: choose.overheads({"a": 1.25, "b": 1.5}, {"a": 1.0, "b": None}),
}


@pytest.mark.parametrize("name", DRAWN)
def test_each_keeps_to_what_figures_of_the_book_keep_to(name):
    has_words_and_takes_the_page_colour(DRAWN[name]())


def test_every_figure_is_drawn_here():
    assert public_functions(choose) == set(DRAWN)


def test_intervals_name_the_best_and_count_what_overlaps():
    caption = DRAWN["intervals"]().caption
    assert "one: a is best (0.500 ± 0.100), and 1 of 2 other intervals overlaps" in caption
    assert "two: a is best (0.250 ± 0.050), and 0 of 2 other intervals overlap with" in caption
    turned = choose.intervals(PANELS, "score", higher_is_better=True)
    assert "one: c is best (0.900 ± 0.050)" in turned.caption
    assert "b 0.650 ± 0.100" in turned.alt


def test_the_front_leaves_out_what_is_beaten():
    figure = DRAWN["pareto"]()
    assert "Trainable parameters, 2 of 3: 1 small; 2 large." in figure.caption
    assert "bad 1e+06 → 0.250" in figure.alt


def test_the_ladder_is_in_the_order_of_the_first_cost_and_counts_the_steps_down():
    figure = DRAWN["ladder"]()
    assert "from a at the bottom to c at the top" in figure.alt
    assert "Of 2 steps up" in figure.caption
    assert "lower gain: tiny · one 1, large · two 0." in figure.caption


def test_ranks_are_apart_by_the_seeds_and_by_the_tasks():
    caption = DRAWN["ranks"]().caption
    assert "a has the best mean rank, 1.5" in caption
    assert "1.0 ranks), which sets 1 of 2 apart" in caption and "they set 0 apart" in caption


def test_rates_takes_the_median_method_beside_its_best_rate():
    caption = DRAWN["rates"]().caption
    assert "the median method loses 0.50 below, 1.50 above" in caption
    assert "from the best method to the median one it is 0.12" in caption


def test_overheads_count_what_cannot_merge():
    caption = DRAWN["overheads"]().caption
    assert "1.25 to 1.50 times" in caption and "(b most)" in caption
    assert "merged, 1.00 to 1.00" in caption and "1 of 2 cannot merge: b." in caption


def test_nothing_to_draw_is_refused():
    for draw in (
        lambda: choose.intervals({}, "loss"),
        lambda: choose.pareto({}, "score"),
        lambda: choose.ladder({}, {}, "gain"),
        lambda: choose.rates({"tiny": {"a": [(0.0, 0.0)]}}, {"tiny": 0.1}),
    ):
        with pytest.raises(PeftlabError):
            draw()
