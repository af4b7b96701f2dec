"""The reserved stories: text that the base model never saw.

The bundled model was pretrained on short children's stories. The last 2,400 of them were kept
back and ship with the package as ``peftlab/data/stories.xz``. Every task is built from these
alone, so what a fine-tuned model shows on a validation or test split is learned, not remembered.

The reserved documents are cut into three fixed, disjoint splits by their position in the file.
The cut does not depend on a seed: an adapter trained with one seed may be evaluated with another.
"""

import lzma
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeVar

from peftlab.errors import PeftlabError

T = TypeVar("T")

SEPARATOR = "\n<|endoftext|>\n"
SPLITS = {"train": slice(0, 1600), "validation": slice(1600, 2000), "test": slice(2000, 2400)}

# A language model wrote the stories. These words mark the few that do not suit a young reader.
UNSUITABLE = re.compile(
    r"\b(?:kill\w*|die[ds]?|dead|death|stupid|dumb|ugly|fat|hate[ds]?|gun|blood\w*|knife|wine|beer"
    r"|drunk|smok\w+|pussy|bra|devil|hell|naked|suicide|poison\w*|idiot|shut up|hit|hitting"
    r"|punch\w*|slave\w*)\b",
    re.IGNORECASE,
)

# '"Look!" said Tim.' is one sentence: what follows does not start with a capital.
_SENTENCE_END = re.compile(r'(?:(?<=[.!?])|(?<=[.!?]"))\s+(?=[A-Z"])|\n+')


@dataclass(frozen=True)
class Example:
    """One thing to learn: after `prompt`, write `target`.

    Attributes:
        prompt: What the model is given; may be empty. It carries no loss.
        target: What the model must write. Where the prompt is not empty it starts with a space.
    """

    prompt: str
    target: str


@cache
def story_texts(split: str) -> tuple[str, ...]:
    """Return the reserved stories of one split that suit young readers, in file order.

    Args:
        split: ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        PeftlabError: If there is no such split.
    """
    if split not in SPLITS:
        raise PeftlabError(f"There is no split {split!r}; choose one of {', '.join(SPLITS)}.")
    return tuple(text for text in documents()[SPLITS[split]] if not UNSUITABLE.search(text))


@cache
def documents() -> tuple[str, ...]:
    """Return all reserved stories, in file order, without stray white space at line ends."""
    packed = files("peftcourse").joinpath("data/stories.xz").read_bytes()
    documents = lzma.decompress(packed).decode("ascii").split(SEPARATOR)
    return tuple(re.sub(r"\s*\n\s*", "\n", text.strip()) for text in documents)


def stories(split: str) -> list[Example]:
    """Return plain held-out stories, for measuring what fine-tuning makes a model forget.

    Args:
        split: ``"train"``, ``"validation"`` or ``"test"``.

    Returns:
        One `Example` per story, with an empty prompt.
    """
    return [Example("", text) for text in story_texts(split)]


def sentences(text: str) -> list[str]:
    """Split a text into its sentences; a quotation's closing mark stays with its sentence."""
    return [part for part in _SENTENCE_END.split(text) if part]


def shuffled(items: Iterable[T], rng: random.Random) -> list[T]:
    """Return the items in random order.

    Python promises the same numbers in every version for ``Random.random()`` only, not for
    ``shuffle`` or ``sample``; sorting by such numbers keeps the data the same everywhere.
    """
    return sorted(items, key=lambda _: rng.random())


def take(items: list[T], size: int, split: str) -> list[T]:
    """Return the first `size` items of a split.

    Raises:
        PeftlabError: If there are fewer.
    """
    if size > len(items):
        raise PeftlabError(
            f"The {split} split has {len(items)} examples, not {size}; ask for fewer in sizes."
        )
    return items[:size]
