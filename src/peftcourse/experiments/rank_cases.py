"""Three choices of a rank, in miniature: data for the cases that lesson 04 argues about.

================  ====================================  ============================================
Case              At full size                          Here
================  ====================================  ============================================
``translation``   50,000 pairs of sentences             sentences of stories into pirate speech:
                                                        thousands of pairs, one new mapping
``style``         200 examples of a private API         a story's opening into JSON with fixed keys:
                                                        few examples, one format
``instructions``  100,000 mixed instructions            six instructions about a story's opening,
                                                        drawn at random: many examples, many skills
================  ====================================  ============================================

What a miniature keeps is the kind of task and how the number of examples compares with what there
is to learn. What it does not keep is the size of the model and of the data, so the rank that is
best here is no advice for a large model; how the best rank moves with the data can be.
"""

from __future__ import annotations

import json
import random
from functools import cache

from peftcourse.experiments import corpus, slots, voices
from peftcourse.experiments.corpus import Example, shuffled
from peftcourse.experiments.voice_tables import VOICES
from peftlab.errors import PeftlabError

CASES = ("translation", "style", "instructions")
MAX_WORDS = 24  # in a sentence to translate


def load(case: str, *, seed: int, sizes: tuple[int, int, int]) -> dict[str, list[Example]]:
    """Generate a case's data.

    Args:
        case: one of `CASES`.
        seed: decides which examples are taken, and their order.
        sizes: how many train, validation and test examples.

    Returns:
        ``train``, ``validation`` and ``test``, from disjoint stories.

    Raises:
        PeftlabError: there is no such case, or not that much data.
    """
    if case not in CASES:
        raise PeftlabError(f"There is no case {case!r}; choose one of {', '.join(CASES)}.")
    makers = {"translation": translations, "style": slots.examples, "instructions": instructions}
    rng = random.Random(seed)
    return {
        split: corpus.take(shuffled(makers[case](split), rng), size, split)
        for split, size in zip(corpus.SPLITS, sizes, strict=True)
    }


def translate(sentence: str, voice: str) -> str:
    """One sentence in a voice, without the header and the ending that a whole story gets."""
    return voices.retell(sentence, VOICES[voice]).split("\n")[1]


@cache
def translations(split: str) -> list[Example]:
    """Sentences into pirate speech: those that change, each once."""
    pairs = {
        sentence: translate(sentence, "pirate")
        for story in corpus.story_texts(split)
        for sentence in corpus.sentences(story)
        if len(sentence.split()) <= MAX_WORDS
    }
    return [
        Example(f"{plain}\nPirate:", f" {spoken}")
        for plain, spoken in pairs.items()
        if spoken != plain
    ]


@cache
def instructions(split: str) -> list[Example]:
    """Six instructions about the opening of every story that names someone."""
    examples = []
    for story in corpus.story_texts(split):
        opening = slots.opening(story)
        found = slots.extract(opening)
        parts = corpus.sentences(opening)
        if not parts or found["who"] is None:
            continue
        answers = {
            "Pirate:": translate(parts[0], "pirate"),
            "Robot:": translate(parts[0], "robot"),
            "First:": parts[0],
            "Last:": parts[-1],
            "Who:": found["who"],
            "JSON: {": json.dumps(found)[1:-1],
        }
        examples += [
            Example(f"{opening}\n{instruction}", f" {answer}")
            for instruction, answer in answers.items()
        ]
    return examples
