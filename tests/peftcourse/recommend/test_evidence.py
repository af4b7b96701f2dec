"""The sentences that rules cite are what the recorded comparison says."""

import runpy

import pytest

from peftcourse.compare import tables
from peftcourse.recommend import evidence, rules
from peftcourse.recommend.measured import MEASURED


@pytest.fixture(scope="module")
def comparison():
    return tables.load()


@pytest.mark.parametrize("name", evidence.SENTENCES)
def test_a_sentence_is_what_the_rows_say(comparison, name):
    assert MEASURED[name] == evidence.SENTENCES[name](comparison)


def test_the_module_of_sentences_can_be_written_again(comparison, tmp_path):
    file = tmp_path / "measured.py"
    evidence.write(comparison, file)
    assert runpy.run_path(str(file))["MEASURED"] == MEASURED
    assert max(map(len, file.read_text(encoding="utf-8").splitlines())) <= 100


def test_what_is_cited_is_in_the_text():
    reasons = (rules.LORA, rules.QLORA, rules.RATE_REASON, rules.FULL_RATE_REASON, *rules.OTHERS)
    assert rules.VARIANTS in rules.OTHERS
    for reason in (*reasons, rules.IA3):
        assert rules.RECORDED in reason.sources
        assert any(sentence in reason.text for sentence in MEASURED.values())


def test_the_sentences_speak_of_every_place(comparison):
    assert set(evidence.PLACES) == set(comparison.pairs)
    assert {model for model, _ in evidence.PLACES} == set(evidence.MODELS)


def test_what_the_rules_say_themselves(comparison):
    """Words of ours around the computed sentences."""
    assert "only rsLoRA, at rank 64, was worse on no task" in rules.VARIANTS.text
    for name, nowhere in (("rslora-64", True), ("pissa-8", False), ("lora+-8", False)):
        assert (min(evidence.points(comparison, name, "lora-8")) > 0) == nowhere
    forgot = [
        comparison.difference(*place, "lora-8", "full", "forgetting").mean < 0
        for place in evidence.PLACES
    ]
    assert sum(forgot) == 4  # "On most tasks LoRA forgets less"


def test_gains_start_at_the_base_and_end_at_full(comparison):
    for place in comparison.pairs:
        assert evidence.gain(comparison, "full", place) == pytest.approx(100)
        assert evidence.gain(comparison, "base", place) == 0
