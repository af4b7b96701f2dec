"""Who is in a story: characters' names, and whether each is a she or a he."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from peftcourse.experiments import corpus

# Capitalised in the middle of a sentence, and yet no character's name.
NOT_NAMES = frozenset(
    """
    I Mom Mommy Mama Mamma Momma Amma Mum Mummy Dad Daddy Papa Mr Mrs Miss Ms Dr Mister Grandma
    Grandpa Granny Grandad Aunt Auntie Uncle The End Monday Tuesday Wednesday Thursday Friday
    Saturday Sunday Christmas Easter Halloween English South North East West Africa America
    Australia Arctic India Indian Kalahari Blue Red Green Magic Forest Little Big Old King Queen
    Prince Princess Captain God Earth Moon Sun Darlin Smiths Cap Bosun Deckhand Unit
    """.split()
)

SHE = re.compile(r"\b(?:she|her|herself)\b", re.IGNORECASE)
HE = re.compile(r"\b(?:he|him|his|himself)\b", re.IGNORECASE)
# "a girl named Lily", "a brave lad, who was called Bosun Tim"
INTRODUCED = re.compile(
    r"\b(?:(girl|lass|lady|princess|queen)|(boy|lad|man|prince|king))"
    r"(?: robot)?(?:,? who was)? (?:named|called) (?:[A-Z]\S* )?$"
)


@cache
def known_names() -> frozenset[str]:
    """Return the characters' names: words that the stories write with a capital in mid-sentence."""
    text = "\n".join(corpus.documents())
    capital = Counter(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+\b", text))
    lower = Counter(re.findall(r"\b[a-z]+\b", text))
    return frozenset(
        word
        for word, count in capital.items()
        if count >= 2 and count > lower[word.lower()] and word not in NOT_NAMES
    )


def names_in(text: str) -> Iterator[re.Match]:
    """Yield a match for each mention of a character's name."""
    for match in re.finditer(r"\b[A-Z][a-z]+\b", text):
        if match.group() in known_names():
            yield match


def pronouns(text: str) -> dict[str, str]:
    """Decide each character's pronoun from the words near the character's name.

    "a girl named Lily" decides at once. Otherwise the pronouns between a mention and the next name
    are counted, over all mentions.

    Returns:
        Name → ``"she"``, ``"he"``, or ``"they"`` where the story does not tell.
    """
    mentions = list(names_in(text))
    votes: dict[str, int] = {match.group(): 0 for match in mentions}
    for match, after in pairwise([*mentions, None]):
        introduced = INTRODUCED.search(text[max(0, match.start() - 60) : match.start()])
        if introduced:
            votes[match.group()] += 100 if introduced.group(1) else -100
        near = text[match.end() : after and after.start()]
        votes[match.group()] += len(SHE.findall(near)) - len(HE.findall(near))
    return {name: "she" if v > 0 else "he" if v < 0 else "they" for name, v in votes.items()}
