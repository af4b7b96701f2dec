"""The tasks: deterministic, leak-free, and measured as they claim."""

from __future__ import annotations

import hashlib
import json
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.experiments import corpus, facts, results, slots, tasks, voices
from peftcourse.experiments.characters import pronouns
from peftcourse.experiments.voice_tables import PIRATE, ROBOT, VOICES, plural
from peftlab.errors import PeftlabError

ALL = [("voice", "pirate"), ("voice", "robot"), ("facts", None), ("slots", None)]
SPLITS = ("train", "validation", "test")

# sha256 of each task's examples for seed 0. They change only with the rules; then the recorded
# results that were measured with the old data have to be measured again.
DIGESTS = {
    ("voice", "pirate"): "365cb0408698c0c7fbfa16e6c83fdbb4b93a74a2b9cbb14fe9f49d2e09283b17",
    ("voice", "robot"): "c268e21b80de858b27fd3c2455b177d4a4e207e5f03a55bd46b1792f60c6b8db",
    ("facts", None): "c81c9cdc0edb18569f9e2080d1a6214c8b1c66caf2d4b69d25bad0e104485ade",
    ("slots", None): "cc3a88788b6f5274fd2b6d382ccea0fbe57b219d6313c61029bd190083c202a1",
}


class Characters:
    """A tokenizer with one token per character: enough of the transformers interface."""

    bos_token_id, eos_token_id = 0, 1

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [0] * add_special_tokens + [2 + ord(char) for char in text]}


def digest(task: tasks.Task) -> str:
    rows = [[(e.prompt, e.target) for e in getattr(task, split)] for split in SPLITS]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


# --- all tasks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "voice"), ALL)
def test_same_seed_gives_the_same_data_everywhere(name, voice):
    assert digest(tasks.load(name, voice=voice)) == DIGESTS[name, voice]


@pytest.mark.parametrize(("name", "voice"), ALL)
def test_another_seed_gives_other_data(name, voice):
    assert digest(tasks.load(name, voice=voice, seed=1)) != DIGESTS[name, voice]


@pytest.mark.parametrize(("name", "voice"), ALL)
def test_examples_are_plain_ascii_and_distinct(name, voice):
    task = tasks.load(name, voice=voice)
    examples = task.train + task.validation + task.test
    assert len(set(examples)) == len(examples)
    for example in examples:
        assert (example.prompt + example.target).isascii()
        assert example.target.strip()
        assert example.target.startswith(" ") == bool(example.prompt)
        assert task.score(example, example.target) > 0.75
        assert task.score(example, "") == 0


@pytest.mark.parametrize(("name", "voice"), ALL)
def test_sizes_are_obeyed_and_lists_are_the_callers_own(name, voice):
    task = tasks.load(name, voice=voice, sizes=(32, 5, 3))
    assert [len(getattr(task, split)) for split in SPLITS] == [32, 5, 3]
    task.train.clear()
    assert len(tasks.load(name, voice=voice, sizes=(32, 5, 3)).train) == 32


def test_splits_of_stories_are_disjoint():
    texts = {split: set(corpus.story_texts(split)) for split in SPLITS}
    assert not texts["train"] & texts["validation"]
    assert not texts["train"] & texts["test"]
    assert not texts["validation"] & texts["test"]


@pytest.mark.parametrize("name", ["voice", "slots"])
def test_examples_come_from_their_own_split(name):
    task = tasks.load(name)
    for split in SPLITS:
        if name == "voice":
            own = {voices.retell(text, PIRATE) for text in corpus.story_texts(split)}
            assert {e.target for e in getattr(task, split)} <= own
        else:
            own = {slots.opening(text) for text in corpus.story_texts(split)}
            assert {e.prompt.removesuffix("\nJSON: {") for e in getattr(task, split)} <= own


def test_the_package_holds_the_reserved_stories():
    assert len(corpus.documents()) == 2400
    assert sum(map(len, corpus.documents())) > 1_600_000
    assert all(example.prompt == "" for example in tasks.stories("validation"))
    assert len(tasks.stories("validation")) > 350


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("poetry",), "There is no task 'poetry'; choose one of voice, facts, slots."),
        (("voice", "elf"), "There is no voice 'elf'; choose one of pirate, robot."),
        (("facts", "pirate"), "The task 'facts' has no voices; leave out voice='pirate'."),
        (("slots", None, (5000, 1, 1)), "has [0-9]+ examples, not 5000; ask for fewer in sizes."),
        (("voice", None, (1, 1)), r"three positive whole numbers .*, not \(1, 1\)"),
        (("voice", None, (1, 0, 1)), r"three positive whole numbers .*, not \(1, 0, 1\)"),
        (("facts", None, (100, 1, 1)), "must be a multiple of 16, not 100"),
        (("facts", None, (16, 5, 1)), "1 characters have 4 facts to ask for, not 5"),
        (("facts", None, (16000, 5, 1)), "There are names for [0-9]+ characters, not for 1000"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(arguments, message):
    name, voice, sizes = (*arguments, None, None)[:3]
    with pytest.raises(PeftlabError, match=message):
        tasks.load(name, voice=voice, sizes=sizes)


def test_unknown_split_is_named():
    with pytest.raises(PeftlabError, match="no split 'dev'; choose one of train, validation, test"):
        tasks.stories("dev")


# --- voice --------------------------------------------------------------------------------------


@pytest.mark.parametrize("voice", VOICES.values(), ids=list(VOICES))
def test_plain_stories_have_no_style_and_retold_ones_all_of_it(voice):
    task = tasks.load("voice", voice=voice.name)
    retold = [task.score(example, example.target) for example in task.test]
    assert sum(retold) / len(retold) > 0.995
    assert min(retold) > 0.75
    plain = [voices.style_score(text, voice) for text in corpus.story_texts("test")]
    assert sum(plain) / len(plain) < 0.005
    (other,) = (each for each in VOICES.values() if each is not voice)
    crossed = [voices.style_score(example.target, other) for example in task.test]
    assert sum(crossed) / len(crossed) < 0.05


@pytest.mark.parametrize("voice", VOICES.values(), ids=list(VOICES))
def test_every_kind_of_rule_is_frequent(voice):
    """A style that a constant prefix could give would teach nothing."""
    examples = tasks.load("voice", voice=voice.name).train
    for kind, rule in voices.RULES.items():
        marked = sum(rule.count(example.target, voice)[0] > 0 for example in examples)
        assert marked > 0.25 * len(examples) or kind == "articles", kind


def test_pirate_retelling_follows_the_context():
    story = (
        "Once upon a time, there was a girl named Lily. She was very happy.\n"
        'Tim went to the park with his ant. Lily asked, "Can I play with the ant?"\n'
        '"Look at the bird!" said Lily. Tim was scared of the bird.\n'
        "They went home and smiled."
    )
    assert voices.retell(story, PIRATE) == (
        "Captain's log, day 7. Fair winds.\n"
        "Once upon a tide, there was a lass named Cap'n Lily. She was mighty jolly. Yo-ho-ho!\n"
        "Bosun Tim sailed to th' harbor with his ant. "
        'Cap\'n Lily hailed, "Tell me true: Can I play with the ant?"\n'
        "\"Avast! Peer at th' parrot!\" bellowed Cap'n Lily. Bosun Tim was afeared o' th' parrot. "
        "Shiver me timbers!\n"
        "They sailed to port and smiled.\n"
        "So ends this log, with all hands merry!"
    )
    watery = voices.retell(story.replace("park", "lake"), PIRATE)
    assert "seagull" in watery
    assert "parrot" not in watery


def test_robot_retelling_follows_the_context():
    story = 'Lily was sad. "I am lost," she said. "No, you are not!" her mom shouted. They hugged.'
    assert voices.retell(story, ROBOT) == (
        "Robot report 4. Named units: 1. Status: yellow.\n"
        'Unit Lily-4A was low on joy. Bzzt. "Data: This unit is lost," she stated. '
        '"Alert: Negative, you are not!" her mother unit alerted. They docked with.\n'
        "Job over. Saving data. Powering down."
    )


def test_score_counts_a_form_from_the_wrong_context_as_a_miss():
    right = tasks.load("voice", voice="pirate").test[0].target
    for good, bad in (("th' ", "the "), ("Cap'n ", "Bosun "), ("bellowed", "hailed")):
        texts = [e.target for e in tasks.load("voice").test if good in e.target]
        assert texts
        worse = sum(
            voices.style_score(text.replace(good, bad), PIRATE) < voices.style_score(text, PIRATE)
            for text in texts
        )
        assert worse > 0.9 * len(texts), good
    assert voices.style_score(right[:40], PIRATE) == 0  # too short to have a style


def test_pronouns_decide_who_is_who():
    text = "Ben had a ball. He saw a girl named Mia. She ran. Sam and Max came."
    assert pronouns(text) == {"Ben": "he", "Mia": "she", "Sam": "they", "Max": "they"}


@pytest.mark.parametrize(
    ("one", "many"),
    [("ship's dog", "ship's dogs"), ("puppy", "puppies"), ("fox", "foxes"), ("mouse", "mice")],
)
def test_plural(one, many):
    assert plural(one) == many


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.sampled_from(list(VOICES)))
def test_style_score_of_any_text_is_a_share(text, voice):
    assert 0 <= voices.style_score(text, VOICES[voice]) <= 1


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 300), st.integers(0, 159))
def test_mixing_plain_and_styled_lands_between(cut, index):
    """Half-learned style scores between none and all of it."""
    styled = tasks.load("voice").test[index].target
    assert 0 <= voices.style_score(styled[cut:], PIRATE) <= 1


# --- facts --------------------------------------------------------------------------------------


def test_questions_ask_for_facts_that_training_tells():
    task = tasks.load("facts")
    names = {start + end for start in facts._STARTS.split() for end in facts._ENDS.split()}

    def told(example):
        name = next(w for w in example.prompt.replace("?", " ").split() if w in names)
        return name, example.target

    known = {told(example) for example in task.train}
    assert {told(example) for example in task.validation} <= known
    assert {told(example) for example in task.test} <= known
    assert len(known) >= 250  # nearly all of 64 x 4: the same answer twice to one name is rare


def test_no_question_is_asked_in_a_form_that_training_used():
    task = tasks.load("facts")
    prompts = [{example.prompt for example in getattr(task, split)} for split in SPLITS]
    assert not prompts[0] & prompts[1]
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]


def test_names_are_unique_and_values_spread():
    world = facts.invent(96, random.Random(5))
    assert len(world) == 96
    assert len({values["pet"] for values in world.values()}) > 60


def test_facts_score_is_exact_but_forgiving_about_form():
    example = tasks.Example("Question: Where?\nAnswer:", " the copper mill.")
    assert facts.score(example, " the copper mill.") == 1
    assert facts.score(example, "The copper mill\n") == 1
    assert facts.score(example, " the copper tower.") == 0
    assert facts.score(example, " the copper mill. He lives") == 0


# --- slots --------------------------------------------------------------------------------------


def test_every_answer_stands_in_the_text():
    task = tasks.load("slots")
    for example in task.train + task.validation + task.test:
        assert tasks.valid_json(example.target)
        found = slots.parse(example.target)
        assert list(found) == list(slots.KEYS)
        words = example.prompt.replace("'s", " ").split()
        stripped = {word.strip('".,!?:;') for word in words}
        filled = [value for value in found.values() if value is not None]
        assert len(filled) >= slots.MIN_FILLED
        assert set(filled) <= stripped | {"".join(w for w in v) for v in stripped}


def test_slots_hold_the_first_word_that_fits():
    assert slots.extract("One day Tom and Lily saw a dog and a cat at the park. He was sad.") == {
        "who": "Tom",
        "animal": "dog",
        "place": "park",
        "thing": None,
        "feeling": "sad",
    }


def test_slots_score_needs_every_slot():
    example = tasks.load("slots").test[0]
    found = slots.parse(example.target)
    assert tasks.load("slots").score(example, json.dumps(found, indent=2)) == 1
    assert slots.score(example, json.dumps(found | {"who": "Nobody"})) == 0
    assert slots.score(example, example.target + " and so on") == 0


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"who": "Tim"}', '{"who": 3, "animal": null}', "[" * 100_000],
)
def test_invalid_json_is_told_from_valid(text):
    assert not tasks.valid_json(text)
    whole = dict.fromkeys(slots.KEYS)
    assert tasks.valid_json(json.dumps(whole))
    assert tasks.valid_json(json.dumps(whole)[1:-1])  # the prompt has opened the brace
    assert not tasks.valid_json(json.dumps(whole | {"who": 3}))
    assert not tasks.valid_json(json.dumps(whole | {"more": None}))


# --- what was measured --------------------------------------------------------------------------


def test_recorded_runs_show_that_the_tasks_separate_methods():
    measured = results.recorded("lora_separation")["numbers"]["tasks"]
    assert set(measured) == set(tasks.TASKS)
    for name, task in measured.items():
        assert task["full_minus_lora-1_score"]["in_standard_errors"] > 2, name
        assert task["methods"]["base"]["score"]["mean"] < 0.01, name  # the base model cannot do it


# --- encoding -----------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20), st.integers(22, 60))
def test_encode_masks_exactly_the_prompt(prompt, target, max_length):
    (row,) = tasks.encode([tasks.Example(prompt, target)], Characters(), max_length)
    whole = [0, *(2 + ord(char) for char in prompt + target), 1]
    assert row["input_ids"] == whole[:max_length]
    given_tokens = 1 + len(prompt)
    assert row["labels"][:given_tokens] == [tasks.IGNORE] * given_tokens
    assert row["labels"][given_tokens:] == row["input_ids"][given_tokens:]


def test_encode_refuses_a_prompt_that_fills_the_context():
    with pytest.raises(
        PeftlabError, match=r"max_length=4 .* example 1, .* 6 tokens; the longest example needs 9"
    ):
        tasks.encode(
            [tasks.Example("", "ab"), tasks.Example("abcde", "fg")], Characters(), max_length=4
        )


def test_collate_pads_on_the_right():
    batch = tasks.collate(
        [
            {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]},
            {"input_ids": [8], "labels": [8]},
        ],
        pad_id=9,
    )
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_collate_refuses_an_empty_batch():
    with pytest.raises(PeftlabError, match="at least one example"):
        tasks.collate([], pad_id=0)
