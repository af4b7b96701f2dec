"""What spoils a data set: contradictions, and held-out examples that training gives away."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.experiments import leaks
from peftcourse.experiments.chat import Conversation, Message
from peftcourse.experiments.corpus import Example
from peftcourse.experiments.jsonl import Line

WORDS = "the cat sat on a warm mat near the old door and looked at the rain all day long".split()


def lines(*examples, file="mine.jsonl"):
    return [Line(example, file, number) for number, example in enumerate(examples, 1)]


def talk(*contents):
    roles = ("user", "assistant") * len(contents)
    return Conversation(tuple(map(Message, roles, contents)))


# --- one question, several answers ----------------------------------------------------------------


def places(found):
    return [[line.number for line in conflict.lines] for conflict in found]


def test_one_question_with_two_answers_is_found_whatever_its_case_and_spacing():
    found = leaks.conflicts(
        lines(
            Example("What is up?", " the sky"),
            Example("Who bakes?", " a baker"),
            Example("what  is UP?\n", " birds"),
            Example("Who bakes?", "  a   baker "),  # the same answer
            Example("What is up?", " the sky"),
        )
    )
    assert places(found) == [[1, 3]] and found[0].question == "What is up?"


def test_a_text_has_no_question_and_cannot_contradict():
    assert not leaks.conflicts(lines(Example("", "one"), Example("", "two")))


def test_a_conversation_contradicts_another_up_to_any_reply():
    found = leaks.conflicts(
        lines(
            talk("hi", "hello", "bye", "ciao"),
            talk("hi", "hello", "bye", "see you"),
            talk("hi", "hey", "bye", "ciao"),  # another beginning: only its first reply contradicts
        )
    )
    assert places(found) == [[1, 3], [1, 2]]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), max_size=8))
@settings(max_examples=60, deadline=None)
def test_conflicts_are_the_questions_with_more_than_one_answer(pairs):
    answers: dict[str, set[str]] = {}
    for question, answer in pairs:
        answers.setdefault(question, set()).add(answer)
    found = leaks.conflicts(lines(*(Example(q, f" {a}") for q, a in pairs)))
    expected = {question for question, given in answers.items() if len(given) > 1}
    assert {conflict.question for conflict in found} == expected
    for conflict in found:
        assert len(conflict.lines) == len(answers[conflict.question])


# --- near-duplicates ------------------------------------------------------------------------------


def near(train, held_out):
    return leaks.near_duplicates(lines(*train), lines(*held_out), "test")


def changed(word):
    """The long text with its last word replaced: 16 of 18 triples stay, of 20 in either."""
    return Example(" ".join([*WORDS[:-1], word]), " yes")


def test_a_text_that_differs_in_a_word_is_nearly_the_same():
    [pair] = near([changed("long")], [changed("through")])
    assert (pair.held_out.number, pair.train.number, pair.split) == (1, 1, "test")
    assert leaks.NEAR <= pair.similarity < 1


@pytest.mark.parametrize(
    ("question", "one", "other"),
    [
        ("What is {} and 4?", "3", "5"),
        ("Convert {} dollars to euros, please, as of today", "1,000", "1,500"),
        ("Which chapter comes after chapter {} of the book?", "7", "8"),
        ("The bill of {} is due and has to be paid now", "12.50", "12.75"),
    ],
)
def test_what_differs_in_a_number_is_another_question(question, one, other):
    answer = " the same answer in the same words"
    first, second = (Example(question.format(number), answer) for number in (one, other))
    assert not near([first], [second])
    assert near([first], [first])


def test_a_number_in_the_answer_tells_apart_too():
    prompt = "How many legs do all the animals on the farm have together, if there is one cow?"
    assert not near([Example(prompt, " 4")], [Example(prompt, " 6")])


def test_conversations_are_compared_by_what_is_said():
    said = " ".join(WORDS)
    [pair] = near([talk(said, "yes, it did")], [talk(said, "yes, it did!")])
    assert pair.similarity == 1


def brute_force(train, held_out):
    """The same by comparing all with all."""
    found = {}
    for place, example in enumerate(held_out):
        own = leaks._triples(example)
        alike = [
            len(own & leaks._triples(other)) / len(own | leaks._triples(other))
            for other in train
            if leaks._numbers(other) == leaks._numbers(example)
        ]
        if alike and max(alike) >= leaks.NEAR:
            found[place + 1] = max(alike)
    return found


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_looking_only_at_rare_triples_finds_what_comparing_all_finds(seed):
    rng = random.Random(seed)

    def example():
        words = WORDS[: rng.randint(1, len(WORDS))]
        for _ in range(rng.randint(0, 2)):
            words[rng.randrange(len(words))] = rng.choice(["dog", "sun", "7", "8"])
        return Example(" ".join(words), " yes")

    train, held_out = ([example() for _ in range(12)] for _ in range(2))
    found = {pair.held_out.number: pair.similarity for pair in near(train, held_out)}
    assert found == brute_force(train, held_out)


def test_many_examples_with_the_same_beginning_take_no_time_each():
    """Of 2,000 examples that share ten words, the work is that of those which are near."""
    rng = random.Random(0)
    head = " ".join(WORDS[:10])
    made = [
        Example(f"{head} " + " ".join(rng.choice("abcdefghijklmnop") * 4 for _ in range(20)), " y")
        for _ in range(2000)
    ]
    compared = 0

    class Counted(set):
        def __and__(self, other):
            nonlocal compared
            compared += 1
            return set.__and__(self, other)

    with pytest.MonkeyPatch.context() as patch:
        triples = leaks._triples
        patch.setattr(leaks, "_triples", lambda example: Counted(triples(example)))
        assert not near(made[:1000], made[1000:])
    assert compared < 20_000  # of a million pairs
