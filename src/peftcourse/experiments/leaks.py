"""What spoils a data set: one question with two answers, and examples that are nearly others."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from peftcourse.experiments.chat import ASSISTANT, Conversation
from peftcourse.experiments.corpus import Example
from peftcourse.experiments.jsonl import Line

NEAR = 0.8  # from this share of common word triples on, two examples count as near-duplicates

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Conflict:
    """One question that has different answers, of which a model can give but one.

    Attributes:
        question: the prompt, or the conversation up to the reply.
        lines: where the first of each answer stands.
    """

    question: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class NearDuplicate:
    """A held-out example that is almost one of the training examples.

    Attributes:
        split: ``"validation"`` or ``"test"``.
        held_out, train: the two, and where they stand.
        similarity: share of their word triples that both have, from 0 to 1.
    """

    split: str
    held_out: Line
    train: Line
    similarity: float


def text(example: Example | Conversation) -> str:
    """All that is said in an example."""
    if isinstance(example, Example):
        return f"{example.prompt} {example.target}"
    return "\n".join(message.content for message in example.messages)


def conflicts(lines: Iterable[Line]) -> list[Conflict]:
    """The questions that are answered in several ways, in the order of the file.

    Questions are compared without case and spacing, answers without spacing.
    """
    answers: defaultdict[str, dict[str, Line]] = defaultdict(dict)
    shown: dict[str, str] = {}
    for line in lines:
        for question, answer in _asked(line.example):
            key = folded(question)
            shown.setdefault(key, question)
            answers[key].setdefault(" ".join(answer.split()), line)
    return [
        Conflict(shown[key], tuple(found.values()))
        for key, found in answers.items()
        if len(found) > 1
    ]


def _asked(example: Example | Conversation) -> Iterator[tuple[str, str]]:
    """Each question of an example with its answer; a plain text asks nothing."""
    if isinstance(example, Example):
        if example.prompt.strip():
            yield example.prompt, example.target
        return
    before = ""
    for message in example.messages:
        if message.role == ASSISTANT and before:
            yield before, message.content
        before += f"{message.role}: {message.content}\n"


def folded(text: str) -> str:
    """A text without case and spacing."""
    return " ".join(text.lower().split())


def near_duplicates(
    train: Sequence[Line], held_out: Sequence[Line], split: str
) -> list[NearDuplicate]:
    """For each held-out example the nearest training example, if it is near; the worst first.

    Near are two examples of which at least `NEAR` of all word triples are in both (Jaccard's
    index) **and** whose numbers are the same: "What is 3 times 4?" and "What is 3 times 5?" are two
    questions, however alike.

    Two sets of which a share t is common have one of their rarest ⌊(1 - t) n⌋ + 1 elements in
    common. Comparing only examples that do gives the same as comparing all (Bayardo, Ma & Srikant
    2007, "Scaling up all pairs similarity search", §4), also where all begin with the same words.
    """
    known, asked = ([_triples(line.example) for line in lines] for lines in (train, held_out))
    counts = Counter(triple for triples in (*known, *asked) for triple in triples)

    def rarest(triples: set[tuple[str, ...]]) -> list[tuple[str, ...]]:
        # To the nearest: 1 - 0.8 is a little less than 0.2.
        count = math.floor(round((1 - NEAR) * len(triples), 9)) + 1
        return sorted(triples, key=lambda triple: (counts[triple], triple))[:count]

    having: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, triples in enumerate(known):
        for triple in rarest(triples):
            having[triple].append(place)
    found = []
    for line, own in zip(held_out, asked, strict=True):
        numbers = _numbers(line.example)
        candidates = {place for triple in rarest(own) for place in having.get(triple, ())}
        alike = {
            place: len(own & known[place]) / len(own | known[place])
            for place in candidates
            if _numbers(train[place].example) == numbers
        }
        nearest = max(sorted(alike), key=alike.__getitem__, default=None)
        if nearest is not None and alike[nearest] >= NEAR:
            found.append(NearDuplicate(split, line, train[nearest], alike[nearest]))
    return sorted(found, key=lambda pair: -pair.similarity)


def _numbers(example: Example | Conversation) -> list[str]:
    return _NUMBER.findall(text(example))


def _triples(example: Example | Conversation) -> set[tuple[str, ...]]:
    """All runs of three words, without case and punctuation; of a short text, all its words."""
    words = re.findall(r"\w+", text(example).lower())
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}
