"""Claims are judged by intervals of paired differences, place by place."""

import re
from pathlib import Path

import pytest

from peftcourse.compare import claims
from peftcourse.compare.claims import FAILS, HOLDS, OPEN, alike, better, share_of_full, verdict
from peftcourse.compare.tables import Comparison

ROOT = Path(__file__).resolve().parents[3]
NOISE = {0: 0.0, 1: 0.01, 2: -0.01, 3: 0.005, 4: -0.005}  # mean 0; its interval ends at ± 0.0098


def comparison(scores, *, costs=(), rates=None):
    """One task with five seeds; a score is one number plus noise, or one number for each seed."""
    rows = []
    for method, score in scores.items():
        by_seed = score if isinstance(score, dict) else {s: score + n for s, n in NOISE.items()}
        for seed, value in by_seed.items():
            place = {"model": "m", "task": "t", "method": method, "seed": seed}
            rows.append(place | {"score": value, "forgetting": value})
    chosen = [
        {"model": "m", "task": "t", "method": method, "learning_rate": rate}
        for method, rate in (rates or {}).items()
    ]
    known = {method: {"label": method} for method in scores if method != "base"}
    settings = {"pairs": [{"model": "m", "task": "t"}], "methods": known}
    return Comparison(settings, rows, [], chosen, list(costs))


def judged(judge, scores, **more):
    [finding] = judge(comparison(scores, **more))
    return finding


def flat(value):
    return dict.fromkeys(NOISE, value)


def test_better_needs_an_interval_on_one_side():
    apart = {"a": 0.8, "b": flat(0.7)}
    assert judged(better("a", "b"), apart).verdict == HOLDS
    assert judged(better("b", "a"), apart).verdict == FAILS
    assert judged(better("a", "b"), {"a": 0.705, "b": flat(0.7)}).verdict == OPEN
    assert judged(better("a", "b"), apart).value.mean == pytest.approx(0.1)


def test_less_is_better_where_it_is():
    assert judged(better("a", "b", "forgetting"), {"a": 0.5, "b": flat(0.7)}).verdict == HOLDS
    assert judged(better("b", "a", "forgetting"), {"a": 0.5, "b": flat(0.7)}).verdict == FAILS


def test_noise_that_both_share_drops_out():
    """Unpaired, the intervals of these two would overlap by far."""
    assert judged(better("a", "b"), {"a": 0.701, "b": 0.7}).verdict == HOLDS


def test_alike_is_shown_and_not_assumed():
    assert judged(alike("a", "b", 0.02), {"a": 0.7, "b": flat(0.7)}).verdict == HOLDS
    # Not different, and not shown to be alike either.
    assert judged(alike("a", "b", 0.005), {"a": 0.7, "b": flat(0.7)}).verdict == OPEN
    assert judged(alike("a", "b", 0.02), {"a": 0.8, "b": flat(0.7)}).verdict == FAILS


@pytest.mark.parametrize(
    ("score", "word"), [(0.62, HOLDS), (0.6395, OPEN), (0.68, FAILS), (0.5, FAILS)]
)
def test_a_share_has_two_limits(score, word):
    """From a base of 0.2 to full fine-tuning at 0.7, 80 to 88 % of the gain is 0.60 to 0.64."""
    scores = {"base": flat(0.2), "full": flat(0.7), "a": score}
    assert judged(share_of_full("a", 80, 88), scores).verdict == word
    assert judged(share_of_full("a", 80, 88), scores).value.mean == pytest.approx(
        100 * (score - 0.2) / 0.5
    )


def test_a_share_can_have_one_limit():
    scores = {"base": flat(0.2), "full": flat(0.7), "a": 0.9}
    assert judged(share_of_full("a", 98), scores).verdict == HOLDS


def test_costs_and_rates_are_single_numbers():
    costs = [{"model": "m", "method": "a", "step_ratio": 1.2, "overhead_merged": None}]
    made = comparison({"a": 0.5}, costs=costs, rates={"a": 1e-2, "full": 1e-3})
    [slow] = claims.cost_below("a", "step_ratio", 1.0)(made)
    assert slow.verdict == FAILS and slow.value.mean == 1.2
    assert not list(claims.cost_below("a", "overhead_merged", 1.0)(made))
    [rate] = claims.rate_ratio("a", 3, 33)(made)
    assert rate.verdict == HOLDS and rate.value.mean == pytest.approx(10)


def test_a_verdict_counts_places_that_disagree():
    holds, fails = (
        judged(better(*names), {"a": 0.8, "b": flat(0.7)}) for names in (("a", "b"), ("b", "a"))
    )
    assert verdict([holds, holds]) == "holds"
    assert verdict([fails, holds, holds]) == "holds 2, fails 1"


def test_a_claim_about_a_method_that_was_not_compared_has_no_finding():
    assert not list(better("a", "other")(comparison({"a": 0.5})))


def test_every_claim_cites_what_exists():
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    keys = set(re.findall(r"^@\w+\{(\w+),", bibliography, re.MULTILINE))
    assert len({claim.text for claim in claims.CLAIMS}) == len(claims.CLAIMS)
    for claim in claims.CLAIMS:
        assert claim.sources and set(claim.sources) <= keys
        assert claim.text.endswith(".") and claim.value
