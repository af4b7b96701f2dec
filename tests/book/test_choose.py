"""The numbers in the prose of lesson 10, computed again: from definitions and from the rows."""

import re
from pathlib import Path

import pytest

from peftlab.compare import tables
from peftlab.compare.statistics import critical_difference, t_quantile
from peftlab.memory import Settings, estimate
from peftlab.recommend import claims, evidence

CHAPTER = (Path(__file__).parents[2] / "book" / "10_choose.md").read_text(encoding="utf-8")
PROSE = " ".join(re.sub(r"```\{(code-cell|literalinclude).*?```", "", CHAPTER, flags=re.S).split())
LLAMA = "llama-2-7b"
VOICE, SLOTS = ("tiny", "voice"), ("tiny", "slots")


@pytest.fixture(scope="module")
def comparison():
    return tables.load()


def says(fragment: str) -> bool:
    return fragment in PROSE


def test_quantiles_of_t():
    assert round(t_quantile(4), 2) == 2.78 and round(t_quantile(9), 2) == 2.26 and says("2.78")
    assert says("With three seeds it is 4.30, with two 12.71.")
    assert (round(t_quantile(2), 2), round(t_quantile(1), 2)) == (4.30, 12.71)
    assert round(t_quantile(4) / t_quantile(8), 2) == 1.20 and says("a factor of 1.20 in $t$")
    assert round(t_quantile(4) / 1.96, 1) == 1.4 and says("too narrow by a factor of 1.4")


def test_many_comparisons():
    assert says("1 - 0.95^{16} = 56") and round(100 * (1 - 0.95**16)) == 56
    assert says("Times 16 that is 0.32") and round(16 * 0.02, 2) == 0.32


def test_ranks():
    assert says("With five blocks the critical difference is about eleven ranks.")
    assert round(critical_difference(17, 5)) == 11
    assert says("With two tasks the critical difference is larger than the largest distance")
    assert critical_difference(17, 2) > 16


def test_quiz_on_percent():
    assert says("98.9 %") and round(100 * 89 / 90, 1) == 98.9
    assert says("88.9 %") and round(100 * 80 / 90, 1) == 88.9
    assert says("90 % of its gain") and 100 * (89 - 80) / (90 - 80) == 90


def test_seven_billion_parameters():
    lora = estimate(LLAMA, Settings(rank=8, targets="all-linear"))
    assert says("trains 0.3 % of the parameters")
    assert round(100 * lora.trained / lora.parameters, 1) == 0.3
    assert says("weights alone are 12.6 GiB")
    assert round(2 * 6_738_415_616 / 2**30, 1) == 12.6
    assert says("To about a third")
    assert 0.25 < lora.peak_bytes / estimate(LLAMA, Settings(method="full")).peak_bytes < 0.4


def test_the_setting(comparison):
    assert says("seventeen methods") and len(comparison.methods) == 17
    assert says("mean of five seeds") and len(comparison.settings["report_seeds"]) == 5
    assert says("there are sixteen comparisons on each task")
    search = comparison.settings["search"]
    assert says("Each search began with five rates over two decades")
    assert search["rates"] == 5 and search["step"] == "half a decade"
    assert says("bundled model of 7 million parameters")
    trained = comparison.runs("tiny", "voice", "full")[0]["trainable"]
    assert round(trained / 1e6) == 7
    assert says("200 steps on 800 examples")
    for pair in comparison.settings["pairs"]:
        if (pair["model"], pair["task"]) in (VOICE, SLOTS):
            assert (pair["steps"], pair["examples"][0]) == (200, 800)


def over(numbers, digits):
    return [f"{number:.{digits}f}" for number in numbers]


def test_a_wrong_rate_beside_a_wrong_method(comparison):
    step = [evidence.best_to_median(comparison, *place) for place in (VOICE, SLOTS)]
    off = [evidence.off_by(comparison, *place, -1, 1) for place in (VOICE, SLOTS)]
    high = [evidence.off_by(comparison, *place, 2) for place in (VOICE, SLOTS)]
    halves = over([a / b for a, b in zip(off, step, strict=True)], 1)
    decades = over([a / b for a, b in zip(high, step, strict=True)], 1)
    assert says(f"Half a decade off costs {' and '.join(halves)} times as much")
    assert says(f"a whole decade too high costs {' and '.join(decades)} times as much")


def test_percentages_of_full_fine_tuning(comparison):
    lora = [f"{evidence.gain(comparison, 'lora-8', place):.0f} %" for place in (VOICE, SLOTS)]
    assert says(
        f"LoRA of rank 8 reaches {lora[0]} of the score on `voice` and {lora[1]} on `slots`"
    )
    nothing, full, prompt = (
        comparison.interval(*VOICE, name, "loss").mean for name in ("base", "full", "prompt")
    )
    share = round(100 * (prompt - nothing) / (full - nothing))
    assert says(f"A soft prompt of 20 tokens reaches {share} % of full fine-tuning's gain in loss")
    for place in (VOICE, SLOTS):
        assert comparison.interval(*place, "base").mean == 0  # "starts at a score of 0"


def test_the_price_of_queries_and_values_alone(comparison):
    lost = [round(x) for x in evidence.points(comparison, "lora-8", "lora-8-qv")]
    assert says(f"costs {lost[0]} points on one task and {lost[1]} on the other")


def test_steps_of_a_small_model(comparison):
    lora, dora = (comparison.cost("tiny", name)["step_ratio"] for name in ("lora-8", "dora-8"))
    assert says(f"LoRA's step takes {lora:.1f} times as long as full fine-tuning's")
    assert says(f"DoRA's {dora:.1f} times")


def test_forgetting(comparison):
    full, r8, r64, stable = (
        [comparison.interval(*place, name, "forgetting").mean for place in (VOICE, SLOTS)]
        for name in ("full", "lora-8", "lora-64", "rslora-64")
    )
    assert says('"LoRA forgets less" holds on `slots` and fails on `voice`')
    assert r8[0] > full[0] and r8[1] < full[1]
    for place in (0, 1):  # "Rank 64 at the same α forgets less than either"
        assert r64[place] < min(full[place], r8[place], stable[place])
    settings = comparison.settings["methods"]
    assert "α = 16" in settings["lora-8"]["what"] and "α = 16" in settings["lora-64"]["what"]
    assert says("an eighth of rank 8's") and (16 / 64) / (16 / 8) == 1 / 8


def test_the_ladder_of_claims_is_nowhere_contradicted(comparison):
    for claim in claims.LADDER:
        places = {finding.place: finding.verdict for finding in claim.findings(comparison)}
        for place in (VOICE, SLOTS):
            assert places[", ".join(place)] != claims.FAILS


def test_small_is_not_gentle(comparison):
    forgot = {
        name: comparison.interval(*SLOTS, name, "forgetting").mean for name in comparison.methods
    }
    small = sorted(forgot[name] for name in ("norms", "ia3", "prefix"))
    assert says(f"{small[0]:.1f} to {small[2]:.1f} nats, where full fine-tuning forgets")
    assert says(f"forgets {forgot['full']:.1f}.")
    assert sorted(forgot.values())[-3:] == small


def test_the_summary(comparison):
    gains = [f"{evidence.gain(comparison, 'lora-8', place):.0f} %" for place in (VOICE, SLOTS)]
    assert says(f"LoRA of rank 8 reaches {gains[0]} and {gains[1]} of its gain")
    for place in (VOICE, SLOTS):
        assert comparison.summary(*place)[0].method == "full"
    for claim in claims.CLAIMS:
        if "rank hardly" in claim.text or "Queries and values" in claim.text:
            places = {finding.place: finding.verdict for finding in claim.findings(comparison)}
            assert places[", ".join(SLOTS)] == claims.FAILS
