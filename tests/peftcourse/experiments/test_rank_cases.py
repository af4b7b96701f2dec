"""The three cases of lesson 04: disjoint, reproducible, and what they say they are."""

import json

import pytest

from peftcourse.experiments import rank_cases
from peftlab import PeftlabError


@pytest.mark.parametrize("case", rank_cases.CASES[1:])
def test_the_same_seed_gives_the_same_disjoint_examples(case):
    first, again, other = (
        rank_cases.load(case, seed=seed, sizes=(50, 20, 20)) for seed in (3, 3, 4)
    )
    assert first == again != other
    prompts = [{example.prompt for example in first[split]} for split in first]
    assert [len(examples) for examples in first.values()] == [50, 20, 20]
    assert not prompts[0] & prompts[1] and not prompts[0] & prompts[2]


def test_a_translation_is_one_line_in_the_voice():
    assert rank_cases.translate("They see a small bush.", "pirate") == "They spy a small bush."
    assert rank_cases.translate("They see a small bush.", "robot") == "They detect a small bush."


def test_instructions_ask_for_six_things_and_json_is_valid():
    examples = rank_cases.instructions("validation")
    kinds = {example.prompt.split("\n")[-1] for example in examples}
    assert kinds == {"Pirate:", "Robot:", "First:", "Last:", "Who:", "JSON: {"}
    for example in examples:
        opening, kind = example.prompt.rsplit("\n", 1)
        answer = example.target.strip()
        if kind == "JSON: {":
            assert json.loads("{" + answer + "}")["who"] in opening
        elif kind in ("First:", "Last:", "Who:"):
            assert answer in opening


def test_an_unknown_case_and_too_much_data_are_refused():
    with pytest.raises(PeftlabError, match="no case 'poems'; choose one of translation"):
        rank_cases.load("poems", seed=0, sizes=(1, 1, 1))
    with pytest.raises(PeftlabError, match="ask for fewer"):
        rank_cases.load("style", seed=0, sizes=(10**6, 1, 1))
