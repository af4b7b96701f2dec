"""Written answers that say the same in the same words: shown to whoever marks, decided by nobody.

Two learners may have worked together, or both have copied the model answer, which is public. What
follows from that is not for a program to say, so no mark is taken over from one to the other.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from peftcourse.exercises.core import Written
from peftcourse.grading.reports.marks import answers
from peftcourse.grading.rows import Row

MODEL = ""  # stands for the model answer where others have a submission's name
CLOSE = 0.75  # of the words, from which on two texts are called alike
MOST = 20  # submissions with one text that are named
MAX_WORDS = 600  # of a text that are compared; most questions ask for at most 200

_RUN = 3  # words in a row, that texts have in common by chance now and then
_FEWEST = 5  # such runs in common before two texts are compared at all
_COMMON = 60  # texts with one run that are compared with each other; of more, neighbours alone


Text = tuple[str, ...]  # its words


@dataclass(frozen=True)
class Alike:
    """Another text that is like one.

    Attributes:
        submission: whose it is; ``MODEL`` for the model answer.
        share: of the words that are the same, in order; 1 if all are.
    """

    submission: str
    share: float


def words(text: str) -> Text:
    """A text's words without case and punctuation."""
    return tuple(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def alike(rows: Iterable[Row], part: Written) -> dict[str, tuple[Alike, ...]]:
    """For each submission whose answer has its like: whose, the closest first.

    The time grows with the length of all texts together, and not with the number of pairs.
    """
    holders: defaultdict[Text, list[str]] = defaultdict(list)
    holders[words(part.model_answer)].append(MODEL)
    for row in rows:
        for result in answers(row):
            if result.exercise == part.id and (said := words(result.answer)):
                holders[said].append(row.submission)
    found: defaultdict[str, list[Alike]] = defaultdict(list)

    def note(those: list[str], others: list[str], share: float) -> None:
        for one in those:
            found[one] += [Alike(other, share) for other in others[:MOST] if other != one]

    for same in holders.values():
        note(same, same, 1.0)
    for one, other, share in _close(list(holders), set(_runs(words(part.prompt)))):
        note(holders[one], holders[other], share)
        note(holders[other], holders[one], share)
    found.pop(MODEL, None)
    return {
        name: tuple(sorted(those, key=lambda one: (-one.share, one.submission)))
        for name, those in found.items()
        if those
    }


def _close(texts: list[Text], asked: set[Text]) -> Iterator[tuple[Text, Text, float]]:
    """Pairs of different texts of which most words are the same, and how many."""
    holding: defaultdict[Text, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        for run in set(_runs(text[:MAX_WORDS])) - asked:
            holding[run].append(place)
    shared: Counter[tuple[int, int]] = Counter()
    for places in holding.values():
        few = len(places) <= _COMMON
        shared.update(itertools.combinations(places, 2) if few else itertools.pairwise(places))
    for (i, j), count in shared.items():
        if count >= _FEWEST and (share := _share(texts[i][:MAX_WORDS], texts[j][:MAX_WORDS])):
            yield texts[i], texts[j], min(share, 0.99)


@functools.lru_cache(maxsize=4096)  # the reports of a class are written several times
def _share(one: Text, other: Text) -> float:
    """The share of words that are the same, in order; 0 if it is less than ``CLOSE``."""
    matcher = difflib.SequenceMatcher(None, one, other)
    if matcher.quick_ratio() < CLOSE:
        return 0.0
    return share if (share := matcher.ratio()) >= CLOSE else 0.0


def _runs(text: Text) -> Iterator[Text]:
    return (text[i : i + _RUN] for i in range(len(text) - _RUN + 1))


def in_words(those: Sequence[Alike], names: Mapping[str, str], most: int = 5) -> str:
    """For a cell of a table: ``same words as Bob; 83% of the words of the model answer``."""
    said = [
        f"{'same words as' if one.share == 1 else f'{100 * one.share:.0f}% of the words of'} "
        f"{names.get(one.submission, 'the model answer')}"
        for one in those[:most]
    ]
    more = f"; and {len(those) - most} others" if len(those) > most else ""
    return "; ".join(said) + more
