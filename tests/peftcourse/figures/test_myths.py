"""The ledger keeps what a page claims, and the figures of "Myths, measured" say what they show."""

import pytest
from figure_contract import FigureContract

from peftcourse.figures import myths
from peftlab import PeftlabError

RUNS = [
    {"scaling": scaling, "rank": rank, "seed": seed, "moved": moved * (1 + seed / 10)}
    for scaling, sizes in {"α/r": (0.2, 0.1), "α/√r": (0.15, 0.14)}.items()
    for rank, moved in zip((4, 16), sizes, strict=True)
    for seed in (0, 1)
]
DRAWN = {
    "peaks": lambda: myths.peaks({"LoRA": 16.5, "QLoRA": 5.0}, claimed=8, weights=13.48),
    "scaling": lambda: myths.scaling(RUNS),
    "step_time": lambda: myths.step_time(0.67, {"a model, CPU": {"LoRA": [0.8, 0.9, 1.2]}}),
    "shares": lambda: myths.shares({"voice": [92.0, 94.0], "slots": [70.0]}, (90, 95)),
}


class TestEveryFigure(FigureContract):
    module, drawn = myths, DRAWN


def test_findings_are_computed():
    assert "Below the claimed 8 GB: QLoRA." in DRAWN["peaks"]().caption
    assert "with α/r from 21.00 % at rank 4 to 10.50 % at rank 16" in DRAWN["scaling"]().caption
    assert "LoRA on a model, CPU 0.90" in DRAWN["step_time"]().caption
    assert "1 of 2 lie between 90 and 95 %: voice 93 %, slots 70 %" in DRAWN["shares"]().caption


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: myths.peaks({}, 8, 13), "no peak to draw"),
        (lambda: myths.scaling(RUNS[:2]), "two of them, not 1"),
        (lambda: myths.step_time(0.67, {"CPU": {}}), "no ratios to draw"),
        (lambda: myths.shares({}, (90, 95)), "no share to draw"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(PeftlabError, match=message):
        draw()


def test_an_entry_shows_its_verdict_and_escapes_its_number():
    entry = myths.Ledger().add("here", "A claim", "1 < 2 & 3", "it depends", "live")
    shown = entry._repr_html_()
    assert "<strong>It depends.</strong> 1 &lt; 2 &amp; 3" in shown
    assert "pl-verdict-1" in shown
    assert repr(entry) == "IT DEPENDS: 1 < 2 & 3 (live)"


def test_the_overview_has_a_row_for_each_claim_and_counts_them():
    ledger = myths.Ledger()
    ledger.add("one", "First", "|entry| 0", "false", "live")
    ledger.add("two", "Second", "5", "true", "counted")
    ledger.add("three", "Third", "6", "false", "counted")
    rows = ledger.table().splitlines()
    assert rows[2] == "| [First](#one) | \\|entry\\| 0 | false | live |"
    assert len(rows) == 5
    assert ledger.counts() == "3 claims: 2 false, 1 true"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("a", "A claim", "1", "maybe", "live"), "not 'maybe'"),
        (("a", "A claim", " ", "true", "live"), "has no number"),
        (("taken", "A claim", "1", "true", "live"), "a claim at 'taken' already"),
    ],
)
def test_a_claim_without_verdict_number_or_place_is_refused(values, message):
    ledger = myths.Ledger()
    ledger.add("taken", "Another", "1", "true", "live")
    with pytest.raises(PeftlabError, match=message):
        ledger.add(*values)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("by 6% in the other", "by 6\u00a0% in the other"),
        ("q_proj -0.47 / +0.82", "q_proj \u22120.47 / +0.82"),
        ("1e-16 of llama-3.2-1b, 9 %", "1e-16 of llama-3.2-1b, 9 %"),
    ],
)
def test_numbers_are_set_as_the_book_sets_them(written, printed):
    entry = myths.Ledger().add("myth-a", "a claim", written, "false", "counted")
    assert entry.ours == printed
