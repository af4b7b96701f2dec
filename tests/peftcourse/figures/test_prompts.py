"""Figures of lesson 08 say what they show, and what they say is computed."""

import re

import pytest
import torch

from peftcourse.figures import prompts
from peftlab import PeftlabError


def run(method, size, loss, rate=0.1, start="random", trainable=None):
    trainable = trainable or 100 * size
    return {
        "method": method, "size": size, "loss": loss, "rate": rate, "start": start,
        "trainable": trainable,
    }  # fmt: skip


TUNING = [
    run("prompt", 1, 4.5),
    run("prompt", 1, 4.25, rate=0.3),
    run("prompt", 10, 3.125),
    run("prefix", 1, 2.5, trainable=2048),
    run("prefix", 10, None, rate=1.0),
    run("prefix", 10, 1.5, trainable=20480),
    run("lora", 8, 1.125, start="standard"),
]
REPEATED = [run("prompt", 10, 3.0), run("prompt", 10, 3.25), run("prompt", 10, 9.0, rate=0.3)]
STARTS = [
    run(method, 10, loss + seed, rate, start)
    for method, start, rate, loss in (
        ("prompt", "text", 0.1, 2.0),
        ("prompt", "random", 0.1, 3.0),
        ("prefix", "random", 0.1, 2.5),
        ("prefix", "mlp", 0.3, 1.5),
    )
    for seed in (0, 0.5)
]
SHARES = {
    "before": {"virtual": [0.5, 0.1], "even": [0.4, 0.4]},
    "after": {"virtual": [0.25, 0.75], "even": [0.4, 0.4], "spread": [0.01, 0.02]},
}


def test_lengths_takes_the_best_rate_and_measures_the_spread_at_it():
    figure = prompts.lengths(TUNING, REPEATED)
    assert "from 4.25 with 1 virtual token to 3.12 with 10" in figure.caption
    assert "to 1.50 with 10" in figure.caption and "LoRA with r = 8 reaches 1.12" in figure.caption
    assert "one standard deviation over seeds, at most 0.12" in figure.caption
    assert "1 → 2.50 (2,048)" in figure.alt
    assert "Bars" not in prompts.lengths(TUNING, []).caption


def test_starts_names_the_best_and_the_worst_start_of_each_method():
    figure = prompts.starts(STARTS)
    assert "prompt tuning is best from a text (2.25, rate 0.1)" in figure.caption
    assert "prefix tuning is best through an MLP (1.75, rate 0.3)" in figure.caption
    assert "worst from a random start (2.75, rate 0.1)" in figure.caption


def test_attention_by_layer_gives_mean_top_and_the_even_share():
    figure = prompts.attention_by_layer(SHARES)
    assert "before 30 % (most in layer 0, 50 %)" in figure.caption
    assert "after 50 % (most in layer 1, 75 %)" in figure.caption
    assert "alike, 40 %" in figure.caption


def test_mixing_measures_how_far_the_output_moved():
    text, prefix = torch.zeros(2, 3), torch.ones(2, 3)
    figure = prompts.mixing([0.5, 0.25], text, prefix, torch.tensor([[0.5], [0.25]]).expand(2, 3))
    assert "0.50 at the first position, 0.25 at the last" in figure.caption
    wrong = prompts.mixing([0.5, 0.5], text, prefix, torch.tensor([[0.5], [0.25]]).expand(2, 3))
    assert re.search(r"largest difference (\S+)\)", wrong.caption)[1] == "2e-01"


def test_nothing_to_draw_is_refused():
    for draw in (
        lambda: prompts.best([run("prompt", 1, None)]),
        lambda: prompts.starts([]),
        lambda: prompts.attention_by_layer({}),
    ):
        with pytest.raises(PeftlabError):
            draw()
