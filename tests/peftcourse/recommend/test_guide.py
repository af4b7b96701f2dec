"""The two tables of lesson 10: every row stands on something, and its numbers are computed."""

import re
from pathlib import Path

import pytest

from peftcourse.compare import claims, tables
from peftcourse.recommend import evidence, guide
from peftcourse.recommend.rules import COMPUTED, RECORDED
from peftlab.memory import Settings, estimate

BOOK = Path(__file__).parents[3] / "book"
KEYS = set(re.findall(r"^@\w+\{(\w+),", (BOOK / "references.bib").read_text("utf-8"), re.M))


@pytest.fixture(scope="module")
def comparison():
    return tables.load()


@pytest.fixture(scope="module")
def answers(comparison):
    return {question.text: question for question in guide.lora_or_full(comparison)}


def test_rows_name_sources_and_lessons_that_exist(comparison, answers):
    rows = [*guide.USES, *answers.values()]
    for row in rows:
        assert row.sources and set(row.sources) <= KEYS | {COMPUTED, RECORDED}, row
        assert (BOOK / f"{row.lesson}.md").is_file(), row
    assert {use.method for use in guide.USES} <= set(comparison.methods)
    assert len({use.name for use in guide.USES}) == len(guide.USES)


def test_a_source_that_is_computed_has_an_estimate():
    for use in guide.USES:
        assert use.estimate() is not None or COMPUTED not in use.sources


def test_gains_are_the_extremes_over_the_tasks_of_a_model(comparison):
    low, high = guide.gains(comparison, "lora-8")["tiny"]
    found = [evidence.gain(comparison, "lora-8", p) for p in evidence.PLACES if p[0] == "tiny"]
    assert (low, high) == (min(found), max(found)) and low < high
    assert guide.gains(comparison, "full")["smollm2"] == pytest.approx((100, 100))


def test_scores_and_forgetting_are_counted_as_the_claims_judge_them(comparison, answers):
    better = [claims.better("full", "lora-8"), claims.better("lora-8", "full", "forgetting")]
    score, kept = ([f.verdict for f in judge(comparison)] for judge in better)
    question = answers["Who scores higher, in five places?"]
    assert question.full == f"full in {score.count('holds')}"
    assert question.lora == f"LoRA in {score.count('fails')}"
    assert question.better == guide.FULL and score.count("holds") > score.count("fails") + 1
    question = answers["Who forgets less, in five places?"]
    assert question.lora == f"LoRA in {kept.count('holds')}"
    assert question.full == f"full in {kept.count('fails')}, open in {kept.count('open')}"


def test_memory_and_storage_follow_from_the_estimate(answers):
    lora = estimate("llama-2-7b", Settings(rank=8, targets="all-linear"))
    full = estimate("llama-2-7b", Settings(method="full"))
    question = answers["How much memory for 7B, one text of 512 tokens?"]
    assert question.lora == f"{lora.peak_bytes / 2**30:.1f} GiB"
    assert question.full == f"{full.peak_bytes / 2**30:.1f} GiB"
    question = answers["What do 50 tasks take on disk?"]
    assert question.full == f"{50 * 2 * 6_738_415_616 / 1e9:.0f} GB"
    wanted = (2 * 6_738_415_616 + 50 * 4 * lora.trained) / 1e9
    assert question.lora == f"{wanted:.1f} GB, base included"


@pytest.mark.parametrize(
    ("lora", "full", "who"), [(1, 4, "full"), (3, 1, "LoRA"), (2, 1, "depends"), (2, 2, "depends")]
)
def test_a_lead_of_one_place_is_none(lora, full, who):
    assert guide._more(lora, full) == who
