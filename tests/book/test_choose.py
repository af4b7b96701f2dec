"""The numbers in the prose of lesson 10, computed again: from definitions and from the rows."""

import re
from pathlib import Path

import pytest

from peftcourse.compare import claims, tables
from peftcourse.experiments.statistics import critical_difference, t_quantile
from peftcourse.recommend import evidence
from peftlab.memory import Settings, estimate

PAGE = "10_choose"
CHAPTER = (Path(__file__).parents[2] / "book" / "10_choose.md").read_text(encoding="utf-8")
PROSE = " ".join(re.sub(r"```\{(code-cell|literalinclude).*?```", "", CHAPTER, flags=re.S).split())
LLAMA = "llama-2-7b"
VOICE, SLOTS, FACTS = (("tiny", task) for task in ("voice", "slots", "facts"))
REAL_SLOTS, REVIEWS = (("smollm2", task) for task in ("slots", "sentiment"))
PLACES = [VOICE, SLOTS, FACTS, REAL_SLOTS, REVIEWS]


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
    assert says("With two tasks the critical difference would be larger than the largest distance")
    assert critical_difference(17, 2) > 16
    assert says("With our five it is eleven ranks")


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
    assert says("Two models, four tasks, five places.") and set(comparison.pairs) == set(PLACES)
    sizes = [comparison.runs(*place, "full")[0]["trainable"] for place in (VOICE, REVIEWS)]
    assert says("7 and 135 million parameters") and [round(n / 1e6) for n in sizes] == [7, 135]
    assert says("100 to 300 steps on 800 to 3,200 examples")
    pairs = comparison.settings["pairs"]
    assert {pair["steps"] for pair in pairs} == {100, 200, 300}
    examples = [pair["examples"][0] for pair in pairs]
    assert (min(examples), max(examples)) == (800, 3200)
    extra = {
        len(comparison.tried(*place, name)) - 5 for place in PLACES for name in comparison.methods
    }
    assert says("a search that had to go on took one or two runs more") and max(extra) == 2


def over(numbers, digits):
    return [f"{number:.{digits}f}" for number in numbers]


def test_a_wrong_rate_beside_a_wrong_method(comparison):
    step = [evidence.best_to_median(comparison, *place) for place in PLACES]
    off = [evidence.off_by(comparison, *place, -1, 1) for place in PLACES]
    high = [evidence.off_by(comparison, *place, 2) for place in PLACES]
    halves = over([a / b for a, b in zip(off, step, strict=True)], 1)
    decades = [a / b for a, b in zip(high, step, strict=True)]
    assert says(f"Half a decade off costs {' and '.join(halves[:2])} times as much")
    assert says(f"with the bundled model, {halves[2]} times on `facts`")
    assert says(f"and {' and '.join(halves[3:])} times with SmolLM2")
    assert says(f"A whole decade too high costs {min(decades):.1f} times as much at least")
    assert says("The method in two places, the rate in three")
    assert sum(float(ratio) > 1 for ratio in halves) == 3


def test_percentages_of_full_fine_tuning(comparison):
    lora = [f"{evidence.gain(comparison, 'lora-8', place):.0f} %" for place in PLACES]
    assert says(f"{lora[1]} and {lora[3]} of the gain in score: exact match forgives no token")
    assert says(f"its share runs from {lora[1]} to {lora[4]}, the latter on the reviews")
    assert sorted(lora, key=lambda text: int(text[:-2])) == [lora[i] for i in (1, 3, 0, 2, 4)]

    def in_loss(place, method):
        nothing, full, found = (
            comparison.interval(*place, name, "loss").mean for name in ("base", "full", method)
        )
        return 100 * (found - nothing) / (full - nothing)

    assert says("has 99 % of the gain in loss on both models")
    assert {int(in_loss(place, "lora-8")) for place in (SLOTS, REAL_SLOTS)} == {99}
    share = round(in_loss(VOICE, "prompt"))
    assert says(f"A soft prompt of 20 tokens reaches {share} % of full fine-tuning's gain in loss")
    started = [place for place in PLACES if comparison.interval(*place, "base").mean]
    assert says("Four of the five places start at a score of 0.") and started == [REVIEWS]
    assert says("gets two reviews in three right before any training")
    assert round(3 * comparison.interval(*REVIEWS, "base").mean) == 2


def test_scores_on_the_reviews_lie_close(comparison):
    scores = [comparison.interval(*REVIEWS, name).mean for name in comparison.methods]
    assert says("fifteen of seventeen methods lie within five points of each other")
    assert sum(score > max(scores) - 0.05 for score in scores) == 15


def test_queries_and_values_alone_and_ranks(comparison):
    lost = [round(x) for x in evidence.points(comparison, "lora-8", "lora-8-qv")]
    assert says(f"costs {lost[0]} points on `voice`, {lost[1]} on `slots` and {lost[2]} on `facts`")
    rank = comparison.difference(*REAL_SLOTS, "lora-1", "lora-64").mean
    assert says(f"rank 1 beats rank 64 by {100 * rank:.0f} points")
    scaled = comparison.difference(*REAL_SLOTS, "rslora-64", "lora-64").mean
    assert says(f"the same rank gains {100 * scaled:.0f} points on SmolLM2's `slots`")
    assert says("rank 8 is scaled by 2 and rank 64 by 0.25") and (16 / 8, 16 / 64) == (2, 0.25)


def test_steps_of_small_models(comparison):
    lora, dora = (
        over([comparison.cost(model, name)["step_ratio"] for model in ("tiny", "smollm2")], 1)
        for name in ("lora-8", "dora-8")
    )
    assert says(f"LoRA's step takes {lora[0]} times as long as full fine-tuning's on the bundled")
    assert says(f"and {lora[1]} times on SmolLM2, DoRA's {dora[0]} and {dora[1]} times")


def test_the_share_of_the_last_layer(comparison):
    assert says("It is 11 % of the small model's parameters, and 3 % of SmolLM2's.")
    for place, percent in ((SLOTS, 11), (REAL_SLOTS, 3)):
        last, full = (
            comparison.runs(*place, name)[0]["trainable"] for name in ("last-layer", "full")
        )
        assert round(100 * last / full) == percent


def test_forgetting(comparison):
    difference = {
        place: comparison.difference(*place, "lora-8", "full", "forgetting") for place in PLACES
    }
    assert says("holds on `slots` and `facts` with the bundled model, fails on `voice`")
    assert [place for place in PLACES if difference[place].high < 0] == [SLOTS, FACTS]
    assert [place for place in PLACES if difference[place].low > 0] == [VOICE]
    dora, qlora, lora = (
        comparison.interval(*REAL_SLOTS, name, "forgetting").mean
        for name in ("dora-8", "qlora-8", "lora-8")
    )
    assert says(f"`slots` forget {dora:.1f} and {qlora:.1f} nats, LoRA {lora:.1f}.")
    assert says("AdaLoRA forgets least of all methods but the prompt in four places of five.")
    least = 0
    for place in PLACES:
        forgot = {
            name: comparison.interval(*place, name, "forgetting").mean
            for name in comparison.methods
            if name != "prompt"
        }
        least += min(forgot, key=forgot.get) == "adalora-8"
    assert least == 4


def test_why_dora_and_qlora_forgot(comparison):
    assert says("LoRA was a little better at 0.003, DoRA and QLoRA a little better at 0.0095")
    for name, best in (("lora-8", 0.003), ("dora-8", 0.0095), ("qlora-8", 0.0095)):
        tried = {round(rate, 4): loss for rate, loss in comparison.tried(*REAL_SLOTS, name)}
        assert min((0.003, 0.0095), key=tried.get) == best
        assert abs(tried[0.003] - tried[0.0095]) < 0.03


def test_verdicts_in_the_prose(comparison):
    verdicts = {
        claim.text: {finding.place: finding.verdict for finding in claim.findings(comparison)}
        for claim in claims.CLAIMS
    }
    review, real = ", ".join(REVIEWS), ", ".join(REAL_SLOTS)
    assert says("On the reviews LoRA beats full fine-tuning and the prompt beats the prefix")
    assert verdicts["Full fine-tuning beats LoRA."][review] == claims.FAILS
    assert verdicts["Prefix tuning beats prompt tuning."][review] == claims.FAILS
    assert says("on SmolLM2's `slots` adapters beat LoRA")
    assert verdicts["LoRA beats bottleneck adapters."][real] == claims.FAILS
    everywhere = [
        claim.text
        for claim in claims.LADDER
        if set(verdicts[claim.text].values()) == {claims.HOLDS}
    ]
    assert says("One link holds everywhere: adapters beat prefix tuning.")
    assert everywhere == ["Adapters beat prefix tuning."]
    gains = [evidence.gain(comparison, "lora-8", place) for place in PLACES]
    assert says("reached 98 % or more in two places and less than 85 % in two others")
    assert (sum(x >= 98 for x in gains), sum(x < 85 for x in gains)) == (2, 2)


def test_small_is_not_gentle(comparison):
    forgot = {
        name: comparison.interval(*SLOTS, name, "forgetting").mean for name in comparison.methods
    }
    small = sorted(forgot[name] for name in ("norms", "ia3", "prefix"))
    assert says(f"{small[0]:.1f} to {small[2]:.1f} nats, where full fine-tuning forgets")
    assert says(f"forgets {forgot['full']:.1f}.")
    assert sorted(forgot.values())[-3:] == small


def test_the_summary(comparison):
    gains = [evidence.gain(comparison, "lora-8", place) for place in PLACES]
    assert says(f"LoRA of rank 8 reaches {min(gains):.0f} to {max(gains):.0f} % of its gain")
    assert says("full fine-tuning is best in three of five places")
    best = [comparison.summary(*place)[0].method for place in PLACES]
    assert best == ["full", "full", "lora-64", "full", "lora+-8"]
    rates = next(claim for claim in claims.CLAIMS if "best rate" in claim.text)
    assert claims.verdict(rates.findings(comparison)) == claims.HOLDS
